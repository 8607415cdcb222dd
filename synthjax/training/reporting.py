"""Where the report and the video of a run go."""

from __future__ import annotations

from pathlib import Path


def report_file(folder: Path, variant: str = "") -> Path:
    """Where the figures of the run in ``folder`` go; ``variant`` tells other settings from the run's own."""
    return folder / f"evaluation{variant}.json"


def video_file(folder: Path, variant: str = "") -> Path:
    """The same for its video."""
    return folder / f"video{variant}.mp4"
