"""What this machine has, what is missing, and the command that brings it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import platform
from collections.abc import Iterable
from enum import StrEnum

import imageio_ffmpeg
import jax
from rich.table import Table
from rich.text import Text

import synthjax
from synthjax.physics import ENGINES, auto_engine
from synthjax.training.devices import (
    CUDA_INSTALL,
    available_memory,
    compilation_cache,
    nvidia_driver,
    unused_gpu_hint,
)
from synthjax.training.offscreen import RendererUnavailable, gl_module

PACKAGES = ("jax", "jaxlib", "mujoco", "mujoco-mjx", "flax", "optax")


class Status(StrEnum):
    """How a check came out."""

    OK = "ok"
    ABSENT = "absent"  # not here, and not needed for what was asked
    PROBLEM = "problem"  # something that the user would expect does not work


@dataclasses.dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    value: str
    status: Status = Status.OK
    fix: str = ""  # the command, or the sentence with it, that changes the status


def examine() -> tuple[Check, ...]:
    """Looks at the whole installation; takes a few seconds, raises nothing that a broken part raises."""
    return (
        *_versions(),
        *_devices(),
        *_engines(),
        _cache(),
        _renderer(),
        _encoder(),
        _clip_tools(),
        _export_tools(),
    )


def table(checks: Iterable[Check]) -> Table:
    """The report for the terminal."""
    marks = {
        Status.OK: Text("ok", "green"),
        Status.ABSENT: Text("absent", "dim"),
        Status.PROBLEM: Text("problem", "bold red"),
    }
    grid = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for check in checks:
        grid.add_row(Text(check.name, "bold"), marks[check.status], Text(check.value))
        if check.fix:
            grid.add_row("", "", Text(check.fix, "yellow"))
    return grid


def _versions() -> list[Check]:
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    packages = [Check(name, importlib.metadata.version(name)) for name in PACKAGES]
    return [Check("python", python), Check("synthjax", synthjax.__version__), *packages]


def _devices() -> list[Check]:
    driver = nvidia_driver()
    hint = unused_gpu_hint()
    devices = jax.devices()
    names = ", ".join(f"{device.device_kind} ({device.platform}:{device.id})" for device in devices)
    free = available_memory(devices[0])
    return [
        Check("devices", names, Status.PROBLEM if hint else Status.OK, hint or ""),
        Check("free memory", "not reported by the device" if free is None else f"{free / 2**30:.1f} GiB"),
        Check("NVIDIA driver", driver or "none", Status.OK if driver else Status.ABSENT),
    ]


def _engines() -> list[Check]:
    auto = auto_engine()
    values = {engine: "taken by --physics auto" if engine == auto else "available" for engine in ENGINES}
    checks = {engine: Check(f"engine {engine}", value) for engine, value in values.items()}
    if importlib.util.find_spec("warp") is None:
        fix = CUDA_INSTALL if auto == "warp" else "pip install 'synthjax[warp]'"
        status = Status.PROBLEM if auto == "warp" else Status.ABSENT
        checks["warp"] = Check("engine warp", "not installed", status, fix)
    return list(checks.values())


def _cache() -> Check:
    folder = compilation_cache()
    if folder is None:
        fix = "Set JAX_COMPILATION_CACHE_DIR to a folder that you can write to."
        return Check("program cache", "none: every run compiles anew", Status.PROBLEM, fix)
    return Check("program cache", str(folder))


def _renderer() -> Check:
    try:
        return Check("renderer", gl_module())
    except RendererUnavailable as error:
        return Check("renderer", "none: no video", Status.PROBLEM, str(error))


def _encoder() -> Check:
    try:
        return Check("video encoder", imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        fix = "pip install --force-reinstall imageio-ffmpeg"
        return Check("video encoder", "none: no video", Status.PROBLEM, fix)


def _clip_tools() -> Check:
    if importlib.util.find_spec("mink") is None:
        return Check("clip retargeting", "not installed", Status.ABSENT, "pip install 'synthjax[motion]'")
    return Check("clip retargeting", f"mink {importlib.metadata.version('mink')}")


def _export_tools() -> Check:
    for package in ("ai-edge-litert", "litert-converter"):
        if importlib.util.find_spec(package.replace("-", "_")) is None:
            value = f"{package} is not installed"
            return Check("TFLite export", value, Status.ABSENT, "pip install 'synthjax[deploy]'")
    return Check("TFLite export", f"litert-converter {importlib.metadata.version('litert-converter')}")
