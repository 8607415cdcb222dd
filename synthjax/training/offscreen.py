"""An OpenGL context without a window, chosen at the moment of rendering.

``mujoco.Renderer`` takes its backend from ``MUJOCO_GL`` when ``mujoco`` is imported, long before
anyone knows whether a video is wanted, and a wrong guess there breaks the import itself.  The
contexts behind it (``mujoco.egl`` and its siblings) are independent of that variable, so they are used
directly.  Which one works is tried out in a subprocess: PyOpenGL binds to one platform per process, and
a broken driver may end the process rather than raise.
"""

from __future__ import annotations

import functools
import importlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import mujoco
import numpy as np

from synthjax.errors import UserError

_PROBE = """
import importlib, sys, mujoco
context = importlib.import_module(sys.argv[1]).GLContext(64, 64)
context.make_current()
model = mujoco.MjModel.from_xml_string("<mujoco/>")
mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value).free()
context.free()
"""


class RendererUnavailable(UserError):
    """No OpenGL library on this machine can draw without a window; the sentence says what to install."""


def backends(system: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """GL modules of MuJoCo worth trying on ``system`` (``platform.system()``), best first.

    A backend named by ``MUJOCO_GL`` is the only one, as everywhere in MuJoCo.
    """
    wanted = environ.get("MUJOCO_GL", "").lower().strip()
    if wanted in ("disable", "disabled", "off", "false", "0"):
        return ()
    if wanted in ("egl", "osmesa", "glfw", "cgl"):
        return (f"mujoco.{wanted}",)
    if system == "Linux":
        desktop = "DISPLAY" in environ or "WAYLAND_DISPLAY" in environ
        return ("mujoco.egl", "mujoco.osmesa") + (("mujoco.glfw",) if desktop else ())
    return ("mujoco.cgl", "mujoco.glfw") if system == "Darwin" else ("mujoco.glfw",)


@functools.cache
def gl_module() -> str:
    """The first of :func:`backends` that draws on this machine (about half a second, then cached).

    Raises:
      RendererUnavailable: none does.
    """
    for module in backends(platform.system(), os.environ):
        try:
            probe = subprocess.run(
                [sys.executable, "-c", _PROBE, module], capture_output=True, timeout=60, check=False
            )
        except subprocess.TimeoutExpired:
            continue
        # A context that draws may still print complaints while Python shuts down; only the code counts.
        if probe.returncode == 0:
            return module
    raise RendererUnavailable(_what_to_install(platform.system()))


def _what_to_install(system: str) -> str:
    if os.environ.get("MUJOCO_GL"):
        return f"No video: MUJOCO_GL={os.environ['MUJOCO_GL']} does not draw on this machine; unset it."
    if system == "Linux":
        # libegl1 alone is not enough: PyOpenGL cannot check errors without libOpenGL or libGL.
        return (
            "No video: this machine has no OpenGL library for drawing without a screen; install one with "
            "'apt-get install libegl1 libopengl0' (Debian, Ubuntu) or "
            "'dnf install mesa-libEGL libglvnd-opengl' (Fedora)."
        )
    return "No video: this session has no OpenGL context; run from a desktop login with a graphics driver."


class Offscreen:
    """Draws MuJoCo scenes of one model into arrays; a context manager that frees the GL context.

    Shadows, reflections and multisampling are off: with a software rasteriser, which is what headless
    machines have, they cost several times the rest of the frame.
    """

    def __init__(self, model: mujoco.MjModel, size: tuple[int, int], max_geoms: int) -> None:
        """``size`` is (width, height) in pixels and must fit the model's offscreen buffer.

        Raises:
          RendererUnavailable: see :func:`gl_module`.
        """
        width, height = size
        self._context: Any = importlib.import_module(gl_module()).GLContext(width, height)
        self._context.make_current()
        self._mjr = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._mjr)
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self.scene = mujoco.MjvScene(model, maxgeom=max_geoms)
        self.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False

    def draw(self) -> np.ndarray:
        """The current scene as (height, width, 3) uint8, top row first."""
        pixels = np.empty((self._rect.height, self._rect.width, 3), np.uint8)
        mujoco.mjr_render(self._rect, self.scene, self._mjr)
        mujoco.mjr_readPixels(pixels, None, self._rect, self._mjr)
        return np.ascontiguousarray(pixels[::-1])

    def __enter__(self) -> Offscreen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mjr.free()
        self._context.free()
