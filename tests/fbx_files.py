"""FBX files for the tests: text of :func:`motion_sources.fbx` as binary, and reading of very many of them.

Binary FBX is nested records of an end offset, typed properties and children, as Blender's developers found.
"""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

from synthjax.motion.importers import fbx_process

_LINE = re.compile(r"^\s*(\w+):\s*(.*?)\s*(\{?)$")
_WORD = re.compile(r'"[^"]*"|[^,]+')
_HEAD = b"Kaydara FBX Binary  \0\x1a\0" + struct.pack("<I", 7400)
_END = bytes(13)  # a record of zeros ends a list of children
# Arrays that hold other than 32 bit numbers.
_ARRAYS = {"KeyTime": ("l", "q"), "KeyValueFloat": ("f", "f"), "KeyAttrDataFloat": ("f", "f")}


def binary(text: str) -> bytes:
    """The same file in binary, the times of its keys compressed."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(";")]
    out = _HEAD
    at = 0
    while at < len(lines):
        record, at = _record(lines, at, len(out))
        out += record
    return out + _END


def _record(lines: list[str], at: int, offset: int) -> tuple[bytes, int]:
    """The record that begins at line ``at`` and at byte ``offset``, and the line after it."""
    match = _LINE.match(lines[at])
    assert match, lines[at]
    name, words, opens = match.groups()
    at += 1
    array = words.startswith("*")
    properties = [] if array else [_property(word.strip()) for word in _WORD.findall(words)]
    children = b""
    start = offset + 13 + len(name)
    if array:
        numbers = [float(word) for word in lines[at].split(":")[1].split(",")]
        code, item = _ARRAYS.get(name, ("i", "i"))
        data = struct.pack(f"<{len(numbers)}{item}", *(numbers if item == "f" else map(int, numbers)))
        packed = name == "KeyTime"
        data = zlib.compress(data) if packed else data
        properties = [struct.pack("<cIII", code.encode(), len(numbers), packed, len(data)) + data]
        at += 2
    elif opens:
        start += len(b"".join(properties))
        while lines[at].strip() != "}":
            record, at = _record(lines, at, start + len(children))
            children += record
        at += 1
        children += _END
    listed = b"".join(properties)
    end = offset + 13 + len(name) + len(listed) + len(children)
    head = struct.pack("<IIIB", end, len(properties), len(listed), len(name)) + name.encode()
    return head + listed + children, at


def _property(word: str) -> bytes:
    if word.startswith('"'):
        kind, separator, name = word.strip('"').rpartition("::")
        value = (f"{name}\0\1{kind}" if separator else name).encode()
        return b"S" + struct.pack("<I", len(value)) + value
    if re.fullmatch(r"-?\d+", word):
        return b"L" + struct.pack("<q", int(word))
    return b"D" + struct.pack("<d", float(word))


_SECONDS = 30  # that one file may take


class Forks:
    """Reads files as the importer does, each in a fork of one process that has loaded what that takes.

    As isolated as a process of its own, and twenty times as fast.
    """

    def __init__(self) -> None:
        script = (
            f"import sys; sys.path[:0] = {[str(Path(p).parent) for p in (__file__, fbx_process.__file__)]!r}"
        )
        self.server = subprocess.Popen(
            [sys.executable, "-P", "-c", f"{script}; import fbx_forks; fbx_forks.serve({_SECONDS})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.crashed = 0  # by a signal
        self.largest = 0  # memory that a file took, kB

    def read(self, path: Path, take: str) -> bytes | None:
        """In place of :func:`synthjax.motion.importers.fbx.run_process`."""
        assert not take
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(str(path).encode() + b"\n")
        self.server.stdin.flush()
        signal, status, memory, length = struct.unpack("<IIII", self.server.stdout.read(16))
        content = self.server.stdout.read(length)
        assert signal != 14, f"reading took over {_SECONDS} s"  # SIGALRM
        self.crashed += signal != 0
        self.largest = max(self.largest, memory)
        return content if signal == status == 0 else None

    def close(self) -> None:
        self.server.communicate()
