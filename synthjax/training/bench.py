"""Throughput: the same rollout alone, with random actions, with the policy, and with learning."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import jax
from rich.table import Table

from synthjax import configs
from synthjax.configs import TrainConfig
from synthjax.envs.wrappers import AutoReset
from synthjax.physics import resolve_engine
from synthjax.training.build import Run, build, check_run_fits
from synthjax.training.mesh import SPLIT, over_worlds
from synthjax.types import EnvState, PyTree

# Standard deviation of random actions: about that of a policy that has not learned yet.
ACTION_NOISE = 0.2
PACKAGES = ("jax", "jaxlib", "mujoco", "mujoco-mjx", "warp-lang", "synthjax")

Advance = Callable[[PyTree], PyTree]
Stage = Callable[[Run], tuple[PyTree, Advance]]


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One stage on one engine.  Rates are of all environments together, by wall time."""

    engine: str
    num_envs: int
    stage: str
    compile_seconds: float  # tracing and compiling, not part of the rates
    seconds: float  # measured
    env_steps_per_second: float  # control steps
    physics_steps_per_second: float  # substeps
    realtime: float  # simulated seconds per second


def bench(
    config: TrainConfig,
    engines: Sequence[str],
    num_envs: Sequence[int],
    seconds: float,
    report: Callable[[str], None],
) -> list[Measurement]:
    """Every benchmark on every engine with every number of environments.

    Args:
      seconds: least wall time of each measurement.
      report: is told what is being measured.

    Raises:
      UserError: unknown engine, or a batch that cannot be cut or does not fit into memory.
    """
    measurements = []
    for engine in [resolve_engine(name) for name in engines]:  # all, before the first is measured
        for count in num_envs:
            chosen = dataclasses.replace(
                config,
                agent=dataclasses.replace(config.agent, num_envs=count),
                physics=dataclasses.replace(config.physics, engine=cast(Any, engine)),
            )
            configs.validate(chosen)
            run = build(chosen)
            check_run_fits(run)
            for name, stage in BENCHMARKS.items():
                report(f"{run.physics.name}, {count} environments: {name}")
                measurements.append(measure(run, name, stage, seconds))
    return measurements


def measure(run: Run, name: str, stage: Stage, seconds: float) -> Measurement:
    """Compiles ``stage``, runs it once to warm up, then for at least ``seconds`` of wall time."""
    state, advance = stage(run)
    start = time.perf_counter()
    program = jax.jit(advance).lower(state).compile()
    compiled = time.perf_counter() - start

    state = jax.block_until_ready(program(state))
    calls, start = 0, time.perf_counter()
    elapsed = 0.0
    while elapsed < seconds:
        state = jax.block_until_ready(program(state))
        calls += 1
        elapsed = time.perf_counter() - start
    env_steps = calls * run.program.steps_per_iteration / elapsed
    return Measurement(
        engine=run.physics.name,
        num_envs=run.program.num_envs,
        stage=name,
        compile_seconds=compiled,
        seconds=elapsed,
        env_steps_per_second=env_steps,
        physics_steps_per_second=env_steps * run.physics.n_substeps,
        realtime=env_steps * run.physics.control_dt,
    )


# Each stage is an initial state and a function that advances all environments by one unroll.


def physics_alone(run: Run) -> tuple[PyTree, Advance]:
    """The engine only: from frames of the reference, each unroll anew, holding the frame's pose."""
    step = jax.vmap(lambda state, ctrl: run.physics.step({}, state, ctrl))

    def advance(state: PyTree) -> PyTree:
        start, _ = state
        ctrl = start.kinematics.qpos[:, 7:]
        last, _ = jax.lax.scan(
            lambda worlds, _: (step(worlds, ctrl), None), start, length=run.program.unroll_length
        )
        return start, last

    first = run.program.start(0).env.physics
    return (first, first), over_worlds(run.program.mesh, advance, (SPLIT,), SPLIT)


def random_actions(run: Run) -> tuple[PyTree, Advance]:
    """Physics, observation, reward, termination and reset; actions are noise."""
    env, worlds = run.env, AutoReset(run.env)

    def one_world(state: EnvState) -> EnvState:
        ctx = env.init_context()
        key, action_key = jax.random.split(state.key)
        noise = ACTION_NOISE * jax.random.normal(action_key, (env.action_dim,)) * env.action_gains(ctx)
        return worlds.step(ctx, dataclasses.replace(state, key=key), noise)[0]

    def advance(state: PyTree) -> PyTree:
        return jax.lax.scan(
            lambda s, _: (jax.vmap(one_world)(s), None), state, length=run.program.unroll_length
        )[0]

    return run.program.start(0).env, over_worlds(run.program.mesh, advance, (SPLIT,), SPLIT)


def with_policy(run: Run) -> tuple[PyTree, Advance]:
    """As in training, without learning: the policy acts on what it observes."""
    return run.program.start(0), run.program.unroll


def with_training(run: Run) -> tuple[PyTree, Advance]:
    """Whole iterations: collect, update, new start probabilities."""
    program = run.program
    return program.start(0), lambda state: program.iterate(state)[0]


BENCHMARKS: dict[str, Stage] = {
    "physics": physics_alone,
    "random actions": random_actions,
    "inference": with_policy,
    "training": with_training,
}


def machine(command: str) -> dict[str, Any]:
    """What the figures depend on beside the program: hardware, versions, the command and the date."""
    device = jax.devices()[0]
    return {
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "device": f"{device.device_kind} ({device.platform})",
        "devices": jax.device_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def usable_cores() -> int | None:
    """Cores that this process may use, where the system tells; else all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def cpu_model() -> str:
    """The processor's name as its maker gives it, where the system tells."""
    try:
        if platform.system() == "Darwin":
            query = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except (OSError, subprocess.CalledProcessError):
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def table(measurements: Sequence[Measurement]) -> Table:
    """The measurements for the terminal."""
    grid = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("engine", "envs", "stage"):
        grid.add_column(title, no_wrap=True)
    for title in ("physics steps/s", "environment steps/s", "x real time", "compile s"):
        grid.add_column(title, justify="right")
    for row in measurements:
        grid.add_row(
            row.engine,
            str(row.num_envs),
            row.stage,
            f"{row.physics_steps_per_second:,.0f}",
            f"{row.env_steps_per_second:,.0f}",
            f"{row.realtime:,.1f}",
            f"{row.compile_seconds:.1f}",
        )
    return grid
