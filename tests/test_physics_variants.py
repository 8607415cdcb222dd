"""Model variants against MuJoCo's own constants, and their errors."""

from __future__ import annotations

import copy

import mujoco
import numpy as np
import pytest
from physics_bodies import box, walker

from synthjax.errors import UserError
from synthjax.physics import make_variants
from synthjax.physics.contacts import GroundContacts


def test_derived_fields_follow_the_masses():
    rng = np.random.default_rng(0)
    model = walker().model
    scale = rng.uniform(0.5, 2.0, (3, model.nbody))
    variants = make_variants(walker(), {"mass": scale, "friction": np.array([0.5, 1.0, 2.0])})
    for i in range(3):
        changed = copy.copy(model)
        changed.body_mass[:] *= scale[i]
        changed.body_inertia[:] *= scale[i][:, None]
        changed.pair_friction[:] *= [0.5, 1.0, 2.0][i]
        mujoco.mj_setConst(changed, mujoco.MjData(changed))
        for field, values in variants.items():
            np.testing.assert_allclose(values[i], getattr(changed, field), rtol=1e-5, atol=1e-6)
    assert {"body_subtreemass", "body_invweight0", "dof_invweight0"} <= set(variants)


def test_every_field_that_set_const_changes_is_in_the_variant():
    model = walker().model
    changed = copy.copy(model)
    changed.body_mass[:] *= 2
    changed.body_inertia[:] *= 2
    mujoco.mj_setConst(changed, mujoco.MjData(changed))
    differing = {
        name
        for name in dir(model)
        if isinstance(value := getattr(model, name, None), np.ndarray)
        and not np.array_equal(value, getattr(changed, name))
    }
    assert differing == set(make_variants(walker(), {"mass": np.array([2.0])}))


@pytest.mark.parametrize(
    ("scales", "hint"),
    [
        ({"masses": np.ones(2)}, "mass"),
        ({"mass": np.ones((2, 3))}, "shape"),
        ({"mass": np.zeros(2)}, "positive"),
        ({"mass": np.ones(2), "friction": np.ones(3)}, "same length"),
        ({}, "same length"),
    ],
)
def test_mistakes_say_what_to_do(scales, hint):
    with pytest.raises(UserError, match=hint):
        make_variants(walker(), scales)


def test_ground_sensors_are_found_by_type_and_read_in_both_orders():
    swapped = box().xml.replace('geom1="floor" geom2="box" data', 'geom1="box" geom2="floor" data')
    assert swapped != box().xml
    for body_model in (mujoco.MjModel.from_xml_string(swapped), box().model):
        data = mujoco.MjData(body_model)
        data.qpos[:] = box().standing_qpos
        mujoco.mj_step(body_model, data, 200)
        contacts = GroundContacts.of(body_model, "floor")
        count, load, force = contacts.sum_per_body(data.sensordata[contacts.sensor_index])
        np.testing.assert_allclose(force, [[0, 0, 0], [0, 0, 98.1]], atol=0.01)
        np.testing.assert_allclose(load, [0, 98.1], atol=0.01)
        np.testing.assert_array_equal(count, [0, 4])


def test_body_without_ground_sensors_reads_zeros():
    xml = box().xml
    bare = mujoco.MjModel.from_xml_string(xml[: xml.index("<sensor>")] + "</mujoco>")
    contacts = GroundContacts.of(bare, "floor")
    for values in contacts.sum_per_body(np.zeros(0)[contacts.sensor_index]):
        assert not np.any(values)
