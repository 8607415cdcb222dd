"""The floor of a source: the plane on which its feet stand, which capture often leaves tilted by a degree."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from scipy.spatial.transform import Rotation

from synthjax.motion.ground import intervals

_SPEED = 0.5  # leg lengths a second, slower feet stand
_SHORTEST = 0.05  # s
_SPREAD = 0.01  # leg lengths, standard deviation of the heights of stances over one floor
_TILT = 0.05  # rad, standard deviation of floors: what the stances do not tell is level
_INLIER = 0.03  # leg lengths, farther from the floor there is no stance
_MOST = 24  # stances that planes are tried through
_JUDGES = 400  # stances that the planes are judged by
_FEWEST = 2  # stances that make a floor
_SURE = 3.0  # standard errors; a smaller slope is none
_FITS = 3  # of the plane to those on it
_STEEPEST = np.radians(15.0)  # of a floor; stairs and ramps are left as they are


@dataclasses.dataclass(frozen=True)
class Floor:
    """A plane z = height + slope · (x, y)."""

    slope: np.ndarray  # (2,)
    height: float
    words: str  # what was found, for people

    def levelled(self, points: np.ndarray) -> np.ndarray:
        """``points`` (T, K, 3) with the plane at z = 0."""
        turned = self.turn.apply(points.reshape(-1, 3)).reshape(points.shape)
        return turned - [0.0, 0.0, self.height / np.sqrt(1.0 + self.slope @ self.slope)]

    @property
    def turn(self) -> Rotation:
        """That which makes the plane level."""
        steepness = float(np.linalg.norm(self.slope))
        axis = np.array([-self.slope[1], self.slope[0], 0.0]) / max(steepness, 1e-12)
        return Rotation.from_rotvec(np.arctan(steepness) * axis)


def fit_floor(feet: np.ndarray, fps: float, leg: float) -> Floor:
    """The plane through the stances of ``feet``, paths (T, K, 3) of points at one height over the soles.

    A stance is where a point is slow.  Of the planes through three stances (each drawn to level by a prior,
    as footprints in one line say nothing about the slope across it) the one with the most others on it, and
    none below it, is fitted to these by least squares (RANSAC, Fischler and Bolles 1981, over all triples).

    Args:
      feet: z up.
      fps: frames a second.
      leg: length of a leg in the unit of ``feet``.
    """
    stances = _stances(feet / leg, fps)
    if len(stances) < _FEWEST:
        return Floor(np.zeros(2), 0.0, f"taken as level, as the feet stand {len(stances)} times")
    some, judges = _spread(stances, _MOST), _spread(stances, _JUDGES)
    planes = np.array(
        [_plane(some[list(three)]) for three in itertools.combinations(range(len(some)), min(3, len(some)))]
    )
    above = judges[:, 2] - planes[:, 2:] - planes[:, :2] @ judges[:, :2].T
    on = np.abs(above) < _INLIER
    # What stands above the floor may be a raised leg; below it stands nothing.
    score = (
        on.sum(axis=-1) - (above < -_INLIER).sum(axis=-1) - 0.01 * np.abs(above * on).sum(axis=-1) / _INLIER
    )
    plane = planes[int(score.argmax())]
    for _ in range(_FITS):
        best = np.abs(stances[:, 2] - plane[2] - stances[:, :2] @ plane[:2]) < _INLIER
        if best.sum() < max(_FEWEST, 0.5 * len(stances)):
            return Floor(np.zeros(2), 0.0, f"taken as level: no plane fits most of {len(stances)} stances")
        plane = _plane(stances[best])
    slope, on_it = plane[:2], stances[best]
    off = on_it[:, 2] - plane[2] - on_it[:, :2] @ slope
    tilt = float(np.degrees(np.arctan(np.linalg.norm(slope))))
    off_mm = 1000.0 * leg * float(np.abs(off).mean())
    fit = f"{best.sum()} of {len(stances)} stances, on average {off_mm:.0f} mm from it"
    if tilt > np.degrees(_STEEPEST):
        return Floor(np.zeros(2), 0.0, f"taken as level: it is tilted by {tilt:.0f} degrees ({fit})")
    if np.linalg.norm(slope) < _SURE * _uncertainty(on_it, slope, off):
        return Floor(np.zeros(2), leg * float(on_it[:, 2].mean()), f"level as far as can be told ({fit})")
    return Floor(slope, leg * float(plane[2]), f"tilted by {tilt:.1f} degrees, levelled ({fit})")


def _uncertainty(stances: np.ndarray, slope: np.ndarray, off: np.ndarray) -> float:
    """Standard error of ``slope`` in its own direction; the ``stances`` (N, 3) are ``off`` (N,) the plane."""
    along = (stances[:, :2] - stances[:, :2].mean(axis=0)) @ slope / max(float(np.linalg.norm(slope)), 1e-12)
    scatter = np.sqrt(np.square(off).sum() / max(1, len(off) - 3))
    return float(max(scatter, 0.5 * _SPREAD) / max(np.sqrt(np.square(along).sum()), 1e-12))


def _spread(stances: np.ndarray, most: int) -> np.ndarray:
    """At most ``most`` of the ``stances`` (N, 3), from all parts of the motion."""
    return stances[np.linspace(0, len(stances) - 1, min(len(stances), most)).round().astype(int)]


def _stances(feet: np.ndarray, fps: float) -> np.ndarray:
    """(N, 3) where the points of ``feet`` (T, K, 3) stand, at the lower end of their heights there."""
    speed = np.linalg.norm(np.gradient(feet, 1.0 / fps, axis=0), axis=-1)
    found = []
    for point in range(feet.shape[1]):
        for start, stop in intervals(speed[:, point] < _SPEED):
            if stop - start >= _SHORTEST * fps:
                path = feet[start:stop, point]
                found.append([*np.median(path[:, :2], axis=0), np.percentile(path[:, 2], 25)])
    return np.array(found).reshape(-1, 3)


def _plane(points: np.ndarray) -> np.ndarray:
    """Slope along x and y and height at the origin (3,), of ``points`` (N, 3); about their middle as level
    as they allow."""
    middle = points.mean(axis=0)
    across = points[:, :2] - middle[:2]
    information = across.T @ across / _SPREAD**2 + np.eye(2) / _TILT**2
    slope = np.linalg.solve(information, across.T @ (points[:, 2] - middle[2]) / _SPREAD**2)
    return np.array([*slope, middle[2] - slope @ middle[:2]])
