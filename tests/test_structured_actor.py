"""The structured actor: every head drives its own chain's joints, whatever order a body has them in."""

from __future__ import annotations

import dataclasses
import functools
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from regulator import LQR, Regulator
from test_resume import tiny_config
from test_user_body import BONES, EXAMPLE, figure

from synthjax.agents.networks import MLP, NetworkConfig, StructuredActor, make_actor
from synthjax.agents.normalizer import init_normalizer
from synthjax.agents.ppo import PPO, PPOConfig
from synthjax.agents.sac import SAC, SACConfig
from synthjax.bodies import Body, make_body
from synthjax.errors import UserError
from synthjax.training.build import build
from synthjax.training.checkpoint import CheckpointManager
from synthjax.training.program import TrainProgram

OBS = 7
SHUFFLED = ((4, 1), (0, 3), (2,))
CONFIGS = {
    "ppo": PPOConfig(actor="structured", hidden=(16, 8), chain_hidden=(5,)),
    "sac": SACConfig(
        actor="structured", policy_hidden=(16, 8), chain_hidden=(5,), critic_hidden=(8,), capacity=2048,
        learning_starts=64,
    ),
}  # fmt: skip
AGENTS: dict[str, Any] = {"ppo": PPO, "sac": SAC}


def agent_of(algorithm: str, body: Body) -> Any:
    return AGENTS[algorithm](CONFIGS[algorithm], OBS, body.model.nu, chains=body.chain_actuators)


def randomised(tree: Any, seed: int = 1) -> Any:
    """Parameters of these shapes, none of them zero or small."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(0.0, 0.3, x.shape), x.dtype), tree)


def by_hand(params: Any, x: np.ndarray) -> list[np.ndarray]:
    """The heads' outputs one by one, in NumPy."""

    def dense(layer: Any, x: np.ndarray) -> np.ndarray:
        return x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)

    layers = params["params"]
    trunk = np.maximum(dense(layers["Dense_1"], np.maximum(dense(layers["Dense_0"], x), 0.0)), 0.0)
    heads = [layers[f"MLP_{i}"] for i in range(len(layers) - 2)]
    return [dense(head["Dense_1"], np.maximum(dense(head["Dense_0"], trunk), 0.0)) for head in heads]


# ---------------------------------------------------------------------- the network


