"""Checkpoints come back bit for bit, and nothing that happens to a save costs an earlier one."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

from synthjax.errors import UserError
from synthjax.training import checkpoint, checkpoint_checks
from synthjax.training.checkpoint import CheckpointManager, DamagedCheckpoint

Pair = namedtuple("Pair", ["first", "second"])


@struct.dataclass
class Nested:
    count: Any
    inner: Any


def assert_same(actual: Any, expected: Any) -> None:
    """Structure, types, dtypes and bits are equal; NaN payloads and signs of zero count."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert type(a) is type(b)
        if isinstance(b, jax.Array) and jnp.issubdtype(b.dtype, jax.dtypes.prng_key):
            assert jax.random.key_impl(a) == jax.random.key_impl(b)
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        a, b = np.asarray(a), np.asarray(b)
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def rich_state() -> dict[str, Any]:
    params = {"Dense_0": {"kernel": jax.random.normal(jax.random.key(1), (5, 3)), "bias": jnp.zeros(3)}}
    nan = np.array([0x7FC00001, 0xFFC00000, 0x80000000, 0x7F800000], np.uint32).view(np.float32)
    return {
        "params": params,
        "optimiser": optax.adam(1e-3).init(params),
        "keys": (jax.random.key(3), jax.random.split(jax.random.key(4, impl="rbg"), (2, 3))),
        "nested": Nested(count=jnp.int32(7), inner=Pair(jnp.array([True, False]), None)),
        "nan": jnp.asarray(nan),
        "half": jnp.arange(5, dtype=jnp.bfloat16),
        "numpy": {"double": np.array([1 / 3, np.nan]), "big": np.int64(2**60 + 1), "flag": np.bool_(True)},
        "python": [3, 2.5, True, 2**40],
        "empty": {"tree": {}, "tuple": (), "array": jnp.zeros((0, 4)), "rows": np.zeros((2, 0), np.int8)},
    }


