"""A small capsule humanoid and a box for the tests of the physics seam."""

from __future__ import annotations

import functools

import mujoco
import numpy as np

from synthjax.bodies.spec import Body


def _foot(side: str) -> tuple[str, list[str]]:
    corners = [(x, y) for x in (-0.06, 0.14) for y in (-0.04, 0.04)]
    names = [f"{side}Foot_{i}" for i in range(4)]
    geoms = "".join(
        f'<geom name="{n}" type="sphere" size="0.03" pos="{x} {y} -0.04" mass="0.2"/>'
        for n, (x, y) in zip(names, corners, strict=True)
    )
    return geoms, names


def _leg(side: str, y: float) -> tuple[str, list[str], list[str]]:
    geoms, names = _foot(side)
    joints = [f"{side}UpperLeg_X", f"{side}UpperLeg_Y", f"{side}LowerLeg_Y", f"{side}Foot_Y"]
    xml = f"""
    <body name="{side}UpperLeg" pos="0 {y} -0.05">
      <joint name="{joints[0]}" axis="1 0 0" range="-45 45"/>
      <joint name="{joints[1]}" axis="0 1 0" range="-120 45"/>
      <geom name="{side}UpperLeg" type="capsule" size="0.06" fromto="0 0 0 0 0 -0.4" mass="7"/>
      <body name="{side}LowerLeg" pos="0 0 -0.42">
        <joint name="{joints[2]}" axis="0 1 0" range="0 150"/>
        <geom name="{side}LowerLeg" type="capsule" size="0.045" fromto="0 0 0 0 0 -0.38" mass="3"/>
        <body name="{side}Foot" pos="0 0 -0.4">
          <joint name="{joints[3]}" axis="0 1 0" range="-45 45"/>
          {geoms}
        </body>
      </body>
    </body>"""
    return xml, joints, [f"{side}UpperLeg", f"{side}LowerLeg", *names]


def _arm(side: str, y: float) -> tuple[str, list[str], list[str]]:
    joints = [f"{side}UpperArm_Y", f"{side}LowerArm_Y"]
    xml = f"""
    <body name="{side}UpperArm" pos="0 {y} 0.42">
      <joint name="{joints[0]}" axis="0 1 0" range="-150 60"/>
      <geom name="{side}UpperArm" type="capsule" size="0.04" fromto="0 0 0 0 0 -0.25" mass="2"/>
      <body name="{side}LowerArm" pos="0 0 -0.27">
        <joint name="{joints[1]}" axis="0 1 0" range="-140 0"/>
        <geom name="{side}LowerArm" type="capsule" size="0.035" fromto="0 0 0 0 0 -0.22" mass="1.5"/>
      </body>
    </body>"""
    return xml, joints, [f"{side}UpperArm", f"{side}LowerArm"]


def _mjcf(bodies: str, geoms: list[str], joints: list[str]) -> str:
    pairs = "".join(f'<pair geom1="floor" geom2="{g}" condim="3" friction="1 1"/>' for g in geoms)
    sensors = "".join(
        f'<contact name="ground_{g}" geom1="floor" geom2="{g}" '
        'data="found force normal" num="4" reduce="none"/>'
        for g in geoms
    )
    motors = "".join(
        f'<position name="{j}" joint="{j}" kp="150" kv="8" forcerange="-300 300"/>' for j in joints
    )
    return f"""
<mujoco>
  <option timestep="0.005" iterations="20" ls_iterations="20" integrator="implicitfast"/>
  <default>
    <geom contype="0" conaffinity="0"/>
    <joint damping="1" armature="0.02"/>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="0 0 1"/>
    {bodies}
  </worldbody>
  <contact>{pairs}</contact>
  <actuator>{motors}</actuator>
  <sensor>{sensors}</sensor>
</mujoco>"""


def _body(name: str, xml: str, joints: tuple[str, ...], height: float, feet: tuple[str, ...]) -> Body:
    model = mujoco.MjModel.from_xml_string(xml)
    standing = np.array(model.qpos0)
    standing[2] = height
    return Body(
        name=name,
        actuation="pd",
        drive="servo",
        model=model,
        xml=xml,
        joints=joints,
        bones={},
        chains={},
        groups={},
        key_bodies=(),
        feet=feet,
        fall_bodies=(),
        ground_geom="floor",
        standing_qpos=standing,
        action_scale=np.ones(model.nu),
        softened=np.ones((model.nu, 2)),
    )


@functools.cache
def walker() -> Body:
    """A humanoid of 48 kg with twelve hinges: capsules, and feet of four spheres."""
    parts = [_leg("Left", 0.1), _leg("Right", -0.1), _arm("Left", 0.2), _arm("Right", -0.2)]
    torso = f"""
    <body name="Hips" pos="0 0 1">
      <freejoint/>
      <geom name="Hips" type="capsule" size="0.1" fromto="0 0 0.05 0 0 0.4" mass="20"/>
      {"".join(xml for xml, _, _ in parts)}
    </body>"""
    joints = [j for _, names, _ in parts for j in names]
    geoms = ["Hips"] + [g for _, _, names in parts for g in names]
    return _body("walker", _mjcf(torso, geoms, joints), tuple(joints), 0.94, ("LeftFoot", "RightFoot"))


@functools.cache
def mat(memory: str) -> Body:
    """Sixty spheres that lie on the ground, with so much ``memory`` for contacts and constraints."""
    names = [f"ball{i}" for i in range(60)]
    places = [f"{0.05 * (i % 10)} {0.05 * (i // 10)} 0" for i in range(60)]
    geoms = "".join(
        f'<geom name="{n}" type="sphere" size="0.03" pos="{place}" mass="0.2"/>'
        for n, place in zip(names, places, strict=True)
    )
    xml = _mjcf(f'<body name="mat" pos="0 0 0.028"><freejoint/>{geoms}</body>', names, [])
    xml = xml.replace("<option", f'<size memory="{memory}"/><option', 1)
    return _body("mat", xml, (), 0.028, ("mat",))


@functools.cache
def box() -> Body:
    """A box of 10 kg without actuators."""
    xml = """
    <body name="box" pos="0 0 0.1">
      <freejoint/>
      <geom name="box" type="box" size="0.2 0.15 0.1" mass="10"/>
    </body>"""
    return _body("box", _mjcf(xml, ["box"], []), (), 0.1, ("box",))
