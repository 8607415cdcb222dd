"""Checkpoints: the whole training state on disk, whole or not at all.

Orbax stores the arrays and renames a finished checkpoint into place, on one process or many.  Around it
stand four things it leaves open: any pytree (typed random keys, Python numbers, empty arrays) comes back
as it was, damage is found before it is loaded (Orbax restores a flipped bit without a word), a checkpoint
of another body or network is refused by name, and what is large is kept by the newest checkpoint only.
"""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp

from synthjax.errors import UserError
from synthjax.training import processes
from synthjax.training.checkpoint_checks import (
    cannot_write,
    check_expected,
    check_layout,
    check_room,
    is_storage_error,
)
from synthjax.training.checksums import damage_of, write_checksums
from synthjax.training.leaves import as_template, describe, named_leaves, storable
from synthjax.types import PyTree

State = TypeVar("State")
logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
REPLAY = "replay"  # in the folder of a checkpoint: the part that only the newest one keeps
DAMAGED = ".damaged"


class CheckpointManager:
    """The checkpoints of one run, under ``run_dir/checkpoints/<step>``.

    Kept are the newest ``keep`` and the one with the highest score.  A part of the state, such as a replay,
    can be kept by the newest one only: it goes from the others once a newer checkpoint is whole.  Saving is
    synchronous, so that the state it is given may be donated right after; without a replay it takes a
    fraction of a second.

    In a run of several processes all of them save and restore together, in one folder that all share.  Each
    writes what its devices hold; what is there, and whether it is whole, is what the first one finds.
    """

    def __init__(self, run_dir: Path, keep: int = 3, read_only: bool = False) -> None:
        """``read_only`` is for everyone but the run's own training program: it never touches the folder.

        Raises:
          UserError: the folder cannot be written.
        """
        # Orbax insists on absolute paths.
        self._folder = run_dir.absolute() / FOLDER
        self._keep = keep
        self._read_only = read_only
        try:
            if not read_only:
                self._folder.mkdir(parents=True, exist_ok=True)
            self._orbax = ocp.CheckpointManager(
                self._folder,
                item_names=("state", REPLAY, "metadata"),
                options=ocp.CheckpointManagerOptions(
                    create=False,  # Orbax's own read_only only adds warnings to never saving
                    cleanup_tmp_directories=not read_only,
                    enable_async_checkpointing=False,
                    save_root_metadata=False,
                ),
            )
        except OSError as error:
            raise cannot_write(self._folder, error) from error

    def steps(self) -> list[int]:
        """Steps with a checkpoint, oldest first."""
        return sorted(self._orbax.all_steps())

    def latest_step(self) -> int | None:
        """The newest step with a checkpoint, or None."""
        return max(self.steps(), default=None)

    def best_step(self) -> int | None:
        """The step whose checkpoint has the highest score (the newest of equals), or None without scores."""
        scored = [(score, step) for step in self.steps() if (score := self._score(step)) is not None]
        return max(scored, default=(0.0, None))[1]

    def metadata(self, step: int) -> dict[str, Any]:
        """What :meth:`save` was given as ``metadata`` at ``step``.

        Raises:
          DamagedCheckpoint: it cannot be read.
        """
        return self._record(step)["metadata"]

    def save(
        self,
        step: int,
        state: PyTree,
        metadata: Mapping[str, Any],
        score: float | None = None,
        lasting: PyTree | None = None,
    ) -> None:
        """Writes ``state`` and the JSON-like ``metadata`` as the checkpoint of ``step``.

        A step that is on disk already is left alone: a run that is stopped right after a save saves nothing
        new.  At any moment of a save, a kill leaves either the checkpoint before it as it was or this one,
        whole and with all of ``state``.

        Args:
          step: its number.
          state: any pytree of arrays and numbers.
          metadata: what :meth:`restore` gives back and compares.
          score: to compare checkpoints by, higher is better.
          lasting: ``state`` with None in place of what the checkpoint loses once there is a newer one; it
            keeps all of it if not given.

        Raises:
          UserError: the disk is full or the folder cannot be written; earlier checkpoints stay usable.
        """
        if step in self.steps():
            return
        leaves = named_leaves(state)
        lasts = leaves if lasting is None else named_leaves(lasting)
        replay = {name: leaf for name, leaf in leaves.items() if name not in lasts}
        record = {
            "metadata": dict(metadata),
            "score": score,
            "layout": {name: describe(leaf) for name, leaf in leaves.items()},
            REPLAY: list(replay),
        }
        items = {"state": ocp.args.PyTreeSave(storable(lasts)), "metadata": ocp.args.JsonSave(record)}
        if replay:
            items[REPLAY] = ocp.args.PyTreeSave(storable(replay))
        with processes.together():
            check_room(self._folder, sum(array.nbytes for array in storable(leaves).values()))
        try:
            self._orbax.save(step, args=ocp.args.Composite(**items), force=True)
            if processes.leads():
                write_checksums(self._folder / str(step))
        except Exception as error:
            for leftover in self._folder.glob(f"{step}.orbax-checkpoint-tmp*"):
                shutil.rmtree(leftover, ignore_errors=True)
            if not is_storage_error(error):
                raise
            raise cannot_write(self._folder, error) from error
        for old in self._expendable():
            self._orbax.delete(old)
        for old in self.steps()[:-1]:
            self._drop_replay(old)

    def restore_latest(
        self, template: State, expected: Mapping[str, Any] | None = None
    ) -> tuple[State, dict[str, Any]] | None:
        """The newest whole checkpoint as ``(state, metadata)``, or None if the run has none yet.

        Damaged checkpoints are passed over with a warning; the one before has lost its replay.  See
        :meth:`restore` for the arguments.

        Raises:
          UserError: checkpoints exist but none is whole, or see :meth:`restore`.
        """
        steps = processes.from_first(self.steps)
        for step in reversed(steps):
            try:
                return self.restore(step, template, expected)
            except DamagedCheckpoint as error:
                logger.warning("%s Going back to the checkpoint before it.", error)
                self._set_aside(step)
        if steps:
            raise UserError(
                f"No checkpoint in {self._folder} can be read: start a new run or copy one back in."
            )
        return None

    def restore(
        self, step: int, template: State, expected: Mapping[str, Any] | None = None, partial: bool = False
    ) -> tuple[State, dict[str, Any]]:
        """The checkpoint of ``step`` as ``(state, metadata)``, bit for bit.

        Where the part that only the newest checkpoint keeps is gone or damaged, it comes back as it is in
        ``template``, with a warning.

        Args:
          template: a pytree of the same structure; arrays come back with the type, the random-key
            implementation and the sharding of its leaves.  ``jax.ShapeDtypeStruct`` leaves come back as
            arrays on the default device.
          expected: metadata entries that must be equal, such as the body's hash.
          partial: leave out what the template leaves out (``None`` in place of a subtree); otherwise the
            two must have the same leaves.

        Raises:
          UserError: no checkpoint of this step, or one of another body, layout or network.
          DamagedCheckpoint: the files are not what was written.
        """
        if step not in self.steps():
            raise UserError(f"{self._folder} has no checkpoint {step}: choose one of {self.steps()}.")
        folder = self._folder / str(step)
        damage = processes.from_first(lambda: damage_of(folder, outside=REPLAY))
        if damage:
            raise DamagedCheckpoint(f"Checkpoint {folder} is damaged ({damage}).")
        leaves = named_leaves(template)
        record = self._record(step)
        check_expected(folder, record["metadata"], expected or {})
        check_layout(
            folder, record["layout"], {name: describe(leaf) for name, leaf in leaves.items()}, partial
        )
        replay = {name: leaves[name] for name in record[REPLAY] if name in leaves}
        lasting = {name: leaf for name, leaf in leaves.items() if name not in replay}
        stored = self._read(step, "state", lasting, partial)
        if replay:
            lost = processes.from_first(lambda: self._loss_of_replay(folder))
            if lost:
                logger.warning(
                    "Checkpoint %s lacks its replay (%s): going on with an empty one.", folder, lost
                )
            else:
                stored |= self._read(step, REPLAY, replay, partial)
        restored = [as_template(stored.get(name), leaf) for name, leaf in leaves.items()]
        return jax.tree.unflatten(jax.tree.structure(template), restored), record["metadata"]

    def _read(self, step: int, item: str, leaves: Mapping[str, Any], partial: bool) -> dict[str, Any]:
        """The stored arrays of an item of the checkpoint, by name."""
        target = storable(leaves)
        arguments = ocp.args.PyTreeRestore(
            item=target,
            restore_args=ocp.checkpoint_utils.construct_restore_args(target),
            partial_restore=partial,
        )
        # Its files are what was written, so an error in here (no memory left) is not the checkpoint's.
        return dict(self._orbax.restore(step, args=ocp.args.Composite(**{item: arguments}))[item])

    def _record(self, step: int) -> dict[str, Any]:
        try:
            args = ocp.args.Composite(metadata=ocp.args.JsonRestore())
            record = self._orbax.restore(step, args=args)["metadata"]
            return {key: record[key] for key in ("metadata", "score", "layout", REPLAY)}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedCheckpoint(f"Checkpoint {self._folder / str(step)} is damaged ({error}).") from error

    def _score(self, step: int) -> float | None:
        try:
            score = self._record(step)["score"]
        except DamagedCheckpoint:
            return None  # nobody's best
        return None if score is None or math.isnan(score) else score

    def _expendable(self) -> list[int]:
        best = self.best_step()
        return [step for step in self.steps()[: -self._keep] if step != best]

    def _loss_of_replay(self, folder: Path) -> str | None:
        """Why a checkpoint that was saved with a replay has none that can be read; None if it has."""
        if not (folder / REPLAY).exists():
            return "only the newest one keeps it"
        return damage_of(folder, inside=REPLAY)

    def _drop_replay(self, step: int) -> None:
        """Takes the replay out of an older checkpoint: by one renaming, so that it is never there in part."""
        if processes.leads():
            folder = self._folder / str(step)
            dropped = folder / f".{REPLAY}.dropped"
            # On Windows somebody may have it open: the next save tries again.
            with contextlib.suppress(OSError):
                (folder / REPLAY).rename(dropped)
            shutil.rmtree(dropped, ignore_errors=True)

    def _set_aside(self, step: int) -> None:
        """Frees a damaged checkpoint's number, so that the run can save that step again."""
        if not self._read_only:
            processes.from_first(lambda: self._rename_damaged(step))
            self._orbax.reload()

    def _rename_damaged(self, step: int) -> None:
        folder = self._folder / str(step)
        aside = folder.with_name(folder.name + DAMAGED)
        if aside.exists():
            shutil.rmtree(aside)
        folder.rename(aside)


class DamagedCheckpoint(UserError):
    """The files of a checkpoint are not what was written."""
