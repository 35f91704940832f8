"""Meshes of a method as files: which file belongs to which true hand, and in what frame and unit its numbers are.

``--method NAME=FOLDER,frame=FRAME,unit=UNIT,joints=FOLDER`` describes a method. A mesh is looked for under the name of
the true hand (``<capture>_<frame>_<side>``) and, with ``--annotations``, under the number of the view
(``0000012_left``), as off, obj or ply.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from im2hands.core.camera import is_rotation
from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, Side
from im2hands.geometry.bones import QUERY_SCALE
from im2hands.geometry.mesh_file import MESH_SUFFIXES, read_mesh_file
from im2hands.geometry.sealing import is_open
from im2hands.keypoints.conversion.hands import curl_sign, number_in
from im2hands.keypoints.conversion.orders import in_file_order, regressed
from im2hands.lab.evaluation.measures import Mesh, sealed

from .scores import palm
from .truth import TrueShape

FRAMES = {
    "normalised": "canonical frame / 0.4 m, as HALO's generation writes it",
    "canonical": "canonical frame of the true hand",
    "hand": "world axes about the true wrist, x mirrored for left hands",
    "wrist": "world axes about the true wrist, as the research code's pred_shapes",
    "world": "world frame",
    "camera": "camera frame of the view (needs --annotations)",
    "camera-wrist": "camera axes about the true wrist (needs --annotations)",
}
"""Frames of predicted meshes with what they are."""

UNITS = {"m": 1.0, "mm": 0.001, "palm": 1.0}
"""Units, metres. "palm" is the true length from wrist to middle MCP, as Two-Hand-Shape-Pose's meshes have it."""

MANO_VERTICES = 778

_SIZES = (0.6, 1.7)  # of a hand, relative to the true one; a forgotten or invented unit of 0.4 m gives 0.4 or 2.5
_CLEAR_CURL = 0.6  # sum of the fingers' curl from which it says the side


@dataclass(frozen=True)
class View:
    """One picture of a frame.

    Parameters
    ----------
    name : str
        Number of the view with seven digits; the frame's name if there are no annotations.
    frame : str
        ``<capture>_<frame>``.
    rotation : (3, 3) float64, optional
        World to camera.
    translation : (3,) float64, optional
        World to camera, metres.
    clip : str
        What the view is a frame of: capture, sequence and camera, as far as the annotation says them.
    time : int
        Its place in the clip: the number of the frame.
    """

    name: str
    frame: str
    rotation: np.ndarray | None = None
    translation: np.ndarray | None = None
    clip: str = ""
    time: int = 0


@dataclass(frozen=True)
class Method:
    """Where the meshes of a method are and what their numbers mean.

    Parameters
    ----------
    name : str
        Name of the row.
    folder : Path or None
        Folder of the meshes; None for a row without data.
    frame : str
        A key of ``FRAMES``.
    unit : str
        A key of ``UNITS``.
    joints : Path or None
        Folder of keypoint files (ply of 21 points, file order, frame and unit of the meshes).
    regressor : (16 or 21, 778) float64, optional
        Joint regressor for meshes with MANO's vertices.
    """

    name: str
    folder: Path | None
    frame: str = "normalised"
    unit: str = "m"
    joints: Path | None = None
    regressor: np.ndarray | None = field(default=None, compare=False)

    def absolute(self) -> Method:
        """Return the method with absolute folders, for processes with another working folder."""
        folder, joints = (None if path is None else path.absolute() for path in (self.folder, self.joints))
        return replace(self, folder=folder, joints=joints)


@dataclass(frozen=True)
class Prediction:
    """A predicted hand in the canonical frame of the true hand, metres.

    Parameters
    ----------
    mesh : Mesh
        Sealed.
    vertices : (V, 3) float64
        The vertices as they are in the file.
    joints : (21, 3) float64 or None
        Keypoints, file order.
    open_mesh : bool
        Whether the mesh has openings that were not closed.
    mirrored : bool
        Whether the fingers bend as those of the other hand.
    wrong_size : bool
        Whether the mesh is so much smaller or larger than the true hand that its frame or unit must be another.
    """

    mesh: Mesh
    vertices: np.ndarray
    joints: np.ndarray | None
    open_mesh: bool
    mirrored: bool = False
    wrong_size: bool = False


def parse_method(text: str, regressor: np.ndarray | None = None) -> Method:
    """Read the value of ``--method``.

    Parameters
    ----------
    text : str
        ``NAME=FOLDER,frame=FRAME,unit=UNIT,joints=FOLDER``; ``NAME=`` is a row without data.
    regressor : array, optional
        See ``Method``.

    Raises
    ------
    InputError
        The text has another form, or a folder does not exist.
    """
    form = "Write NAME=FOLDER,frame=normalised,unit=m (joints=FOLDER is optional), or NAME= for an empty row."
    name, equals, rest = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"--method {text} has no name.", form)
    first, *settings = rest.split(",")
    given: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if key not in ("frame", "unit", "joints") or not equals:
            raise InputError(f"--method {text}: {setting!r} is not known.", form)
        given[key] = value
    for key, known in (("frame", FRAMES), ("unit", UNITS)):
        if key in given and given[key] not in known:
            raise InputError(f"--method {text}: there is no {key} {given[key]}.", f"Use {', '.join(known)}.")
    if "unit" in given and given.get("frame", "normalised") == "normalised":
        raise InputError(
            f"--method {text}: normalised meshes have no unit: they are divided by 0.4 m.",
            "Leave out unit=, or give frame=.",
        )
    for folder in (first, given.get("joints", "")):
        if folder and not Path(folder).is_dir():
            raise InputError(f"--method {text}: there is no folder {folder}.", form)
    joints = Path(given["joints"]) if given.get("joints") else None
    return Method(
        name.strip(), Path(first) if first else None, given.get("frame", "normalised"), given.get("unit", "m"), joints,
        regressor,
    )  # fmt: skip


