"""A trained policy on its way to a device: seconds, bytes, and a gradient step beside that of JAX.

    synthjax train --env imitation --run-dir RUN
    taskset -c 0 python benchmarks/deployment.py RUN --arm64 libLiteRt.so

Everything runs on one core, to which the process has to be pinned; TFLite and JAX take turns at the
gradient step.  ``--arm64`` also compares the C host in an emulator with the one on this processor; it takes
the library of the ``ai-edge-litert`` wheel for Linux on arm64, and the packages that
``examples/host_c/emulated.sh`` names.
Writes ``benchmarks/results/deployment_cpu.json``.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from synthjax.agents.sac import SAC, SACConfig
from synthjax.deploy import archive, gates
from synthjax.deploy.bundle import load_bundle, timestamp, write_bundle
from synthjax.deploy.convert import convert, lower
from synthjax.deploy.export import TRAINING, convert_models, prepare
from synthjax.deploy.files import FINETUNE, INFER_SIGNATURE, POLICY, STEP_SIGNATURE
from synthjax.deploy.finetune import MINIBATCH, FineTuning, fine_tuning
from synthjax.deploy.install import install_bundle
from synthjax.deploy.judges import JUDGES
from synthjax.deploy.model import Model
from synthjax.deploy.observers import OBSERVERS
from synthjax.deploy.quantize import Format, with_weights
from synthjax.deploy.rollouts import Rollouts, record
from synthjax.deploy.runtime import DeployedPolicy
from synthjax.physics.dispatch import wait_for_computations
from synthjax.training.bench import machine, usable_cores
from synthjax.training.build import Run
from synthjax.training.dataclass_json import write_json
from synthjax.training.policies import make_policy
from synthjax.training.saved import load_policy

RESULT = Path(__file__).parent / "results" / "deployment_cpu.json"
HOST = Path(__file__).parent.parent / "examples" / "host_c"
CALLS, STEPS = 5000, 200  # that are timed, of acting and of learning
OBSERVATIONS, PARITY_STEPS = 1000, 10  # that the C host is compared on


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the deployment of a trained policy.")
    parser.add_argument("run", type=Path, help="folder of the run, which PPO has trained")
    parser.add_argument("--arm64", type=Path, help="libLiteRt.so for Linux on arm64")
    options = parser.parse_args()
    if usable_cores() != 1:
        sys.exit("Pin the process to one core: taskset -c 0 python benchmarks/deployment.py RUN")
    wait_for_computations()
    policy = load_policy(options.run)
    run = policy.run
    observer, judge = OBSERVERS[run.config.env](run.env), JUDGES[run.config.env](run.env)
    tuning = fine_tuning(run, policy.agent_state)
    load = os.getloadavg()
    # The first time with the import of the converter.
    converting = [
        seconds(lambda: convert_models(policy, observer, judge, tuning, "float32")) for _ in range(3)
    ]
    export = prepare(policy, "float32", print)
    worlds = 2 * OBSERVATIONS // run.env.max_steps + 1
    rollouts = record(run, observer, judge, make_policy(run, True), policy.agent_state, worlds)
    command = "taskset -c 0 python benchmarks/deployment.py RUN"
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "bundle.zip"
        manifest = export.manifest | {"version": 0, "exported": timestamp()}
        write_bundle(export.files, manifest, bundle, training=TRAINING)
        result: dict[str, Any] = {
            "machine": machine(command + (" --arm64 libLiteRt.so" if options.arm64 else "")),
            "load_average": load,
            "policy": {"environment": run.config.env, "agent": export.manifest["agent"]},
            "versions": export.manifest["versions"],
            "conversion_seconds": converting,
            "parity": export.manifest["parity"],
            "bytes": {
                **{name: len(content) for name, content in export.files.items()},
                "bundle": bundle.stat().st_size,
                "bundle without training": len(archive.pack(load_bundle(bundle).contents({"policy"}))),
            },
            "infer": {kind: acting(export.files, manifest, rollouts, kind) for kind in get_args(Format)},
            "gradient_step": {
                "minibatch": MINIBATCH,
                "ppo": learning(tuning, rollouts),
                "sac": learning(soft_actor_critic(run, rollouts), rollouts),
            },
        }
        if options.arm64:
            result["arm64"] = emulated(bundle, options.arm64, tuning, rollouts, Path(scratch))
    write_json(RESULT, result)
    print(RESULT.read_text())


def acting(
    files: Mapping[str, bytes], manifest: dict[str, Any], rollouts: Rollouts, kind: Format
) -> dict[str, Any]:
    """Bytes of the policy with weights of ``kind``, and microseconds of one call on one thread.

    ``call`` is that of the model by its signature, ``act`` the whole of the Python runtime.
    """
    content = with_weights(files[POLICY], kind)
    infer = Model(POLICY, content, INFER_SIGNATURE)
    policy = DeployedPolicy(manifest, {**files, POLICY: content})
    rows = different(rollouts)
    return {
        "bytes": len(content),
        "call_us": microseconds(lambda row: infer({"observation": row[None]}), rows),
        "act_us": microseconds(policy.act, rows),
    }


def microseconds(function: Callable[[np.ndarray], Any], rows: np.ndarray) -> dict[str, float]:
    times = [1e6 * seconds(lambda: function(rows[i % len(rows)])) for i in range(CALLS)]  # noqa: B023
    return {"p50": float(np.quantile(times, 0.5)), "p99": float(np.quantile(times, 0.99))}


def learning(tuning: FineTuning, rollouts: Rollouts) -> dict[str, Any]:
    """Milliseconds of a gradient step by TFLite and by JAX, in turns.

    ``cpu_ms`` is what the process has computed for, which other work on the machine does not add to.
    """
    shapes = {name: vector.shape for name, vector in tuning.start.items()}
    content = convert({STEP_SIGNATURE: lower(tuning.step, {**shapes, **tuning.minibatch})})
    model, step = Model(FINETUNE, content, STEP_SIGNATURE), jax.jit(tuning.step)
    given = {**tuning.start, **minibatches(tuning, rollouts, 1)[0]}
    ways: dict[str, Callable] = {
        "tflite": lambda: model(given),
        "jax": lambda: jax.block_until_ready(step(given)),
    }
    for way in ways.values():
        way()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(STEPS):
        for name, way in ways.items():
            before = time.process_time()
            wall = seconds(way)
            times[name].append((1e3 * wall, 1e3 * (time.process_time() - before)))
    wall_ms, cpu_ms = (
        {name: statistics.median(row[i] for row in rows) for name, rows in times.items()} for i in (0, 1)
    )
    return {
        "parameters": int(tuning.start["params"].size),
        "wall_ms": wall_ms,
        "cpu_ms": cpu_ms,
        "tflite_over_jax": wall_ms["tflite"] / wall_ms["jax"],
        "tflite_over_jax_cpu": cpu_ms["tflite"] / cpu_ms["jax"],
    }


def soft_actor_critic(run: Run, rollouts: Rollouts) -> FineTuning:
    """The gradient step of an untrained SAC of default size in the same environment."""
    agent = SAC(SACConfig(capacity=2**14), run.env.obs_dim, run.env.action_dim)
    state = jax.jit(agent.init)(jax.random.key(0), jnp.asarray(rollouts.observation[0]))
    return fine_tuning(dataclasses.replace(run, agent=agent), state)


def minibatches(tuning: FineTuning, rollouts: Rollouts, count: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    # The recorded actions are the means: all joints are the policy's.
    return [gates.minibatch(tuning, rollouts.action, rollouts, rng) for _ in range(count)]


def different(rollouts: Rollouts) -> np.ndarray:
    """A thousand recorded observations, no two alike."""
    rows = rollouts.observation.reshape(-1, rollouts.observation.shape[-1])
    first = np.sort(np.unique(rows, axis=0, return_index=True)[1])[:OBSERVATIONS]
    assert len(first) == OBSERVATIONS
    return rows[first]


def emulated(
    bundle: Path, library: Path, tuning: FineTuning, rollouts: Rollouts, scratch: Path
) -> dict[str, Any]:
    """How far the C host in an emulator of arm64 is from the one on this processor."""
    package = importlib.util.find_spec("ai_edge_litert")
    assert package is not None
    assert package.origin is not None
    subprocess.run(["make", "-s", "-C", str(HOST), f"OUT={scratch / 'host'}"], check=True)
    own = Path(package.origin).parent / "libLiteRt.so"
    hosts: dict[str, list[str]] = {
        "x86": [str(scratch / "host"), "--library", str(own)],
        "arm64": [str(HOST / "emulated.sh"), str(scratch / "arm64"), "--library", str(library.resolve())],
    }
    install_bundle(bundle, scratch / "installed", with_training=True)
    different(rollouts).tofile(scratch / "observations")
    np.concatenate(
        [x.ravel() for batch in minibatches(tuning, rollouts, PARITY_STEPS) for x in batch.values()]
    ).tofile(scratch / "minibatches")
    actions, learned, after = {}, {}, {}
    for name, host in hosts.items():

        def ran(verb: str, given: str, *options: str, host: list[str] = host, name: str = name) -> np.ndarray:
            out = scratch / f"{name}-{verb}"
            places = [str(scratch / "installed"), str(scratch / given), str(out)]
            subprocess.run([*host, *options, verb, *places], check=True, stdout=subprocess.DEVNULL)
            return np.fromfile(out, np.float32)

        actions[name] = ran("infer", "observations")
        learned[name] = ran("train", "minibatches")
        after[name] = ran("infer", "observations", "--learned", str(scratch / f"{name}-train"))
    start = np.concatenate(list(tuning.start.values()))
    ends = np.cumsum([vector.size for vector in tuning.start.values()])[:-1]
    way, off = (
        np.split(vector, ends) for vector in (learned["x86"] - start, learned["arm64"] - learned["x86"])
    )
    return {
        "observations": OBSERVATIONS,
        "action": float(np.abs(actions["arm64"] - actions["x86"]).max()),
        "gradient_steps": PARITY_STEPS,
        "share_of_the_way": {
            name: float(np.linalg.norm(o) / max(float(np.linalg.norm(w)), 1e-6))
            for name, o, w in zip(tuning.start, off, way, strict=True)
        },
        "action_after_them": float(np.abs(after["arm64"] - after["x86"]).max()),
    }


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
