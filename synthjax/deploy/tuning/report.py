"""What a session has come to, as JSON and as rows to print."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from synthjax.deploy.tuning.frames import Frames
from synthjax.deploy.tuning.session import Session

REPORT, PICTURE = "report.json", "frames.png"
_RESAMPLES, _CONFIDENCE = 2000, 95


def rewards(session: Session, episodes: int) -> dict[str, Any]:
    """Mean returns of held-out episodes that no round has seen, from the same starts.

    ``shipped`` is the policy of the bundle on its own body; ``before`` what the session has begun with and
    ``after`` what it has come to, on its body.  ``lost_share`` is what of a positive return this body costs,
    and ``regained`` the share of the loss that has come back, with the interval of its bootstrap over the
    starts, if there is a loss in every sample of that.
    """
    own = session.evaluate(session.shipped, episodes, changed=False)
    changed = session.evaluate(session.shipped, episodes)
    before = changed if session.resumed is None else session.evaluate(session.first, episodes)
    after = session.evaluate(session.learner.snapshot, episodes)
    figures: dict[str, Any] = {
        name: summary(values)
        for name, values in (
            ("shipped", own), ("shipped on this body", changed), ("before", before), ("after", after),
            ("change", after - before),
        )
    }  # fmt: skip
    if own.mean() > 0.0:
        figures["lost_share"] = float(1.0 - changed.mean() / own.mean())
    if (share := regained(own, changed, after)) is not None:
        figures["regained"] = share
    return figures


def summary(values: np.ndarray) -> dict[str, Any]:
    """Mean of ``values`` (N,) with the interval of its bootstrap."""
    means = values[_samples(len(values))].mean(axis=1)
    return {"mean": float(values.mean()), "interval": _interval(means), "episodes": len(values)}


def regained(own: np.ndarray, changed: np.ndarray, after: np.ndarray) -> dict[str, Any] | None:
    """Share of the lost return that has come back; all (N,), from the same starts.

    None if there is a sample of its bootstrap in which nothing was lost.
    """
    samples = _samples(len(own))
    lost, back = own - changed, after - changed
    of_samples = lost[samples].mean(axis=1)
    if of_samples.min() <= 0.0:
        return None
    shares = back[samples].mean(axis=1) / of_samples
    return {"share": float(back.mean() / lost.mean()), "interval": _interval(shares)}


def _samples(count: int) -> np.ndarray:
    """Rows of the samples of a bootstrap (Efron 1979), (_RESAMPLES, count)."""
    return np.random.default_rng(0).integers(count, size=(_RESAMPLES, count))


def _interval(values: np.ndarray) -> list[float]:
    """Percentiles of what the samples gave."""
    tail = (100 - _CONFIDENCE) / 2
    return [float(edge) for edge in np.percentile(values, [tail, 100 - tail])]


def report(session: Session, phases: dict[str, Frames], returns: dict[str, Any]) -> dict[str, Any]:
    """All figures of a session; ``phases`` by name, if it ran in real time.

    A phase that was stopped before its first frame has no figures.
    """
    learner, config = session.learner, session.config
    rounds = learner.rounds
    return {
        "bundle": {name: session.bundle.manifest[name] for name in ("name", "version", "exported")},
        "config": dataclasses.asdict(config),
        "reward": returns,
        "rounds": len(rounds),
        "taken": sum(row.taken for row in rounds),
        "rolled_back": sum(not row.taken for row in rounds),
        "train_steps": learner.steps - session.first.steps,
        "train_steps_in_all": learner.steps,
        "kl": learner.snapshot.kl,
        "kl_largest": max((row.kl for row in rounds if row.taken), default=learner.snapshot.kl),
        "kl_bound": config.learning.kl_bound,
        "control_steps": session.actions,
        "repeated": session.repeated,
        "frames": {name: frames.figures() for name, frames in phases.items() if frames.rows},
        "history": [dataclasses.asdict(row) for row in rounds],
    }


def rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The report as a table of words and figures."""
    returns = figures["reward"]
    table = [
        (f"return {name}", _words(returns[name]))
        for name in ("shipped", "shipped on this body", "before", "after", "change")
    ]
    if "regained" in returns:
        share = returns["regained"]
        low, high = (f"{100 * edge:.0f}" for edge in share["interval"])
        table.append(("regained of what was lost", f"{100 * share['share']:.0f} % ({low} to {high})"))
    table += [
        ("rounds", f"{figures['rounds']}, {figures['taken']} taken, {figures['rolled_back']} rolled back"),
        ("train steps", f"{figures['train_steps']}"),
        ("KL from the shipped policy", f"{figures['kl']:.3g} nats per action, bound {figures['kl_bound']:g}"),
    ]
    if figures["repeated"]:
        table.append(("observations that were not finite", f"{figures['repeated']}"))
    for name, frames in figures["frames"].items():
        due = frames["frames"] + frames["lost"]
        table.append(
            (
                f"frames {name}",
                f"{frames['p50_ms']:.2f} ms p50, {frames['p99_ms']:.2f} ms p99, {frames['lost']:.0f} of "
                f"{due:.0f} lost, {frames['train_steps_per_second']:.1f} train steps/s",
            )
        )
    return table


def _words(value: dict[str, Any]) -> str:
    low, high = value["interval"]
    return f"{value['mean']:.1f} ({low:.1f} to {high:.1f}, {value['episodes']} episodes)"
