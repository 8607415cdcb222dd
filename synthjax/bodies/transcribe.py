"""A user's MJCF as a bare skeleton in the project's conventions, ready for ``assembly``.

The MJCF is compiled and copied out of the compiled model, so that includes, default classes, units
and attached files are all resolved and none of them leaks into the training model.  Copied are the
bodies of one tree with their inertia, hinges and geoms; floor, actuators, sensors, tendons, lights
and keyframes stay behind.

In the copy every body's frame sits at its joint and is aligned with the world in the rest pose, in
which the figure faces +x: as on the Synth, so retargeting needs no rest pose of its own.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np

from synthjax.bodies.assembly import set_first
from synthjax.bodies.mapping import BodyMapping
from synthjax.errors import UserError, unknown

# The Synth's: a hinge with less is unstable under the servos' gains.
MIN_ARMATURE = 0.01  # kg m^2
_UPRIGHT = 0.8  # cosine of the largest angle between the figure's axes and the world's
_DEFAULT_RGBA = (0.5, 0.5, 0.5, 1.0)
_SOLID = (
    mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_MESH,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """What ``transcribe`` leaves in the spec, by name."""

    bodies: dict[str, str]  # body -> its parent ("" for the root), parents first
    joints: dict[str, str]  # hinge -> its body, in qpos order
    geoms: dict[str, str]  # colliding geom -> its body
    bones: dict[str, str]  # HumanBodyBones name -> body
    strength: dict[str, float]  # hinge -> N m of the MJCF's own actuator at full control
    hard_limit: dict[str, float]  # hinge -> N m that the MJCF allows at most, where it says so


def compile_mjcf(mapping: BodyMapping) -> mujoco.MjModel:
    """The user's model as it is.  Raises :class:`UserError` with MuJoCo's reason if it does not compile."""
    try:
        return mujoco.MjModel.from_xml_path(str(mapping.mjcf))
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"MuJoCo cannot load '{mapping.mjcf}', correct it: {reason}") from None


def transcribe(model: mujoco.MjModel, mapping: BodyMapping, spec: mujoco.MjSpec) -> Skeleton:
    """Adds the mapped figure of ``model`` to ``spec``; its geoms collide only through later pairs.

    Raises:
      UserError: a bone that the MJCF lacks, no free root, a joint that is not a hinge, an equality
        constraint, or a rest pose that does not stand upright.
    """
    parts = {bone: _find_part(model, mapping, bone, name) for bone, name in mapping.bones.items()}
    root = int(model.body_rootid[parts["Hips"].body])
    _check_tree(model, mapping, root, parts)
    rest = _RestPose.of(model, mapping, root, parts)
    skeleton = Skeleton({}, {}, {}, {}, {}, {})
    for body in rest.origin:
        name = rest.name(body)
        if body == root:
            parent, above = "", spec.worldbody
        else:
            parent = rest.name(int(model.body_parentid[body]))
            above = spec.body(parent)
        copy = _add_body(rest, body, above, name)
        skeleton.bodies[name] = parent
        if body == root:
            copy.add_freejoint(name="root")
        else:
            for j in _own(model.body_jntadr, model.body_jntnum, body):
                joint = model.joint(j).name or f"{name}_{j}"
                _add_hinge(rest, j, copy, joint)
                skeleton.joints[joint] = name
                _note_motor(model, j, joint, skeleton)
        colliding = _colliding_geoms(model, body)
        for i, g in enumerate(_own(model.body_geomadr, model.body_geomnum, body)):
            if mujoco.mjtGeom(model.geom_type[g]) in _SOLID:
                _add_geom(rest, g, spec, copy, f"{name}_{i}")
            if g in colliding:
                skeleton.geoms[f"{name}_{i}"] = name
    for bone, part in parts.items():
        skeleton.bones[bone] = rest.name(part.body)
        if part.kind != "body":
            skeleton.bones[bone] = _add_mark(rest, part, spec, bone, skeleton)
    return skeleton


@dataclasses.dataclass(frozen=True)
class _Part:
    """What a bone is in the MJCF: a body, or a site or geom on one."""

    kind: str
    id: int
    body: int

    def position(self, data: mujoco.MjData) -> np.ndarray:
        return {"body": data.xpos, "site": data.site_xpos, "geom": data.geom_xpos}[self.kind][self.id]


@dataclasses.dataclass(frozen=True)
class _RestPose:
    """The user's figure with all joints at their reference, turned to face +x."""

    model: mujoco.MjModel
    data: mujoco.MjData
    turn: np.ndarray  # (3, 3) from the MJCF's world to ours
    origin: dict[int, np.ndarray]  # body -> where its frame is in our world; the figure's bodies by id

    @classmethod
    def of(cls, model: mujoco.MjModel, mapping: BodyMapping, root: int, parts: dict[str, _Part]) -> _RestPose:
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        turn = _turn(mapping, {bone: part.position(data) for bone, part in parts.items()})
        figure = np.flatnonzero(model.body_rootid == root).tolist()
        return cls(model, data, turn, {b: turn @ _joint_centre(model, data, b) for b in figure})

    def name(self, body: int) -> str:
        return self.model.body(body).name or f"body{body}"

    def place(self, point: np.ndarray, body: int) -> np.ndarray:
        """A point (3,) of the MJCF's world in the new frame of ``body``."""
        return self.turn @ point - self.origin[body]

    def orientation(self, matrix: np.ndarray) -> np.ndarray:
        """The quaternion (4,) of a world orientation (9,) in the new frame of any body."""
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, (self.turn @ matrix.reshape(3, 3)).ravel())
        return quat


