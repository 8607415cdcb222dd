"""What the machine offers: accelerators, memory, and a place for compiled programs."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import jax
import psutil

from synthjax.errors import UserError
from synthjax.types import PyTree

CUDA_INSTALL = "pip install 'synthjax[cuda]'"
_GIB = 2**30


def user_cache_dir() -> Path:
    """The folder where this operating system keeps the caches of ``synthjax``; not made here."""
    home = Path.home()
    system = platform.system()
    if system == "Windows":
        root = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif system == "Darwin":
        root = home / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return root / "synthjax"


def compilation_cache() -> Path | None:
    """The folder for compiled programs, made if missing; None where none can be made.

    A folder that the user has set with ``JAX_COMPILATION_CACHE_DIR`` comes first, as everywhere in JAX.
    """
    if chosen := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(chosen)
    folder = user_cache_dir() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder


def enable_compilation_cache() -> None:
    """Lets JAX keep compiled programs between runs; without a folder for them it compiles every time."""
    folder = compilation_cache()
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))


def nvidia_driver() -> str | None:
    """Version of the installed NVIDIA driver, or None without a driver or without a GPU."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    if shutil.which(query[0]) is None:
        return None
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    versions = answer.stdout.split()
    return versions[0] if answer.returncode == 0 and versions else None


def default_preset() -> str:
    """The preset for this machine: "cpu", or "gpu" where JAX has an accelerator."""
    return "cpu" if jax.default_backend() == "cpu" else "gpu"


def unused_gpu_hint() -> str | None:
    """One line with the command that makes JAX use the NVIDIA GPU it does not see; None if all is well."""
    if jax.default_backend() == "gpu" or nvidia_driver() is None:
        return None
    if platform.system() == "Windows":
        return f"An NVIDIA GPU is present; on Windows JAX reaches it only inside WSL 2, with: {CUDA_INSTALL}"
    return f"An NVIDIA GPU is present but JAX does not see it; install its support with: {CUDA_INSTALL}"


def available_memory(device: jax.Device) -> int | None:
    """Bytes that ``device`` can still allocate; None where the platform does not tell."""
    if device.platform == "cpu":
        return min(psutil.virtual_memory().available, _container_memory())
    stats = device.memory_stats()
    if not stats or "bytes_limit" not in stats:
        return None
    return int(stats["bytes_limit"] - stats["bytes_in_use"])


def _container_memory(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes left under the memory limit of a Linux container; beyond all memory without one.

    Cached files count as left: the kernel drops them when the memory is wanted.
    """
    try:
        limit = int((group / "memory.max").read_text())  # "max" without a limit: ValueError
        used = int((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return 2**62
    return limit - used + int(stat.get("active_file", 0)) + int(stat.get("inactive_file", 0))


def tree_bytes(tree: PyTree) -> int:
    """Bytes of all arrays in ``tree``; takes the shapes of ``jax.eval_shape`` as well."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def check_memory(bytes_needed: int, advice: Callable[[int], str]) -> None:
    """Raises UserError if the default device has less than ``bytes_needed`` left.

    Args:
        bytes_needed: estimate made before anything is allocated.
        advice: says what to lower for so many bytes too many.
    """
    device = jax.local_devices()[0]
    free = available_memory(device)
    if free is not None and bytes_needed > free:
        raise UserError(
            f"This run needs about {bytes_needed / _GIB:.1f} GiB of memory but the {device.platform} has "
            f"{free / _GIB:.1f} GiB left: {advice(bytes_needed - free)}."
        )
