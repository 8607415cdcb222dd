"""Dumps: the last steps of a world that blew up, as a file and as a video."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from synthjax.bodies import make_body
from synthjax.errors import UserError
from synthjax.training.blowups import Trail
from synthjax.training.build import Run
from synthjax.training.offscreen import RendererUnavailable
from synthjax.training.playback import VIDEO_FPS, resample
from synthjax.training.video import render_rollout
from synthjax.whole_files import replacing

FOLDER = "dumps"  # in a run's folder
KEPT = 32  # files of a run; the oldest go
HOLD_SECONDS = 1.0  # for which a video shows the last pose
FIELDS = ("qpos", "qvel", "action", "joints", "body", "actuation", "drive", "control_dt", "env_steps")


def write_dump(run: Run, run_dir: Path, name: str, env_steps: int, trail: Trail) -> Path:
    """Writes the steps of ``trail`` (T, ...) that belong to the episode of its last one, which blew up.

    Args:
      run: whose steps they are.
      run_dir: its folder.
      name: of the file, without its ending.
      env_steps: of the run, at the end of the epoch.
      trail: arrays on the host.

    Returns:
      The file: ``qpos`` (n, nq) and ``qvel`` (n, nv) before each control step, ``action`` (n, action_dim) in
      it, and what they mean.  The last action led to what is no longer a state.
    """
    ends = np.flatnonzero(trail.done[:-1])
    first = int(ends[-1]) + 1 if len(ends) else 0
    folder = run_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npz"
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            qpos=np.asarray(trail.qpos)[first:],
            qvel=np.asarray(trail.qvel)[first:],
            action=np.asarray(trail.action)[first:],
            joints=np.array(run.body.joints),
            body=run.config.body.name,
            actuation=run.body.actuation,
            drive=run.body.drive,
            control_dt=run.env.control_dt * (1.0 if trail.duration is None else float(trail.duration[-1])),
            env_steps=env_steps,
        )
    for old in sorted(folder.glob("*.npz"), key=lambda file: file.stat().st_mtime_ns)[:-KEPT]:
        old.unlink()
    return path


def replay_dump(path: Path, video: Path) -> list[str]:
    """Makes a video of the dump ``path``, pose by pose without physics.

    Args:
      path: a file of :func:`write_dump`.
      video: MP4 file to write.

    Returns:
      Lines for the user: when it happened, and where the video is or which package brings it.

    Raises:
      UserError: the file is no dump, or one of another body.
    """
    dump = _read(path)
    qpos, qvel, control_dt = dump["qpos"], dump["qvel"], float(dump["control_dt"])
    body = make_body(str(dump["body"]), str(dump["actuation"]), str(dump["drive"]))
    recorded = tuple(dump["joints"].tolist())
    if recorded != body.joints:
        raise UserError(
            f"{path} holds the joints {', '.join(recorded)}, and {body.name} has {', '.join(body.joints)}: "
            "use the version of the body that it was written with."
        )
    steps = len(qpos)
    said = (
        f"Non-finite in control step {steps} of {steps} recorded ones, at {steps * control_dt:.2f} s, by "
        f"{int(dump['env_steps']):,} environment steps of the run; before it the largest velocity was "
        f"{np.abs(qvel[-1]).max():.3g} rad/s or m/s."
    )
    held = np.repeat(qpos[-1:], 1 + round(HOLD_SECONDS / control_dt), axis=0)
    poses = resample(body.model, np.concatenate([qpos, held]), 1.0 / control_dt)
    try:
        render_rollout(body, poses, None, VIDEO_FPS, video)
    except RendererUnavailable as unavailable:
        return [said, str(unavailable)]
    return [said, f"Video: {video}"]


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise UserError(f"There is no file '{path}': give one from the {FOLDER} folder of a run.")
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return {name: file[name] for name in FIELDS}
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is not a dump ({error}): give a file from the {FOLDER} folder of a run."
        ) from error