def _own(first: np.ndarray, count: np.ndarray, body: int) -> range:
    """Ids of the joints or geoms of ``body``."""
    return range(int(first[body]), int(first[body] + count[body]))


def _find_part(model: mujoco.MjModel, mapping: BodyMapping, bone: str, name: str) -> _Part:
    kinds = {
        "body": (mujoco.mjtObj.mjOBJ_BODY, np.arange(model.nbody)),
        "site": (mujoco.mjtObj.mjOBJ_SITE, model.site_bodyid),
        "geom": (mujoco.mjtObj.mjOBJ_GEOM, model.geom_bodyid),
    }
    known: set[str] = set()
    for kind, (number, owner) in kinds.items():
        names = [mujoco.mj_id2name(model, number, i) for i in range(len(owner))]
        on_figure = [i for i in range(len(owner)) if owner[i] > 0 and names[i]]
        for i in on_figure:
            if names[i] == name:
                return _Part(kind, i, int(owner[i]))
        known |= {names[i] for i in on_figure}
    raise unknown(f"body, site or geom of '{mapping.mjcf.name}' for bone {bone}", name, known)


def _check_tree(model: mujoco.MjModel, mapping: BodyMapping, root: int, parts: dict[str, _Part]) -> None:
    mjcf = mapping.mjcf.name
    kinds = [mujoco.mjtJoint(kind) for kind in model.jnt_type]
    at_root = [kinds[j] for j in _own(model.body_jntadr, model.body_jntnum, root)]
    if at_root != [mujoco.mjtJoint.mjJNT_FREE]:
        raise UserError(
            f"'{mjcf}' has no free joint on '{model.body(root).name}', the root of its figure: add "
            "<freejoint/> to that body."
        )
    for bone, part in parts.items():
        if model.body_rootid[part.body] != root:
            raise UserError(
                f"Bone {bone} in '{mapping.file}' is not on the figure of Hips: map it to a part that is."
            )
    for j, kind in enumerate(kinds):
        body = int(model.jnt_bodyid[j])
        if body != root and model.body_rootid[body] == root and kind != mujoco.mjtJoint.mjJNT_HINGE:
            raise UserError(
                f"Joint '{model.joint(j).name}' of '{mjcf}' is a {kind.name.removeprefix('mjJNT_').lower()} "
                "joint: replace it by hinges, the only joints that are trained besides the free root."
            )
    if model.neq:
        raise UserError(
            f"'{mjcf}' has equality constraints, which the training model cannot hold: remove them."
        )


def _turn(mapping: BodyMapping, place: dict[str, np.ndarray]) -> np.ndarray:
    """(3, 3) by which the figure is turned to stand along z and face +x: whole quarter turns.

    MJCFs lie along the axes of some convention; the small tilt of a rest pose is the user's choice.
    """
    up = _nearest_axis(place["Head"] - place["Hips"])
    left = _nearest_axis(place["LeftUpperLeg"] - place["RightUpperLeg"])
    if up is None or left is None or up @ left != 0.0:
        raise UserError(
            f"The figure of '{mapping.mjcf.name}' must stand in its rest pose with the head above the hips "
            f"and the left leg beside the right: change its pose, or the bones in '{mapping.file}'."
        )
    return np.stack([np.cross(left, up), left, up])


def _nearest_axis(vector: np.ndarray) -> np.ndarray | None:
    """The signed coordinate axis along ``vector`` (3,), or None where it points between them."""
    unit = vector / max(float(np.linalg.norm(vector)), 1e-9)
    k = int(np.argmax(np.abs(unit)))
    return np.sign(unit[k]) * np.eye(3)[k] if abs(unit[k]) > _UPRIGHT else None


def _joint_centre(model: mujoco.MjModel, data: mujoco.MjData, body: int) -> np.ndarray:
    """Where the body turns about its parent: the middle of its hinges' anchors, else its own origin."""
    joints = _own(model.body_jntadr, model.body_jntnum, body)
    return data.xanchor[joints].mean(axis=0) if joints else data.xpos[body]


def _colliding_geoms(model: mujoco.MjModel, body: int) -> set[int]:
    """Geoms that can touch: those that collide in the MJCF; all primitives of a body that has none.

    MJCFs made for MJX switch collisions off for all but the feet; a fall would go through the floor.
    """
    solid = [
        g for g in _own(model.body_geomadr, model.body_geomnum, body)
        if mujoco.mjtGeom(model.geom_type[g]) in _SOLID
    ]  # fmt: skip
    paired = {*model.pair_geom1.tolist(), *model.pair_geom2.tolist()}
    own = {g for g in solid if model.geom_contype[g] or model.geom_conaffinity[g] or g in paired}
    return own or {g for g in solid if model.geom_type[g] != mujoco.mjtGeom.mjGEOM_MESH}


