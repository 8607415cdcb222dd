"""What runs in the process of :class:`fbx_files.Forks`: it has only the standard library, NumPy and ufbx."""

from __future__ import annotations

import os
import resource
import signal
import struct
import sys

import fbx_process
import numpy
import ufbx

LOADED = (numpy, ufbx)


def serve(seconds: int) -> None:
    """Answers each line of the standard input, a file, with what its reader said, and how it ended."""
    out = os.fdopen(os.dup(1), "wb")
    for line in sys.stdin.buffer:
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writes, 1)
            signal.alarm(seconds)
            _read(os.fsdecode(line.rstrip(b"\n")))
        os.close(writes)
        with os.fdopen(reads, "rb") as pipe:
            content = pipe.read()
        _, status = os.waitpid(child, 0)
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        ended = (os.WTERMSIG(status), 0) if os.WIFSIGNALED(status) else (0, os.WEXITSTATUS(status))
        out.write(struct.pack("<IIII", *ended, memory, len(content)) + content)
        out.flush()


def _read(path: str) -> None:
    sys.argv[1:] = [path, ""]
    try:
        fbx_process.main()
        sys.stdout.flush()
    except BaseException:
        os._exit(1)
    os._exit(0)
