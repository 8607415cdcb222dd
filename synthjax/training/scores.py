"""From recorded evaluation episodes to the figures that are reported."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from synthjax.training.evaluation import EpisodeTrace

# A reference that moves less than this has no meaningful distance ratio.
MIN_TRAVEL = 0.5  # m
BIN_SECONDS = 0.25


@dataclasses.dataclass(frozen=True)
class Scores:
    """Figures over one set of episodes; see :mod:`synthjax.training.evaluation` for the rule."""

    episodes: int
    completion: float  # share of episodes that did not fail
    episode_fraction: float  # mean share of the episode that was reached
    body_error_mm: float  # mean over bodies and steps, world frame
    root_relative_error_mm: float  # the same after aligning root position and yaw
    joint_error_deg: float  # mean absolute
    distance_ratio: float | None  # way along the reference's over that; None where it stands still
    foot_skate: float | None  # m/s, mean horizontal speed of the feet on the ground

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return dataclasses.asdict(self)


def score(trace: EpisodeTrace, mask: np.ndarray | None = None) -> Scores:
    """Figures of the episodes in ``mask`` (N,), or of all.

    Args:
      trace: arrays (T, N, ...) on the host.
      mask: bool, which episodes count.
    """
    chosen = np.ones(trace.alive.shape[1], bool) if mask is None else mask
    alive = np.asarray(trace.alive)[:, chosen]
    failed = np.asarray(trace.failed)[:, chosen]

    def mean(values: ArrayLike) -> float:
        return float(np.asarray(values)[:, chosen][alive].mean())

    down = np.asarray(trace.feet_down)[:, chosen][alive].sum()
    skate = np.asarray(trace.skate_speed)[:, chosen][alive].sum()
    # An episode that fails has lasted a share of what it would have: to its clip's end, or to the last step.
    length = alive.sum(axis=0)
    left = np.asarray(trace.steps_left)[:, chosen][np.maximum(length - 1, 0), np.arange(len(length))]
    fraction = np.where(failed.any(axis=0), length / np.minimum(length + left, len(alive)), 1.0)
    return Scores(
        episodes=int(chosen.sum()),
        completion=float(1.0 - failed.any(axis=0).mean()),
        episode_fraction=float(fraction.mean()),
        body_error_mm=1000.0 * mean(trace.body_error),
        root_relative_error_mm=1000.0 * mean(trace.relative_error),
        joint_error_deg=float(np.degrees(mean(trace.joint_error))),
        distance_ratio=_distance_ratio(trace, chosen, alive),
        foot_skate=float(skate / down) if down else None,
    )


def _distance_ratio(trace: EpisodeTrace, chosen: np.ndarray, alive: np.ndarray) -> float | None:
    """Mean over episodes of the way covered over the reference's, from first to last living step.

    Only the part along the reference's own way counts: walking off to the side covers none of it.
    """
    root, reference = (np.asarray(q)[:, chosen, :2] for q in (trace.qpos, trace.reference_qpos))
    last = np.maximum(alive.sum(axis=0) - 1, 0)
    column = np.arange(root.shape[1])
    travelled = root[last, column] - root[0]
    wanted = reference[last, column] - reference[0]
    length = np.linalg.norm(wanted, axis=-1)
    moving = length > MIN_TRAVEL
    along = np.sum(travelled * wanted, axis=-1)[moving] / length[moving] ** 2
    return float(np.mean(along)) if moving.any() else None


def scores_by_clip(trace: EpisodeTrace, clip_names: list[str]) -> dict[str, Scores]:
    """Figures of each clip that an episode was started in."""
    clip = np.asarray(trace.clip)[0]
    return {name: score(trace, clip == i) for i, name in enumerate(clip_names) if (clip == i).any()}


def errors_by_body(trace: EpisodeTrace, body_names: Sequence[str]) -> dict[str, float]:
    """Mean distance of each body from its reference in mm, world frame; the names are without the world's."""
    errors = 1000.0 * np.asarray(trace.body_errors)[np.asarray(trace.alive)].mean(axis=0)
    return dict(zip(body_names, errors.tolist(), strict=True))


def time_bins(trace: EpisodeTrace, clip_names: list[str]) -> dict[str, list[dict[str, float]]]:
    """Per clip and quarter second of its cycle: mean body error (mm), steps and failures there."""
    alive, clip = np.asarray(trace.alive), np.asarray(trace.clip)
    bins = (np.asarray(trace.clip_time) / BIN_SECONDS).astype(int)
    error, failed = np.asarray(trace.body_error), np.asarray(trace.failed)
    result: dict[str, list[dict[str, float]]] = {}
    for index, name in enumerate(clip_names):
        here = alive & (clip == index)
        if not here.any():
            continue
        rows = []
        for b in range(int(bins[here].max()) + 1):
            inside = here & (bins == b)
            if inside.any():
                rows.append(
                    {
                        "from_s": b * BIN_SECONDS,
                        "steps": int(inside.sum()),
                        "failures": int((failed & inside).sum()),
                        "body_error_mm": float(1000.0 * error[inside].mean()),
                    }
                )
        result[name] = rows
    return result
