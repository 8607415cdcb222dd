"""How closely the physics engines agree after one control step from frames of the shipped clips.

    python benchmarks/engine_agreement.py
    python benchmarks/engine_agreement.py --engines warp --out benchmarks/results/engine_agreement_gpu.json

Native MuJoCo is the reference.  Every engine starts from the same reference states with the reference
pose of the next frame as its target, so the states are those that training starts from.  MJX compiles
for minutes on a CPU; ``XLA_FLAGS=--xla_backend_optimization_level=0`` halves that.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from synthjax.bodies import make_body
from synthjax.configs.train import PhysicsConfig
from synthjax.motion.library import MotionLibrary, resolve_motions
from synthjax.physics import make_physics

RESULT = Path(__file__).parent / "results" / "engine_agreement.json"
FIELDS = ("qpos", "qvel", "ground_contact")
WITHIN = 1e-4
# Warp computes in float32 only.
RUNS = {"float32": ("mjx", "warp"), "float64": ("mjx",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-states", type=int, default=100)
    parser.add_argument("--engines", nargs="+", choices=("mjx", "warp"), default=("mjx", "warp"))
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--precision", choices=RUNS, help="print the states of one precision and stop")
    args = parser.parse_args()
    if args.precision:
        engines = _measured(args.precision, args.engines)
        print(json.dumps(_states_after_one_step(args.precision, engines, args.num_states)))
        return
    body, config = make_body(), PhysicsConfig()
    result = {
        "body": body.name,
        "body_hash": body.hash,
        "sim_dt": config.sim_dt,
        "n_substeps": config.n_substeps,
        "num_states": args.num_states,
        "device": jax.devices()[0].device_kind,
        "machine": platform.machine(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "versions": {
            name: importlib.metadata.version(name) for name in ("jax", "mujoco", "mujoco-mjx", "warp-lang")
        },
        "comparisons": [],
    }
    for precision in RUNS:
        engines = _measured(precision, args.engines)
        if not engines:
            continue
        states = _in_own_process(precision, engines, args.num_states)
        for engine in engines:
            comparison = _compare(states["native"], states[engine], states["starts"])
            result["comparisons"].append({"engine": engine, "precision": precision} | comparison)
            print(engine, precision, {k: v for k, v in comparison.items() if k != "outliers"})
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")


def _measured(precision: str, engines: Sequence[str]) -> list[str]:
    """Those of ``engines`` that compute in ``precision``."""
    return [engine for engine in engines if engine in RUNS[precision]]


def _in_own_process(precision: str, engines: Sequence[str], num_states: int) -> dict:
    """JAX's precision is a setting of the whole process."""
    command = [sys.executable, __file__, "--precision", precision, "--num-states", str(num_states)]
    command += ["--engines", *engines]
    environment = os.environ | {"JAX_ENABLE_X64": str(int(precision == "float64"))}
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def _states_after_one_step(precision: str, engines: Sequence[str], num_states: int) -> dict:
    body, config = make_body(), PhysicsConfig()
    library = MotionLibrary.from_clips(resolve_motions("all", body))
    rng = np.random.default_rng(0)
    clip = rng.integers(len(library.names), size=num_states)
    time = np.round(rng.uniform(0, 1, num_states) * np.asarray(library.duration)[clip], 3)
    sample = jax.jit(jax.vmap(library.sample))
    start = sample(jnp.asarray(clip), jnp.asarray(time, jnp.float32))
    target = sample(jnp.asarray(clip), jnp.asarray(time + config.sim_dt * config.n_substeps, jnp.float32))
    start, target = jax.tree.map(lambda x: jnp.asarray(x, jnp.dtype(precision)), (start, target))
    starts = [{"clip": library.names[c], "time": float(t)} for c, t in zip(clip, time, strict=True)]
    states: dict = {"starts": starts}
    for name in ("native", *engines):
        physics = make_physics(name, body, config.sim_dt, config.n_substeps)
        step = jax.jit(jax.vmap(lambda kin, ctrl, p=physics: p.step({}, p.restore(kin), ctrl)))
        after = step(start, target.qpos[:, 7:])
        assert not after.bad.any(), name
        assert not after.overflow.any(), name
        states[name] = {
            "qpos": after.kinematics.qpos.tolist(),
            "qvel": after.kinematics.qvel.tolist(),
            "ground_contact": after.ground_contact.tolist(),
        }
    return states


def _compare(native: dict, other: dict, starts: list[dict]) -> dict:
    error = {f: np.abs(np.array(native[f]) - np.array(other[f])).max(axis=1) for f in FIELDS}
    result: dict = {
        field: {
            "median": float(np.median(error[field])),
            "p95": float(np.quantile(error[field], 0.95)),
            "max": float(error[field].max()),
            "within_1e-4": float(np.mean(error[field] <= WITHIN)),
        }
        for field in ("qpos", "qvel")
    }
    result["outliers"] = [
        starts[i]
        | {
            "qpos_error": float(error["qpos"][i]),
            "qvel_error": float(error["qvel"][i]),
            "contacts_differ": bool(error["ground_contact"][i] > 0),
        }
        for i in np.flatnonzero(error["qpos"] > WITHIN)
    ]
    return result


if __name__ == "__main__":
    main()
