"""A world that becomes non-finite: what is learned from it, what is kept of it, and what the user sees."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from regulator import LQR, Regulator
from test_resume import EPOCH, StopAfter, tiny_config, trainer_of

from synthjax import cli
from synthjax.agents.ppo import PPO
from synthjax.agents.sac import SAC, SACConfig
from synthjax.errors import UserError
from synthjax.training import blowups, dumps
from synthjax.training.blowups import Trail
from synthjax.training.build import Run, build
from synthjax.training.dumps import replay_dump, write_dump
from synthjax.training.metrics import MetricsWriter, read_metrics
from synthjax.training.program import TrainProgram

WORLDS, LENGTH = 8, 2


class Exploding(Regulator):
    """A regulator of which worlds with a negative age lose their numbers in the next step."""

    action_mask = np.ones(2, bool)

    def step(self, ctx, state, action):
        stepped = super().step(ctx, state, action)
        broken = state.task < 0
        return dataclasses.replace(
            stepped,
            obs=jnp.where(broken & (jnp.arange(2) == 1), jnp.nan, stepped.obs),
            reward=jnp.where(broken, jnp.inf, stepped.reward),
            metrics=stepped.metrics | {"reward": jnp.where(broken, jnp.nan, stepped.reward)},
        )


AGENTS = {
    "ppo": PPO(
        dataclasses.replace(LQR, num_envs=WORLDS, unroll_length=LENGTH, num_minibatches=2, num_epochs=1), 2, 2
    ),
    "sac": SAC(
        SACConfig(
            num_envs=WORLDS, unroll_length=LENGTH, capacity=64, minibatch_size=16, learning_starts=16,
            policy_hidden=(8,), critic_hidden=(8,),
        ),
        2, 2,
    ),
}  # fmt: skip


def numbers(tree) -> list[np.ndarray]:
    leaves = jax.tree.leaves(tree)
    return [np.asarray(x) for x in leaves if jnp.issubdtype(x.dtype, jnp.inexact)]


@pytest.mark.parametrize("name", sorted(AGENTS))
def test_nothing_is_poisoned_by_a_world_without_numbers(name: str) -> None:
    program = TrainProgram(Exploding(), AGENTS[name], WORLDS, LENGTH)
    state = program.start(0)
    state = dataclasses.replace(state, env=dataclasses.replace(state.env, task=state.env.task.at[3].set(-5)))
    state, report = program.epoch(state, 3)
    assert all(np.all(np.isfinite(x)) for x in numbers((state.agent, state.env, report.metrics)))
    # Counted once, in one of the steps, and started anew.
    assert float(report.metrics["bad_world"]) == pytest.approx(1 / (3 * LENGTH * WORLDS))
    assert int(state.env.task[3]) >= 0
    assert bool(report.blowup.found[0])
    np.testing.assert_array_equal(report.blowup.trail.bad[0], [False] * LENGTH + [True])
    # The other worlds' rewards are what is averaged.
    assert float(report.metrics["reward"]) < 0.0


def trail(bad_world: int, bad_step: int, offset: int, done: list[int] = ()) -> Trail:
    """Three steps of two worlds; ``qpos`` counts 10 times the world and the steps from ``offset`` on."""
    steps, worlds = np.arange(3)[:, None], np.arange(2)
    bad = (worlds == bad_world) & (steps == bad_step)
    value = (10 * worlds + offset + steps)[..., None].astype(np.float32)
    done = bad | ((worlds == bad_world) & np.isin(steps, done))
    return jax.tree.map(jnp.asarray, Trail(qpos=value, qvel=value, action=value, bad=bad, done=done))


def test_the_last_steps_reach_back_into_the_unroll_before() -> None:
    before, now = trail(-1, 0, offset=0), trail(1, 1, offset=3)
    none = blowups.no_blowup(now)
    assert not blowups.first_blowup(none, before, before).found[0]
    found = blowups.first_blowup(none, before, now)
    assert bool(found.found[0])
    np.testing.assert_array_equal(found.trail.qpos[0, :, 0], [11, 12, 13, 14])
    np.testing.assert_array_equal(found.trail.bad[0], [False, False, False, True])
    again = blowups.first_blowup(found, now, trail(0, 2, offset=6))
    jax.tree.map(np.testing.assert_array_equal, again, found)


@pytest.fixture(scope="module")
def run() -> Run:
    return build(tiny_config())


def poses(run: Run, count: int) -> Trail:
    """``count`` steps of a standing body that rises by 1 cm each, the last of which blows up."""
    model, bad = run.body.model, np.arange(count) == count - 1
    qpos = np.tile(run.body.standing_qpos, (count, 1))
    qpos[:, 2] += 0.01 * np.arange(count)
    qvel = np.zeros((count, model.nv))
    qvel[-1, 7] = -321.0
    return Trail(qpos=qpos, qvel=qvel, action=np.zeros((count, model.nu)), bad=bad, done=bad)


def test_a_dump_holds_the_episode_that_blew_up(run: Run, tmp_path: Path, monkeypatch) -> None:
    whole = poses(run, 6)
    cut = dataclasses.replace(whole, done=whole.done | (np.arange(6) == 2))
    path = write_dump(run, tmp_path, "1000-0", 1000, cut)
    short = write_dump(run, tmp_path, "half", 1000, dataclasses.replace(cut, duration=np.full(6, 0.5)))
    with np.load(short) as file:
        assert float(file["control_dt"]) == 0.5 * run.env.control_dt
    with np.load(path) as file:
        assert float(file["control_dt"]) == run.env.control_dt
        np.testing.assert_array_equal(file["qpos"], whole.qpos[3:])
        assert tuple(file["joints"]) == run.body.joints
    drawn = []
    monkeypatch.setattr(dumps, "render_rollout", lambda *args: drawn.append(args))
    said = replay_dump(path, tmp_path / "film.mp4")
    [(body, frames, ghost, rate, video)] = drawn
    assert (body.hash, ghost, rate, video) == (run.body.hash, None, 60.0, tmp_path / "film.mp4")
    # Three poses at 20 a second, the last one held for a second more.
    assert len(frames) == pytest.approx(60 * (3 * run.env.control_dt + 1.0), abs=4)
    np.testing.assert_allclose(frames[[0, -1], 2], whole.qpos[[3, 5], 2])
    assert said[0].startswith("Non-finite in control step 3 of 3 recorded ones, at 0.15 s, by 1,000 ")
    assert "321 rad/s" in said[0]
    assert said[1] == f"Video: {tmp_path / 'film.mp4'}"


def test_few_dumps_are_kept(run: Run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(dumps, "KEPT", 2)
    written = [write_dump(run, tmp_path, f"{n}-0", n, poses(run, 2)) for n in range(4)]
    assert sorted((tmp_path / dumps.FOLDER).iterdir()) == written[2:]


def test_a_run_dumps_the_world_that_blew_up(run: Run, tmp_path: Path, capsys) -> None:
    """Two worlds of the second epoch get velocities beyond what the engine believes."""
    display = StopAfter(2 * EPOCH)
    trainer = display.trainer = trainer_of(run, tmp_path, display)
    messages = []
    display.message = messages.append
    start = trainer.prepare(resume=False)
    qvel = start.env.physics.kinematics.qvel.at[jnp.array([2, 5]), 6].set(1e12)
    body = dataclasses.replace(start.env.physics.kinematics, qvel=qvel)
    env = dataclasses.replace(start.env, physics=dataclasses.replace(start.env.physics, kinematics=body))
    with MetricsWriter(tmp_path) as writer:
        state, _ = trainer.train(dataclasses.replace(start, env=env), writer)
    assert all(np.all(np.isfinite(x)) for x in numbers((state.agent, state.env)))
    rows = [row["bad_world"] for row in read_metrics(tmp_path)]
    assert rows == [pytest.approx(2 / EPOCH), 0.0]
    [path] = (tmp_path / dumps.FOLDER).iterdir()
    assert path.name == f"{EPOCH}-0.npz"
    assert [str(path) in message for message in messages if "non-finite" in message] == [True]
    with np.load(path) as file:
        assert file["qpos"].shape == (1, run.body.model.nq)
        assert file["qvel"][0, 6] == np.float32(1e12)
    video = tmp_path / "film.mp4"
    capsys.readouterr()
    assert cli.main(["play", "--dump", str(path), "--video", str(video)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Non-finite in control step 1 of 1 recorded ones, ")
    assert video.exists() != ("No video" in said)


def test_a_dump_that_is_not_there_is_named(tmp_path: Path, capsys) -> None:
    assert cli.main(["play", "--dump", str(tmp_path / "none.npz")]) == 2
    shown = capsys.readouterr().err
    assert "There is no file" in shown
    assert "give one from the dumps folder of a run" in shown
    assert "Errno" not in shown


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", "other"])
def test_what_is_no_dump_is_refused(content: bytes | str, tmp_path: Path, capsys) -> None:
    path = tmp_path / "file.npz"
    if content == "other":
        np.savez(path, qpos=np.zeros(3))
    else:
        path.write_bytes(content)
    assert cli.main(["play", "--dump", str(path)]) == 2
    shown = capsys.readouterr().err
    assert "is not a dump" in shown
    assert "give a file from the dumps folder of a run" in shown
    assert "Traceback" not in shown


def test_a_dump_of_other_joints_is_refused(run: Run, tmp_path: Path) -> None:
    path = write_dump(run, tmp_path, "1-0", 1, poses(run, 2))
    with np.load(path) as file:
        fields = dict(file)
    np.savez(path, **fields | {"joints": np.array(["tail"])})
    with pytest.raises(UserError, match="holds the joints tail, and synth has"):
        replay_dump(path, tmp_path / "film.mp4")


def test_a_dump_is_replayed_without_a_policy(capsys) -> None:
    assert cli.main(["play", "runs/walk", "--dump", "file.npz"]) == 2
    assert "leave out RUN and all options but --video" in capsys.readouterr().err
