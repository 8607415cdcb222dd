"""How long frames took, what training did beside them, and a picture of both."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from pathlib import Path

import numpy as np

from synthjax.whole_files import replacing

_BLOCK = bytes(1 << 16)
_BIN = 0.5  # s, about, over which train steps are counted for the picture
_KEPT = 72 * 3600  # frames of a phase, the newest ones


class FrameLoad:
    """Work that takes a frame's thread a set time of its core: no memory traffic, and no hold on Python."""

    def __init__(self) -> None:
        """Measures how long a piece of it takes."""
        times = []
        for _ in range(50):
            begin = time.perf_counter()
            hashlib.sha256(_BLOCK)
            times.append(time.perf_counter() - begin)
        self._piece = float(np.median(times))

    def __call__(self, seconds: float) -> None:
        """Always the same work, so that whoever interrupts it makes it longer."""
        for _ in range(round(seconds / self._piece)):
            hashlib.sha256(_BLOCK)


@dataclasses.dataclass
class Frames:
    """Frames of a phase."""

    budget: float  # s
    # When it should have begun, s; how long after that it ended; the throttle's share; train steps so far.
    rows: list[tuple[float, float, float, int]] = dataclasses.field(default_factory=list)

    def add(self, begin: float, seconds: float, share: float, steps: int) -> None:
        """One frame; see ``rows``."""
        self.rows.append((begin, seconds, share, steps))
        if len(self.rows) > 2 * _KEPT:
            del self.rows[:-_KEPT]

    @property
    def seconds(self) -> np.ndarray:
        """(F,)."""
        return np.array([row[1] for row in self.rows])

    def figures(self) -> dict[str, float]:
        """Percentiles in ms, lost frames, and train steps a second; of one frame or more."""
        seconds = self.seconds
        p50, p99 = np.percentile(1e3 * seconds, [50, 99])
        first, last = self.rows[0], self.rows[-1]
        return {
            "frames": float(len(seconds)),
            "p50_ms": float(p50),
            "p99_ms": float(p99),
            "longest_ms": float(1e3 * seconds.max()),
            # A frame that ends late takes the place of those that should have begun meanwhile.
            "lost": float(np.sum(seconds // self.budget)),
            "train_steps_per_second": (last[3] - first[3]) / max(last[0] - first[0], 1e-9),
        }


def plot(frames: Frames, path: Path) -> None:
    """A PNG of frame times, the throttle's share and train steps a second over time; of one frame or more."""
    from PIL import Image, ImageDraw

    rows = np.array(frames.rows)
    begin = rows[:, 0] - rows[0, 0]
    end = float(max(begin[-1], frames.budget))  # one frame alone has no length either
    edges = np.linspace(0.0, end, max(round(end / _BIN), 1) + 1)
    steps = np.interp(edges, begin, rows[:, 3])
    panels = (
        ("frame time, ms (line: budget)", begin, 1e3 * rows[:, 1], 1e3 * frames.budget),
        ("share of the full training rate", begin, rows[:, 2], 1.0),
        ("train steps a second", edges[1:], np.diff(steps) / np.diff(edges), None),
    )
    width, height, left, top, gap = 1000, 170, 70, 20, 40
    image = Image.new("RGB", (width + left + 20, len(panels) * (height + gap) + top), "white")
    draw = ImageDraw.Draw(image)
    for index, (title, x, y, line) in enumerate(panels):
        base = top + index * (height + gap) + height
        most = max(float(np.max(y, initial=0.0)), line or 0.0, 1e-9) * 1.05

        def place(x: float, y: float, base: int = base, most: float = most) -> tuple[float, float]:
            return left + width * x / end, base - height * y / most

        draw.rectangle([left, base - height, left + width, base], outline="#999999")
        draw.text((left, base - height - 14), title, fill="black")
        draw.text((8, base - height), f"{most:.3g}", fill="black")
        draw.text((8, base - 10), "0", fill="black")
        if line is not None:
            draw.line([place(0.0, line), place(end, line)], fill="#cc3333")
        draw.line([place(a, b) for a, b in zip(x, y, strict=True)], fill="#225599")
    draw.text((left, image.height - 14), f"0 to {end:.0f} s", fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        image.save(partial, "PNG")
