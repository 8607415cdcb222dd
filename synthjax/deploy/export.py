"""From a trained policy to a bundle: convert, prove, write."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from synthjax.deploy import gates
from synthjax.deploy.bundle import Bundle
from synthjax.deploy.closed_loop import closed_loop_gate
from synthjax.deploy.convert import Named, convert, installed, lower
from synthjax.deploy.dense import dense_policy
from synthjax.deploy.files import (
    BODY,
    FINETUNE,
    INFER_SIGNATURE,
    OBSERVE,
    OBSERVE_SIGNATURE,
    PARAMS,
    POLICY,
    REWARD,
    REWARD_SIGNATURE,
    STARTS,
    STEP_SIGNATURE,
    TRAINING,
)
from synthjax.deploy.finetune import FineTuning, fine_tuning, starts_of
from synthjax.deploy.judges import JUDGES, Judge
from synthjax.deploy.manifest import clip_file, describe, describe_action, describe_tuning
from synthjax.deploy.model import INSTALL, Model
from synthjax.deploy.model_checks import ALLOWED_IN_TRAINING, check_model
from synthjax.deploy.observers import OBSERVERS, Observer
from synthjax.deploy.onnx_policy import ONNX, ONNXModel, demand_packages, onnx_policy, write_onnx
from synthjax.deploy.policy import policy_function
from synthjax.deploy.quantize import Format, with_weights
from synthjax.deploy.rollouts import Rollouts, record, through_host
from synthjax.motion.clip_file import whole_clip
from synthjax.training.policies import make_policy
from synthjax.training.saved import SavedPolicy

MODELS = (POLICY, OBSERVE, REWARD, FINETUNE)
RETURN_WORLDS = 64  # episodes whose mean return judges int8 weights


@dataclasses.dataclass(frozen=True)
class Export:
    """What a bundle is made of."""

    files: dict[str, bytes]
    manifest: dict[str, Any]  # but for what the writing of a bundle adds
    onnx: bytes | None = None  # the policy for ONNX Runtime, if it was asked for


def export_policy(
    policy: SavedPolicy,
    out: Path,
    kind: Format,
    version: int,
    onnx: bool,
    report: Callable[[str], None],
    learns: bool = True,
) -> str:
    """Writes the bundle of ``policy`` to ``out`` if all gates pass.

    With ``onnx``, a file for ONNX Runtime too: beside the bundle, under its name but for the ending.  It has
    the bundle's manifest in its metadata.

    Args:
      policy: from :func:`synthjax.training.saved.load_policy`.
      out: a file, which is replaced.
      kind: of the weights of the policy's dense layers.
      version: of the bundle.
      onnx: whether there is to be a file for ONNX Runtime.
      report: is told what is going on.
      learns: whether the bundle has the part for training.

    Returns:
      Sizes and differences in a sentence.

    Raises:
      UserError: a gate fails, a package is not installed, or ``out`` cannot be written.
    """
    from synthjax.deploy.bundle import timestamp, write_bundle

    if onnx:
        demand_packages()
    export = prepare(policy, kind, report, onnx, learns)
    manifest = export.manifest | {"version": version, "exported": timestamp()}
    write_bundle(export.files, manifest, out, training=export.files.keys() & TRAINING)
    sizes = [f"{name} {len(data) / 1000:.0f} kB" for name, data in export.files.items() if name in MODELS]
    parity = export.manifest["parity"]
    words = f"over {parity['observations']} observations of whole rollouts actions differ from JAX by "
    words += f"{parity['action']:.1e}"
    if OBSERVE in export.files:
        words += f", observations by {parity['observation']:.1e}, motor inputs by {parity['control']:.1e}"
    else:
        words += f". There is no {OBSERVE}, so the host computes observations itself"
        words += f", and no {FINETUNE} and {REWARD}, so it cannot learn" if learns else ""
        words += "; the gates 'observe' and 'control'"
        words += ", 'reward' and 'train step'" if learns else ""
        words += f" had nothing to judge. For them, {INSTALL} on Linux (x86-64) or macOS (arm64)"
    if export.onnx is not None:
        size = write_onnx(out.with_suffix(ONNX), export.onnx, manifest)
        sizes.append(f"{out.with_suffix(ONNX).name} {size / 1000:.0f} kB")
        words += f"; those of ONNX Runtime by {parity['onnx']['action']:.1e}"
    return f"{', '.join(sizes)}; {words}."


def prepare(
    policy: SavedPolicy,
    kind: Format,
    report: Callable[[str], None],
    onnx: bool = False,
    learns: bool = True,
) -> Export:
    """All of :func:`export_policy` but the writing."""
    run = policy.run
    observer, judge = OBSERVERS[run.config.env](run.env), JUDGES[run.config.env](run.env)
    report("converting")
    tuning = fine_tuning(run, policy.agent_state) if learns and installed() else None
    models = convert_models(policy, observer, judge, tuning, kind)
    check_model(POLICY, models[POLICY], INFER_SIGNATURE)
    if OBSERVE in models:
        check_model(OBSERVE, models[OBSERVE], OBSERVE_SIGNATURE)
    if tuning is not None:
        check_model(REWARD, models[REWARD], REWARD_SIGNATURE)
        signatures = INFER_SIGNATURE, STEP_SIGNATURE
        check_model(FINETUNE, models[FINETUNE], *signatures, allowed=ALLOWED_IN_TRAINING)
    report("recording rollouts in the training environment")
    worlds = math.ceil(2 * gates.LEAST_OBSERVATIONS / run.env.max_steps)  # some of them begin alike
    if kind == "int8":
        worlds = max(worlds, RETURN_WORLDS)
    rollouts = record(run, observer, judge, make_policy(run, True), policy.agent_state, worlds)
    report("comparing")
    expected = jax.device_get(jax.jit(_infer(policy))({"observation": rollouts.observation}))
    parity = prove(policy, observer, judge, tuning, models, expected, rollouts, kind)
    files = {
        **models,
        BODY: run.body.xml.encode(),
        **{clip_file(index, clip): whole_clip(clip) for index, clip in enumerate(run.env.clips)},
    }
    manifest = describe(policy, observer if OBSERVE in models else None, kind, parity)
    if tuning is not None:
        params, vectors = tuning.packed()
        starts = starts_of(run, observer, judge)
        files |= {PARAMS: params, STARTS: starts.packed()}
        manifest["finetune"] = describe_tuning(policy.run, tuning, vectors, judge, starts)
        parity |= closed_loop_gate(Bundle(manifest, files, b""), rollouts)
    content = onnx_policy(run.agent, policy.agent_state, *_drive(policy)) if onnx else None
    if content is not None:
        parity["onnx"] = gates.policy_gate(ONNXModel(content), expected, rollouts, "float32", "onnx")
    return Export(files, manifest, content)


def convert_models(
    policy: SavedPolicy, observer: Observer, judge: Judge, tuning: FineTuning | None, kind: Format
) -> dict[str, bytes]:
    """The models by the names of their files; without the converter that of the policy alone.

    Without ``tuning`` there are none that only learning needs.
    """
    if not installed():
        direct = dense_policy(policy.run.agent, policy.agent_state, *_drive(policy), INFER_SIGNATURE)
        return {POLICY: with_weights(direct, kind)}
    observation = {"observation": (1, policy.run.env.obs_dim)}
    models = {
        POLICY: with_weights(convert({INFER_SIGNATURE: lower(_infer(policy), observation)}), kind),
        OBSERVE: convert({OBSERVE_SIGNATURE: lower(observer, observer.shapes)}),
    }
    if tuning is None:
        return models
    vectors = {name: vector.shape for name, vector in tuning.start.items()}
    learning = {
        INFER_SIGNATURE: lower(tuning.infer, {"params": vectors["params"], **observation}),
        STEP_SIGNATURE: lower(tuning.step, {**vectors, **tuning.minibatch}),
    }
    judging = convert({REWARD_SIGNATURE: lower(judge, judge.shapes)})
    return models | {REWARD: judging, FINETUNE: convert(learning)}


def _drive(policy: SavedPolicy) -> tuple[Any, Any]:
    """Scale and limit of the actions, as the writers of files take them."""
    action = describe_action(policy.run, policy.agent_state)
    return action["scale"], action["limit"]


def _infer(policy: SavedPolicy) -> Callable[[Named], Named]:
    return policy_function(policy.run.agent, policy.agent_state, policy.run.env.steering.offset)


def prove(
    policy: SavedPolicy,
    observer: Observer,
    judge: Judge,
    tuning: FineTuning | None,
    models: dict[str, bytes],
    expected: dict[str, Any],
    rollouts: Rollouts,
    kind: Format,
) -> gates.Figures:
    """Takes the models through the gates; says how they did.

    ``expected`` are the outputs of the policy by name for the observations of ``rollouts``.
    """
    run = policy.run
    infer = Model(POLICY, models[POLICY], INFER_SIGNATURE)
    figures = gates.policy_gate(infer, expected, rollouts, kind)
    if OBSERVE in models:
        observe = Model(OBSERVE, models[OBSERVE], OBSERVE_SIGNATURE)
        differences, seen, base, carried = gates.observe_gate(observe, rollouts, run.env.layout)
        figures |= differences | gates.control_gate(infer, seen, base, rollouts, kind)
        if tuning is not None:
            figures |= gates.reward_gate(Model(REWARD, models[REWARD], REWARD_SIGNATURE), carried, rollouts)
            signatures = STEP_SIGNATURE, INFER_SIGNATURE
            step, acts = (Model(FINETUNE, models[FINETUNE], name) for name in signatures)
            figures |= gates.train_gate(step, acts, tuning, expected, rollouts)
    if kind == "int8":
        driver = through_host(lambda row: infer({"observation": row[None]})["action"][0], run.env.action_dim)
        worlds = rollouts.action.shape[1]
        after = record(run, observer, judge, driver, policy.agent_state, worlds)
        figures |= gates.return_gate(rollouts, after)
    return figures
