"""Motion clips: their format, the library that is sampled on the device, importers and retargeting."""

from synthjax.motion.clip import Clip
from synthjax.motion.clip_file import load_clip, save_clip
from synthjax.motion.library import MotionLibrary, resolve_motions, shipped_names

__all__ = ["Clip", "MotionLibrary", "load_clip", "resolve_motions", "save_clip", "shipped_names"]