@pytest.mark.parametrize("per_action", [1, 2])
def test_outputs_of_the_heads_stand_at_their_actions(per_action: int) -> None:
    network = StructuredActor((16, 8), (5,), SHUFFLED, per_action, last_gain=0.01)
    x = np.random.default_rng(0).normal(size=(4, 3, OBS)).astype(np.float32)
    params = randomised(jax.eval_shape(network.init, jax.random.key(0), x))
    expected = np.zeros((4, 3, per_action * 5))
    for chain, head in zip(SHUFFLED, by_hand(params, x), strict=True):
        for number in range(per_action):
            for place, action in enumerate(chain):
                expected[..., 5 * number + action] = head[..., len(chain) * number + place]
    np.testing.assert_allclose(network.apply(params, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("per_action", [1, 2])
def test_a_head_reaches_its_own_chain_only_and_the_trunk_all(per_action: int) -> None:
    network = StructuredActor((16, 8), (5,), SHUFFLED, per_action, last_gain=0.01)
    x = np.random.default_rng(0).normal(size=OBS).astype(np.float32)
    params = randomised(jax.eval_shape(network.init, jax.random.key(0), x))
    slopes = jax.jacrev(network.apply)(params, x)["params"]

    def reached(part: Any) -> set[int]:
        """Actions whose outputs depend on any parameter of this part."""
        outputs = [
            np.any(leaf.reshape(per_action, 5, -1), axis=-1).all(axis=0) for leaf in jax.tree.leaves(part)
        ]
        return set(np.flatnonzero(np.any(outputs, axis=0)).tolist())

    for number, chain in enumerate(SHUFFLED):
        assert reached(slopes[f"MLP_{number}"]) == set(chain)
    assert reached(slopes["Dense_0"]) == reached(slopes["Dense_1"]) == {0, 1, 2, 3, 4}


def test_first_outputs_are_small() -> None:
    network = make_actor(NetworkConfig(actor="structured"), (32, 16), 5, 2, SHUFFLED)
    x = np.random.default_rng(0).normal(size=(100, OBS)).astype(np.float32)
    assert np.max(np.abs(network.apply(jax.jit(network.init)(jax.random.key(0), x), x))) < 0.1
    assert network.units == 32 + 16 + 3 * 64


@pytest.mark.parametrize("chains", [(), ((0, 1),), ((0, 1), (1, 2)), ((0, 1, 2, 3),), ((0, 1, 2), ())])
def test_chains_hold_every_action_once(chains: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="each of 3 actions once"):
        make_actor(NetworkConfig(actor="structured"), (8,), 3, 1, chains)
    assert isinstance(make_actor(NetworkConfig(), (8,), 3, 1, chains), MLP)


# ---------------------------------------------------------------------- bodies in another order


@functools.cache
def synth() -> Body:
    return make_body("synth")


def with_shuffled_motors(body: Body) -> Body:
    """The same body with its actuators in another order than its joints."""
    root = ET.fromstring(body.xml)
    motors = root.find("actuator")
    assert motors is not None
    motors[:] = [motors[i] for i in np.random.default_rng(0).permutation(len(motors))]
    xml = ET.tostring(root, encoding="unicode")
    return dataclasses.replace(body, model=mujoco.MjModel.from_xml_string(xml), xml=xml)


def user_body(folder: Path, xml: str, chains: str = "") -> Body:
    folder.mkdir()
    (folder / "figure.xml").write_text(xml)
    bones = "\n".join(f'{bone} = "{part}"' for bone, part in BONES.items())
    (folder / "figure.toml").write_text(f'mjcf = "figure.xml"\n[bones]\n{bones}\n{chains}')
    return make_body(str(folder / "figure.toml"))


def turned_round(xml: str) -> str:
    """The same skeleton with the hinges of each body, and the bodies on it, listed backwards."""
    root = ET.fromstring(xml)
    for body in root.iter("body"):
        body[:] = reversed(list(body))
    return ET.tostring(root, encoding="unicode")


def driven(body: Body) -> list[str]:
    """Names of the joints that the actuators drive, in the order of the actuators."""
    return [body.model.joint(int(joint)).name for joint in body.model.actuator_trnid[:, 0]]


CHAINS = """[chains]
legs = ["r_knee", "l_knee", "l_ankle", "r_ankle", "l_hip_x", "l_hip_z", "r_hip_z", "r_hip_x"]
none = []
above = ["waist", "l_shoulder", "r_elbow", "l_elbow", "r_shoulder"]"""


@pytest.fixture
def pairs(tmp_path: Path) -> dict[str, tuple[Body, Body]]:
    """Each body as it comes, and shuffled."""
    backwards = "[chains]\n" + "\n".join(reversed(CHAINS.splitlines()[1:]))
    return {
        "synth": (synth(), with_shuffled_motors(synth())),
        "figure": (user_body(tmp_path / "a", figure()), user_body(tmp_path / "b", turned_round(figure()))),
        "mapped": (
            user_body(tmp_path / "c", figure(), CHAINS),
            user_body(tmp_path / "d", turned_round(figure()), backwards),
        ),
    }


@pytest.mark.parametrize("name", ["synth", "figure", "mapped"])
def test_chains_find_their_actuators_by_the_names_of_joints(
    pairs: dict[str, tuple[Body, Body]], name: str
) -> None:
    found = []
    for body in pairs[name]:
        assert sorted(a for chain in body.chain_actuators for a in chain) == list(range(body.model.nu))
        found.append([[driven(body)[a] for a in chain] for chain in body.chain_actuators])
    straight, shuffled = pairs[name]
    assert driven(straight) != driven(shuffled)
    assert found[0] == found[1]
    assert straight.chains_hash == shuffled.chains_hash
    expected = {
        "figure": [
            ["l_elbow", "l_shoulder"],
            ["l_ankle", "l_hip_x", "l_hip_z", "l_knee"],
            ["r_elbow", "r_shoulder"],
            ["r_ankle", "r_hip_x", "r_hip_z", "r_knee"],
            ["waist"],
        ],
        "mapped": [
            ["l_elbow", "l_shoulder", "r_elbow", "r_shoulder", "waist"],
            [f"{side}_{part}" for side in "lr" for part in ("ankle", "hip_x", "hip_z", "knee")],
        ],
    }
    if name == "synth":
        assert [chain[0] for chain in found[0]] == [
            "Head_X", "LeftHand_X", "LeftFoot_X", "RightHand_X", "RightFoot_X", "Chest_X",
        ]  # fmt: skip
        assert [len(chain) for chain in found[0]] == [6, 12, 12, 12, 12, 9]
    else:
        assert found[0] == expected[name]


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
@pytest.mark.parametrize("name", ["synth", "figure", "mapped"])
def test_the_same_parameters_move_the_same_joints_of_a_shuffled_body(
    pairs: dict[str, tuple[Body, Body]], name: str, algorithm: str
) -> None:
    obs = np.random.default_rng(2).normal(size=(3, OBS)).astype(np.float32)
    straight, shuffled = pairs[name]
    state = jax.eval_shape(agent_of(algorithm, straight).init, jax.random.key(0), obs)
    policy = randomised(state.params["policy"])
    state = state.replace(average=policy, normalizer=init_normalizer(OBS), gains=jnp.ones(state.gains.shape))
    if algorithm == "ppo":
        state = state.replace(failure_rate=jnp.ones(()))

    def by_joint(body: Body, values: Any) -> dict[str, np.ndarray]:
        return dict(zip(driven(body), np.asarray(values).T, strict=True))

    actions, spreads = [], []
    for body in (straight, shuffled):
        agent = agent_of(algorithm, body)
        action, _ = agent.act(state, obs, jax.random.key(1), deterministic=True)
        actions.append(by_joint(body, action))
        if algorithm == "sac":
            _, log_std = agent.distribution(state, obs)
            spreads.append(by_joint(body, np.exp(log_std)))
    for joint in straight.joints:
        np.testing.assert_allclose(actions[0][joint], actions[1][joint], rtol=1e-5)
        if algorithm == "sac":
            np.testing.assert_allclose(spreads[0][joint], spreads[1][joint], rtol=1e-5)

    # And they are what the heads, worked out one by one, have for the joints of their chain.
    chains = [sorted(joints) for _, joints in sorted(straight.chains.items()) if joints]
    for joints, head in zip(chains, by_hand(policy, obs), strict=True):
        for place, joint in enumerate(joints):
            expected = head[:, place] if algorithm == "ppo" else np.tanh(head[:, place])
            np.testing.assert_allclose(actions[1][joint], expected, rtol=1e-3, atol=1e-4)
            if algorithm == "sac":
                low, high = np.log(CONFIGS["sac"].min_std), np.log(CONFIGS["sac"].max_std)
                share = 1.0 / (1.0 + np.exp(-head[:, len(joints) + place]))
                np.testing.assert_allclose(spreads[1][joint], np.exp(low + (high - low) * share), rtol=1e-3)


def test_every_actuator_of_a_humanoid_of_another_project_has_a_head() -> None:
    body = make_body(str(EXAMPLE))
    heads = {driven(body)[chain[0]]: len(chain) for chain in body.chain_actuators}
    assert heads == {
        "elbow_left": 3, "ankle_x_left": 6, "elbow_right": 3, "ankle_x_right": 6, "abdomen_x": 3,
    }  # fmt: skip


# ---------------------------------------------------------------------- training


def test_ppo_with_heads_learns_each_its_own_action() -> None:
    """The regulator's two actions are independent: u = -10/9 x is best for each (test_ppo)."""
    env = Regulator()
    config = dataclasses.replace(LQR, actor="structured", chain_hidden=(32,))
    agent = PPO(config, env.obs_dim, env.action_dim, chains=((1,), (0,)))
    program = TrainProgram(env, agent, config.num_envs, config.unroll_length)
    state = program.start(0)
    for _ in range(6):
        state, _ = program.epoch(state, 20)
    axis = np.linspace(-0.8, 0.8, 9, dtype=np.float32)
    x = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    action, _ = agent.act(state.agent, x, jax.random.key(0), deterministic=True)
    slope, *_ = np.linalg.lstsq(x, np.asarray(action), rcond=None)
    np.testing.assert_allclose(slope, -10 / 9 * np.eye(2), atol=0.15)


def test_sac_with_heads_learns() -> None:
    env = Regulator()
    config = dataclasses.replace(
        CONFIGS["sac"], num_envs=16, unroll_length=4, minibatch_size=64, samples_per_step=4.0
    )
    agent = SAC(config, env.obs_dim, env.action_dim, chains=((1,), (0,)))
    program = TrainProgram(env, agent, config.num_envs, config.unroll_length)
    first = program.start(0)
    before = jax.tree.map(np.asarray, first.agent.params["policy"])
    state, report = program.epoch(first, 5)
    assert int(state.agent.gradient_steps) == 20
    assert all(np.isfinite(value) for value in report.metrics.values())
    changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, state.agent.params["policy"])
    assert all(jax.tree.leaves(changed))


# ---------------------------------------------------------------------- runs and checkpoints


@functools.cache
def run_with(actor: str) -> Any:
    config = tiny_config()
    return build(dataclasses.replace(config, agent=dataclasses.replace(config.agent, actor=actor)))


@functools.cache
def first_state(actor: str) -> Any:
    run = run_with(actor)
    return jax.jit(run.agent.init)(jax.random.key(0), jnp.zeros((2, run.env.obs_dim)))


@pytest.mark.parametrize(("made", "wanted"), [("plain", "structured"), ("structured", "plain")])
def test_a_checkpoint_of_the_other_actor_is_refused(tmp_path: Path, made: str, wanted: str) -> None:
    runs, states = ([part(actor) for actor in (made, wanted)] for part in (run_with, first_state))
    manager = CheckpointManager(tmp_path)
    manager.save(1, states[0], runs[0].identity)
    manager.restore(1, states[0], runs[0].identity)
    with pytest.raises(UserError, match=rf"actor '{made}.*, this program has '{wanted}") as error:
        manager.restore(1, states[1], runs[1].identity)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="does not fit"):  # whatever it says about itself
        manager.restore(1, states[1])


def test_a_checkpoint_for_other_chains_is_refused() -> None:
    """Heads of the same sizes would be restored without a word and drive other joints."""
    run = run_with("structured")
    chains = dict(run.body.chains)
    chains["left_arm"], chains["left_leg"] = chains["left_leg"], chains["left_arm"]
    other = dataclasses.replace(run, body=dataclasses.replace(run.body, chains=chains))
    assert [len(chain) for chain in other.body.chain_actuators] == [6, 12, 12, 12, 12, 9]
    differing = {name for name, value in run.identity.items() if other.identity[name] != value}
    assert differing == {"actor"}
    plain = run_with("plain")
    assert dataclasses.replace(plain, body=other.body).identity == plain.identity  # it has no heads