def _add_body(rest: _RestPose, b: int, above: mujoco.MjsBody, name: str) -> mujoco.MjsBody:
    parent = int(rest.model.body_parentid[b])
    return above.add_body(
        name=name, pos=rest.origin[b] - rest.origin.get(parent, np.zeros(3)), mass=rest.model.body_mass[b],
        ipos=rest.place(rest.data.xipos[b], b), iquat=rest.orientation(rest.data.ximat[b]),
        inertia=rest.model.body_inertia[b], explicitinertial=True,
    )  # fmt: skip


def _add_mark(rest: _RestPose, part: _Part, spec: mujoco.MjSpec, bone: str, skeleton: Skeleton) -> str:
    """A massless body where a site or geom is, so that a bone without a body has a frame of its own."""
    name = bone if bone not in skeleton.bodies else f"{bone}_mark"
    parent = rest.name(part.body)
    spec.body(parent).add_body(name=name, pos=rest.place(part.position(rest.data), part.body))
    skeleton.bodies[name] = parent
    return name


def _add_hinge(rest: _RestPose, j: int, body: mujoco.MjsBody, name: str) -> None:
    model = rest.model
    dof, address = int(model.jnt_dofadr[j]), int(model.jnt_qposadr[j])
    # A hinge without limits may turn once either way: targets and rewards need a range.
    limits = model.jnt_range[j] if model.jnt_limited[j] else np.array([-np.pi, np.pi])
    joint = body.add_joint(
        name=name, type=mujoco.mjtJoint.mjJNT_HINGE, range=limits, limited=True,
        pos=rest.place(rest.data.xanchor[j], int(model.jnt_bodyid[j])), axis=rest.turn @ rest.data.xaxis[j],
        ref=model.qpos0[address], springref=model.qpos_spring[address],
        armature=max(model.dof_armature[dof], MIN_ARMATURE), frictionloss=model.dof_frictionloss[dof],
    )  # fmt: skip
    joint.stiffness = set_first(joint.stiffness, model.jnt_stiffness[j])
    joint.damping = set_first(joint.damping, model.dof_damping[dof])


def _add_geom(rest: _RestPose, g: int, spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str) -> None:
    model = rest.model
    kind = mujoco.mjtGeom(model.geom_type[g])
    mesh = _add_mesh(model, int(model.geom_dataid[g]), spec) if kind == mujoco.mjtGeom.mjGEOM_MESH else ""
    body.add_geom(
        name=name, type=kind, size=model.geom_size[g], meshname=mesh, group=model.geom_group[g],
        pos=rest.place(rest.data.geom_xpos[g], int(model.geom_bodyid[g])),
        quat=rest.orientation(rest.data.geom_xmat[g]),
        rgba=_colour(model, g), contype=0, conaffinity=0,
    )  # fmt: skip


def _colour(model: mujoco.MjModel, g: int) -> np.ndarray:
    """As MuJoCo draws the geom: its own colour, unless that is the default and it has a material."""
    own, material = model.geom_rgba[g], int(model.geom_matid[g])
    return model.mat_rgba[material] if material >= 0 and np.array_equal(own, _DEFAULT_RGBA) else own


def _add_mesh(model: mujoco.MjModel, mesh: int, spec: mujoco.MjSpec) -> str:
    """The mesh with its vertices written into the spec, so that the body's XML stands alone."""
    name = f"mesh{mesh}"
    if spec.mesh(name) is None:
        vertices = _own(model.mesh_vertadr, model.mesh_vertnum, mesh)
        faces = _own(model.mesh_faceadr, model.mesh_facenum, mesh)
        spec.add_mesh(
            name=name, uservert=model.mesh_vert[vertices].ravel(), userface=model.mesh_face[faces].ravel()
        )
    return name


def _note_motor(model: mujoco.MjModel, j: int, name: str, skeleton: Skeleton) -> None:
    """What the MJCF says about the torque of hinge ``j``."""
    if model.jnt_actfrclimited[j]:
        skeleton.hard_limit[name] = float(np.abs(model.jnt_actfrcrange[j]).max())
    for a in range(model.nu):
        if model.actuator_trntype[a] != mujoco.mjtTrn.mjTRN_JOINT or model.actuator_trnid[a, 0] != j:
            continue
        gear = abs(float(model.actuator_gear[a, 0]))
        if model.actuator_forcelimited[a]:
            skeleton.hard_limit[name] = gear * float(np.abs(model.actuator_forcerange[a]).max())
        if model.actuator_biastype[a] == mujoco.mjtBias.mjBIAS_NONE and model.actuator_ctrllimited[a]:
            most = float(np.abs(model.actuator_ctrlrange[a]).max())
            skeleton.strength[name] = gear * float(model.actuator_gainprm[a, 0]) * most
