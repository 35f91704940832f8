"""Checks of InterHand2.6M as it was downloaded, and of a prepared split, for ``im2hands data check``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, Side
from im2hands.geometry.bones import QUERY_SCALE
from im2hands.lab.datasets.part_occupancy import inside as inside_mesh
from im2hands.surfaces.hand_crop import CROP_SIZE

from .annotation import read_annotation
from .crops import read_photo
from .layout import (
    crop_indices,
    hand_name,
    hand_path,
    is_prepared,
    joints_path,
    read_hand,
    read_joints,
    read_mesh,
    read_points,
    require_hand,
)
from .mano import load_mano
from .posed import annotated_keypoints, fit_error, pose_hands, read_fit
from .raw import InterHand, Sample

SAMPLES = 100
"""Pictures, frames and crops that are looked at closely, spread over the split."""

BOX_GROWTH = 1.2
"""The annotated box is the box of the projected joints, this much larger."""

USUAL_FIT_MM = 5.0
"""Usual mean distance between the keypoints of a MANO fit and the annotated ones."""

WRONG_FIT_MM = 4 * USUAL_FIT_MM
"""Mean distance from which the fits, MANO's files and the annotations do not belong together."""

FIRST_OF_TEST = {
    0: "Capture0/ROM01_No_Interaction_2_Hand/cam400262/image20625.jpg",
    300: "Capture0/ROM01_No_Interaction_2_Hand/cam400287/image20637.jpg",
    600: "Capture0/ROM01_No_Interaction_2_Hand/cam400322/image20649.jpg",
}
"""Photos of some crops of the published test split, 5 frames per second."""

_LEAST_IOU = 0.98  # of a mesh with its own points; 16-bit numbers alone cost 0.007


Item = TypeVar("Item")


@dataclass
class RawCheck:
    """What a split of InterHand2.6M holds.

    Parameters
    ----------
    release : str
        Level below ``annotations``; empty for version 1.0.
    pictures : int
        Pictures of the split.
    hands : Counter of str
        Pictures by annotated type of the hands.
    grey : int
        Pictures of grey cameras.
    fitted : int
        Frames with MANO fits.
    candidates : int
        Pictures of two interacting hands with both MANO fits and a camera.
    damaged_fits : int
        Pictures of two interacting hands whose MANO parameters are damaged or give no hand, of those looked at.
    without_camera : int
        Pictures whose camera is missing or damaged.
    missing_photos : int
        Photos that are missing or damaged, of those looked at.
    looked_at : int
        Pictures that were looked at closely.
    box_px : float
        Median distance of the annotated boxes from the boxes of the projected joints, pixels; NaN without any.
    fit_mm : dict of Side to float
        Mean distance between MANO's and the annotated keypoints, millimetres.
    mano_note : str
        What was done about the left hand's shape basis; empty if MANO's files were not given.
    """

    release: str
    pictures: int
    hands: Counter[str] = field(default_factory=Counter)
    grey: int = 0
    fitted: int = 0
    candidates: int = 0
    damaged_fits: int = 0
    without_camera: int = 0
    missing_photos: int = 0
    looked_at: int = 0
    box_px: float = np.nan
    fit_mm: dict[Side, float] = field(default_factory=dict)
    mano_note: str = ""

    @property
    def problems(self) -> list[str]:
        """What is wrong, for a person."""
        found = []
        if not self.candidates:
            found.append("No picture shows two interacting hands with MANO fits and a camera.")
        if self.missing_photos:
            found.append(f"{self.missing_photos} of {self.looked_at} photos are missing or damaged.")
        if self.damaged_fits:
            found.append(f"The MANO parameters of {self.damaged_fits} of {self.looked_at} pictures are damaged.")
        if self.box_px > 1.0:
            found.append(f"Projected joints do not give the annotated boxes: {self.box_px:.1f} px away.")
        for side, error in self.fit_mm.items():
            if error > WRONG_FIT_MM:
                found.append(wrong_fit(side, error))
        return found


def wrong_fit(side: Side, error_mm: float) -> str:
    """Say that MANO's keypoints of a hand are too far from the annotated ones, millimetres."""
    return f"The MANO fits of the {side} hand are {error_mm:.0f} mm from the annotated keypoints."


