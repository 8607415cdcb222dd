"""The record of a run: what is on disk, what a resume removes, what a crash leaves."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tensorboardX.proto import event_pb2

from synthjax.training.metrics import METRICS_FILE, MetricsWriter, read_metrics


def tensorboard_scalars(run_dir: Path) -> Iterator[tuple[int, str, float]]:
    """Scalars of all event files, by the TFRecord layout: length, its CRC, payload, its CRC."""
    for path in sorted((run_dir / "tensorboard").glob("events.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            at += 12 + length + 4
            for value in event.summary.value:
                yield event.step, value.tag, value.simple_value


def test_rows_are_on_disk_before_the_writer_is_closed(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path / "run")
    writer.write(2048, {"reward": np.float32(0.5), "body_error_mm": np.array([0.25])[0]})
    line = (tmp_path / "run" / METRICS_FILE).read_text()
    assert json.loads(line) == {"env_steps": 2048, "kind": "train", "reward": 0.5, "body_error_mm": 0.25}
    writer.close()


def test_tensorboard_has_the_same_values(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as writer:
        writer.write(10, {"reward": 0.5})
        writer.write(20, {"completion": 1.0}, kind="eval")
    assert list(tensorboard_scalars(tmp_path)) == [(10, "train/reward", 0.5), (20, "eval/completion", 1.0)]


def test_non_finite_values_stay_valid_json(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as writer:
        writer.write(1, {"a": float("nan"), "b": float("inf"), "c": 1.0})
    text = (tmp_path / METRICS_FILE).read_text()
    assert json.loads(text, parse_constant=lambda name: 1 / 0) == {
        "env_steps": 1,
        "kind": "train",
        "a": None,
        "b": None,
        "c": 1.0,
    }


def test_resume_drops_the_rows_after_the_checkpoint_and_writes_them_once(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as writer:
        for step in (10, 20, 30):
            writer.write(step, {"reward": step})
    with MetricsWriter(tmp_path, resume_step=20) as writer:
        for step in (30, 40):
            writer.write(step, {"reward": 10 * step})
    rows = read_metrics(tmp_path)
    assert [(row["env_steps"], row["reward"]) for row in rows] == [(10, 10), (20, 20), (30, 300), (40, 400)]


def test_line_cut_by_a_kill_is_dropped(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as writer:
        writer.write(10, {"reward": 1.0})
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"env_steps": 20, "kind": "tr')
    with MetricsWriter(tmp_path, resume_step=20) as writer:
        writer.write(20, {"reward": 2.0})
    assert [row["reward"] for row in read_metrics(tmp_path)] == [1.0, 2.0]


def test_new_run_starts_empty(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as writer:
        writer.write(10, {"reward": 1.0})
    with MetricsWriter(tmp_path):
        pass
    assert read_metrics(tmp_path) == []
