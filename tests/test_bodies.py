"""The Synth: its table as MuJoCo compiles it, against values worked out by hand."""

from __future__ import annotations

import collections
import functools

import mujoco
import numpy as np
import pytest

from synthjax.bodies import Body, make_body
from synthjax.bodies import synth_table as table
from synthjax.bodies.assembly import position_scale
from synthjax.bodies.synth import bone_masses, make_synth
from synthjax.errors import UserError

make = functools.cache(make_synth)


@pytest.fixture(scope="module")
def synth() -> Body:
    return make()


def lowest_point(model: mujoco.MjModel, data: mujoco.MjData) -> float:
    """Lowest point of the capsules, boxes and spheres, from their corners and end points."""
    heights = []
    for g in range(model.ngeom):
        size, matrix = model.geom_size[g], data.geom_xmat[g].reshape(3, 3)
        kind = mujoco.mjtGeom(model.geom_type[g]).name
        if kind == "mjGEOM_BOX":
            corners = np.array(np.meshgrid(*[(-s, s) for s in size])).reshape(3, -1).T
            heights.append((data.geom_xpos[g] + corners @ matrix.T)[:, 2].min())
        elif kind == "mjGEOM_CAPSULE":
            ends = [data.geom_xpos[g] + sign * size[1] * matrix[:, 2] for sign in (-1, 1)]
            heights.append(min(end[2] for end in ends) - size[0])
        elif kind == "mjGEOM_SPHERE":
            heights.append(data.geom_xpos[g, 2] - size[0])
    return float(min(heights))


def test_has_63_hinges_on_21_bones_and_a_free_root(synth: Body) -> None:
    model = synth.model
    kinds = collections.Counter(mujoco.mjtJoint(kind).name for kind in model.jnt_type)
    assert kinds == {"mjJNT_HINGE": 63, "mjJNT_FREE": 1}
    assert len(synth.joints) == 63
    assert len({joint.rpartition("_")[0] for joint in synth.joints}) == 21
    assert (model.nq, model.nv, model.nu) == (70, 69, 63)


def test_joints_and_actuators_are_in_qpos_order(synth: Body) -> None:
    model = synth.model
    addresses = [model.joint(name).qposadr[0] for name in synth.joints]
    assert addresses == list(range(7, 70))
    driven = [model.joint(int(model.actuator_trnid[a, 0])).name for a in range(model.nu)]
    assert driven == list(synth.joints)


def test_hinges_of_a_bone_nest_as_flexion_twist_abduction(synth: Body) -> None:
    axes = {"X": (0, -1, 0), "Y": (0, 0, 1), "Z": (1, 0, 0)}
    assert [joint[-1] for joint in synth.joints] == ["X", "Y", "Z"] * 21
    for joint in synth.joints:
        np.testing.assert_array_equal(synth.model.joint(joint).axis, axes[joint[-1]])


def test_positive_flexion_lifts_the_thigh_forward_and_negative_bends_the_knee_back(synth: Body) -> None:
    model, data = synth.model, mujoco.MjData(synth.model)
    data.qpos[model.joint("LeftUpperLeg_X").qposadr] = 0.5
    mujoco.mj_kinematics(model, data)
    assert data.body("LeftLowerLeg").xpos[0] > 0.15
    data.qpos[model.joint("LeftLowerLeg_X").qposadr] = -1.0
    before = data.body("LeftFoot").xpos[0]
    mujoco.mj_kinematics(model, data)
    assert data.body("LeftFoot").xpos[0] < before


def test_masses_follow_the_rule_and_add_up(synth: Body) -> None:
    masses = bone_masses(55.0)
    # Hips keep 0.278 of 55; spine and two legs get a third of the rest each.
    assert masses["Hips"] == pytest.approx(15.29)
    assert masses["Spine"] == pytest.approx((55.0 - 15.29) / 3 * 0.144)
    assert masses["LeftUpperLeg"] == pytest.approx(5.149063, abs=1e-6)
    assert masses["RightLowerLeg"] == pytest.approx(6.381119, abs=1e-6)
    assert masses["LeftFoot"] == pytest.approx(masses["LeftToes"])  # a half, and what is left
    assert sum(masses.values()) == pytest.approx(55.0)
    for bone, mass in masses.items():
        assert synth.model.body(bone).mass[0] == pytest.approx(mass, rel=1e-6)
    assert synth.model.body_subtreemass[1] == pytest.approx(55.0, rel=1e-6)


def test_mass_is_scaled_without_a_change_of_shape() -> None:
    heavy = make_synth(total_mass=110.0).model
    np.testing.assert_allclose(heavy.body_mass, 2.0 * make().model.body_mass, rtol=1e-6)


def test_the_standing_body_touches_the_ground(synth: Body) -> None:
    data = mujoco.MjData(synth.model)
    data.qpos[:] = synth.standing_qpos
    mujoco.mj_kinematics(synth.model, data)
    assert lowest_point(synth.model, data) == pytest.approx(0.0, abs=1e-9)
    assert data.body("Head").xpos[2] > data.body("Hips").xpos[2] > data.body("LeftFoot").xpos[2] > 0.0
    assert synth.standing_height == data.body("Hips").xpos[2]


