"""The command ``synthjax bundle``, which needs no JAX."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, cast

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from synthjax.cli.parsing import parse


@dataclasses.dataclass(frozen=True)
class VerifyOptions:
    """Say what a bundle holds, whether every byte of it is as it was written, and whether it can be used."""

    bundle: Annotated[Path, tyro.conf.Positional]  # zip file or folder, or a folder that one is installed in


@dataclasses.dataclass(frozen=True)
class InstallOptions:
    """Install a bundle into a folder, as a headset does at first launch; the newer one wins."""

    bundle: Annotated[Path, tyro.conf.Positional]  # zip file or folder
    to: Path  # folder of installations; made if missing
    with_training: tyro.conf.FlagCreatePairsOff[bool] = False  # the files for fine-tuning too


_BundleOptions = (
    Annotated[VerifyOptions, tyro.conf.subcommand("verify")]
    | Annotated[InstallOptions, tyro.conf.subcommand("install")]
)


def bundle(args: list[str]) -> None:
    """Verify or install what 'synthjax export' made for a device."""
    options = parse(bundle, "bundle", cast(Any, _BundleOptions), args, tyro.MISSING)
    from synthjax.deploy.bundle import check_verdicts, verify_bundle
    from synthjax.deploy.install import install_bundle, installed_folder
    from synthjax.deploy.schema import check_contents

    console = Console(markup=False, highlight=False)
    if isinstance(options, InstallOptions):
        done = install_bundle(options.bundle, options.to, options.with_training)
        version, exported = done.bundle.age
        console.print(
            f"{done.bundle.manifest['name']}, version {version} of {exported}: "
            f"{'installed' if done.installed else 'nothing to do'}, {done.reason}.",
            soft_wrap=True,
        )
        return
    path = installed_folder(options.bundle) or options.bundle
    found, verdicts = verify_bundle(path)
    version, exported = found.age
    console.print(f"{found.manifest['name']}, version {version} of {exported}", soft_wrap=True)
    console.print(f"format {found.manifest['format']}, hash {found.digest}", soft_wrap=True)
    table = Table.grid(padding=(0, 2))
    for verdict in verdicts:
        table.add_row(
            Text(verdict.name, overflow="fold"),
            verdict.part,
            Text(f"{verdict.size:,} bytes", justify="right"),
            Text(verdict.finding, "green" if verdict.good else "bold red"),
        )
    console.print(table)
    check_verdicts(path, verdicts)
    check_contents(found.manifest, found.files)