def check_interhand(root: Path, split: str, mano: Path | None = None, samples: int = SAMPLES) -> RawCheck:
    """Check a split of InterHand2.6M.

    Parameters
    ----------
    root : Path
        Folder of the set.
    split : str
        "train", "val" or "test".
    mano : Path, optional
        Folder of MANO's files; None leaves the fits unchecked.
    samples : int
        Pictures to look at closely.

    Returns
    -------
    RawCheck
        What was found.

    Raises
    ------
    InputError
        The annotations or MANO's files cannot be used.
    """
    data = InterHand(root, split)
    result = RawCheck(data.release, len(data), fitted=data.fitted_frames())
    usable: list[Sample] = []
    for sample in data.samples():
        result.hands[str(sample.annotation.get("hand_type"))] += 1
        result.grey += sample.is_grey
        has_camera = data.camera(sample) is not None
        result.without_camera += not has_camera
        found = data.fit(sample.capture, sample.frame).values()
        if sample.interacts and sample.type_is_valid and has_camera and all(fit is not None for fit in found):
            usable.append(sample)
    result.candidates = len(usable)
    looked = _spread(usable, samples)
    result.looked_at = len(looked)
    boxes = []
    errors: dict[Side, list[float]] = {side: [] for side in SIDES}
    model = None if mano is None else load_mano(mano)
    result.mano_note = "" if model is None else model.note
    for sample in looked:
        result.missing_photos += read_photo(data.photo(sample)) is None
        residual = box_residual(data, sample)
        if residual is not None:
            boxes.append(residual)
        try:
            fits = {side: read_fit(value) for side, value in data.fit(sample.capture, sample.frame).items()}
            posed = None if model is None else pose_hands(model, fits)
        except ValueError:
            result.damaged_fits += 1
            continue
        if posed is None:
            continue
        for side, annotated in annotated_keypoints(data, sample).items():
            error = fit_error(posed[side], *annotated)
            if error is not None:
                errors[side].append(error)
    result.box_px = float(np.median(boxes)) if boxes else np.nan
    result.fit_mm = {side: float(np.mean(found)) for side, found in errors.items() if found}
    return result


def box_residual(data: InterHand, sample: Sample) -> float | None:
    """Return how far a picture's annotated box is from that of its projected joints, pixels.

    None if there is no box, no camera or no valid joint.
    """
    camera, joints = data.camera(sample), data.joints(sample.capture, sample.frame)
    try:
        box = np.asarray(sample.annotation.get("bbox"), np.float64).reshape(4)
    except (TypeError, ValueError):
        return None
    if camera is None or joints is None:
        return None
    valid = joints[1] & sample.joint_valid
    if not valid.any():
        return None
    pixels = camera.project(joints[0][valid])
    low, high = pixels.min(0), pixels.max(0)
    middle, half = (low + high) / 2, (high - low) / 2 * BOX_GROWTH
    return float(np.abs(np.concatenate([middle - half, 2 * half]) - box).max())


