"""Keypoints as files, read into one form: keypoint files, takes, folders of joint files, the prepared layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, Side
from im2hands.keypoints.conversion.hands import Given
from im2hands.keypoints.conversion.plain import read_points
from im2hands.take.take import TAKE_FILE, Take

from .shapes.predictions import views_of
from .shapes.truth import TruthFolder

Frames = dict[int, dict[Side, np.ndarray]]
"""Frame or view -> side -> keypoints (21, 3), file order, metres."""


@dataclass(frozen=True)
class HandFile:
    """The hands of a file.

    Parameters
    ----------
    frames : Frames
        The hands. A frame without hands is there, empty.
    space : str
        "camera" or "world".
    groups : dict of int to str
        Frames that belong together, as the views of one time step do.
    moments : dict of int to (str, int), optional
        The clip of each frame and its time there, where the numbers of the frames are not times. None if they are.
    """

    frames: Frames
    space: str
    groups: dict[int, str]
    moments: dict[int, tuple[str, int]] | None = None


def read_truth(path: Path, annotations: Path | None = None) -> HandFile:
    """Read true keypoints as ``read_hands`` does.

    Where annotations are given, the numbers of frames are those of views, also of joint files: the annotations say
    which views show one time step, and which follow each other.
    """
    truth = read_hands(path, annotations)
    if annotations is None or truth.moments is not None:
        return truth
    views = {int(view.name): view for view in views_of([], annotations)}
    known = {index: views[index] for index in truth.frames if index in views}
    if not known:
        return truth
    return replace(
        truth,
        groups=truth.groups | {index: view.frame for index, view in known.items()},
        moments={index: (view.clip, view.time) for index, view in known.items()},
    )


def read_hands(path: Path, annotations: Path | None = None, space: str | None = None) -> HandFile:
    """Read the keypoints of a file or folder.

    Parameters
    ----------
    path : Path
        A keypoint file (JSON, npz), a take, a folder of joint files (``0000012_left.ply``), or a split of the prepared
        layout (with ``meta``).
    annotations : Path, optional
        Folder ``anno`` of the split: world positions are moved into the camera of each view, and the frames of the
        prepared layout are numbered by view.
    space : str, optional
        Frame of the positions of joint files; None for what the file says.

    Returns
    -------
    HandFile

    Raises
    ------
    InputError
        The path holds no keypoints, or a damaged file.
    """
    if (path / "meta").is_dir():
        return _prepared(path, annotations)
    if (path / TAKE_FILE).is_file():
        take = Take.open(path)
        frames: Frames = {}
        for index in sorted(take.records):
            arrays = take.read_arrays(index, ("keypoints",))
            frames[index] = {side: hand["keypoints"].astype(np.float64) for side, hand in arrays.items()}
        return HandFile(frames, "camera", {index: str(index) for index in frames})
    made = read_points([path], Given(space=space, annotations=annotations))
    frames = {}
    for hand in made.hands:
        frames.setdefault(hand.frame, {})[hand.side] = hand.positions
    frames = dict(sorted(frames.items()))
    return HandFile(frames, made.space, {index: str(index) for index in frames})


def _prepared(path: Path, annotations: Path | None) -> HandFile:
    truth = TruthFolder(path)
    names = set(truth.names)
    frames: Frames = {}
    groups: dict[int, str] = {}
    moments: dict[int, tuple[str, int]] = {}
    for place, view in enumerate(views_of(truth.names, annotations)):
        index = place if annotations is None else int(view.name)
        hands: dict[Side, np.ndarray] = {}
        for side in SIDES:
            name = f"{view.frame}_{side}"
            if name in names:
                shape = truth.shape(name)
                joints = shape.to_world(shape.keypoints)
                if view.rotation is not None and view.translation is not None:
                    joints = joints @ view.rotation.T + view.translation
                hands[side] = joints
        if hands:
            frames[index], groups[index], moments[index] = hands, view.frame, (view.clip, view.time)
    if not frames:
        raise InputError(f"No view has a hand in {path}.", "Give the annotations of the same split.")
    return HandFile(frames, "world" if annotations is None else "camera", groups, moments)