def find_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Find the file of a hand: in the folder or its subfolder ``meshes``, off before obj before ply."""
    for place in (folder, folder / "meshes"):
        for name in names:
            for suffix in MESH_SUFFIXES:
                if (place / f"{name}{suffix}").is_file():
                    return place / f"{name}{suffix}"
    return None


def read_prediction(method: Method, view: View, shape: TrueShape) -> Prediction | None:
    """Read the mesh of a method for one true hand.

    Parameters
    ----------
    method : Method
        The method.
    view : View
        The picture.
    shape : TrueShape
        The true hand.

    Returns
    -------
    Prediction or None
        None if there is no file or the mesh is empty: a miss.

    Raises
    ------
    InputError
        A file is damaged, or the frame needs a camera that is not known.
    """
    if method.folder is None:
        return None
    names = (f"{view.name}_{shape.side}", shape.name)
    path = find_file(method.folder, names)
    if path is None:
        return None
    vertices, faces = read_mesh_file(path)
    if not len(faces):
        return None
    joints = None
    if method.joints is not None:
        joint_path = find_file(method.joints, names)
        if joint_path is not None:
            joints = in_file_order(read_mesh_file(joint_path, "keypoint file")[0], "file", f"hand in {joint_path}")
    elif method.regressor is not None and len(vertices) == MANO_VERTICES:
        joints = regressed(vertices, method.regressor)
    placed = to_canonical(vertices, method, view, shape)
    # Faces may point inward, because the frame mirrors a left hand; sealing orients them outward.
    closed = sealed(Mesh(placed, faces))
    placed_joints = None if joints is None else to_canonical(joints, method, view, shape)
    # In the canonical frame every hand is a right one, whose curl is negative.
    flipped = placed_joints is not None and curl_sign(placed_joints) > _CLEAR_CURL > -_CLEAR_CURL > curl_sign(
        shape.keypoints
    )
    known = shape.hand.surface if len(shape.hand.surface) else shape.keypoints
    size = float(np.linalg.norm(np.ptp(placed, axis=0)) / np.linalg.norm(np.ptp(known, axis=0)))
    wrong_size = not _SIZES[0] < size < _SIZES[1]
    return Prediction(closed, placed, placed_joints, is_open(closed.faces), flipped, wrong_size)


def to_canonical(points: np.ndarray, method: Method, view: View, shape: TrueShape) -> np.ndarray:
    """Move points (N, 3) of a method's file to the canonical frame of the true hand, metres.

    Raises
    ------
    InputError
        The frame needs a camera that is not known.
    """
    if method.frame == "normalised":
        return points * QUERY_SCALE
    points = points * (palm(shape.keypoints) if method.unit == "palm" else UNITS[method.unit])
    if method.frame == "canonical":
        return points
    if method.frame == "hand":
        return points @ shape.rotation.T
    wrist = shape.root * shape.mirror
    if method.frame == "wrist":
        return shape.to_canonical(points + wrist)
    if method.frame == "world":
        return shape.to_canonical(points)
    if view.rotation is None or view.translation is None:
        raise InputError(
            f"{method.name}: meshes in the camera frame need the camera.", "Give --annotations, or another frame."
        )
    if method.frame == "camera":
        return shape.to_canonical((points - view.translation) @ view.rotation)
    return shape.to_canonical(points @ view.rotation + wrist)


def views_of(names: list[str], annotations: Path | None) -> list[View]:
    """List the views whose hands are scored.

    Parameters
    ----------
    names : list of str
        Names of the true hands.
    annotations : Path, optional
        Folder ``anno`` of IntagHand's layout. Without it each frame is one view.

    Raises
    ------
    InputError
        The folder holds no annotation, or a damaged one.
    """
    frames = list(dict.fromkeys(name.rpartition("_")[0] for name in names))
    if annotations is None:
        return [View(frame, frame, clip=frame.rpartition("_")[0], time=number_in(frame) or 0) for frame in frames]
    from im2hands.keypoints.conversion.files import read_values

    views = []
    for path in sorted(annotations.glob("*.pkl"), key=lambda path: (len(path.stem), path.stem)):
        content = read_values(path)
        try:
            image, camera = content["image"], content["camera"]
            rotation = np.asarray(camera["R"], np.float64).reshape(3, 3)
            translation = np.asarray(camera["t"], np.float64).reshape(3)
            if not is_rotation(rotation) or not np.isfinite(translation).all():
                raise ValueError("its camera is damaged")
            frame = f"{image['capture']}_{image['frame_idx']}"
            clip = "/".join(str(image.get(key, "")) for key in ("capture", "seq_name", "camera"))
            time = int(image["frame_idx"])
            views.append(View(f"{int(path.stem):07d}", frame, rotation, translation, clip, time))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is no annotation of a view: {error}.", "Prepare the data again.") from error
    if not views:
        raise InputError(f"{annotations} holds no annotation (*.pkl).", "Give the folder anno of the split.")
    return views


def hands_of(view: View, names: Collection[str]) -> list[tuple[Side, str]]:
    """The true hands of a view: side and name."""
    return [(side, f"{view.frame}_{side}") for side in SIDES if f"{view.frame}_{side}" in names]