def blank(state: Any) -> Any:
    """A template: the same structure with other values."""

    def change(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            impl = jax.random.key_impl(leaf)
            return jax.random.wrap_key_data(jnp.zeros_like(jax.random.key_data(leaf)), impl=impl)
        if isinstance(leaf, np.ndarray):
            return np.zeros_like(leaf)
        return jnp.zeros_like(leaf) if isinstance(leaf, jax.Array) else type(leaf)(0)

    return jax.tree.map(change, state)


def simple(value: float) -> dict[str, Any]:
    return {"x": jnp.full((64, 64), value), "key": jax.random.key(int(value)), "step": int(value)}


def test_round_trip_is_bit_for_bit(tmp_path):
    state = rich_state()
    metadata = {"env_steps": 10, "config": {"name": "walk", "rates": [0.1, None]}, "body": "abc"}
    CheckpointManager(tmp_path).save(5, state, metadata)
    restored, found = CheckpointManager(tmp_path, read_only=True).restore_latest(blank(state))
    assert_same(restored, state)
    assert found == metadata
    # Restored keys go on as the saved ones would have.
    assert_same(jax.random.normal(restored["keys"][0]), jax.random.normal(state["keys"][0]))


@pytest.mark.parametrize("state", [{}, None, (), {"a": None}, {"a": jnp.zeros((0, 3))}, jnp.arange(3.0), 4])
def test_bare_and_empty_states(tmp_path, state):
    manager = CheckpointManager(tmp_path)
    manager.save(1, state, {})
    restored, metadata = manager.restore_latest(blank(state))
    assert_same(restored, state)
    assert metadata == {}


def test_an_abstract_template_is_enough(tmp_path):
    state = simple(3)
    manager = CheckpointManager(tmp_path)
    manager.save(1, state, {})
    abstract = {**jax.eval_shape(lambda: {"x": state["x"], "key": state["key"]}), "step": 0}
    assert_same(manager.restore_latest(abstract)[0], state)


def test_part_of_a_state(tmp_path):
    state = rich_state()
    manager = CheckpointManager(tmp_path)
    manager.save(1, state, {})
    part = {**dict.fromkeys(state), "params": state["params"]}
    assert_same(manager.restore(1, part, partial=True)[0], part)
    with pytest.raises(UserError, match="does not fit"):
        manager.restore(1, part)


def test_a_new_run_has_nothing_to_restore(tmp_path):
    assert CheckpointManager(tmp_path / "run").restore_latest(simple(0)) is None
    assert CheckpointManager(tmp_path / "absent", read_only=True).latest_step() is None
    assert not (tmp_path / "absent").exists()


def test_newest_and_best_are_kept(tmp_path):
    manager = CheckpointManager(tmp_path, keep=2)
    for step, score in enumerate([1.0, 9.0, float("nan"), 3.0, None, 2.0]):
        manager.save(step, simple(step), {"env_steps": step}, score=score)
    assert manager.steps() == [1, 4, 5]
    again = CheckpointManager(tmp_path, keep=2)
    assert (again.steps(), again.best_step(), again.latest_step()) == ([1, 4, 5], 1, 5)
    assert again.metadata(1) == {"env_steps": 1}
    assert_same(again.restore(1, simple(0))[0], simple(1))


def test_a_saved_step_is_left_alone(tmp_path):
    manager = CheckpointManager(tmp_path)
    manager.save(1, simple(1), {})
    manager.save(1, simple(2), {})
    assert_same(manager.restore_latest(simple(0))[0], simple(1))


def test_another_body_is_refused_with_both_sides(tmp_path):
    manager = CheckpointManager(tmp_path)
    manager.save(1, simple(1), {"body": "aaa", "observation": "o1"})
    manager.restore_latest(simple(0), {"body": "aaa", "observation": "o1"})
    with pytest.raises(UserError, match="body 'aaa', this program has 'bbb'"):
        manager.restore_latest(simple(0), {"body": "bbb"})


def test_another_network_is_refused_with_both_sides(tmp_path):
    manager = CheckpointManager(tmp_path)
    manager.save(1, {"w": jnp.zeros((3, 4)), "key": jax.random.key(0)}, {})
    with pytest.raises(UserError, match=r"w is float32\[3,4\] there and float32\[3,5\] here"):
        manager.restore_latest({"w": jnp.zeros((3, 5)), "key": jax.random.key(0)})
    with pytest.raises(UserError, match=r"key is key<fry>\[\] there and absent here"):
        manager.restore_latest({"w": jnp.zeros((3, 4))})


def flip_a_bit(step_folder: Path) -> None:
    largest = max(
        (path for path in step_folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)


def truncate(step_folder: Path) -> None:
    for path in step_folder.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(step_folder: Path) -> None:
    for path in sorted(step_folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()


@pytest.mark.parametrize("harm", [flip_a_bit, truncate, empty])
def test_a_damaged_checkpoint_falls_back(tmp_path, caplog, harm):
    manager = CheckpointManager(tmp_path)
    for step in (1, 2):
        manager.save(step, simple(step), {"env_steps": step})
    harm(tmp_path / checkpoint.FOLDER / "2")
    with pytest.raises(DamagedCheckpoint, match="damaged"):
        manager.restore(2, simple(0))
    restored, metadata = CheckpointManager(tmp_path).restore_latest(simple(0))
    assert_same(restored, simple(1))
    assert metadata == {"env_steps": 1}
    assert "Going back to the checkpoint before it" in caplog.text
    # The run goes on and takes the damaged one's number.
    manager = CheckpointManager(tmp_path)
    manager.save(2, simple(2), {})
    assert_same(manager.restore_latest(simple(0))[0], simple(2))


# ---------------------------------------------------------------------- what only the newest one keeps


def with_replay(step: int) -> dict[str, Any]:
    return simple(step) | {"replay": {"ring": jnp.full((50, 40), step), "size": jnp.int32(step)}}


def save_with_replay(manager: CheckpointManager, step: int, score: float | None = None) -> None:
    state = with_replay(step)
    manager.save(step, state, {}, score=score, lasting={**state, "replay": None})


def replays(run: Path) -> list[int]:
    """Steps whose checkpoint has a replay, or some files of one."""
    return sorted(int(path.parent.name) for path in (run / checkpoint.FOLDER).glob("*/*replay*"))


def test_only_the_newest_keeps_its_replay(tmp_path, caplog):
    manager = CheckpointManager(tmp_path, keep=2)
    for step in (1, 2, 3):
        save_with_replay(manager, step, score=-step)
        assert replays(tmp_path) == [step]
    assert manager.steps() == [1, 2, 3]
    for reader in (manager, CheckpointManager(tmp_path, read_only=True)):
        assert_same(reader.restore_latest(with_replay(0))[0], with_replay(3))
        assert not caplog.text
    older = CheckpointManager(tmp_path).restore(1, with_replay(0))[0]
    assert_same(older, with_replay(1) | {"replay": with_replay(0)["replay"]})
    # Who does not want the replay is not told of it.
    caplog.clear()
    part = manager.restore(1, with_replay(0) | {"replay": None}, partial=True)[0]
    assert_same(part, with_replay(1) | {"replay": None})
    assert not caplog.text


def test_going_back_starts_with_an_empty_replay_and_says_so(tmp_path, caplog):
    manager = CheckpointManager(tmp_path)
    for step in (1, 2):
        save_with_replay(manager, step)
    truncate(tmp_path / checkpoint.FOLDER / "2" / "state")
    restored = CheckpointManager(tmp_path).restore_latest(with_replay(0))[0]
    assert_same(restored, with_replay(1) | {"replay": with_replay(0)["replay"]})
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "Going back to the checkpoint before it" in said[0]
    assert "only the newest one keeps it): going on with an empty one." in said[1]


@pytest.mark.parametrize("harm", [flip_a_bit, truncate, empty])
def test_a_damaged_replay_costs_nothing_else(tmp_path, caplog, harm):
    manager = CheckpointManager(tmp_path)
    for step in (1, 2):
        save_with_replay(manager, step)
    harm(tmp_path / checkpoint.FOLDER / "2" / "replay")
    restored = CheckpointManager(tmp_path).restore_latest(with_replay(0))[0]
    assert_same(restored, with_replay(2) | {"replay": with_replay(0)["replay"]})
    [record] = caplog.records
    assert "changed since it was written): going on with an empty one." in record.getMessage()


def test_a_failed_save_costs_no_replay(tmp_path, monkeypatch):
    """The older one goes only after the newer one's checksums are written."""
    manager = CheckpointManager(tmp_path)
    save_with_replay(manager, 1)

    def fail(folder: Path) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_checksums", fail)
        with pytest.raises(UserError, match="disk full"):
            save_with_replay(manager, 2)
    assert 1 in replays(tmp_path)


def test_a_replay_that_was_half_removed_by_a_kill_goes_with_the_next_save(tmp_path, monkeypatch):
    manager = CheckpointManager(tmp_path)
    save_with_replay(manager, 1)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint.shutil, "rmtree", lambda *args, **options: None)
        save_with_replay(manager, 2)
    assert replays(tmp_path) == [1, 2]
    assert_same(CheckpointManager(tmp_path).restore_latest(with_replay(0))[0], with_replay(2))
    save_with_replay(CheckpointManager(tmp_path), 3)
    assert replays(tmp_path) == [3]


def test_a_reader_changes_nothing(tmp_path, caplog):
    manager = CheckpointManager(tmp_path)
    for step in (1, 2):
        manager.save(step, simple(step), {})
    flip_a_bit(tmp_path / checkpoint.FOLDER / "2")
    unfinished = tmp_path / checkpoint.FOLDER / "3.orbax-checkpoint-tmp"
    unfinished.mkdir()
    reader = CheckpointManager(tmp_path, read_only=True)
    assert_same(reader.restore_latest(simple(0))[0], simple(1))
    assert reader.steps() == [1, 2]
    assert unfinished.exists()


def test_nothing_whole_is_an_error_and_not_a_new_run(tmp_path):
    manager = CheckpointManager(tmp_path)
    manager.save(1, simple(1), {})
    truncate(tmp_path / checkpoint.FOLDER / "1")
    with pytest.raises(UserError, match="can be read"):
        manager.restore_latest(simple(0))


def test_a_foreign_folder_is_refused(tmp_path):
    folder = tmp_path / checkpoint.FOLDER / "100"
    folder.mkdir(parents=True)
    (folder / "pytorch_model.bin").write_bytes(b"weights")
    with pytest.raises(UserError, match="can be read"):
        CheckpointManager(tmp_path, read_only=True).restore_latest(simple(0))


def test_unknown_steps_are_named(tmp_path):
    manager = CheckpointManager(tmp_path)
    manager.save(1, simple(1), {})
    with pytest.raises(UserError, match=r"no checkpoint 2: choose one of \[1\]"):
        manager.restore(2, simple(0))


def test_text_in_a_state_is_refused(tmp_path):
    with pytest.raises(TypeError, match="keep it in the metadata"):
        CheckpointManager(tmp_path).save(1, {"name": "walk"}, {})


def test_a_full_disk_is_found_before_saving(tmp_path, monkeypatch):
    manager = CheckpointManager(tmp_path)
    manager.save(1, simple(1), {})
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(checkpoint_checks.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match="make room"):
        manager.save(2, simple(2), {})
    monkeypatch.undo()
    assert_same(manager.restore_latest(simple(0))[0], simple(1))
    manager.save(2, simple(2), {})
    assert manager.steps() == [1, 2]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_disk_that_fills_up_during_a_save(tmp_path):
    """A limit on the size of files fails inside the storage library, as a full disk does."""
    program = f"""
import resource, signal
from pathlib import Path
import numpy as np
from synthjax.errors import UserError
from synthjax.training.checkpoint import CheckpointManager
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
manager = CheckpointManager(Path({str(tmp_path)!r}))
noise = np.random.default_rng(0).normal(size=(500, 500))
manager.save(1, {{"x": np.ones(3)}}, {{}})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    manager.save(2, {{"x": noise}}, {{}})
except UserError as error:
    print(error)
print(manager.steps())
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
manager.save(2, {{"x": noise}}, {{}})
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Cannot write checkpoints" in result.stdout
    assert result.stdout.endswith("[1]\n")
    manager = CheckpointManager(tmp_path)
    assert manager.steps() == [1, 2]
    assert {path.name for path in (tmp_path / checkpoint.FOLDER).iterdir()} == {"1", "2"}
    noise = np.random.default_rng(0).normal(size=(500, 500))
    assert_same(manager.restore_latest({"x": np.zeros((500, 500))})[0], {"x": noise})


def test_a_folder_without_write_permission(tmp_path, monkeypatch):
    """Simulated, because permissions do not bind the administrator that a container runs as."""
    manager = CheckpointManager(tmp_path)
    manager.save(1, simple(1), {})
    monkeypatch.setattr(checkpoint_checks.os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="write permission"):
        manager.save(2, simple(2), {})
    assert_same(manager.restore_latest(simple(0))[0], simple(1))


def test_a_run_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="Cannot write checkpoints"):
        CheckpointManager(tmp_path / "file" / "run")


SAVER = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp
from synthjax.training.checkpoint import CheckpointManager
manager = CheckpointManager(Path(sys.argv[1]), keep=2)
start = (manager.latest_step() or 0) + 1
for step in range(start, start + 1000):
    state = {"x": jnp.full((300, 300), step), "y": [jnp.full(10, step)] * 20}
    state["key"] = jax.random.key(step)
    manager.save(step, state, {"step": step}, score=-step, lasting={**state, "y": None})
    print(step, flush=True)
"""


def kill_and_restore(run: Path, delays: list[float]) -> None:
    """Kills a saving process after each delay; what it had reported as saved must be there, whole."""
    template = {"x": jnp.zeros((300, 300), int), "y": [jnp.zeros(10, int)] * 20, "key": jax.random.key(0)}
    for delay in delays:
        saver = subprocess.Popen([sys.executable, "-c", SAVER, str(run)], stdout=subprocess.PIPE, text=True)
        assert saver.stdout is not None
        reported = int(saver.stdout.readline())
        time.sleep(delay)
        saver.kill()
        reported = max([reported, *map(int, saver.stdout.read().split())])
        saver.stdout.close()
        saver.wait()
        # A reader first: it sees the folder as the kill left it.
        for read_only in (True, False):
            state, metadata = CheckpointManager(run, read_only=read_only).restore_latest(template)
            step = metadata["step"]
            assert step >= reported
            assert all(bool(jnp.all(leaf == step)) for leaf in [state["x"], *state["y"]])
            assert_same(state["key"], jax.random.key(step))


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    kill_and_restore(tmp_path, [random.Random(0).uniform(0.0, 0.4) for _ in range(2)])


@pytest.mark.slow
def test_many_kills(tmp_path):
    chance = random.Random(1)
    kill_and_restore(tmp_path, [chance.uniform(0.0, 0.5) for _ in range(25)])
