"""Users' own MJCF: humanoids of other projects, and every mistake that a mapping file can hold."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from synthjax.bodies import Body, make_body
from synthjax.envs.imitation import ImitationEnv
from synthjax.envs.imitation_task import ImitationConfig
from synthjax.errors import UserError
from synthjax.motion.clip import Clip
from synthjax.motion.clip_file import load_clip, save_clip
from synthjax.motion.ground import lowest_points
from synthjax.physics import make_physics

EXAMPLE = Path(__file__).parents[1] / "examples" / "bodies" / "mjx_humanoid.toml"
MJX_HUMANOID = Path(mujoco.__file__).parent / "mjx" / "test_data" / "humanoid" / "humanoid.xml"

# A figure of boxes and spheres that lies along other axes than ours: y up, facing +z, left is +x.
# Its hands and head are no bodies; its arms, which turn about y, hang out to the sides.
FIGURE = """
<mujoco>
  <compiler angle="degree"/>
  <default>
    <geom type="sphere" size=".05" rgba="1 0 0 1" margin=".01"/>
    <motor ctrlrange="-1 1" ctrllimited="true"/>
  </default>
  <worldbody>
    <light pos="0 0 3"/>
    <geom name="ground" type="plane" size="5 5 .1"/>
    <body name="prop" pos="3 0 1"><freejoint/><geom mass="1"/></body>
    <body name="hip" pos="1 2 3">
      {root}
      <geom name="belly" size=".1" mass="10"/>
      <body name="chest" pos="0 .3 0">
        <joint name="waist" axis="1 0 0" range="-40 40" pos="0 -.1 0"/>
        <geom mass="10"/>
        <geom name="skull" pos="0 .3 0" mass="3"/>
        {arms}
      </body>
      {legs}
    </body>
  </worldbody>
  <actuator>
    {motors}
  </actuator>
  <sensor><jointpos joint="waist"/></sensor>
</mujoco>"""
ARM = """
<body name="{s}_arm" pos="{x}.2 .15 0">
  <joint name="{s}_shoulder" axis="0 0 1" range="-90 90"/>
  <geom mass="2"/>
  <body name="{s}_forearm" pos="{x}.25 0 0">
    {elbow}
    <geom mass="1"/>
    <site name="{s}_palm" pos="{x}.2 0 0"/>
  </body>
</body>"""
LEG = """
<body name="{s}_thigh" pos="{x}.1 -.05 0">
  <joint name="{s}_hip_x" axis="1 0 0" range="-90 90"/>
  <joint name="{s}_hip_z" axis="0 0 1" range="-30 30"/>
  <geom type="capsule" fromto="0 0 0 0 -.3 0" mass="5"/>
  <body name="{s}_shin" pos="0 -.4 0">
    <joint name="{s}_knee" axis="1 0 0" range="0 120"/>
    <geom type="capsule" fromto="0 0 0 0 -.3 0" mass="3"/>
    <body name="{s}_foot" pos="0 -.4 0">
      <joint name="{s}_ankle" axis="1 0 0" range="-40 40"/>
      <geom type="box" size=".04 .02 .1" pos="0 -.03 .05" mass="1"/>
    </body>
  </body>
</body>"""
ELBOW = '<joint name="{s}_elbow" axis="0 1 0" range="-120 120"/>'
MOTORS = '<motor joint="waist" gear="80"/><position joint="l_knee" kp="50" forcerange="-33 33"/>'
BONES = {
    "Hips": "hip",
    "UpperChest": "chest",
    "Head": "skull",
    **{
        f"{side}{bone}": f"{side[0].lower()}_{part}"
        for side in ("Left", "Right")
        for bone, part in {
            "UpperArm": "arm", "LowerArm": "forearm", "Hand": "palm",
            "UpperLeg": "thigh", "LowerLeg": "shin", "Foot": "foot",
        }.items()
    },
}  # fmt: skip


def figure(root: str = "<freejoint/>", elbow: str = ELBOW, motors: str = MOTORS) -> str:
    sides = {"l": "", "r": "-"}
    return FIGURE.format(
        root=root,
        motors=motors,
        arms="".join(ARM.format(s=s, x=x, elbow=elbow.format(s=s)) for s, x in sides.items()),
        legs="".join(LEG.format(s=s, x=x) for s, x in sides.items()),
    )


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a mapping (text around its bones) and its MJCF; returns the mapping's path."""

    def to_files(
        top: str = 'mjcf = "figure.xml"', end: str = "", bones: dict[str, str] = BONES, xml: str | None = None
    ) -> Path:
        (tmp_path / "figure.xml").write_text(figure() if xml is None else xml)
        lines = [top, "[bones]", *(f'{bone} = "{part}"' for bone, part in bones.items()), end]
        file = tmp_path / "figure.toml"
        file.write_text("\n".join(lines))
        return file

    return to_files


