"""What a bundle says about itself: everything that a host has to know beside the models."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

import synthjax
from synthjax.bodies import Body
from synthjax.deploy.fields import describe_layout
from synthjax.deploy.files import BODY, STARTS
from synthjax.deploy.finetune import FineTuning, Starts
from synthjax.deploy.judges import Judge
from synthjax.deploy.observers import Observer, Shapes
from synthjax.deploy.quantize import Format
from synthjax.envs.body_parts import SLOTS
from synthjax.motion.clip import Clip
from synthjax.training.build import Run
from synthjax.training.saved import SavedPolicy

PACKAGES = ("jax", "mujoco", "flax", "litert-converter", "ai-edge-litert", "ai-edge-quantizer")

# What a host gives to observe.tflite and reward.tflite.
INPUTS = {
    "qpos": "free joint (x y z in m, quaternion w x y z; world, z up), then the angle of each joint in rad",
    "qvel": "free joint (m/s in world axes, rad/s in the root's own), then the rate of each joint in rad/s",
    "body_positions": "origin of each body in the world, m",
    "body_rotations": "of each body in the world, quaternion w x y z",
    "body_velocities": "of each body's origin, m/s, and of its rotation, rad/s, both in world axes",
    "actuator_force": "of each joint's actuator in the last simulation step, before its gear, N m",
    "ground_contact": "number of points in which each body touches the ground",
    "ground_force": "sum of the ground's normal forces on each body in the last simulation step, world axes",
    "previous_action": "the action that led here, as policy.tflite gave it or as it was drawn; first zero",
    "carried": "carried_next of observe.tflite's call before",
    "action": "the one that the control step has taken",
    "memory": "memory_next of the call before; at first that of the start",
}


def clip_file(index: int, clip: Clip) -> str:
    """The name of a clip's file in a bundle."""
    return f"clips/{index}_{_safe(clip.name)}.npz"


def describe(
    policy: SavedPolicy, observer: Observer | None, kind: Format, parity: dict[str, Any]
) -> dict[str, Any]:
    """The manifest of a bundle, but for its files, its version and the time.

    Args:
      policy: that was exported.
      observer: whose model is in the bundle, if there is one.
      kind: of the weights.
      parity: how far the models are from JAX.
    """
    run = policy.run
    env, body, config, options = run.env, run.body, run.config, run.physics.model.opt
    return {
        "name": _safe(f"{config.env}-{Path(config.motion).stem}")[:80],
        "environment": config.env,
        "agent": {"algorithm": config.algorithm, "actor": config.agent.actor, "steps": policy.step},
        "weights": kind,
        "timing": {
            "sim_dt": run.physics.sim_dt,
            "n_substeps": run.physics.n_substeps,
            "control_dt": env.control_dt,
        },
        "physics": {
            "engine": run.physics.name,
            "solver": mujoco.mjtSolver(options.solver).name.removeprefix("mjSOL_"),
            "iterations": int(options.iterations),
        },
        "body": _describe_body(body),
        "observation": describe_layout(env.layout) | {"contact_slots": list(SLOTS)},
        "observe": None if observer is None else _describe_observer(observer),
        "action": describe_action(run, policy.agent_state),
        "clips": [
            {
                "name": clip.name,
                "file": clip_file(index, clip),
                "fps": clip.fps,
                "duration": clip.duration,
                "loop": clip.loop,
                "source": clip.source,
                "licence": clip.licence,
            }
            for index, clip in enumerate(env.clips)
        ],
        "versions": {"synthjax": synthjax.__version__, **_versions()},
        "parity": parity,
    }


def _describe_observer(observer: Observer) -> dict[str, Any]:
    """What observe.tflite takes, and what the task remembers at first."""
    start = [0.0] * len(observer.carried)
    return {
        "inputs": _describe_inputs(observer.shapes),
        "carried": {"entries": list(observer.carried), "start": start},
    }


def _describe_inputs(shapes: Shapes) -> dict[str, Any]:
    return {name: {"shape": list(shape), "meaning": INPUTS[name]} for name, shape in shapes.items()}


def describe_action(run: Run, agent_state: Any) -> dict[str, Any]:
    """How a motor input is made of the policy's outputs; all lists are in the order of the joints."""
    body, servos = run.body, run.body.drive == "servo"
    zero = "the reference pose of the next control step" if servos else "no torque"
    return {
        "joints": list(body.joints),
        "actuation": body.actuation,
        "drive": body.drive,
        "unit": "rad, target of the joint's position servo"
        if servos
        else "control of the joint's torque motor",
        "meaning": f"motor input = base + scale * action, where base (from observe.tflite) is {zero}; "
        "it holds for one control step",
        "base": {
            "mode": getattr(run.config.task, "action_mode", "reference"),
            "servo_lag": body.servo_lag.tolist(),  # (nu,) s, by which imitation leads a moving reference
            "formula": f"{type(run.env).__module__}.{type(run.env).__name__}.control",
        },
        "scale": np.asarray(run.env.steering.scale, float).tolist(),
        "limit": None if servos else 1.0,  # of the action
        "gains": np.asarray(agent_state.gains, float).tolist(),
        "squash": "tanh" if run.agent.squashes else "none",
        "stochastic": "action = gains * squash(mean + exp(log_std) * noise), noise standard normal",
    }


def describe_tuning(
    run: Run, tuning: FineTuning, vectors: list[dict[str, Any]], judge: Judge, starts: Starts
) -> dict[str, Any]:
    """What finetune.tflite takes, what it begins with, and the settings that the host needs."""
    columns = [{"name": name, "size": rows.shape[1]} for name, rows in starts.columns.items()]
    return {
        "vectors": vectors,  # in params.bin, by the number of floats
        "minibatch": {name: list(shape) for name, shape in tuning.minibatch.items()},
        "policy": tuning.policy,  # where it lies in "params"
        "settings": tuning.settings,
        "reward": {"inputs": _describe_inputs(judge.shapes), "memory": list(judge.memory)},
        "starts": {"file": STARTS, "rows": len(starts.columns["qpos"]), "columns": columns},
        "max_steps": run.env.max_steps,  # control steps of an episode, whose value is then bootstrapped
    }


def _describe_body(body: Body) -> dict[str, Any]:
    """Names in the order of the arrays; gains as in the MJCF, in the order of the joints."""
    model = body.model
    first = model.jnt_dofadr[model.actuator_trnid[:, 0]]
    gains = {
        "gear": model.actuator_gear[:, 0],  # N m per unit of actuator force
        "force_limit": np.abs(model.actuator_forcerange).max(axis=1),  # N m
        "damping": model.dof_damping[first],  # N m s/rad
        "armature": model.dof_armature[first],  # kg m^2
    }
    if body.drive == "servo":
        gains["kp"] = model.actuator_gainprm[:, 0]  # N m/rad
    else:
        gains["control_limit"] = np.abs(model.actuator_ctrlrange).max(axis=1)
    return {
        "name": body.name,
        "hash": body.hash,
        "file": BODY,
        "joints": list(body.joints),
        "bodies": list(body.body_names[1:]),  # the world is not among them
        "bones": dict(body.bones),
        "key_bodies": list(body.key_bodies),
        "actuators": {name: values.tolist() for name, values in gains.items()},
    }


def _versions() -> dict[str, str]:
    installed = {dist.name.lower() for dist in importlib.metadata.distributions()}
    return {name: importlib.metadata.version(name) for name in PACKAGES if name in installed}


def _safe(name: str) -> str:
    """``name`` as a part of file names on every system."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "clip"
