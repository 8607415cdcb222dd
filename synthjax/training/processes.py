"""Several processes as one run: who leads, what all agree on, and how they end together.

JAX's processes run the same program in step: one that takes another turn leaves the others waiting in a
collective.  So whatever one process alone knows, a mistake or a file, is told to all before they go on.  In a
run of one process nothing here does anything.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from synthjax import interrupts
from synthjax.errors import UserError
from synthjax.training import rendezvous
from synthjax.training.rendezvous import DistributedConfig

Value = TypeVar("Value")
# Words of JAX for a collective that a process has left; each kind of device has its own.
_LOST = ("Gloo ", "NCCL", "UNAVAILABLE", "coordination service")


def several() -> bool:
    """Whether this is one of the processes of a run that has not ended yet."""
    return jax.distributed.is_initialized()


def leads() -> bool:
    """Whether this process writes what there is once: display, record, configuration, video."""
    return jax.process_index() == 0


@contextlib.contextmanager
def joined(config: DistributedConfig) -> Iterator[None]:
    """Makes this process one of a run's, if ``config`` says so; before anything else is done with JAX.

    An error of this process alone ends it at once: at a regular end it would wait for the others, and they
    for it.

    Raises:
      UserError: the processes do not find one another.
    """
    if not config.wanted:
        yield
        return
    _join(config)
    try:
        yield
    except BaseException as error:
        if not several():  # all have left, see together()
            raise
        code = _last_words(error)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    jax.distributed.shutdown()


@contextlib.contextmanager
def together() -> Iterator[None]:
    """A mistake in here, on any process, ends all of them, each with a sentence.

    All processes have to come here.  Where there are collectives in it, one that fails must have taken part
    in all of them.

    Raises:
      UserError: what another process says.
    """
    if not several():
        yield
        return
    failure: BaseException | None = None
    try:
        yield
    except Exception as error:
        failure = error
    except SystemExit as stop:  # the parser has said why
        failure = stop
    if not several():  # left in an inner one
        assert failure is not None
        raise failure
    said = _exchange("" if failure is None else _sentence(failure))
    if any(said):
        jax.distributed.shutdown()
        raise failure or UserError(next(f"Process {i}: {words}" for i, words in enumerate(said) if words))


def from_first(compute: Callable[[], Value]) -> Value:
    """What ``compute`` returns on process 0, in JSON's types; the others do not call it.

    Raises:
      UserError: it failed, see :func:`together`.
    """
    if not several():
        return compute()
    value = None
    with together():
        if leads():
            value = compute()
    result: Value = json.loads(_exchange(json.dumps(value))[0])
    return result


def check_same(settings: Mapping[str, Any]) -> None:
    """Refuses processes that were started with other ``settings`` than process 0.

    Raises:
      UserError: names one that differs.
    """
    own = {name: str(value) for name, value in settings.items()}
    first = from_first(lambda: own)
    with together():
        for name in first | own:
            if first.get(name) != own.get(name):
                raise UserError(
                    f"{name} is {own.get(name)} here and {first.get(name)} on process 0: start all processes "
                    "with the same version and the same options."
                )


def _join(config: DistributedConfig) -> None:
    if config.timeout < 1.0:
        raise UserError(f"--distributed.timeout is {config.timeout}: give at least a second.")
    place: dict[str, Any] = {}
    if config.named:
        address, number, process = config.place()
        rendezvous.meet(address, number, process, config.timeout)
        # Nothing is left to guess, not even the devices: a launcher's variables may be of another program.
        place = {"coordinator_address": address, "num_processes": number, "process_id": process}
        place["cluster_detection_method"] = "deactivate"
    on_terminate = signal.getsignal(signal.SIGTERM)
    try:
        jax.distributed.initialize(initialization_timeout=round(config.timeout), **place)
    except ValueError as error:
        raise UserError(
            f"JAX does not find out which processes there are ({error}): start them with SLURM, Open MPI or "
            "Kubernetes or on a TPU pod, or give --distributed.coordinator HOST:PORT, "
            "--distributed.processes and --distributed.process."
        ) from error
    # JAX takes SIGTERM for a notice that its own users ask for: this process would not end by it.
    signal.signal(signal.SIGTERM, on_terminate)
    # Connects the devices while all processes are at the same place: on CPUs they wait for 30 s only.
    _exchange("")
    if not leads():
        logging.getLogger("synthjax").setLevel(logging.ERROR)  # the first one warns for all


def _exchange(text: str) -> list[str]:
    """The texts of all processes, by their numbers."""
    own = np.frombuffer(text.encode(), np.uint8)
    sizes = np.atleast_1d(multihost_utils.process_allgather(np.int32(len(own))))
    room = 256
    while room < sizes.max():  # few sizes, so that little is compiled
        room *= 2
    rows = multihost_utils.process_allgather(np.pad(own, (0, room - len(own)))).reshape(len(sizes), room)
    return [row[:size].tobytes().decode() for row, size in zip(rows, sizes, strict=True)]


def _sentence(failure: BaseException) -> str:
    if isinstance(failure, UserError):
        return str(failure)
    if isinstance(failure, SystemExit):
        return "it cannot take its options and says why."
    return f"it failed ({type(failure).__name__}: {failure})."


def _last_words(error: BaseException) -> int:
    """Says why this process ends alone, and gives its exit code."""
    if isinstance(error, KeyboardInterrupt):
        return interrupts.INTERRUPTED
    lost = isinstance(error, ValueError | RuntimeError) and any(word in str(error) for word in _LOST)
    if lost:
        reason = str(error).splitlines()[0]
        sentence = (
            f"Another process of this run has ended or cannot be reached ({reason}): see what it says, then "
            "start all of them again with --resume."
        )
    elif isinstance(error, UserError):
        sentence = str(error)
    else:
        traceback.print_exception(error)
        return 1
    print(f"Error: {sentence}", file=sys.stderr)
    return 2