def load(file: Path, actuation: str = "pd", drive: str = "servo") -> Body:
    return make_body(str(file), actuation, drive)


@pytest.fixture(scope="module")
def humanoid() -> Body:
    return load(EXAMPLE)


def at(body: Body, qpos: np.ndarray) -> mujoco.MjData:
    data = mujoco.MjData(body.model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(body.model, data)
    return data


# ---------------------------------------------------------------- a humanoid of another project


def test_mjx_humanoid_moves_as_its_own_mjcf_does(humanoid: Body) -> None:
    """Joint angles keep their meaning: geoms are where the original has them, at random poses."""
    source = mujoco.MjModel.from_xml_path(str(MJX_HUMANOID))
    rng = np.random.default_rng(0)
    for _ in range(5):
        data = mujoco.MjData(source)
        data.qpos[7:] = rng.uniform(source.jnt_range[1:, 0], source.jnt_range[1:, 1])
        data.qpos[:7] = (0.3, -0.2, 1.0, *rng.normal(size=4))
        mujoco.mj_normalizeQuat(source, data.qpos)
        mujoco.mj_kinematics(source, data)
        ours = at(humanoid, data.qpos)
        for body in ("head", "hand_left", "foot_right", "shin_left", "pelvis"):
            expected = data.geom_xpos[source.body(body).geomadr[0]]
            found = ours.geom_xpos[humanoid.model.body(body).geomadr[0]]
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_mjx_humanoid_keeps_mass_and_joints(humanoid: Body) -> None:
    source = mujoco.MjModel.from_xml_path(str(MJX_HUMANOID))
    np.testing.assert_allclose(humanoid.model.body_mass[1:], source.body_mass[1:], rtol=1e-6)
    assert humanoid.joints == tuple(source.joint(j).name for j in range(1, source.njnt))
    driven = [humanoid.model.joint(int(j)).name for j in humanoid.model.actuator_trnid[:, 0]]
    assert driven == list(humanoid.joints)
    np.testing.assert_allclose(humanoid.model.jnt_range, source.jnt_range)


def test_mjx_humanoid_stands_on_its_feet(humanoid: Body) -> None:
    low = lowest_points(humanoid, humanoid.standing_qpos[None])[0]
    assert low.min() == pytest.approx(0.0, abs=1e-6)
    assert humanoid.body_names[int(np.argmin(low))].startswith("foot")


def test_mjx_humanoid_gets_what_the_rest_of_the_project_needs(humanoid: Body) -> None:
    assert humanoid.name == "mjx_humanoid"
    assert humanoid.chains["left_leg"] == (
        "hip_x_left", "hip_z_left", "hip_y_left", "knee_left", "ankle_y_left", "ankle_x_left",
    )  # fmt: skip
    assert set(humanoid.groups) == {"trunk", "legs", "arms"}
    assert humanoid.key_bodies == ("head", "hand_left", "hand_right", "foot_left", "foot_right")
    assert humanoid.feet == ("foot_left", "foot_right")
    assert {"torso", "pelvis", "waist_lower", "head", "thigh_left"} <= set(humanoid.fall_bodies)
    assert not {"shin_left", "foot_left", "hand_left"} & set(humanoid.fall_bodies)
    assert humanoid.main_joints == humanoid.joints  # 21 wide hinges, the waist's among them
    model = humanoid.model
    assert model.nsensor == model.ngeom - 1  # its MJCF lets only the feet collide; here every geom does
    assert model.npair > model.nsensor


def test_mjx_humanoid_takes_a_walk_that_was_made_for_another(humanoid: Body, tmp_path: Path) -> None:
    clip = walk_on(humanoid)
    assert clip.loop
    assert 0.8 < clip.loop_offset[0] < 1.5  # m in 1.3 s
    heights = lowest_points(humanoid, clip.qpos).min(axis=-1)
    assert heights.min() > -0.02
    assert heights.max() < 0.02
    limits = humanoid.model.jnt_range[1:]
    assert np.all(clip.qpos[:, 7:] >= limits[:, 0] - 1e-3)
    assert np.all(clip.qpos[:, 7:] <= limits[:, 1] + 1e-3)
    knees = [clip.qpos[:, humanoid.model.joint(f"knee_{side}").qposadr[0]] for side in ("left", "right")]
    assert all(np.ptp(knee) > 0.5 for knee in knees)  # it walks on both legs

    save_clip(clip, tmp_path / "walk.npz")
    with pytest.raises(UserError, match="only the body has"):
        load_clip(tmp_path / "walk.npz", make_body("synth"))
    env = ImitationEnv(
        humanoid, make_physics("native", humanoid, 1 / 120, 6), [load_clip(tmp_path / "walk.npz", humanoid)],
        ImitationConfig(starts_per_bin=2),
    )  # fmt: skip
    ctx = env.init_context()
    state = jax.vmap(env.reset, in_axes=(None, 0))(ctx, jax.random.split(jax.random.key(0), 4))
    step = jax.jit(jax.vmap(env.step, in_axes=(None, 0, 0)))
    for _ in range(2):
        state = step(ctx, state, jnp.zeros((4, env.action_dim)))
    assert np.isfinite(state.obs).all()
    assert not state.terminated.any()  # it holds the reference for two steps by itself
    assert np.all(state.metrics["body_error_mm"] < 100.0)


def walk_on(body: Body) -> Clip:
    pytest.importorskip("mink", reason="retargeting needs synthjax[motion]")
    if importlib.util.find_spec("pybullet_data") is None:
        pytest.skip("the walk comes from pybullet, synthjax[motion]")
    import pybullet_data

    from synthjax.motion.deepmimic import read_deepmimic
    from synthjax.motion.retarget import retarget

    file = Path(pybullet_data.getDataPath()) / "data" / "motions" / "humanoid3d_walk.txt"
    return retarget(read_deepmimic(file, name="walk", source="pybullet", licence="none"), body, fps=20.0)


# ---------------------------------------------------------------- conventions of other MJCFs


def test_a_figure_along_other_axes_is_turned_to_stand_and_face_x(write: Write) -> None:
    body = load(write())
    data = at(body, body.standing_qpos)
    place = {bone: data.body(name).xpos for bone, name in body.bones.items()}
    np.testing.assert_allclose(place["Hips"][:2], 0.0, atol=1e-12)
    assert place["Head"][2] > place["Hips"][2] > place["LeftFoot"][2]
    assert place["LeftUpperLeg"][1] > 0.0 > place["RightUpperLeg"][1]
    toes = data.geom_xpos[body.model.body("l_foot").geomadr[0]]
    assert toes[0] == pytest.approx(place["LeftFoot"][0] + 0.05)  # the soles point ahead
    np.testing.assert_allclose(data.xquat[1:], np.tile([1.0, 0, 0, 0], (body.model.nbody - 1, 1)), atol=1e-9)
    assert lowest_points(body, body.standing_qpos[None]).min() == pytest.approx(0.0, abs=1e-6)


def test_a_frame_sits_at_its_joint(write: Write) -> None:
    body = load(write())
    data = at(body, body.standing_qpos)
    chest, hips = (data.body(name).xpos for name in ("chest", "hip"))
    np.testing.assert_allclose(chest - hips, (0.0, 0.0, 0.2), atol=1e-9)  # the waist turns 0.1 m lower
    np.testing.assert_allclose(data.geom("chest_0").xpos - chest, (0.0, 0.0, 0.1), atol=1e-9)


def test_bones_may_be_sites_and_geoms(write: Write) -> None:
    body = load(write())
    data = at(body, body.standing_qpos)
    assert body.bones["Head"] == "Head"
    np.testing.assert_allclose(data.body("Head").xpos - data.body("chest").xpos, (0, 0, 0.4), atol=1e-9)
    np.testing.assert_allclose(
        data.body("LeftHand").xpos - data.body("l_forearm").xpos, (0.0, 0.2, 0.0), atol=1e-9
    )
    assert body.key_bodies == ("Head", "LeftHand", "RightHand", "l_foot", "r_foot")
    assert body.model.body_mass.sum() == pytest.approx(23.0 + 2 * (2.0 + 1.0) + 2 * (5.0 + 3.0 + 1.0))


def test_floor_props_and_defaults_of_the_mjcf_stay_behind(write: Write) -> None:
    model = load(write()).model
    assert model.nlight == 0
    assert "prop" not in [model.body(i).name for i in range(model.nbody)]
    assert model.nsensor == model.ngeom - 1  # contact sensors only
    assert not model.geom_margin.any()
    assert not model.actuator_ctrllimited.any()


def test_gains_come_from_mapping_then_mjcf_then_the_synth(write: Write) -> None:
    body = load(write(end="[kp]\nwaist = 77\nl_thigh = 55\nl_hip_z = 44\n[force]\nr_knee = 11"))
    model = body.model

    def servo(joint: str) -> tuple[float, float]:
        return float(model.actuator(joint).gainprm[0]), float(model.actuator(joint).forcerange[1])

    scale = model.body_mass.sum() * body.standing_qpos[2] / (55.0 * 0.95)  # weight times leg length
    assert servo("waist") == (77.0, 6 * 80.0)  # six times the motor of the MJCF
    assert servo("l_hip_x")[0] == 55.0
    assert servo("l_hip_z")[0] == 44.0
    assert servo("l_knee")[1] == 33.0  # its forcerange is a hard limit
    assert servo("r_knee")[1] == 11.0
    assert servo("r_hip_x") == pytest.approx((300.0 * scale, 6 * 120.0 * scale))
    assert servo("r_ankle") == pytest.approx((200.0 * scale, 6 * 20.0 * scale))


def test_torque_presets_use_the_motors_of_the_mjcf(write: Write) -> None:
    file = write()
    for actuation, most in (("torque", 1.0), ("strong", 2.0)):
        body = load(file, actuation, "direct")
        motor = body.model.actuator("waist")
        assert motor.gear[0] == 80.0
        np.testing.assert_array_equal(motor.ctrlrange, (-most, most))
        np.testing.assert_array_equal(body.action_scale, np.full(body.model.nu, most))
        servo = load(file, actuation).model.actuator
        np.testing.assert_array_equal(servo("waist").forcerange, (-80.0 * most, 80.0 * most))
        assert servo("l_knee").forcerange[1] == 33.0  # its forcerange again


def test_gains_that_the_mapping_states_stay_where_motors_are_weak(write: Write) -> None:
    file = write(end="[kp]\nwaist = 1000.0")
    for actuation in ("pd", "torque"):
        body = load(file, actuation)
        assert body.model.actuator("waist").gainprm[0] == 1000.0
        np.testing.assert_array_equal(body.softened[body.joints.index("waist")], 1.0)
        assert body.servo_lag[body.joints.index("waist")] == pytest.approx(0.1)
    typical = load(file).model.actuator("l_knee").gainprm[0]
    assert typical <= 33.0 / 0.1
    body = load(write(xml=figure().replace("33", "3")), "torque")
    assert body.model.actuator("l_knee").gainprm[0] <= 3.0 / 0.1 + 1e-9
    assert body.softened[body.joints.index("l_knee"), 0] > 1.0


def test_a_hinge_without_limits_may_turn_once(write: Write) -> None:
    body = load(write(xml=figure(elbow='<joint name="{s}_elbow" axis="0 1 0"/>')))
    np.testing.assert_allclose(body.model.joint("l_elbow").range, (-np.pi, np.pi))


def test_lists_of_the_mapping_replace_the_derived_ones(write: Write) -> None:
    top = (
        'mjcf = "figure.xml"\nkey_bodies = ["chest"]\nfeet = ["l_foot"]\nfall_bodies = ["hip", "chest"]\n'
        'self_collisions = [["l_foot", "r_foot"]]'
    )
    joints = [j for j in load(write()).joints if j != "waist"]
    body = load(write(top=top, end=f'[chains]\nmiddle = ["waist"]\nlimbs = {joints}'))
    assert body.key_bodies == ("chest",)
    assert body.feet == ("l_foot",)
    assert body.fall_bodies == ("hip", "chest")
    assert body.chains == {"middle": ("waist",), "limbs": tuple(joints)}
    assert body.model.npair == body.model.nsensor + 1


def test_thighs_are_kept_apart_by_default(write: Write) -> None:
    model = load(write()).model
    pairs = [
        (model.geom(a).name, model.geom(b).name)
        for a, b in zip(model.pair_geom1, model.pair_geom2, strict=True)
    ]
    assert ("l_thigh_0", "r_thigh_0") in pairs
    assert load(write(top='mjcf = "figure.xml"\nself_collisions = []')).model.npair == model.nsensor


def test_meshes_are_carried_inside_the_xml(write: Write, tmp_path: Path) -> None:
    cube = [(x, y, z) for x in (0.0, 0.1) for y in (0.0, 0.1) for z in (0.0, 0.3)]
    (tmp_path / "cube.obj").write_text("\n".join(f"v {x} {y} {z}" for x, y, z in cube))
    xml = figure().replace("<worldbody>", '<asset><mesh name="cube" file="cube.obj"/></asset><worldbody>')
    xml = xml.replace('<geom name="belly" size=".1" mass="10"/>', '<geom type="mesh" mesh="cube" mass="10"/>')
    body = load(write(xml=xml))
    alone = mujoco.MjModel.from_xml_string(body.xml)
    data = mujoco.MjData(alone)
    mujoco.mj_kinematics(alone, data)
    mesh = alone.mesh_vert @ data.geom("hip_0").xmat.reshape(3, 3).T + data.geom("hip_0").xpos
    np.testing.assert_allclose(np.ptp(mesh, axis=0), (0.3, 0.1, 0.1), atol=1e-5)  # x y z was left, up, ahead
    np.testing.assert_allclose(mesh.min(axis=0) - data.body("hip").xpos, 0.0, atol=1e-5)


# ---------------------------------------------------------------- mistakes


def test_mistakes_in_the_mapping_are_one_sentence(write: Write, tmp_path: Path) -> None:
    top = 'mjcf = "figure.xml"'
    no_head = {bone: part for bone, part in BONES.items() if bone != "Head"}
    cases = {
        "no mapping file": lambda: tmp_path / "none.toml",
        "is not a TOML file": lambda: write(top="mjcf = figure"),
        "'mjfc' in|'mjfc': did you mean mjcf": lambda: write(top='mjfc = "figure.xml"'),
        "does not name its MJCF": lambda: write(top=""),
        "There is no MJCF": lambda: write(top='mjcf = "other.xml"'),
        "install that with pip": lambda: write(top=f'mjcf_package = "no_such.package"\n{top}'),
        "does not map Head": lambda: write(bones=no_head),
        "Unknown bone in .*'LeftToe': did you mean LeftToes": lambda: write(
            bones={**BONES, "LeftToe": "l_foot"}
        ),
        "for bone Hips 'hipp': did you mean hip": lambda: write(bones={**BONES, "Hips": "hipp"}),
        "not on the figure of Hips": lambda: write(bones={**BONES, "Head": "prop"}),
        "'kp' in .* must hold numbers above zero": lambda: write(end="[kp]\nwaist = 0"),
        r"under \[kp\] in .*'waits': did you mean waist": lambda: write(end="[kp]\nwaits = 5"),
        "'feet' in .* must hold a list of names": lambda: write(top=f'{top}\nfeet = "l_foot"'),
        "pairs of names": lambda: write(top=f'{top}\nself_collisions = ["l_foot"]'),
        "under 'feet' in .*'l_fot': did you mean l_foot": lambda: write(top=f'{top}\nfeet = ["l_fot"]'),
        "list every joint once": lambda: write(end='[chains]\nall = ["waist"]'),
        "joint under .chains.*'waits'": lambda: write(end='[chains]\nall = ["waits"]'),
    }
    for message, file in cases.items():
        with pytest.raises(UserError, match=message):
            load(file())


@pytest.mark.parametrize(
    ("message", "xml"),
    [
        ("no free joint on 'hip'", figure(root="")),
        ("is a ball joint", figure(elbow='<joint name="{s}_elbow" type="ball"/>')),
        ("is a slide joint", figure(elbow='<joint name="{s}_elbow" type="slide"/>')),
        ("MuJoCo cannot load", "<mujoco><worldbody></mujoco>"),
        (
            "equality constraints",
            figure().replace("<actuator>", '<equality><joint joint1="waist"/></equality><actuator>'),
        ),
        ("must stand in its rest pose", figure().replace('pos="1 2 3"', 'euler="0 0 45"')),
    ],
)
def test_mistakes_in_the_mjcf_are_one_sentence(write: Write, message: str, xml: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        load(write(xml=xml))
    assert "\n" not in str(error.value)


def test_unknown_actuation_names_the_near_one() -> None:
    with pytest.raises(UserError, match="did you mean strong"):
        load(EXAMPLE, "strnog")
