"""Steps that are not valid: whatever they hold, neither agent learns anything from them."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from regulator import Regulator

from synthjax.agents.masks import blank, sample_weights
from synthjax.agents.normalizer import MAX_COUNT, init_normalizer, update_normalizer
from synthjax.agents.ppo import PPO, PPOConfig
from synthjax.agents.ppo.losses import clipped_surrogate, normalize_advantages
from synthjax.agents.sac import SAC, SACConfig
from synthjax.training.program import TrainProgram
from synthjax.types import Transition

OBS, ACTIONS, LENGTH, WORLDS = 3, 2, 8, 6
PPO_CONFIG = PPOConfig(
    num_envs=WORLDS, unroll_length=LENGTH, num_minibatches=3, num_epochs=2, hidden=(8,),
)  # fmt: skip
SAC_CONFIG = SACConfig(
    num_envs=WORLDS, unroll_length=LENGTH, capacity=128, minibatch_size=16, learning_starts=8, n_step=3,
    policy_hidden=(8,), critic_hidden=(8,), center_rewards=True,
)  # fmt: skip
AGENTS = {"ppo": PPO(PPO_CONFIG, OBS, ACTIONS), "sac": SAC(SAC_CONFIG, OBS, ACTIONS)}
_update = jax.jit(lambda agent, state, data: agent.update(state, data, jax.random.key(5)), static_argnums=0)


@functools.cache
def first(name: str):
    first_obs = np.random.default_rng(0).normal(size=(64, OBS)).astype(np.float32)
    return jax.jit(AGENTS[name].init)(jax.random.key(0), first_obs)


def unroll(name: str, valid: np.ndarray, worlds: int = WORLDS) -> Transition:
    """What the agent did in ``worlds`` worlds; the first ones are the same however many there are."""
    rng = np.random.default_rng(1)
    shape = (LENGTH, WORLDS)
    obs, next_obs = rng.normal(size=(2, *shape, OBS)).astype(np.float32)
    act = jax.jit(AGENTS[name].act)
    action, extras = act(first(name), obs, jax.random.key(2))
    data = Transition(
        obs=obs, action=action, reward=rng.normal(size=shape).astype(np.float32), next_obs=next_obs,
        terminated=rng.random(shape) < 0.1, truncated=rng.random(shape) < 0.1, valid=valid, extras=extras,
    )  # fmt: skip
    return jax.tree.map(lambda x: np.asarray(x)[:, :worlds], data)


def falsified(data: Transition, number: float) -> Transition:
    """``data`` with ``number`` in all steps that are not valid, which have all ended, too."""

    def false(x: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[~data.valid] = True if x.dtype == bool else number
        return x

    return dataclasses.replace(jax.tree.map(false, data), valid=data.valid)


def same(one, other) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


def some(rate: float = 0.4) -> np.ndarray:
    return np.random.default_rng(3).random((LENGTH, WORLDS)) > rate


# ---------------------------------------------------------------------- weights


def test_weights_are_equal_with_a_mean_of_one() -> None:
    np.testing.assert_allclose(
        sample_weights(jnp.array([True, False, True, True, False])), [5 / 3, 0] + [5 / 3] * 2 + [0]
    )
    for size in (1, 3, 49, 100):  # exactly one, whatever the division rounds
        np.testing.assert_array_equal(sample_weights(np.ones(size, bool)), 1.0)
    np.testing.assert_array_equal(sample_weights(jnp.zeros(7, bool)), 0.0)


def test_what_is_not_valid_becomes_blank() -> None:
    data = falsified(unroll("ppo", some()), np.nan)
    shown = blank(data)
    for name in ("obs", "action", "reward", "next_obs", "terminated", "truncated", "valid"):
        before, after = getattr(data, name), np.asarray(getattr(shown, name))
        np.testing.assert_array_equal(after[data.valid], before[data.valid])
        assert not np.any(after[~data.valid])
    assert not np.any(np.asarray(shown.extras["mean"])[~data.valid])


# ---------------------------------------------------------------------- whole batches


def test_with_every_step_valid_numbers_are_those_without_a_mask() -> None:
    """Bit by bit those of the plain formulas."""
    rng = np.random.default_rng(4)
    for size in (64, 1001):
        x, y, z = rng.normal(size=(3, size)).astype(np.float32)
        ones = sample_weights(jnp.ones(size, bool))
        centred = x - jnp.mean(x)
        plain = jnp.clip(centred / (jnp.sqrt(jnp.mean(jnp.square(centred))) + 1e-8), -2.0, 2.0)
        np.testing.assert_array_equal(normalize_advantages(x, ones, 2.0), plain)
        ratio = jnp.exp(y - z)
        plain = -jnp.mean(jnp.minimum(ratio * x, jnp.clip(ratio, 0.8, 1.2) * x))
        loss, clipped = clipped_surrogate(y, z, x, ones, 0.2)
        np.testing.assert_array_equal(loss, plain)
        np.testing.assert_array_equal(clipped, jnp.mean(jnp.abs(ratio - 1.0) > 0.2))
        batch = rng.normal(3.0, 2.0, size=(size, 2)).astype(np.float32)
        state = update_normalizer(init_normalizer(2), batch)
        np.testing.assert_array_equal(state.mean, jnp.mean(batch, axis=0))
        np.testing.assert_array_equal(state.variance, jnp.mean(jnp.square(batch - state.mean), axis=0))
        assert float(state.count) == size


def test_a_ratio_without_weight_may_overflow() -> None:
    """A blank action can be exp(200) times as likely as its blank density says."""
    log_prob, advantage, weights = np.array([[200.0, 0.1], [0.0, 1.0], [0.0, 2.0]], np.float32)
    loss = jax.value_and_grad(lambda x: clipped_surrogate(x, np.zeros(2), advantage, weights, 0.2)[0])
    value, slope = loss(log_prob)
    # Half of twice the ratio times one, which is its own derivative by the log-probability
    assert float(value) == pytest.approx(-np.exp(0.1), rel=1e-6)
    np.testing.assert_allclose(slope, [0.0, -np.exp(0.1)], rtol=1e-6)


# ---------------------------------------------------------------------- updates


@pytest.mark.parametrize("name", sorted(AGENTS))
@pytest.mark.parametrize("number", [np.nan, np.inf, 1e9, -3.0])
def test_what_masked_steps_hold_changes_nothing(name: str, number: float) -> None:
    agent, data = AGENTS[name], unroll(name, some())
    state, metrics = _update(agent, first(name), data)
    same((state, metrics), _update(agent, first(name), falsified(data, number)))
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves((state, metrics)))
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), state.params, first(name).params)
    assert any(jax.tree.leaves(moved))


def test_ppo_learns_from_valid_worlds_as_if_there_were_no_others() -> None:
    """The gradient of a batch with three masked worlds is that of the other three alone."""
    valid = np.ones((LENGTH, WORLDS), bool)
    valid[:, 3:] = False
    alone = PPO(dataclasses.replace(PPO_CONFIG, num_minibatches=1, num_epochs=1), OBS, ACTIONS)
    few, few_metrics = _update(alone, first("ppo"), unroll("ppo", valid, worlds=3))
    all_, all_metrics = _update(alone, first("ppo"), falsified(unroll("ppo", valid), 1e9))
    close = functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=1e-6)
    jax.tree.map(close, all_, few)
    jax.tree.map(close, all_metrics, few_metrics)


def test_sac_stores_and_averages_valid_steps_only() -> None:
    data = unroll("sac", some())
    state, metrics = _update(AGENTS["sac"], first("sac"), falsified(data, np.nan))
    assert float(metrics["replay_size"]) == data.valid.sum() == int(state.replay.size[0])
    np.testing.assert_array_equal(state.replay.entries.obs[: data.valid.sum()], data.obs[data.valid])
    assert float(state.reward_rate) == pytest.approx(data.reward[data.valid].mean(), rel=1e-5)


@pytest.mark.parametrize("name", sorted(AGENTS))
def test_statistics_are_those_of_valid_steps(name: str) -> None:
    data = unroll(name, some())
    state, _ = _update(AGENTS[name], first(name), falsified(data, 1e9))
    expected = update_normalizer(first(name).normalizer, data.obs[data.valid])
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), state.normalizer, expected)
    if name == "ppo":
        rate = PPO_CONFIG.failure_decay * PPO_CONFIG.max_noise_failure
        rate += (1.0 - PPO_CONFIG.failure_decay) * data.terminated[data.valid].mean()
        assert float(state.failure_rate) == pytest.approx(rate, rel=1e-5)


def test_without_a_valid_step_nothing_is_learned() -> None:
    nothing = falsified(unroll("ppo", np.zeros((LENGTH, WORLDS), bool)), np.nan)
    state, _ = _update(AGENTS["ppo"], first("ppo"), unroll("ppo", some()))  # with some momentum
    after, metrics = _update(AGENTS["ppo"], state, nothing)
    for name in ("params", "opt_state", "learning_rate", "normalizer", "failure_rate"):
        same(getattr(after, name), getattr(state, name))
    assert np.isnan(metrics["policy_loss"])
    assert np.isfinite(metrics["learning_rate"])
    before = first("sac").replace(normalizer=init_normalizer(OBS))
    after, _ = _update(AGENTS["sac"], before, nothing.replace(extras={}))
    for name in ("params", "normalizer", "replay", "reward_rate"):
        same(getattr(after, name), getattr(before, name))


def test_a_minibatch_without_a_valid_step_leaves_the_rest_to_the_others() -> None:
    """One valid step in three minibatches: two of them do not let the step size grow or momentum go on."""
    valid = np.zeros((LENGTH, WORLDS), bool)
    valid[2, 1] = True
    after, metrics = _update(AGENTS["ppo"], first("ppo"), unroll("ppo", valid))
    steps = [x for x in jax.tree.leaves(after.opt_state) if x.dtype == jnp.int32]
    assert [int(x) for x in steps] == [PPO_CONFIG.num_epochs]
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_count_of_a_long_life_stays_at_its_cap_without_valid_steps() -> None:
    state = init_normalizer(2).replace(count=jnp.asarray(MAX_COUNT))
    same(update_normalizer(state, jnp.ones((5, 2)), valid=jnp.zeros(5, bool)), state)


# ---------------------------------------------------------------------- the program


class Exploding(Regulator):
    """A regulator of which worlds with a negative age have no observation after the next step."""

    def step(self, ctx, state, action):
        stepped = super().step(ctx, state, action)
        broken = state.task < 0
        return dataclasses.replace(
            stepped,
            obs=jnp.where(broken, jnp.nan, stepped.obs),
            reward=jnp.where(broken, jnp.where(state.task == -5, jnp.nan, 1e6), stepped.reward),
        )


@pytest.mark.parametrize("name", sorted(AGENTS))
def test_a_world_without_numbers_is_masked_like_any_other_step(name: str) -> None:
    """One of 4 x 2 steps, whatever its reward was."""
    sizes = {"num_envs": 4, "unroll_length": 2}
    agent = {
        "ppo": PPO(dataclasses.replace(PPO_CONFIG, **sizes, num_minibatches=1), 2, 2),
        "sac": SAC(dataclasses.replace(SAC_CONFIG, **sizes, learning_starts=4), 2, 2),
    }[name]
    program, learned = TrainProgram(Exploding(), agent, 4, 2), []
    for mark in (-5, -6):
        state = program.start(0)
        seen = float(state.agent.normalizer.count)
        worlds = dataclasses.replace(state.env, task=state.env.task.at[3].set(mark))
        state, report = program.epoch(dataclasses.replace(state, env=worlds), 1)
        learned.append(state.agent)
        assert float(report.metrics["bad_world"]) == 1 / 8
        assert float(state.agent.normalizer.count) - seen == 7
        assert name == "ppo" or int(state.agent.replay.size[0]) == 7
    same(*learned)
