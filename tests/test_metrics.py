"""The record of a run: what is on disk, what a resume removes, what a crash leaves."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from synthjax.training import record_files
from synthjax.training.metrics import MetricsWriter, read_metrics
from synthjax.training.record_files import METRICS_FILE


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


# ---------------------------------------------------------------------- a record without end

ROW_BYTES = len('{"env_steps": 1000, "kind": "train", "reward": 1000.0}\n')


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten rows fill a file of the metrics, and the events of thirty or so are kept."""
    monkeypatch.setattr(record_files, "FILE_BYTES", 10 * ROW_BYTES - 1)
    monkeypatch.setattr(record_files, "EVENT_BYTES", 30 * 60)


def write_rows(run_dir: Path, first: int, last: int, resume_step: int | None = None) -> None:
    with MetricsWriter(run_dir, resume_step) as writer:
        for step in range(first, last + 1):
            writer.write(step, {"reward": step})


def logged(run_dir: Path) -> list[int]:
    rows = read_metrics(run_dir)
    assert all(row["reward"] == row["env_steps"] for row in rows)
    return [row["env_steps"] for row in rows]


@pytest.mark.usefixtures("small_files")
def test_a_record_without_end_is_bounded_and_keeps_the_newest_rows(tmp_path: Path) -> None:
    write_rows(tmp_path, 1001, 1305)
    files = [path.name for path in record_files.row_files(tmp_path)]
    assert files == [f"metrics.{number}.jsonl" for number in (27, 28, 29, 30)] + [METRICS_FILE]
    assert logged(tmp_path) == list(range(1261, 1306))
    assert sum(path.stat().st_size for path in record_files.row_files(tmp_path)) <= 50 * ROW_BYTES
    events = [step for step, _, _ in tensorboard_scalars(tmp_path)]
    assert events[-1] == 1305
    assert events == list(range(events[0], 1306))
    assert 20 <= len(events) <= 50
    write_rows(tmp_path, 1, 1)  # a new run in the same folder
    assert logged(tmp_path) == [1]


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("checkpoint", [1034, 1030, 1025, 1020])
def test_resume_drops_rows_of_older_files(tmp_path: Path, checkpoint: int) -> None:
    write_rows(tmp_path, 1001, 1034)
    write_rows(tmp_path, checkpoint + 1, 1044, resume_step=checkpoint)
    assert logged(tmp_path) == list(range(1001, 1045))


@pytest.mark.usefixtures("small_files")
def test_a_kill_while_files_change_loses_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the renaming of the full file and the beginning of the next; and while rows are removed."""
    write_rows(tmp_path, 1001, 1029)
    (tmp_path / METRICS_FILE).rename(tmp_path / "metrics.3.jsonl")
    assert logged(tmp_path) == list(range(1001, 1030))
    write_rows(tmp_path, 1030, 1034, resume_step=1029)
    assert logged(tmp_path) == list(range(1001, 1035))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            record_files.remove_rows(tmp_path, after=1015)
    write_rows(tmp_path, 1016, 1016, resume_step=1015)
    assert logged(tmp_path) == list(range(1001, 1017))
