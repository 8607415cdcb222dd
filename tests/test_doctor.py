"""The doctor and the device helpers, with the machine's answers replaced by known ones."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from synthjax import cli
from synthjax.errors import UserError
from synthjax.training import devices, doctor
from synthjax.training.offscreen import RendererUnavailable


def test_report_as_json_names_the_engine_that_auto_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    taken = [name for name, check in checks.items() if check["value"] == "taken by --physics auto"]
    expected = {"cpu": "engine native", "gpu": "engine warp"}.get(jax.default_backend(), "engine mjx")
    assert taken == [expected]
    assert checks["jax"]["value"] == jax.__version__


def test_table_shows_the_command_that_helps(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    checks = [doctor.Check("renderer", "none", doctor.Status.PROBLEM, "apt-get install something")]
    Console(width=80).print(doctor.table(checks))
    shown = capsys.readouterr().out
    assert "problem" in shown
    assert "apt-get install something" in shown


def test_missing_renderer_is_a_problem_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise RendererUnavailable("No video: install libegl1.")

    monkeypatch.setattr(doctor, "gl_module", broken)
    checks = {check.name: check for check in doctor.examine()}
    assert checks["renderer"].status == doctor.Status.PROBLEM
    assert checks["renderer"].fix == "No video: install libegl1."


def test_missing_warp_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "warp" else find(name))
    checks = {check.name: check for check in doctor.examine()}
    assert checks["engine warp"].status != doctor.Status.OK
    assert checks["engine warp"].fix.startswith("pip install 'synthjax[")


@pytest.mark.parametrize("package", ["ai_edge_litert", "litert_converter"])
def test_a_missing_part_of_the_export_names_its_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else object())
    check = doctor._export_tools()
    assert check.status == doctor.Status.ABSENT
    assert package.replace("_", "-") in check.value
    assert check.fix == "pip install 'synthjax[deploy]'"


def answer(stdout: str, returncode: int = 0):
    return lambda *args, **options: types.SimpleNamespace(stdout=stdout, returncode=returncode)


@pytest.mark.parametrize(
    ("system", "part"), [("Linux", "pip install 'synthjax[cuda]'"), ("Windows", "inside WSL 2")]
)
def test_unused_gpu_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch, system: str, part: str) -> None:
    monkeypatch.setattr(devices.shutil, "which", lambda name: name)
    monkeypatch.setattr(subprocess, "run", answer("570.86.10\n570.86.10\n"))
    monkeypatch.setattr(devices.platform, "system", lambda: system)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert devices.nvidia_driver() == "570.86.10"
    hint = devices.unused_gpu_hint()
    assert hint is not None
    assert part in hint
    assert "\n" not in hint


def test_no_hint_where_the_gpu_is_used_or_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.shutil, "which", lambda name: name)
    monkeypatch.setattr(subprocess, "run", answer("", returncode=9))  # driver loaded, no GPU
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert devices.unused_gpu_hint() is None
    monkeypatch.setattr(subprocess, "run", answer("570.86.10\n"))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert devices.unused_gpu_hint() is None


def test_too_large_a_run_is_refused_before_it_allocates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available_memory", lambda device: 2**30)
    devices.check_memory(2**30, str)
    with pytest.raises(UserError, match=r"about 3\.0 GiB .* has 1\.0 GiB left: free 2147483648\."):
        devices.check_memory(3 * 2**30, lambda excess: f"free {excess}")


def test_memory_limit_of_a_container_counts_cached_files_as_free(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 300\nactive_file 200\ninactive_file 400\n")
    assert devices._container_memory(tmp_path) == 1000 - (900 - 600)
    (tmp_path / "memory.max").write_text("max\n")
    assert devices._container_memory(tmp_path) > 2**60


def test_memory_of_a_tree_needs_no_arrays() -> None:
    shapes = jax.eval_shape(lambda: {"a": jnp.zeros((10, 3)), "b": jnp.zeros(7, jnp.int8)})
    assert devices.tree_bytes(shapes) == 10 * 3 * 4 + 7


@pytest.mark.parametrize(
    ("system", "variable", "expected"),
    [
        ("Linux", {"XDG_CACHE_HOME": "cache"}, Path("cache/synthjax")),
        ("Linux", {}, Path("home/.cache/synthjax")),
        ("Darwin", {}, Path("home/Library/Caches/synthjax")),
        ("Windows", {"LOCALAPPDATA": "local"}, Path("local/synthjax")),
    ],
)
def test_cache_folder_follows_the_system(
    monkeypatch: pytest.MonkeyPatch, system: str, variable: dict[str, str], expected: Path
) -> None:
    monkeypatch.setattr(devices.platform, "system", lambda: system)
    monkeypatch.setattr(devices.Path, "home", classmethod(lambda cls: Path("home")))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    assert devices.user_cache_dir() == expected


def test_cache_folder_that_cannot_be_made_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    (tmp_path / "file").touch()
    monkeypatch.setattr(devices, "user_cache_dir", lambda: tmp_path / "file")
    assert devices.compilation_cache() is None
    devices.enable_compilation_cache()
