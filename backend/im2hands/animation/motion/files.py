"""Writer of ``motion.npz``, the motion of a whole take; ``docs/take.md`` describes the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from im2hands.animation.template.files import handed
from im2hands.core.files import pack_arrays, write_atomically
from im2hands.core.hands import Side
from im2hands.take.take import MOTION_FILE

from .correctives import Correctives
from .quaternions import mirrored
from .solve import Motion, quaternion_track


@dataclass(frozen=True)
class HandMotion:
    """The motion of one hand: a right hand, or the mirror image of a left hand.

    Parameters
    ----------
    motion : Motion
        Motion of the rig over N frames.
    correctives : Correctives
        Its K corrective shapes.
    weights_raw : (N, K) float
        Weights of the shapes before smoothing; NaN where missing.
    weights : (N, K) float
        Smoothed weights of the shapes; NaN where missing.
    """

    motion: Motion
    correctives: Correctives
    weights_raw: np.ndarray
    weights: np.ndarray


def motion_arrays(frames: np.ndarray, fps: float, hands: Mapping[Side, HandMotion], key: str) -> dict[str, np.ndarray]:
    """The arrays of ``motion.npz``.

    Parameters
    ----------
    frames : (N,) int
        Frame indices.
    fps : float
        Frames per second.
    hands : mapping of Side to HandMotion
        The motion of each hand.
    key : str
        Hash of what the motion was computed from.

    Returns
    -------
    dict of str to np.ndarray
        Arrays by name; left hands are mirrored back.
    """
    arrays = {"frames": frames.astype(np.int32), "fps": np.array(fps, np.float32), "key": np.array(key)}
    for side, hand in hands.items():
        motion = hand.motion
        own: dict[str, np.ndarray] = {"status": motion.status.astype(np.uint8)}
        for name, pose in (("_raw", motion.raw), ("", motion.clean)):
            own[f"rotations{name}"] = _sided(quaternion_track(pose.rotations), side)
            own[f"root_rotation{name}"] = _sided(quaternion_track(pose.root_rotation), side)
            own[f"root{name}"] = handed(pose.root, side)
        own["keypoints_raw"] = handed(motion.keypoints_raw, side)
        own["keypoints"] = handed(motion.keypoints, side)
        own["offset_mean"] = handed(hand.correctives.mean, side)
        own["offset_basis"] = handed(hand.correctives.basis, side)
        own["offset_weights_raw"], own["offset_weights"] = hand.weights_raw, hand.weights
        for name, array in own.items():
            arrays[f"{side}_{name}"] = array if array.dtype == np.uint8 else array.astype(np.float32)
    return arrays


def write_motion(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write ``motion.npz``.

    Parameters
    ----------
    folder : Path
        Folder of the take.
    arrays : mapping of str to np.ndarray
        The result of ``motion_arrays``.

    Raises
    ------
    TakeError
        The file cannot be written.
    """
    write_atomically(folder / MOTION_FILE, pack_arrays(arrays))


def _sided(quaternions: np.ndarray, side: Side) -> np.ndarray:
    """Quaternions of a right hand as those of a hand of that side."""
    return mirrored(quaternions) if side == "left" else quaternions
