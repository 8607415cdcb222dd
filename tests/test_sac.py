"""SAC's numbers against scipy, hand-worked cases and closed forms; and it solves a regulator."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from regulator import EFFORT, GAIN, Regulator

from synthjax.agents.distributions import squashed_log_prob
from synthjax.agents.networks import MLP
from synthjax.agents.normalizer import normalize, update_normalizer
from synthjax.agents.sac import SAC, SACConfig, SACState
from synthjax.agents.sac.actor_critic import ActorCritic, Batch
from synthjax.agents.sac.losses import critic_loss, policy_loss, soft_target, temperature_loss
from synthjax.errors import UserError
from synthjax.training.mesh import COPIED, SPLIT, WORLDS, over_worlds
from synthjax.training.program import TrainProgram, TrainState
from synthjax.types import Transition

OBS, ACTIONS = 3, 2
SMALL = SACConfig(
    num_envs=4, unroll_length=8, capacity=128, minibatch_size=16, samples_per_step=1.0, learning_starts=32,
    n_step=2, policy_hidden=(8,), critic_hidden=(8,), initial_alpha=0.2, learning_rate=1e-3,
)  # fmt: skip
AGENT = SAC(SMALL, OBS, ACTIONS)
BOTH, FIRST = np.ones(2, np.float32), np.array([1, 0], np.float32)  # gains of the two actions
_log_prob = jax.jit(squashed_log_prob)


def _noise(batch):
    return tuple(jax.random.normal(key, batch.action.shape) for key in jax.random.split(jax.random.key(7)))


_act = jax.jit(lambda agent, state, obs, key: agent.act(state, obs, key)[0], static_argnums=0)
_steady = jax.jit(
    lambda agent, state, obs: agent.act(state, obs, jax.random.key(0), True)[0], static_argnums=0
)
_update = jax.jit(lambda agent, state, data, key: agent.update(state, data, key), static_argnums=0)
_loss = jax.jit(
    lambda agent, params, targets, batch, gains=BOTH: agent.actor_critic.loss(
        params, targets, batch, gains, _noise(batch)
    ),
    static_argnums=0,
)
_grads = jax.jit(
    lambda agent, params, targets, batch, gains=BOTH: jax.grad(agent.actor_critic.loss, has_aux=True)(
        params, targets, batch, gains, _noise(batch)
    )[0],
    static_argnums=0,
)


@functools.cache
def _first(agent: SAC = AGENT) -> SACState:
    first_obs = np.random.default_rng(0).normal(size=(64, OBS)).astype(np.float32)
    return jax.jit(agent.init)(jax.random.key(0), first_obs)


def _data(seed: int = 1, worlds: int = SMALL.num_envs, **changes) -> Transition:
    rng, shape = np.random.default_rng(seed), (SMALL.unroll_length, worlds)
    obs, next_obs = rng.normal(size=(2, *shape, OBS)).astype(np.float32)
    data = Transition(
        obs=obs, action=rng.uniform(-1, 1, (*shape, ACTIONS)).astype(np.float32),
        reward=rng.normal(size=shape).astype(np.float32), next_obs=next_obs,
        terminated=rng.random(shape) < 0.1, truncated=np.zeros(shape, bool), valid=np.ones(shape, bool),
        extras={},
    )  # fmt: skip
    return dataclasses.replace(data, **changes)


def _batch(seed: int = 2, count: int = 64) -> Batch:
    rng = np.random.default_rng(seed)
    obs, next_obs = rng.normal(size=(2, count, OBS)).astype(np.float32)
    return Batch(
        obs=obs, action=rng.uniform(-1, 1, (count, ACTIONS)).astype(np.float32),
        reward=rng.normal(size=count).astype(np.float32), next_obs=next_obs,
        discount=np.where(rng.random(count) < 0.2, 0.0, 0.9).astype(np.float32),
        weights=rng.uniform(0.1, 1.0, count).astype(np.float32),
    )  # fmt: skip


# ---------------------------------------------------------------------- the squashed Gaussian


def test_squashed_density_is_the_gaussians_over_the_slope_of_tanh():
    rng = np.random.default_rng(0)
    u, mean = rng.normal(size=(2, 50, 3))
    std = rng.uniform(0.1, 1.5, (50, 3))
    expected = scipy.stats.norm.logpdf(u, mean, std) - np.log(1.0 - np.tanh(u) ** 2)
    np.testing.assert_allclose(_log_prob(u, mean, std), expected.sum(axis=-1), rtol=2e-4, atol=1e-4)
    active = np.array([True, False, True])
    masked = _log_prob(u, mean, std, active)
    np.testing.assert_allclose(masked, expected[:, active].sum(axis=-1), rtol=2e-4, atol=1e-4)


def test_squashed_density_integrates_to_one():
    action = np.linspace(-1 + 1e-6, 1 - 1e-6, 200_001)
    u = np.arctanh(action)
    density = np.exp(_log_prob(u[:, None], np.full((len(u), 1), 0.4), np.full((len(u), 1), 0.7)))
    assert scipy.integrate.trapezoid(density, action) == pytest.approx(1.0, abs=1e-3)


@settings(deadline=None, max_examples=50)
@given(u=st.floats(-40, 40), mean=st.floats(-40, 40), std=st.floats(0.02, 1.0))
def test_squashed_density_stays_finite_where_tanh_saturates(u, mean, std):
    value, slope = jax.value_and_grad(
        lambda x: squashed_log_prob(x[None], jnp.array([mean]), jnp.array([std]))
    )(u)
    log_slope = 2 * (np.log(2) - u - np.logaddexp(0, -2 * u))  # float64
    expected = scipy.stats.norm.logpdf(u, mean, std) - log_slope
    assert float(value) == pytest.approx(expected, rel=1e-4, abs=1e-3)
    assert np.isfinite(slope)


# ---------------------------------------------------------------------- losses


def test_soft_target_by_hand():
    target = soft_target(
        jnp.array([1.0, 2.0]),
        jnp.array([0.5, 0.0]),
        jnp.array([[4.0, 9.0], [6.0, 9.0]]),
        jnp.array([2.0, 5.0]),
    )
    # 1 + 0.5 * (min(4, 6) + 2); after a termination the reward alone
    np.testing.assert_allclose(target, [4.0, 2.0])


def test_critic_and_policy_losses_by_hand():
    # 0.5 * mean(1 * (1 + 4), 0.5 * (9 + 1)) = 0.5 * mean(5, 5)
    errors = jnp.array([[1.0, 3.0], [2.0, 1.0]])
    assert float(critic_loss(errors, jnp.array([1.0, 0.5]))) == pytest.approx(2.5)
    # mean(0.1 * 2 - 3, 0.1 * 4 - 1) = mean(-2.8, -0.6)
    q = jnp.array([[3.0, 2.0], [5.0, 1.0]])
    assert float(policy_loss(jnp.array([2.0, 4.0]), q, jnp.array(0.1))) == pytest.approx(-1.7)


@pytest.mark.parametrize("missing", [1.5, -1.5])
def test_temperature_rises_while_entropy_is_missing(missing):
    target = -2.0
    log_prob = jnp.array([-(target - missing), -(target - missing)])
    slope = float(jax.grad(temperature_loss)(jnp.log(0.3), log_prob, target))
    # d/dlog_alpha of -alpha (log pi + target): -0.3 * missing
    assert slope == pytest.approx(-0.3 * missing, rel=1e-5)


def test_each_loss_reaches_its_own_parameters_only():
    state, batch = _first(), _batch()
    grads = _grads(AGENT, state.params, state.targets, batch)

    def critics_alone(critics) -> jax.Array:
        params = state.params | {"critics": critics}
        _, (td_error, _) = AGENT.actor_critic.loss(params, state.targets, batch, BOTH, _noise(batch))
        return critic_loss(td_error, batch.weights)

    def policy_alone(policy) -> jax.Array:
        action, log_prob = AGENT.actor_critic.sample_action(policy, batch.obs, BOTH, _noise(batch)[0])
        q = AGENT.actor_critic.q(state.params["critics"], batch.obs, action)
        return policy_loss(log_prob, q, jnp.asarray(SMALL.initial_alpha))

    critics = jax.jit(jax.grad(critics_alone))(state.params["critics"])
    policy = jax.jit(jax.grad(policy_alone))(state.params["policy"])
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, grads["critics"], critics)
    jax.tree.map(close, grads["policy"], policy)


def test_the_target_values_entropy_only_if_it_should():
    state, batch = _first(), _batch()
    _, (with_entropy, metrics) = _loss(AGENT, state.params, state.targets, batch)
    without = SAC(dataclasses.replace(SMALL, entropy_in_target=False), OBS, ACTIONS)
    _, (plain, _) = _loss(without, state.params, state.targets, batch)
    # Both errors fall by discount * alpha * entropy of the next action; alpha is 0.2
    bonus = np.asarray(plain - with_entropy)
    np.testing.assert_allclose(bonus[0], bonus[1], atol=1e-5)
    np.testing.assert_allclose(bonus[0][batch.discount == 0], 0.0, atol=1e-6)
    mean_bonus = np.mean(bonus[0][batch.discount > 0])
    assert mean_bonus == pytest.approx(0.9 * 0.2 * float(metrics["entropy"]), abs=0.1)


# ---------------------------------------------------------------------- actions


def test_actions_are_squashed_noise_around_the_deterministic_one():
    obs = np.tile(np.array([0.3, -1.0, 2.0], np.float32), (20_000, 1))
    action = _act(AGENT, _first(), obs, jax.random.key(0))
    steady = _steady(AGENT, _first(), obs[:1])
    assert np.max(np.abs(action)) <= 1.0
    assert np.max(np.abs(steady)) < 0.1  # a fresh policy hardly acts
    u = np.arctanh(np.asarray(action, np.float64)) - np.arctanh(np.asarray(steady, np.float64))
    # A fresh policy's deviation is halfway between its bounds in the logarithm: sqrt(0.02 * 1) = 0.1414
    np.testing.assert_allclose(u.mean(axis=0), 0.0, atol=0.005)
    np.testing.assert_allclose(u.std(axis=0), 0.1414, rtol=0.05)


def test_masked_actions_are_zero_without_density_or_gradient():
    state, batch = AGENT.with_gains(_first(), FIRST), _batch()
    obs = batch.obs
    assert not np.any(_act(AGENT, state, obs, jax.random.key(1))[:, 1])
    assert not np.any(_steady(AGENT, state, obs)[:, 1])
    batch = batch.replace(action=batch.action * np.array([1, 0], np.float32))
    grads = _grads(AGENT, state.params, state.targets, batch, FIRST)
    head = grads["policy"]["params"]["Dense_1"]
    # Outputs are the two means and then the two deviations
    assert np.all(np.any(head["kernel"][:, [0, 2]], axis=0))
    assert not np.any(head["kernel"][:, [1, 3]])
    assert not np.any(head["bias"][jnp.array([1, 3])])
    assert float(AGENT.actor_critic.target_entropy(FIRST)) == pytest.approx(SMALL.target_entropy)
    assert float(AGENT.actor_critic.target_entropy(BOTH)) == pytest.approx(2 * SMALL.target_entropy)
    # The entropy is that of the one action that is left: a fresh deviation of 0.14 has
    # ln(0.1414 sqrt(2 pi e)) = -0.54 nats, and tanh takes away another E[u²] = 0.02
    _, (_, metrics) = _loss(AGENT, state.params, state.targets, batch, FIRST)
    assert float(metrics["entropy"]) == pytest.approx(-0.56, abs=0.3)


def test_gains_shrink_actions_and_not_their_entropy():
    state, batch = _first(), _batch()
    gains = np.array([1.0, 0.25], np.float32)
    ramping = AGENT.with_gains(state, gains)
    for act in (functools.partial(_act, key=jax.random.key(1)), _steady):
        np.testing.assert_allclose(act(AGENT, ramping, batch.obs), gains * act(AGENT, state, batch.obs))
    _, (_, full) = _loss(AGENT, state.params, state.targets, batch)
    _, (_, shrunk) = _loss(AGENT, state.params, state.targets, batch, gains)
    assert float(shrunk["entropy"]) == pytest.approx(float(full["entropy"]), rel=1e-5)
    assert float(shrunk["q"]) != pytest.approx(float(full["q"]), rel=1e-6)


def test_temperature_follows_the_entropy_of_the_active_actions():
    """The slope of -alpha (log pi + target) by log alpha: alpha (entropy - target), alpha 0.2."""
    state, batch = _first(), _batch()
    slopes = []
    for gains, actions in ((BOTH, 2), (FIRST, 1), (np.array([0.1, 0.0], np.float32), 1)):
        _, (_, metrics) = _loss(AGENT, state.params, state.targets, batch, gains)
        slope = float(_grads(AGENT, state.params, state.targets, batch, gains)["log_alpha"])
        assert slope == pytest.approx(0.2 * (float(metrics["entropy"]) + 0.5 * actions), rel=1e-4)
        slopes.append(slope)
    assert slopes[0] != pytest.approx(slopes[1], rel=1e-3)


def test_uniform_start_lasts_until_the_first_gradient_step():
    agent = SAC(dataclasses.replace(SMALL, uniform_start=True), OBS, ACTIONS)
    obs = np.zeros((2000, OBS), np.float32)
    state = agent.with_gains(_first(agent), FIRST)
    action = _act(agent, state, obs, jax.random.key(0))
    assert scipy.stats.kstest(np.asarray(action)[:, 0], scipy.stats.uniform(-1, 2).cdf).pvalue > 0.01
    assert not np.any(action[:, 1])
    learning = state.replace(gradient_steps=jnp.asarray(1))
    assert np.std(_act(agent, learning, obs, jax.random.key(0))[:, 0]) < 0.2


# ---------------------------------------------------------------------- the update


def test_learning_starts_with_enough_transitions():
    agent = SAC(dataclasses.replace(SMALL, learning_starts=33), OBS, ACTIONS)
    state, metrics = _update(agent, _first(agent), _data(), jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, state.params, _first(agent).params)
    assert np.isnan(metrics["critic_loss"])
    assert (int(state.gradient_steps), float(metrics["replay_size"])) == (0, 32)
    state, metrics = _update(agent, state, _data(2), jax.random.key(1))
    # 32 new steps * 1 sample each / 16 a gradient step
    assert (int(state.gradient_steps), float(metrics["replay_size"])) == (2, 64)
    assert all(np.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize(("ratio", "steps"), [(0.1, 1), (1.0, 2), (1.2, 2), (4.0, 8)])
def test_update_to_data_ratio(ratio, steps):
    assert dataclasses.replace(SMALL, samples_per_step=ratio).gradient_steps == steps


def test_steps_that_are_not_valid_are_not_stored():
    valid = np.random.default_rng(5).random((8, 4)) < 0.5
    data = _data(reward=np.where(valid, 1.0, np.nan).astype(np.float32), valid=valid)
    agent = SAC(dataclasses.replace(SMALL, learning_starts=1), OBS, ACTIONS)
    state, metrics = _update(agent, _first(agent), data, jax.random.key(0))
    assert float(metrics["replay_size"]) == valid.sum()
    assert float(state.reward_rate) == pytest.approx(1.0)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state.params))


def test_observations_are_stored_raw_and_normalised_when_sampled():
    """After a change of the statistics old entries are seen as the new ones are."""
    data = _data(obs=5.0 + _data().obs, next_obs=5.0 + _data().next_obs)
    state, _ = _update(AGENT, _first(), data, jax.random.key(0))
    np.testing.assert_array_equal(state.replay.entries.obs[:32], data.obs.reshape(32, OBS))
    once = update_normalizer(_first().normalizer, data.obs)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), state.normalizer, once)
    seen = []

    class Spy(ActorCritic):
        def loss(self, params, targets, batch, gains, noise):
            jax.debug.callback(lambda obs, action: seen.append((obs, action)), batch.obs, batch.action)
            return super().loss(params, targets, batch, gains, noise)

    agent = SAC(SMALL, OBS, ACTIONS)
    agent.actor_critic = Spy(SMALL, OBS, ACTIONS, ())
    newer, _ = jax.jit(agent.update)(state, _data(3), jax.random.key(1))
    jax.block_until_ready(newer)
    jax.effects_barrier()
    raw = {tuple(np.asarray(a)): np.asarray(o) for a, o in zip(
        newer.replay.entries.action, newer.replay.entries.obs, strict=True)}  # fmt: skip
    assert len(seen) == 2
    for obs, action in seen:
        expected = normalize(newer.normalizer, np.stack([raw[tuple(a)] for a in np.asarray(action)]), 5.0)
        np.testing.assert_allclose(obs, expected, atol=1e-5)


def test_rewards_are_stored_raw_and_centred_when_sampled():
    """Centring takes a constant out of every reward: values learn as if it were not there."""
    agent = SAC(dataclasses.replace(SMALL, center_rewards=True), OBS, ACTIONS)
    data = _data(terminated=np.zeros((8, 4), bool))
    shifted = dataclasses.replace(data, reward=data.reward + np.float32(7.0))
    plain, plain_metrics = _update(agent, _first(agent), data, jax.random.key(0))
    moved, moved_metrics = _update(agent, _first(agent), shifted, jax.random.key(0))
    assert float(moved.reward_rate) == pytest.approx(data.reward.mean() + 7.0, rel=1e-5)
    stored = moved.replay.entries.reward - plain.replay.entries.reward
    np.testing.assert_allclose(stored[:32], 7.0 * plain.replay.entries.horizon[:32], rtol=1e-4)
    for name in ("critic_loss", "q", "td_error"):
        assert float(moved_metrics[name]) == pytest.approx(float(plain_metrics[name]), rel=1e-3)
    _, uncentred = _update(AGENT, _first(), shifted, jax.random.key(0))
    assert float(uncentred["critic_loss"]) > 5 * float(moved_metrics["critic_loss"])


def test_average_reward_is_plain_at_first_and_then_moves():
    state = _first()
    for number, reward in enumerate((1.0, 3.0)):
        data = _data(reward=np.full((8, 4), reward, np.float32))
        state, _ = _update(AGENT, state, data, jax.random.key(number))
    assert float(state.reward_rate) == pytest.approx(2.0)
    state = state.replace(updates=jnp.asarray(10_000))
    state, _ = _update(AGENT, state, _data(reward=np.full((8, 4), 12.0, np.float32)), jax.random.key(2))
    assert float(state.reward_rate) == pytest.approx(2.0 + SMALL.reward_rate_step * 10.0)


def test_targets_follow_the_critics_slowly():
    agent = SAC(dataclasses.replace(SMALL, samples_per_step=0.5), OBS, ACTIONS)  # one gradient step
    first = _first(agent)
    state, _ = _update(agent, first, _data(), jax.random.key(0))
    expected = jax.tree.map(
        lambda old, new: (1 - SMALL.tau) * old + SMALL.tau * new, first.targets, state.params["critics"]
    )
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-7), state.targets, expected)


def test_deterministic_actions_are_those_of_the_averaged_policy():
    data, first = _data(), _first(AGENT)
    after, _ = _update(AGENT, first, data, jax.random.key(0))
    decay = SMALL.average_decay
    expected = jax.tree.map(
        lambda old, new: decay * old + (1 - decay) * new, first.params["policy"], after.params["policy"]
    )
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-8), after.average, expected)
    moved = after.replace(average=jax.tree.map(lambda x: x + 1.0, after.average))
    obs = data.obs[0]
    explored, same = (_act(AGENT, state, obs, jax.random.key(0)) for state in (after, moved))
    np.testing.assert_array_equal(same, explored)  # exploration does not see the average
    steady, other = (np.asarray(_steady(AGENT, state, obs)) for state in (after, moved))
    assert np.abs(steady - other).max() > 0.05


@pytest.mark.parametrize(
    ("updates", "rate"),
    # 0.001 for 20 of the 100 unrolls, then to a hundredth of it: 0.001 * 0.01^(1/2) halfway, at 60
    [(0, 1e-3), (20, 1e-3), (60, 1e-4), (100, 1e-5), (130, 1e-5)],
)
def test_the_learning_rate_settles_towards_the_end_of_a_run(updates, rate):
    settings = dataclasses.replace(SMALL, settle_from=0.2, settled_rate=0.01, samples_per_step=0.5)
    agent = SAC(settings, OBS, ACTIONS, num_updates=100)
    state = _first(agent).replace(updates=jnp.asarray(updates - 1))
    after, metrics = _update(agent, state, _data(), jax.random.key(0))
    assert float(metrics["learning_rate"]) == pytest.approx(rate, rel=1e-5)
    # Adam's first step is as long as the rate wherever there is a gradient.
    steps = jax.tree.map(lambda new, old: jnp.max(jnp.abs(new - old)), after.params, state.params)
    assert max(map(float, jax.tree.leaves(steps))) == pytest.approx(rate, rel=0.02)
    endless = SAC(settings, OBS, ACTIONS)
    assert float(endless.learning_rate(jnp.asarray(updates))) == pytest.approx(1e-3)


def test_what_was_sampled_gets_the_priority_of_its_error():
    agent = SAC(dataclasses.replace(SMALL, samples_per_step=0.5), OBS, ACTIONS)
    state, _ = _update(agent, _first(agent), _data(), jax.random.key(0))
    masses = np.asarray(state.replay.masses)[:32]
    assert 8 <= np.sum(masses != 1.0) <= 16  # of 16 draws; the others keep that of new entries
    uniform = SAC(dataclasses.replace(SMALL, prioritized=False), OBS, ACTIONS)
    state, metrics = _update(uniform, _first(uniform), _data(), jax.random.key(0))
    assert np.all(state.replay.masses[:32] == 1.0)
    assert np.isfinite(metrics["critic_loss"])


def test_importance_exponent_rises_to_one_over_a_run():
    config = dataclasses.replace(SMALL, importance_exponent=0.4)
    agent = SAC(config, OBS, ACTIONS, num_updates=100)
    exponents = [float(agent.importance_exponent(jnp.asarray(updates))) for updates in (0, 50, 100, 999)]
    assert exponents == pytest.approx([0.4, 0.7, 1.0, 1.0])
    assert float(SAC(config, OBS, ACTIONS).importance_exponent(jnp.asarray(999))) == pytest.approx(0.4)


def test_an_update_weighs_by_the_exponent_of_its_time():
    agent = SAC(dataclasses.replace(SMALL, settled_rate=1.0), OBS, ACTIONS, num_updates=10)
    params = []
    for updates in (0, 9, 99):  # of nothing else that matters here they are the time
        state = dataclasses.replace(_first(), updates=jnp.asarray(updates, jnp.int32))
        params.append(ravel_pytree(_update(agent, state, _data(), jax.random.key(0))[0].params)[0])
    early, last, later = map(np.asarray, params)
    assert np.max(np.abs(early - last)) > 1e-5
    np.testing.assert_array_equal(last, later)


def test_layer_norm_makes_hidden_layers_blind_to_the_scale_of_their_inputs():
    x = np.random.default_rng(0).normal(size=(5, OBS)).astype(np.float32)
    for layer_norm in (False, True):
        network = MLP((16,), 1, last_gain=1.0, layer_norm=layer_norm)
        params = network.init(jax.random.key(0), x)
        same = np.allclose(network.apply(params, x), network.apply(params, 100.0 * x), atol=1e-3)
        assert same == layer_norm


@pytest.mark.parametrize(
    ("changes", "devices", "named"),
    [
        ({"capacity": 31}, 1, "capacity"),
        ({"learning_starts": 0}, 1, "learning_starts"),
        ({"learning_starts": 129}, 1, "learning_starts"),
        ({"minibatch_size": 15}, 2, "minibatch_size"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes, devices, named):
    with pytest.raises(UserError, match=named):
        SAC(dataclasses.replace(SMALL, **changes), OBS, ACTIONS, num_devices=devices)


def test_devices_have_replays_of_their_own_and_learn_the_same():
    agent = SAC(SMALL, OBS, ACTIONS, num_devices=2)
    mesh = Mesh(np.array(jax.devices()[:2]), (WORLDS,))
    specs = agent.placement(SPLIT, COPIED)

    def local(state: SACState, data: Transition):
        data = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), data)
        state, metrics = agent.update(state, data, jax.random.key(0), WORLDS)
        return state, metrics, jax.tree.map(lambda x: x[None], state.params)

    step = jax.jit(over_worlds(mesh, local, (specs, SPLIT), (specs, COPIED, SPLIT)))
    first = _first(agent)
    data = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), _data())
    state, metrics, params = step(first, data)
    jax.tree.map(lambda x: np.testing.assert_array_equal(x[0], x[1]), params)
    assert np.any(
        params["policy"]["params"]["Dense_0"]["kernel"][0]
        != first.params["policy"]["params"]["Dense_0"]["kernel"]
    )
    np.testing.assert_array_equal(state.replay.size, [16, 16])
    assert float(metrics["replay_size"]) == 32
    halves = np.asarray(state.replay.entries.obs).reshape(2, 64, OBS)[:, :16]
    expected = np.stack([_data().obs[:, :2], _data().obs[:, 2:]]).reshape(2, 16, OBS)
    np.testing.assert_array_equal(halves, expected)


# ---------------------------------------------------------------------- a problem with a known answer

LQR = SACConfig(
    num_envs=64, unroll_length=4, capacity=8192, minibatch_size=256, samples_per_step=4.0,
    learning_starts=512, uniform_start=True, n_step=1, gamma=0.9, tau=0.02, learning_rate=1e-3,
    target_entropy=-1.0, policy_hidden=(32, 32), critic_hidden=(64, 64), activation="tanh",
)  # fmt: skip


@functools.cache
def _program() -> TrainProgram:
    env = Regulator()
    return TrainProgram(env, SAC(LQR, env.obs_dim, env.action_dim), LQR.num_envs, LQR.unroll_length)


def _trained(seed: int, iterations: int) -> TrainState:
    program = _program()
    state = program.start(seed)
    for _ in range(iterations // 50):
        state, _ = program.epoch(state, 50)
    return state


@pytest.mark.slow
def test_sac_solves_a_regulator_beyond_its_time_limit():
    """The cost of living for ever with its policy is within 3 % of the least possible."""
    gamma, one = LQR.gamma, np.eye(1)
    root = np.sqrt(gamma)
    best = scipy.linalg.solve_discrete_are(root * one, root * GAIN * one, one, EFFORT * one).item()
    gain = gamma * GAIN * best / (EFFORT + gamma * GAIN**2 * best)
    assert gain == pytest.approx(10 / 9)
    state = _trained(seed=0, iterations=800).agent
    axis = np.linspace(-0.8, 0.8, 9, dtype=np.float32)
    start = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    x, cost = start, 0.0
    for step in range(100):
        action = np.asarray(_steady(_program().agent, state, x))
        cost += gamma**step * (np.sum(x**2) + EFFORT * np.sum(action**2))
        x = x + GAIN * action
    least = best * np.sum(start**2)
    assert cost < 1.03 * least
    # Were the time limit taken for an end, the gain would be below 0.86.
    slope, *_ = np.linalg.lstsq(start, np.asarray(_steady(_program().agent, state, start)), rcond=None)
    np.testing.assert_allclose(slope, -gain * np.eye(2), atol=0.15 * gain)


def test_an_epoch_s_losses_are_those_of_the_iterations_that_learned():
    """Of four iterations the first two wait: 16 transitions each, and learning starts with 48."""
    env = Regulator()
    config = dataclasses.replace(
        LQR, num_envs=8, unroll_length=2, capacity=128, minibatch_size=16, learning_starts=48
    )
    program = TrainProgram(env, SAC(config, env.obs_dim, env.action_dim), 8, 2)
    iterate, state, rows = jax.jit(program.iterate), program.start(0), []
    for _ in range(4):
        state, row = iterate(state)
        rows.append(row)
    assert [bool(np.isnan(row["critic_loss"])) for row in rows] == [True, True, False, False]
    means = program.epoch(program.start(0), 4)[1].metrics
    for name in ("critic_loss", "entropy", "td_error"):
        assert float(means[name]) == pytest.approx(np.mean([row[name] for row in rows[2:]]), rel=1e-4)
    # What every iteration has is averaged over all.
    assert float(means["replay_size"]) == np.mean([16, 32, 48, 64])
    means = program.epoch(program.start(0), 2)[1].metrics
    assert np.isnan(means["critic_loss"])


def test_training_repeats_itself_for_a_seed():
    first, again, other = (_trained(seed, 50) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, first.agent, again.agent)
    jax.tree.map(np.testing.assert_array_equal, first.env.obs, again.env.obs)
    assert not np.array_equal(first.env.obs, other.env.obs)
    assert int(first.agent.updates) == 50


@pytest.mark.parametrize(
    ("devices", "capacity", "excess", "fits"),
    [
        (1, 50_020, 1_000, 48_039),  # 0.98 of what is left
        (2, 50_020, 1_000, 47_059),  # the excess is that of one device
        (1, 900_000_000, 899_000_000, 980_000),  # far too large: what fits is as large as ever
        (1, 50_020, 60_000, None),  # other parts of the run have no room either
        (1, 50_020, 50_010, None),  # nothing could be learned from what is left
    ],
)
def test_a_replay_too_large_for_memory_is_told_the_size_that_fits(
    devices: int, capacity: int, excess: int, fits: int | None
) -> None:
    """``excess`` is that of the memory, in entries."""
    agent = SAC(dataclasses.replace(SMALL, capacity=capacity), OBS, ACTIONS, num_devices=devices)
    advice = agent.memory_advice(round(excess * agent.resident_bytes() / capacity))
    if fits is None:
        assert advice == "lower --num-envs and --agent.capacity"
    else:
        assert abs(int(advice.split()[-2]) - fits) <= 2