def test_left_is_at_positive_y_and_mirrors_the_right(synth: Body) -> None:
    data = mujoco.MjData(synth.model)
    mujoco.mj_kinematics(synth.model, data)
    for bone in synth.bones:
        if bone.startswith("Left"):
            left, right = (data.body(name).xpos for name in (bone, bone.replace("Left", "Right")))
            np.testing.assert_allclose(left * [1, -1, 1], right, atol=1e-12)
            assert left[1] > 0.0


def test_limits_mirror_twist_and_abduction_only(synth: Body) -> None:
    for joint in synth.joints:
        if joint.startswith("Left"):
            lower, upper = synth.model.joint(joint).range
            mirrored = (lower, upper) if joint.endswith("_X") else (-upper, -lower)
            np.testing.assert_array_equal(synth.model.joint(joint.replace("Left", "Right")).range, mirrored)
    np.testing.assert_allclose(np.degrees(synth.model.joint("LeftUpperLeg_X").range), (-30, 145))
    np.testing.assert_allclose(np.degrees(synth.model.joint("RightUpperLeg_Z").range), (-60, 45))


@pytest.mark.parametrize("parts", ["chains", "groups"])
def test_chains_and_groups_partition_the_joints(synth: Body, parts: str) -> None:
    listed = [joint for names in getattr(synth, parts).values() for joint in names]
    assert sorted(listed) == sorted(synth.joints)


def test_pd_motors_are_servos_with_the_table_gains(synth: Body) -> None:
    model = synth.model
    joint, motor = model.joint("LeftLowerLeg_X"), model.actuator("LeftLowerLeg_X")
    assert motor.gainprm[0] == 300.0
    np.testing.assert_array_equal(motor.biasprm[:3], (0.0, -300.0, 0.0))
    np.testing.assert_array_equal(motor.forcerange, (-480.0, 480.0))  # six times the gear of 80
    assert not motor.ctrllimited[0]
    assert float(np.ravel(joint.damping)[0]) == 30.0  # a tenth of the gain
    assert not np.any(joint.stiffness)


@pytest.mark.parametrize(("actuation", "ctrl", "force"), [("torque", 0.4, 150.0), ("strong", 2.0, 300.0)])
def test_torque_motors_keep_gears_springs_and_limits(actuation: str, ctrl: float, force: float) -> None:
    body = make(actuation, "direct")
    joint, motor = (kind("LeftUpperLeg_X") for kind in (body.model.joint, body.model.actuator))
    assert motor.gear[0] == 120.0
    np.testing.assert_array_equal(motor.ctrlrange, (-ctrl, ctrl))
    np.testing.assert_array_equal(motor.forcerange, (-force, force))
    assert float(np.ravel(joint.stiffness)[0]) == 3.0
    assert float(np.ravel(joint.damping)[0]) == 1.0
    np.testing.assert_array_equal(body.action_scale, np.full(63, ctrl))
    assert body.joints == make().joints


@pytest.mark.parametrize(("actuation", "knee"), [("pd", 480.0), ("torque", 32.0), ("strong", 160.0)])
def test_servos_stay_within_the_strength_of_the_motors(actuation: str, knee: float) -> None:
    """The original's knee has a gear of 80 N m, of which it uses 0.4."""
    body = make(actuation)
    data = mujoco.MjData(body.model)
    data.qpos[:] = body.standing_qpos
    for far in (1e3, -1e3):
        data.ctrl[:] = far
        mujoco.mj_forward(body.model, data)
        dof = body.model.joint("LeftLowerLeg_X").dofadr[0]
        np.testing.assert_allclose(data.qfrc_actuator[dof], np.sign(far) * knee, rtol=1e-6)
    # What an action means is as for pd.
    np.testing.assert_array_equal(body.action_scale, make().action_scale)


def test_servos_are_no_stiffer_than_their_motors_can_make_them() -> None:
    """A tenth of a radian at least before a motor gives all it has; then the gain of the bone."""
    spine, knee = "Spine_X", "LeftLowerLeg_X"
    for actuation, joint, kp in (
        ("pd", spine, 600.0),
        ("pd", knee, 300.0),
        ("torque", spine, 160.0),  # 16 N m
        ("torque", knee, 300.0),  # 32 N m would allow for 320
        ("torque", "LeftFoot_X", 80.0),  # 8 N m
        ("strong", spine, 600.0),
        ("strong", "LeftLowerLeg_Y", 200.0),  # 20 N m
    ):
        body = make(actuation)
        motor = body.model.actuator(joint)
        assert motor.gainprm[0] == pytest.approx(kp)
        assert motor.biasprm[1] == pytest.approx(-kp)
        stiffest = make().model.actuator(joint).gainprm[0]
        assert body.softened[body.joints.index(joint), 0] == pytest.approx(stiffest / kp)
    np.testing.assert_array_equal(make().softened, np.ones((63, 2)))


