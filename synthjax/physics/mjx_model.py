"""A body's model in the form in which MJX-JAX computes what MuJoCo computes."""

from __future__ import annotations

import copy
import itertools

import mujoco
import numpy as np

from synthjax.bodies.spec import Body
from synthjax.physics.contacts import DATASPEC

_MINDIST = 1  # mjSENS_CONTACT: keep the contacts with the smallest distance
_POINT = 1e-14  # m, radius of a sphere that stands for a corner
_PLANE, _BOX = int(mujoco.mjtGeom.mjGEOM_PLANE), int(mujoco.mjtGeom.mjGEOM_BOX)
_PAIR_FIELDS = ("friction", "solref", "solreffriction", "solimp", "margin", "gap")
_GEOM_FIELDS = ("pos", "quat", "size")
_OPTIONS = ("solver", "iterations", "ls_iterations", "tolerance", "integrator", "cone")


def mjx_model(body: Body) -> tuple[mujoco.MjModel, np.ndarray]:
    """The model for ``mjx.put_model(impl="jax")``, and which pair of ``body`` each of its pairs is from.

    Two things in MJX 3.17 differ from MuJoCo.  A box on a plane touches it only with the corners within
    1 mm of the deepest one, so a tilted foot stands on its edge: here each such box touches with eight
    points instead, which is what MuJoCo computes.  And a contact sensor with reduce="none" reads the
    wrong contacts once a model has more than one pair: here they are ordered by distance, and all of
    them fit into the slots.

    Returns:
      the model, with ``body``'s bodies, joints and actuators; and (npair,) ids of pairs of ``body``.
    """
    boxes = _boxes_on_planes(body.model)
    if boxes:
        model, source = _with_corners(body, boxes)
    else:
        model, source = copy.copy(body.model), np.arange(body.model.npair)
    model.sensor_intprm[model.sensor_type == mujoco.mjtSensor.mjSENS_CONTACT, 1] = _MINDIST
    return model, source


def _boxes_on_planes(model: mujoco.MjModel) -> dict[int, tuple[int, int]]:
    """Pair id -> (plane, box) for every pair of a plane and a box."""
    found = {}
    for pair, geoms in enumerate(zip(model.pair_geom1, model.pair_geom2, strict=True)):
        low, high = sorted(map(int, geoms), key=lambda geom: model.geom_type[geom])
        if (model.geom_type[low], model.geom_type[high]) == (_PLANE, _BOX):
            found[pair] = (low, high)
    return found


def _with_corners(body: Body, boxes: dict[int, tuple[int, int]]) -> tuple[mujoco.MjModel, np.ndarray]:
    nominal = body.model
    spec = mujoco.MjSpec.from_string(body.xml)
    ids = {names: pair for pair, names in enumerate(_pair_names(nominal))}
    for pair in list(spec.pairs):
        if ids[frozenset((pair.geomname1, pair.geomname2))] in boxes:
            spec.delete(pair)
    for sensor in list(spec.sensors):
        if ids.get(frozenset((sensor.objname, sensor.refname))) in boxes:
            spec.delete(sensor)
    for pair_id, (plane, box) in boxes.items():
        plane_name, box_name = nominal.geom(plane).name, nominal.geom(box).name
        for corner, position in enumerate(_corners(nominal, box)):
            name = f"{box_name}_corner{corner}"
            spec.body(nominal.body(nominal.geom_bodyid[box]).name).add_geom(
                name=name, type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[_POINT, 0, 0], pos=position,
                density=0, contype=0, conaffinity=0,
            )  # fmt: skip
            spec.add_pair(name=name, geomname1=plane_name, geomname2=name, condim=nominal.pair_dim[pair_id])
            spec.add_sensor(
                name=f"ground_{name}", type=mujoco.mjtSensor.mjSENS_CONTACT,
                objtype=mujoco.mjtObj.mjOBJ_GEOM, objname=plane_name,
                reftype=mujoco.mjtObj.mjOBJ_GEOM, refname=name, intprm=[DATASPEC, _MINDIST, 1],
            )  # fmt: skip
            ids[frozenset((plane_name, name))] = pair_id
    model = spec.compile()
    source = np.array([ids[names] for names in _pair_names(model)])
    _copy_exactly(nominal, model, source)
    return model, source


def _copy_exactly(nominal: mujoco.MjModel, model: mujoco.MjModel, source: np.ndarray) -> None:
    """Undoes the rounding of numbers that went through the text of an MJCF, and takes the run's options."""
    for name in _OPTIONS:
        setattr(model.opt, name, getattr(nominal.opt, name))
    for name in dir(nominal):
        value = getattr(nominal, name)
        if isinstance(value, np.ndarray) and value.dtype == float:
            target = getattr(model, name)
            if target.shape == value.shape:
                target[:] = value
    for field in _PAIR_FIELDS:
        getattr(model, f"pair_{field}")[:] = getattr(nominal, f"pair_{field}")[source]
    kept = [model.geom(nominal.geom(geom).name).id for geom in range(nominal.ngeom)]
    for field in _GEOM_FIELDS:
        getattr(model, f"geom_{field}")[kept] = getattr(nominal, f"geom_{field}")


def _pair_names(model: mujoco.MjModel) -> list[frozenset[str]]:
    """The two geoms of every pair."""
    pairs = zip(model.pair_geom1, model.pair_geom2, strict=True)
    return [frozenset((model.geom(a).name, model.geom(b).name)) for a, b in pairs]


def _corners(model: mujoco.MjModel, box: int) -> np.ndarray:
    """Corners of a box geom in its body's frame, (8, 3)."""
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.geom_quat[box])
    signs = np.array(list(itertools.product((-1, 1), repeat=3)))
    return model.geom_pos[box] + (signs * model.geom_size[box]) @ rotation.reshape(3, 3).T
