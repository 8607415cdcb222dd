"""The exported gradient step is that of the training, for every agent and actor, on flat vectors."""

from __future__ import annotations

import dataclasses
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from deploy_models import ACTIONS, COMBINATIONS, OBS, SCALE, agent_of, randomised, state_of

from synthjax.agents.ppo import PPO, PPOConfig, losses
from synthjax.deploy import gates
from synthjax.deploy.convert import convert, lower
from synthjax.deploy.finetune import MINIBATCH, FineTuning, fine_tuning
from synthjax.deploy.model import Model
from synthjax.deploy.model_checks import ALLOWED_IN_TRAINING, check_model
from synthjax.deploy.policy import policy_function
from synthjax.deploy.rollouts import Rollouts
from synthjax.errors import UserError
from synthjax.types import Transition


def scaled(action: jax.Array) -> jax.Array:
    return SCALE * action


def tuning_of(agent: Any, state: Any) -> FineTuning:
    steering = types.SimpleNamespace(offset=scaled)
    run: Any = types.SimpleNamespace(agent=agent, env=types.SimpleNamespace(steering=steering))
    return fine_tuning(run, state)


def fresh(agent: Any) -> Any:
    """Random networks, of which the averaged policy is the one that explores, and no moments yet."""
    state, rng = state_of(agent), np.random.default_rng(2)
    params = randomised(state.params, rng)
    state = state.replace(params=params, average=params["policy"])
    if isinstance(agent, PPO):
        return state.replace(learning_rate=jnp.asarray(agent.config.learning_rate))
    return state.replace(targets=randomised(state.targets, rng))


def models_of(tuning: FineTuning) -> tuple[Model, Model]:
    vectors = {name: vector.shape for name, vector in tuning.start.items()}
    programs = {
        "infer": lower(tuning.infer, {"params": vectors["params"], "observation": (1, OBS)}),
        "train_step": lower(tuning.step, {**vectors, **tuning.minibatch}),
    }
    content = convert(programs)
    check_model("finetune.tflite", content, "infer", "train_step", allowed=ALLOWED_IN_TRAINING)
    return Model("f", content, "train_step"), Model("f", content, "infer")


def rollouts_of(agent: Any, state: Any) -> tuple[Rollouts, dict[str, np.ndarray]]:
    """Random observations with the policy's own actions."""
    obs = np.random.default_rng(1).normal(0.0, 2.0, (60, 5, OBS)).astype(np.float32)
    expected = jax.device_get(jax.jit(policy_function(agent, state, scaled))({"observation": obs}))
    rest = np.zeros((60, 5))
    rollouts = Rollouts(
        inputs={}, start=np.zeros((5, 1)), heading_length=rest + 1.0, observation=obs,
        action=expected["action"], control=expected["offset"], reward=rest, ended=rest > 0,
        terminated=rest > 0, sensors={}, memory=np.zeros((5, 0)),
    )  # fmt: skip
    return rollouts, expected


@pytest.mark.parametrize(("algorithm", "actor"), COMBINATIONS)
def test_ten_steps_are_those_of_jax(algorithm: str, actor: str) -> None:
    agent = agent_of(algorithm, actor)
    state = fresh(agent)
    tuning, (rollouts, expected) = tuning_of(agent, state), rollouts_of(agent, state)
    step, infer = models_of(tuning)
    errors = gates.train_gate(step, infer, tuning, expected, rollouts)["train step"]
    assert errors.keys() == tuning.start.keys()
    assert max(errors.values()) < 0.01


def test_another_step_or_policy_stops_the_export() -> None:
    agent = agent_of("ppo", "plain")
    state = fresh(agent)
    tuning, (rollouts, expected) = tuning_of(agent, state), rollouts_of(agent, state)
    step, infer = models_of(tuning)
    other = dataclasses.replace(tuning, step=lambda given: _shifted(tuning.step(given)))
    with pytest.raises(
        UserError, match="gate 'train step' and wrote nothing: the way of 'params' in 10 steps"
    ):
        gates.train_gate(step, infer, other, expected, rollouts)
    with pytest.raises(UserError, match="gate 'train step' and wrote nothing: 'mean' before it"):
        gates.train_gate(step, infer, tuning, expected | {"mean": expected["mean"] + 1e-3}, rollouts)