def test_weak_joints_are_not_held_back_by_damping_for_strong_ones() -> None:
    """All of a motor at 5 rad/s, or the same share of it as of the motor of pd; never more than with pd."""
    spine, knee = "Spine_X", "LeftLowerLeg_X"
    for actuation, joint, kd in (
        ("pd", spine, 60.0),
        ("pd", knee, 30.0),
        ("torque", spine, 4.0),  # 16 N m: a fifteenth, as of the motor
        ("torque", knee, 6.4),  # 32 N m
        ("torque", "LeftFoot_X", 1.6),  # 8 N m
        ("strong", spine, 20.0),  # a third
        ("strong", knee, 30.0),  # 160 N m
    ):
        body = make(actuation)
        number = body.joints.index(joint)
        damping = body.model.dof_damping[body.model.joint(joint).dofadr[0]]
        assert damping == pytest.approx(kd)
        assert body.servo_lag[number] == pytest.approx(kd / body.model.actuator(joint).gainprm[0])
        assert body.softened[number, 1] == pytest.approx(0.1 * make().model.actuator(joint).gainprm[0] / kd)


def test_position_scale_is_three_quarters_of_half_the_range_at_most_a_radian(synth: Body) -> None:
    assert position_scale(np.array([-0.2, 0.6])) == pytest.approx(0.3)
    assert position_scale(np.array([-2.0, 2.0])) == 1.0
    toe = synth.joints.index("LeftToes_Y")  # +-5 degrees
    assert synth.action_scale[toe] == pytest.approx(0.75 * np.radians(5.0))


def test_every_ground_pair_has_one_sensor_and_every_bone_a_ground_pair(synth: Body) -> None:
    model = synth.model
    ground = model.geom(synth.ground_geom).id
    pairs = np.stack([model.pair_geom1, model.pair_geom2], axis=-1)
    touching = sorted(pairs[(pairs == ground).any(axis=-1)].max(axis=-1).tolist())
    sensed = sorted(model.sensor_refid.tolist())
    assert sensed == touching
    assert {model.body(model.geom_bodyid[g]).name for g in touching} == set(synth.bones)
    assert not model.geom_contype.any()
    assert not model.geom_conaffinity.any()


def test_legs_feet_and_arms_are_kept_apart(synth: Body) -> None:
    model = synth.model
    pairs = {
        frozenset(model.body(model.geom_bodyid[g]).name for g in pair)
        for pair in zip(model.pair_geom1, model.pair_geom2, strict=True)
    }
    for pair in (
        ("LeftUpperLeg", "RightUpperLeg"), ("LeftLowerLeg", "RightLowerLeg"), ("LeftFoot", "RightFoot"),
        ("LeftHand", "Hips"), ("RightLowerArm", "Chest"),
    ):  # fmt: skip
        assert frozenset(pair) in pairs
    plain = make_synth(self_collision=False).model
    assert plain.npair == model.nsensor == model.npair - len(table.SELF_COLLISIONS)


def test_legs_that_cross_collide_and_at_rest_only_arms_brush_the_body(synth: Body) -> None:
    model, data = synth.model, mujoco.MjData(synth.model)

    def touching() -> list[set[str]]:
        mujoco.mj_forward(model, data)
        return [{model.body(model.geom_bodyid[g]).name for g in contact.geom} for contact in data.contact]

    data.qpos[2] = 2.0
    assert all(any("Arm" in name or "Hand" in name for name in pair) for pair in touching())
    assert all(contact.dist > -0.01 for contact in data.contact)
    for side, angle in (("Left", -0.4), ("Right", 0.4)):  # both thighs towards the middle
        data.qpos[model.joint(f"{side}UpperLeg_Z").qposadr] = angle
    assert {"LeftUpperLeg", "RightUpperLeg"} in touching()


def test_the_xml_compiles_to_the_same_model(synth: Body) -> None:
    again = mujoco.MjModel.from_xml_string(synth.xml)
    np.testing.assert_allclose(again.body_pos, synth.model.body_pos, atol=1e-6)
    np.testing.assert_allclose(again.body_inertia, synth.model.body_inertia, rtol=1e-4)
    np.testing.assert_allclose(again.jnt_range, synth.model.jnt_range, atol=1e-5)


def test_the_hash_tells_presets_apart() -> None:
    assert make().hash == make_synth().hash
    bodies = [make(a) for a in ("pd", "torque", "strong")] + [make(a, "direct") for a in ("torque", "strong")]
    assert len({body.hash for body in bodies}) == 5


@pytest.mark.parametrize(
    ("name", "actuation", "drive", "near"),
    [
        ("sinth", "pd", "servo", "synth"),
        ("synth", "torqe", "servo", "torque"),
        ("synth", "torque", "drect", "direct"),
    ],
)
def test_unknown_names_come_with_the_near_one(name: str, actuation: str, drive: str, near: str) -> None:
    with pytest.raises(UserError, match=f"did you mean {near}"):
        make_body(name, actuation, drive)


def test_pd_takes_no_torques() -> None:
    with pytest.raises(UserError, match="are servos: choose"):
        make_body("synth", "pd", "direct")
