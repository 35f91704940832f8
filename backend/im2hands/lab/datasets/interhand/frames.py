"""The files of a frame's hands, which all its views share: meshes, points, bones. The work of one worker."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.files import pack_arrays, write_atomically
from im2hands.core.hands import SIDES, Side
from im2hands.geometry.bones import QUERY_SCALE
from im2hands.geometry.mesh_file import write_off

from .layout import hand_name, hand_path, read_arrays, read_hand, read_mesh, read_points
from .mano import load_mano
from .posed import Fit, pose_hands
from .sealed import hand_arrays, sealed_hand

CONTENTS = ("meta", "points", "points_iou", "pointcloud", "mesh", "mesh_scaled")
"""Kinds of files; ``meta`` is always made."""

DEFAULT_CONTENTS = ("meta", "points", "pointcloud", "mesh")


@dataclass(frozen=True)
class FrameSettings:
    """Which files are made.

    Parameters
    ----------
    folder : Path
        Folder of the split.
    mano : Path
        Folder of MANO's files.
    contents : tuple of str
        Kinds of files, of :data:`CONTENTS`.
    points : int
        Points in each file of points.
    seed : int
        Seed of all random points. The points of a hand depend on the seed and the hand's name alone.
    """

    folder: Path
    mano: Path
    contents: tuple[str, ...] = DEFAULT_CONTENTS
    points: int = 100_000
    seed: int = 0


@dataclass(frozen=True)
class FrameJob:
    """A frame with two hands.

    Parameters
    ----------
    capture : str
        Key of the capture.
    frame : str
        Key of the frame.
    fits : mapping of Side to Fit
        MANO parameters of both hands.
    keypoints : mapping of Side to (21, 3) float64
        True keypoints that replace MANO's; empty for MANO's.
    """

    capture: str
    frame: str
    fits: Mapping[Side, Fit]
    keypoints: Mapping[Side, np.ndarray]


@dataclass(frozen=True)
class FrameResult:
    """What was done for a frame.

    Parameters
    ----------
    names : tuple of str
        Names of its hands.
    made : int
        Files that were written.
    repaired : int
        How many of them replace damaged files.
    """

    names: tuple[str, ...]
    made: int
    repaired: int


def write_frame(settings: FrameSettings, job: FrameJob) -> FrameResult:
    """Write the files of a frame's hands that are missing or damaged; runs in a worker.

    Parameters
    ----------
    settings : FrameSettings
        Which files, and where.
    job : FrameJob
        The frame.

    Returns
    -------
    FrameResult
        What was done.

    Raises
    ------
    InputError
        MANO's files cannot be used.
    TakeError
        A file cannot be written, for example because the disk is full.
    SetupError
        libigl is not installed.
    """
    names = {side: hand_name(job.capture, job.frame, side) for side in SIDES}
    missing = {side: _missing(settings, names[side]) for side in SIDES}
    made = repaired = 0
    if any(missing.values()):
        mano = load_mano(settings.mano)
        posed = pose_hands(mano, job.fits)
        for side in SIDES:
            kinds = missing[side]
            repaired += sum(hand_path(settings.folder, kind, names[side]).exists() for kind in kinds)
            hand = sealed_hand(
                posed[side].vertices, job.keypoints.get(side, posed[side].keypoints), mano[side].weights.argmax(1),
                mano["right"].faces, side,
            )  # fmt: skip
            rng = np.random.default_rng((settings.seed, zlib.crc32(names[side].encode("utf-8"))))
            made += len(kinds)
            for kind, arrays in hand_arrays(hand, posed[side].fit.shape, kinds, settings.points, rng).items():
                write_atomically(hand_path(settings.folder, kind, names[side]), pack_arrays(arrays))
            for kind, scale in (("mesh", 1.0), ("mesh_scaled", 1 / QUERY_SCALE)):
                if kind in kinds:
                    write_off(hand_path(settings.folder, kind, names[side]), hand.vertices * scale, hand.faces)
    return FrameResult(tuple(names[side] for side in SIDES), made, repaired)


def _missing(settings: FrameSettings, name: str) -> list[str]:
    """The kinds of files of a hand that are not there or cannot be read completely."""
    missing = []
    for kind in dict.fromkeys(("meta", *settings.contents)):
        path = hand_path(settings.folder, kind, name)
        try:
            if kind == "meta":
                read_hand(settings.folder, name)
            elif kind in ("points", "points_iou"):
                if len(read_points(settings.folder, name, kind)[0]) != settings.points:
                    missing.append(kind)
            elif kind == "pointcloud":
                read_arrays(path, {"points": (settings.points, 3), "normals": (settings.points, 3)})
            else:
                read_mesh(path)
        except InputError:
            missing.append(kind)
    return missing