def _shifted(outputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return outputs | {"params_next": outputs["params_next"] + 1e-4}


def test_a_step_on_what_a_host_computes_is_an_update_of_ppo() -> None:
    """One minibatch and one epoch: the policy that has acted learns the same in training and as exported."""
    config = PPOConfig(
        hidden=(16, 8), num_envs=MINIBATCH // 4, unroll_length=4, num_minibatches=1, num_epochs=1
    )
    agent, rng = PPO(config, OBS, ACTIONS), np.random.default_rng(0)
    state = fresh(agent)
    shape = (4, MINIBATCH // 4)

    def numbers(*last: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=(*shape, *last)), jnp.float32)

    obs = numbers(OBS)
    action, extras = jax.jit(agent.act)(state, obs, jax.random.key(1))
    done = jnp.asarray(rng.random(shape) < 0.1)
    data = Transition(
        obs=obs, action=action, reward=numbers(), next_obs=numbers(OBS), terminated=done,
        truncated=jnp.zeros(shape, bool), valid=jnp.ones(shape, bool), extras=extras,
    )  # fmt: skip
    updated, _ = jax.jit(agent.update)(state, data, jax.random.key(2))

    # What a host has: infer's outputs, and its own advantages.
    @jax.jit
    def on_the_host() -> dict[str, jax.Array]:
        advantages, targets = losses.generalized_advantage(
            config.reward_scale * data.reward, agent.values(state, obs), agent.values(state, data.next_obs),
            data.terminated, data.truncated, data.valid, config.gamma, config.gae_lambda,
        )  # fmt: skip
        mean, _ = agent.distribution(state, obs)
        scaled = losses.normalize_advantages(advantages, jnp.ones(shape), config.advantage_clip)
        return {
            "observation": obs, "action": action, "mean": mean, "advantage": scaled, "target": targets,
        }  # fmt: skip

    tuning = tuning_of(agent, state)
    flat = {name: np.reshape(x, tuning.minibatch[name]) for name, x in on_the_host().items()}
    new = jax.jit(tuning.step)({**tuning.start, **flat})
    policy = {"policy": updated.params["policy"], "value": updated.params["value"]}
    expected = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(policy)])
    assert np.abs(expected - tuning.start["params"]).max() > 1e-4
    np.testing.assert_allclose(new["params_next"], expected, atol=1e-6)


@pytest.mark.parametrize(("algorithm", "actor"), COMBINATIONS)
def test_a_host_knows_where_the_policy_lies(algorithm: str, actor: str) -> None:
    agent = agent_of(algorithm, actor)
    state = fresh(agent)
    tuning = tuning_of(agent, state)
    policy = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.average)])
    assert tuning.policy["size"] == policy.size
    np.testing.assert_array_equal(tuning.start["params"][tuning.policy["start"] :][: policy.size], policy)


def test_a_host_knows_what_critics_take_from_the_rewards() -> None:
    agent = agent_of("sac", "plain")
    state = fresh(agent).replace(reward_rate=jnp.asarray(0.75))
    assert tuning_of(agent, state).settings == {"gamma": 0.97, "n_step": 3, "reward_rate": 0.0}
    agent.config = dataclasses.replace(agent.config, center_rewards=True)
    assert tuning_of(agent, state).settings["reward_rate"] == 0.75


def test_vectors_lie_one_after_another() -> None:
    agent = agent_of("sac", "plain")
    tuning = tuning_of(agent, fresh(agent))
    content, rows = tuning.packed()
    whole = np.frombuffer(content, "<f4")
    assert [row["name"] for row in rows] == ["params", "targets", "opt"]
    for row in rows:
        np.testing.assert_array_equal(whole[row["start"] :][: row["size"]], tuning.start[row["name"]])
    assert rows[-1]["start"] + rows[-1]["size"] == whole.size
