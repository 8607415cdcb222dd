"""Before JAX connects the processes of a run: are all of them there, and do they agree who is who?

JAX's runtime aborts a process, past all of Python, when a peer is missing or its port is taken.  On machines
without a launcher, where both happen easily, the processes therefore meet once before, at the same address.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import time
from typing import Any

import tyro

from synthjax.errors import UserError

_HELLO_SECONDS = 5.0  # within which a connection has to say who it is
_LINE_BYTES = 4096  # the longest line that is read


@dataclasses.dataclass(frozen=True)
class DistributedConfig:
    """How the processes of a run find one another; without any of these it has one process."""

    # as SLURM, Open MPI, Kubernetes or Cloud TPU say; --distributed for short
    auto: tyro.conf.FlagCreatePairsOff[bool] = False
    coordinator: str | None = None  # HOST:PORT of process 0; JAX_COORDINATOR_ADDRESS if not given
    processes: int | None = None  # how many there are
    process: int | None = None  # which of them this is, from 0
    timeout: float = 300.0  # s that processes wait for one another at the start

    @property
    def wanted(self) -> bool:
        """Whether the run has several processes at all."""
        return self.auto or self.named

    @property
    def named(self) -> bool:
        """Whether the user says who is who."""
        return (self.coordinator, self.processes, self.process) != (None, None, None)

    def place(self) -> tuple[str, int, int]:
        """(address of process 0, number of processes, which of them this is), as the user says.

        Raises:
          UserError: not all of them are given, or they cannot be.
        """
        address = self.coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
        if address is None or self.processes is None or self.process is None:
            raise UserError(
                "Several processes without a launcher need --distributed.coordinator HOST:PORT, "
                "--distributed.processes and --distributed.process."
            )
        if self.processes < 1 or not 0 <= self.process < self.processes:
            raise UserError(
                f"--distributed.process is {self.process} of --distributed.processes {self.processes}: "
                "count them from 0, each with a number of its own."
            )
        _host_and_port(address)
        return address, self.processes, self.process


def meet(address: str, processes: int, process: int, timeout: float) -> None:
    """Returns in all ``processes`` once they have met at ``address``, HOST:PORT on the machine of process 0.

    Raises:
      UserError: the port cannot be opened, a process is missing after ``timeout`` seconds, or two have the
        same number; the sentence is the same for all that have come.
    """
    host, port = _host_and_port(address)
    if processes == 1:
        return
    if process == 0:
        _receive(port, processes, timeout)
    else:
        _call(host, port, {"process": process, "processes": processes}, timeout)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 2**16:
        raise UserError(f"The coordinator's address is '{address}': give HOST:PORT, such as 10.0.0.1:1234.")
    return host.strip("[]"), int(port)


def _receive(port: int, processes: int, timeout: float) -> None:
    """Process 0: waits for the others and tells them how it ended."""
    deadline = time.monotonic() + timeout
    with contextlib.ExitStack() as open_ones:
        try:
            both = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if both else socket.AF_INET
            listener = open_ones.enter_context(
                socket.create_server(("", port), family=family, dualstack_ipv6=both)
            )
        except OSError as error:
            raise UserError(
                f"Port {port} cannot be opened on this machine ({error.strerror}): choose another for "
                "--distributed.coordinator."
            ) from error
        come: dict[int, socket.socket] = {}
        problem = ""
        while len(come) < processes - 1 and not problem:
            listener.settimeout(max(deadline - time.monotonic(), 1e-3))
            try:
                peer = open_ones.enter_context(listener.accept()[0])
            except TimeoutError:
                missing = [str(number) for number in range(1, processes) if number not in come]
                problem = (
                    f"Of {processes} processes number {', '.join(missing)} did not come to port {port} "
                    f"within {timeout:g} s: start all of them, or check the address and the firewall."
                )
                break
            hello = _hello(peer)
            if hello is None:
                peer.close()  # not one of ours
                continue
            number = hello["process"]
            if hello["processes"] != processes:
                problem = (
                    f"Process {number} was told that there are {hello['processes']} processes and process 0 "
                    f"that there are {processes}: give all the same --distributed.processes."
                )
            elif number in come and not _gone(come[number]):
                problem = f"Two processes have --distributed.process {number}: give each its own."
            else:
                come[number] = peer
                continue
            _send(peer, problem)
        for peer in come.values():
            _send(peer, problem)
        if problem:
            raise UserError(problem)
        # The others close first, which leaves the port free for JAX.
        for peer in come.values():
            _line(peer, _HELLO_SECONDS)


def _call(host: str, port: int, hello: dict[str, int], timeout: float) -> None:
    """Any other process: says that it is there and waits until all are."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            with socket.create_connection((host, port), timeout=_HELLO_SECONDS) as connection:
                connection.sendall(json.dumps(hello).encode() + b"\n")
                # Process 0 may have begun to wait just now.
                answer = _line(connection, timeout + _HELLO_SECONDS)
            reason = "it was stopped"
        except OSError as error:
            answer, reason = None, error.strerror or str(error)
        if answer is not None:
            break
        if time.monotonic() > deadline:
            raise UserError(
                f"Process 0 did not answer at {host}:{port} within {timeout:g} s ({reason}): start it, or "
                "check the address and the firewall."
            )
        time.sleep(0.1)
    if answer:
        raise UserError(answer)


def _hello(peer: socket.socket) -> dict[str, Any] | None:
    """What a process says of itself; None from a stranger."""
    try:
        hello = json.loads(_line(peer, _HELLO_SECONDS) or "")
        return {"process": int(hello["process"]), "processes": int(hello["processes"])}
    except (ValueError, KeyError, TypeError):
        return None


def _line(connection: socket.socket, timeout: float) -> str | None:
    """The next line without its end; None if the other side closes or is silent for ``timeout`` seconds."""
    connection.settimeout(timeout)
    try:
        with connection.makefile("rb") as lines:
            line = lines.readline(_LINE_BYTES)
    except OSError:
        return None
    return line.decode(errors="replace").rstrip("\n") if line.endswith(b"\n") else None


def _send(peer: socket.socket, sentence: str) -> None:
    with contextlib.suppress(OSError):  # it has gone: its own terminal says why
        peer.sendall(sentence.encode() + b"\n")


def _gone(peer: socket.socket) -> bool:
    """Whether the other side has closed; before it is answered it has nothing more to say."""
    peer.setblocking(False)
    try:
        return not peer.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True
