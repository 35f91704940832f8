"""Check of a prepared split: its files, projected with its cameras, against the annotations that they were made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES
from im2hands.surfaces.hand_crop import CROP_SIZE

from .annotation import read_annotation
from .crops import two_hand_crop
from .layout import crop_indices, hand_name, hand_path, joints_path, read_hand, read_joints, read_mesh
from .mano import VERTICES, load_mano
from .posed import annotated_keypoints, pose_hands, read_fit
from .prepare import PrepareSettings
from .raw import InterHand

CROPS = 100
"""Crops that are checked, spread over the split."""

LARGEST_PX = 0.05
"""Largest difference that rounding explains, pixels of the crop."""


@dataclass(frozen=True)
class Reprojection:
    """Distances in pixels of the crop.

    Parameters
    ----------
    crops : int
        Crops that were checked.
    keypoints_px : float
        Largest distance between keypoints of the files, projected with the camera of the crop, and keypoints of the
        annotations, projected into the photo and then moved as its pixels were.
    meshes_px : float
        The same for the vertices of the meshes; NaN if there are no meshes.
    annotated_px : float
        Mean distance between the files' keypoints and the valid annotated keypoints: it measures MANO's fit, not the
        preparation. NaN if there are none.
    inside : float
        Share of keypoints that lie in the crop.
    """

    crops: int
    keypoints_px: float
    meshes_px: float
    annotated_px: float
    inside: float

    @property
    def is_good(self) -> bool:
        """Whether files and annotations agree up to rounding."""
        return self.keypoints_px <= LARGEST_PX and not self.meshes_px > LARGEST_PX


def reproject(settings: PrepareSettings, crops: int = CROPS, data: InterHand | None = None) -> Reprojection:
    """Compare a prepared split with the annotations.

    Parameters
    ----------
    settings : PrepareSettings
        Settings of the preparation.
    crops : int
        Largest number of crops to check.
    data : InterHand, optional
        The annotations; None reads them.

    Returns
    -------
    Reprojection
        Distances in pixels.

    Raises
    ------
    InputError
        The split has no crops, a file is missing or damaged, or the annotations lack a frame of the split.
    """
    folder, mano = settings.folder, load_mano(settings.mano)
    data = data or InterHand(settings.root, settings.split)
    indices = crop_indices(folder)
    if not indices:
        raise InputError(f"{folder} has no crops.", "Prepare the split first.")
    chosen = np.unique(np.linspace(0, len(indices) - 1, crops).astype(int))
    keypoints_px, meshes_px, annotated_px, inside = [], [], [], []
    for index in (indices[int(k)] for k in chosen):
        annotation = read_annotation(folder / "anno" / f"{index}.pkl")
        sample = annotation.sample
        camera, values = data.camera(sample), data.fit(sample.capture, sample.frame)
        try:
            posed = pose_hands(mano, {side: read_fit(value) for side, value in values.items()})
            crop = two_hand_crop(posed, camera) if camera is not None else None
        except ValueError:
            crop = None
        if camera is None or crop is None:
            raise InputError(
                f"Crop {index} of {folder} cannot be made of these annotations.", "Give the set that it was made of."
            )
        affine = crop[0]
        annotated = annotated_keypoints(data, sample)
        for side in SIDES:
            hand = read_hand(folder, hand_name(sample.capture, sample.frame, side))
            shown = annotation.camera.project(hand.to_world(hand.keypoints))
            inside.append(float(((shown >= 0) & (shown <= CROP_SIZE - 1)).all(1).mean()))
            truth = posed[side].keypoints if settings.joints == "mano" else annotated[side][0]
            wanted = camera.project(truth) @ affine[:, :2].T + affine[:, 2]
            written = annotation.camera.project(read_joints(joints_path(folder, index, side)))
            keypoints_px += [_largest(shown, wanted), _largest(written, wanted)]
            path = hand_path(folder, "mesh", hand_name(sample.capture, sample.frame, side))
            if path.exists():
                vertices = hand.to_world(read_mesh(path)[0][:VERTICES])
                wanted = camera.project(posed[side].vertices) @ affine[:, :2].T + affine[:, 2]
                meshes_px.append(_largest(annotation.camera.project(vertices), wanted))
            if side in annotated:
                places, valid = annotated[side]
                pixels = camera.project(places) @ affine[:, :2].T + affine[:, 2]
                annotated_px += list(np.linalg.norm(shown - pixels, axis=1)[valid])
    return Reprojection(
        len(chosen), max(keypoints_px), max(meshes_px, default=np.nan),
        float(np.mean(annotated_px)) if annotated_px else np.nan, float(np.mean(inside)),
    )  # fmt: skip


def _largest(pixels: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(pixels - wanted, axis=1).max())
