"""Where MuJoCo's warnings go."""

from __future__ import annotations

import logging

import mujoco

_log = logging.getLogger(__name__)


def silence_warnings() -> None:
    """Sends MuJoCo's warnings to ``logging`` at DEBUG: its default is stderr and a file in the cwd.

    They are counted per world all the same.  A handler that the user has installed stays.
    """
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(lambda message: _log.debug("MuJoCo: %s", message))
