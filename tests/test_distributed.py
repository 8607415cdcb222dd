"""Several processes as one run: they learn what one process with as many devices learns, and end together."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from distributed_worker import EPOCH, EPOCHS, EVALUATED, ITERATIONS
from test_mesh import _run
from test_resume import StopAfter, assert_same, trainer_of

from synthjax import cli
from synthjax.cli import train
from synthjax.errors import UserError
from synthjax.training.build import build
from synthjax.training.checkpoint import CheckpointManager
from synthjax.training.leaves import named_leaves, storable
from synthjax.training.metrics import read_metrics
from synthjax.training.rendezvous import DistributedConfig, meet
from synthjax.training.run_folder import load_config

TESTS = Path(__file__).parent


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def start(command: list[str], folder: Path, **variables: str) -> subprocess.Popen[str]:
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
    return subprocess.Popen(
        [sys.executable, *command],
        env=environment | variables | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def ends(processes: list[subprocess.Popen[str]], seconds: float = 300.0) -> list[tuple[int, str]]:
    """Exit code and output of each; none is left behind."""
    try:
        shown = [process.communicate(timeout=seconds)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [(process.returncode, text) for process, text in zip(processes, shown, strict=True)]


def test_two_processes_stop_resume_and_are_one_process_with_two_devices(tmp_path: Path) -> None:
    """Bit for bit: a sum of two numbers does not hang on their order."""
    port, worker = str(free_port()), str(TESTS / "distributed_worker.py")
    started = [start([worker, port, str(i), str(tmp_path)], tmp_path) for i in range(2)]
    state = _run(2, EPOCHS, ITERATIONS)  # meanwhile
    (code, said), (second_code, second_said) = ends(started)
    assert (code, second_code) == (2, 2), said + second_said
    assert "Process 1: --steps is 4 here and 3 on process 0" in said
    assert "--steps is 4 here and 3 on process 0" in second_said

    seen = [dict(np.load(tmp_path / f"{i}.npz")) for i in range(2)]
    for name, leaf in storable(named_leaves(state)).items():
        assert len(leaf.addressable_shards) == 2
        for shard, one in zip(leaf.addressable_shards, seen, strict=True):
            np.testing.assert_array_equal(one[f"state.{name}"], np.asarray(shard.data), err_msg=name)
    assert not np.array_equal(seen[0]["state.env.obs"], seen[1]["state.env.obs"])
    for one in seen:
        assert not one["finished"]
        # A vote counts one epoch later: that for the first checkpoint in the second epoch, and that of the
        # process with the signal, which came behind it, in the fourth.
        assert (one["stopped"] / EPOCH).tolist() == [2, 4]
        assert (one["steps"] / EPOCH).tolist() == [4, 6, 7]
        assert one["first"] == "ü" * 300
        np.testing.assert_array_equal(one["rows"], 2.0 * np.arange(6.0).reshape(2, 3))
    rows = read_metrics(tmp_path)
    assert [row["env_steps"] // EPOCH for row in rows if row["kind"] == "train"] == list(range(1, EPOCHS + 1))
    assert [row["env_steps"] // EPOCH for row in rows if row["kind"] == "eval"] == [EVALUATED, EPOCHS]


def met(numbers: list[int], processes: list[int], timeout: float = 5.0) -> list[str]:
    """What becomes of processes with these numbers: nothing, or a sentence."""
    address, results = f"127.0.0.1:{free_port()}", [""] * len(numbers)

    def one(i: int) -> None:
        try:
            meet(address, processes[i], numbers[i], timeout)
        except UserError as error:
            results[i] = str(error)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(numbers))]
    for thread in reversed(threads):  # the first one comes last
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    return results


def test_processes_meet_in_any_order() -> None:
    assert met([0, 1, 2], [3, 3, 3]) == ["", "", ""]
    assert met([0], [1]) == [""]


@pytest.mark.parametrize(
    ("numbers", "processes", "timeout", "sentence"),
    [
        ([0, 1], [3, 3], 0.5, "Of 3 processes number 2 did not come"),
        ([0, 1, 1], [3, 3, 3], 5.0, "Two processes have --distributed.process 1"),
        ([0, 1], [2, 4], 5.0, "there are 4 processes and process 0 that there are 2"),
        ([1], [2], 0.5, "Process 0 did not answer at 127.0.0.1"),
    ],
)
def test_processes_that_do_not_find_one_another_say_so(
    numbers: list[int], processes: list[int], timeout: float, sentence: str
) -> None:
    results = met(numbers, processes, timeout)
    assert all(sentence in result for result in results), results


def test_a_port_that_is_taken_is_one_sentence() -> None:
    with socket.create_server(("", 0)) as server, pytest.raises(UserError, match="choose another"):
        meet(f"127.0.0.1:{server.getsockname()[1]}", 2, 0, 1.0)


def test_strangers_at_the_port_are_passed_over() -> None:
    port = free_port()
    thread = threading.Thread(target=meet, args=(f"127.0.0.1:{port}", 2, 0, 10.0))
    thread.start()
    for said in (b"GET / HTTP/1.1\r\n", b"\xff\n", b'{"process": "x"}\n', b"[]\n", b""):
        for _ in range(100):
            try:
                with socket.create_connection(("127.0.0.1", port)) as stranger:
                    stranger.sendall(said)
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
    meet(f"127.0.0.1:{port}", 2, 1, 10.0)
    thread.join()


@pytest.mark.parametrize(
    ("config", "advice"),
    [
        (DistributedConfig(processes=2, process=0), "need --distributed.coordinator HOST:PORT"),
        (DistributedConfig(coordinator="here:1", processes=2), "--distributed.process"),
        (DistributedConfig(coordinator="here:1", processes=2, process=2), "count them from 0"),
        (DistributedConfig(coordinator="here", processes=2, process=0), "give HOST:PORT"),
        (DistributedConfig(coordinator="here:0x7", processes=2, process=0), "give HOST:PORT"),
        (DistributedConfig(coordinator=":1234", processes=2, process=0), "give HOST:PORT"),
        (DistributedConfig(coordinator="here:70000", processes=2, process=0), "give HOST:PORT"),
    ],
)
def test_places_that_cannot_be_are_refused(config: DistributedConfig, advice: str, monkeypatch) -> None:
    monkeypatch.delenv("JAX_COORDINATOR_ADDRESS", raising=False)
    with pytest.raises(UserError, match=advice):
        config.place()


def test_processes_wait_for_at_least_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--distributed", "--distributed.timeout", "0"]) == 2
    assert "give at least a second" in capsys.readouterr().err


def test_the_address_may_come_from_jax_s_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "[::1]:1234")
    assert DistributedConfig(processes=2, process=1).place() == ("[::1]:1234", 2, 1)


def test_several_processes_need_one_folder() -> None:
    with pytest.raises(UserError, match="give all the same --run-dir"):
        train._planned(["--distributed.auto"])


def test_a_place_that_cannot_be_ends_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--distributed.processes", "2", "--distributed.process=0"]) == 2
    assert "need --distributed.coordinator HOST:PORT" in capsys.readouterr().err


MAIN = "import sys; from synthjax.cli import main; sys.exit(main(sys.argv[1:]))"
# A process counts its CPU as one device, so that the two have to be named.
TWO_DEVICES = (
    "import jax, numpy, synthjax.training.build as b; from synthjax.training.mesh import WORLDS;"
    "b.worlds_mesh = lambda *counts: jax.sharding.Mesh(numpy.array(jax.devices()), (WORLDS,));"
)
STEPS = 3840
TINY = shlex.split(
    "--env imitation --physics native --num-envs 8 --agent.unroll-length 4 --agent.num-minibatches 2 "
    f"--agent.num-epochs 1 --agent.hidden 16 --task.starts-per-bin 2 --steps {STEPS} --epoch-iterations 2 "
    "--checkpoint-seconds 1e-9 --evaluation.every 1280 --evaluation.episodes 4 --evaluation.seconds 0.5"
)


def start_two(folder: Path, *options: list[str]) -> list[subprocess.Popen[str]]:
    """Two processes of a training, each with its own of ``options``."""
    address = f"127.0.0.1:{free_port()}"
    place = ["--distributed.coordinator", address, "--distributed.processes", "2"]
    return [
        start(["-c", MAIN, "train", *place, f"--distributed.process={i}", *own], folder)
        for i, own in enumerate(options)
    ]


def wait_for_checkpoint(folder: Path, running: list[subprocess.Popen[str]]) -> None:
    deadline = time.monotonic() + 300
    while not any((folder / "checkpoints").glob("[0-9]*[0-9]")):
        assert time.monotonic() < deadline, "no checkpoint"
        assert all(process.poll() is None for process in running), ends(running)
        time.sleep(0.05)


@pytest.mark.slow
def test_a_command_in_two_processes_equals_one_in_a_single_process(tmp_path: Path) -> None:
    """With native physics, evaluations, SIGTERM to one of them, and a resumption."""
    two, single = tmp_path / "two", tmp_path / "single"
    running = start_two(tmp_path, *[[*TINY, "--run-dir", str(two)]] * 2)
    wait_for_checkpoint(two, running)
    running[1].send_signal(signal.SIGTERM)
    (code, said), (second_code, second_said) = ends(running)
    assert (code, second_code) == (0, 0), said + second_said
    assert "Stopped. Go on with" in said
    assert "steps" not in second_said  # it shows nothing
    saved = CheckpointManager(two, read_only=True).latest_step()
    assert 0 < saved < STEPS
    assert read_metrics(two)[-1]["env_steps"] == saved
    assert not (two / "evaluation.json").exists()
    for code, text in ends(start_two(tmp_path, *[["--resume", str(two)]] * 2)):
        assert code == 0, text

    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    command = ["-c", TWO_DEVICES + MAIN, "train", *TINY, "--run-dir", str(single)]
    [(code, text)] = ends([start(command, tmp_path, XLA_FLAGS=flags)])
    assert code == 0, text
    run = build(load_config(two))
    first, second = (trainer_of(run, folder, StopAfter(0)).prepare(resume=True) for folder in (two, single))
    assert trainer_of(run, two, StopAfter(0)).env_steps(first) == STEPS
    assert_same(first, second)
    assert read_metrics(two) == read_metrics(single)
    assert (two / "evaluation.json").read_text() == (single / "evaluation.json").read_text()
    assert {path.name for path in two.iterdir()} == {path.name for path in single.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (["--motion", "wlak"], "did you mean walk?"),
        (["--seed", "7"], "--seed is 7 here and 0 on process 0"),
        (["--stepz", "7"], "it cannot take its options"),
        (["--run-dir", "elsewhere"], "is not the folder that process 0 sees"),
    ],
)
def test_a_mistake_of_one_process_ends_both(mistake: list[str], said: str, tmp_path: Path) -> None:
    common = [*TINY, "--run-dir", str(tmp_path / "run")]
    if "--run-dir" in mistake:
        mistake = ["--run-dir", str(tmp_path / "elsewhere")]
    (code, first), (second_code, second) = ends(start_two(tmp_path, common, [*common, *mistake]))
    assert (code, second_code) == (2, 2), first + second
    assert said in first
    assert "Error: Process 1: " in first
    assert said in second or "--stepz" in second
    assert "Traceback" not in first + second
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.slow
def test_a_killed_process_ends_the_other(tmp_path: Path) -> None:
    """Started as SLURM starts them."""
    folder, port = tmp_path / "run", str(free_port())
    job = {"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    command = ["-c", MAIN, "train", "--distributed", *TINY, "--forever", "--run-dir", str(folder)]
    running = [
        start(command, tmp_path, **job, SLURM_PROCID=str(i), SLURM_LOCALID=str(i), JAX_COORDINATOR_PORT=port)
        for i in range(2)
    ]
    wait_for_checkpoint(folder, running)
    running[1].kill()
    (code, said), _ = ends(running)
    assert code == 2
    assert "Error: Another process of this run has ended" in said
    assert CheckpointManager(folder, read_only=True).latest_step() > 0


@pytest.mark.slow
def test_without_a_launcher_the_processes_have_to_be_named(tmp_path: Path) -> None:
    command = ["-c", MAIN, "train", "--distributed", "--run-dir", str(tmp_path / "run")]
    [(code, said)] = ends([start(command, tmp_path)])
    assert code == 2
    assert "or give --distributed.coordinator" in said
    assert "Traceback" not in said