@dataclass
class PreparedCheck:
    """What a prepared split holds.

    Parameters
    ----------
    crops : int
        Crops of the split.
    hands : int
        Hands of its frames.
    looked_at : int
        Crops that were looked at closely.
    inside : float
        Share of their keypoints that lie in the crop.
    joints_mm : float
        Largest distance between ``gt_joints`` and ``meta``, millimetres; NaN if there are no ``gt_joints``.
    iou : float
        Smallest intersection over union of a hand's mesh with its own points; NaN if there are no meshes.
    occupied : float
        Mean share of points inside the hand.
    order : list of str
        For the published test split: whether some crops are the published ones; empty for other splits.
    problems : list of str
        What is wrong, for a person.
    """

    crops: int
    hands: int = 0
    looked_at: int = 0
    inside: float = np.nan
    joints_mm: float = np.nan
    iou: float = np.nan
    occupied: float = np.nan
    order: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check_prepared(folder: Path, samples: int = SAMPLES) -> PreparedCheck:
    """Check a prepared split, also one that another program prepared.

    Parameters
    ----------
    folder : Path
        Folder of the split.
    samples : int
        Crops to look at closely.

    Returns
    -------
    PreparedCheck
        What was found.

    Raises
    ------
    InputError
        The folder is no prepared split, or has no crops.
    """
    if not is_prepared(folder):
        raise InputError(f"{folder} is no prepared split: it has no folders img and anno.", "Give OUT/SPLIT.")
    indices = crop_indices(folder)
    if not indices:
        raise InputError(f"{folder} has no crops.", "Prepare the split first.")
    result = PreparedCheck(len(indices))
    pictures = {path.stem for path in (folder / "img").iterdir()}
    lacking = [index for index in indices if str(index) not in pictures]
    if lacking:
        result.problems.append(f"{len(lacking)} crops have no picture, the first is {lacking[0]}.")
    if indices != list(range(len(indices))):
        result.problems.append("The numbers of the crops have a gap; the published loaders expect 0, 1, 2, …")
    result.hands = sum(1 for _ in (folder / "meta").glob("*.npz")) if (folder / "meta").is_dir() else 0
    inside, joints, ious, occupied = [], [], [], []
    looked = _spread(indices, samples)
    result.looked_at = len(looked)
    for index in looked:
        try:
            found = _look(folder, index)
        except InputError as error:
            result.problems.append(error.message)
            continue
        inside += found.inside
        joints += found.joints_mm
        ious += found.ious
        occupied += found.occupied
    result.inside, result.occupied = (float(np.mean(v)) if v else np.nan for v in (inside, occupied))
    result.joints_mm, result.iou = max(joints, default=np.nan), min(ious, default=np.nan)
    result.problems = list(dict.fromkeys(result.problems))  # the views of a frame share its files
    if result.joints_mm > 1.0:
        result.problems.append(f"gt_joints and meta differ by up to {result.joints_mm:.1f} mm.")
    if result.iou < _LEAST_IOU:
        result.problems.append(f"A mesh and its points differ: their intersection over union is {result.iou:.3f}.")
    if result.inside < 0.5:
        result.problems.append(f"Only {100 * result.inside:.0f} % of the keypoints lie in their crop.")
    result.order = _order(folder, indices) if folder.name == "test" else []
    return result


@dataclass
class _Look:
    inside: list[float] = field(default_factory=list)
    joints_mm: list[float] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    occupied: list[float] = field(default_factory=list)


def _look(folder: Path, index: int) -> _Look:
    """Read all files of a crop."""
    result = _Look()
    annotation = read_annotation(folder / "anno" / f"{index}.pkl")
    picture = read_photo(folder / "img" / f"{index}.jpg")
    if picture is None or picture.shape[:2] != (CROP_SIZE, CROP_SIZE):
        what = "missing or damaged" if picture is None else f"of {picture.shape[1]} x {picture.shape[0]} pixels"
        raise InputError(f"The picture of crop {index} is {what}.")
    for side in SIDES:
        name = hand_name(annotation.sample.capture, annotation.sample.frame, side)
        hand = read_hand(folder, name)
        require_hand(hand.keypoints, hand_path(folder, "meta", name))
        world = hand.to_world(hand.keypoints)
        pixels = annotation.camera.project(world)
        result.inside.append(float(((pixels >= 0) & (pixels <= CROP_SIZE - 1)).all(1).mean()))
        path = joints_path(folder, index, side)
        if path.exists():
            written = read_joints(path)
            written = written - written[0] + world[0] if np.abs(written[0]).max() < 1e-6 else written
            result.joints_mm.append(float(1000 * np.linalg.norm(written - world, axis=1).max()))
        points, occupied = read_points(folder, name)
        result.occupied.append(float(occupied.mean()))
        mesh = hand_path(folder, "mesh", name)
        if mesh.exists():
            vertices, faces = read_mesh(mesh)
            within = inside_mesh(points.astype(np.float64) * QUERY_SCALE, vertices, faces)
            result.ious.append(float((within & occupied).sum() / max((within | occupied).sum(), 1)))
    return result


def _order(folder: Path, indices: list[int]) -> list[str]:
    lines = []
    for index, wanted in FIRST_OF_TEST.items():
        if index in indices:
            try:
                name = str(read_annotation(folder / "anno" / f"{index}.pkl").sample.image.get("file_name"))
            except InputError:
                continue
            lines.append(f"crop {index} is {'' if name == wanted else 'not '}that of the published preparation: {name}")
    return lines


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most ``count`` of the items, evenly spread."""
    if not items:
        return []
    return [items[int(k)] for k in np.unique(np.linspace(0, len(items) - 1, count).astype(int))]
