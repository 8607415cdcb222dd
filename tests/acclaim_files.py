"""The test's figure in ASF and AMC.  A bone turns at its near end there; others lead to the next joints."""

from __future__ import annotations

import motion_sources as sources
import numpy as np
from motion_sources import NAMES, OFFSETS, PARENTS, xyz

BONE = (
    "  begin\n    id {id}\n    name {name}\n    direction {direction}\n    length {length:.6f}\n"
    "    axis 0 0 0 XYZ\n"
)


def skeleton() -> str:
    lines = [
        ":version 1.10\n:units\n  length 1\n  angle deg\n:root\n  order TX TY TZ RX RY RZ\n  axis XYZ\n"
        "  position 0 0 0\n  orientation 0 0 0\n:bonedata\n"
    ]
    hierarchy = ":hierarchy\n  begin\n"
    for j, parent in enumerate(PARENTS):
        if parent < 0:
            continue
        length = float(np.linalg.norm(OFFSETS[j]))
        direction = " ".join(f"{x:.8f}" for x in OFFSETS[j] / length)
        lines.append(BONE.format(id=2 * j, name=f"link{j}", direction=direction, length=length) + "  end\n")
        joint = BONE.format(id=2 * j + 1, name=NAMES[j], direction="0 1 0", length=0.0)
        lines.append(f"{joint}    dof rx ry rz\n  end\n")
        above = NAMES[parent] if PARENTS[parent] >= 0 else "root"
        hierarchy += f"    {above} link{j}\n    link{j} {NAMES[j]}\n"
    return "".join(lines) + hierarchy + "  end\n"


def motion(frames: int = 90) -> str:
    lines = [":FULLY-SPECIFIED\n:DEGREES\n"]
    angles, roots = xyz(sources.local_matrices(frames)), sources.root_path(frames)
    for t in range(frames):
        lines.append(f"{t + 1}\n")
        for j, name in enumerate(NAMES):
            values = angles[t, j] if PARENTS[j] >= 0 else [*roots[t], *angles[t, j]]
            numbers = " ".join(f"{value:.7f}" for value in values)
            lines.append(f"{name if PARENTS[j] >= 0 else 'root'} {numbers}\n")
    return "".join(lines)
