"""The systems whose keypoints can be converted: their formats, what each loses, and their terms. One table for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import cast

from im2hands.core.errors import InputError

from .hands import Converted, Given, other

Reader = Callable[[Sequence[Path], Given], Converted]


@dataclass(frozen=True)
class Source:
    """A system.

    Parameters
    ----------
    title : str
        Its name.
    reader : str
        "module:function" of this package.
    files : str
        What its files hold.
    order : str
        Keypoint order, a key of ``orders.ORDERS``, or "named".
    unit : str
        Unit of its numbers.
    root : str
        Where its origin is.
    loses : str
        What its files do not say: place of the hands relative to each other, scale.
    terms : str
        Licence of the system, in short.
    """

    title: str
    reader: str
    files: str
    order: str
    unit: str
    root: str
    loses: str
    terms: str


SOURCES: dict[str, Source] = {
    "file": Source(
        "joint files", "plain:read_points",
        "ply, npz, npy or json of 21 points a hand: `0000012_left.ply` (as pred_joints), "
        "`{\"frames\": …}`, or joints by name",
        "file", "m", "world or camera",
        "nothing, if the files are absolute; the place of the hands, if each is about its own wrist",
        "those of the program that wrote them",
    ),
    "intaghand": Source(
        "IntagHand", "intaghand:read_intaghand",
        "npz, pkl or json: `verts3d_left/right` (B, 778, 3) or `joints3d_left/right` (B, 21, 3), `scale_*` (B), "
        "`trans2d_*` (B, 2)",
        "file", "0.095 = mean palm", "each hand's middle MCP, camera axes",
        "scale (the palm length must be given); depth of each hand comes from its weak-perspective scale, so the "
        "distance of the hands in depth is uncertain",
        "GPL-3.0; its MANO parameters: MPI non-commercial",
    ),
    "digit": Source(
        "DIGIT, InterNet", "digit:read_digit",
        "npz, pkl or json: `joint_coord` (B, 42, 3), `rel_root_depth` (B), optional `hand_type`, "
        "`inv_trans` (B, 2, 3), `root_depth` (B) mm",
        "interhand", "64 cells of the 256 px crop; ±200 mm in depth", "each hand's wrist; left relative to right",
        "absolute depth (from RootNet; else the palm length gives it)",
        "DIGIT: CC BY-NC 4.0; InterHand2.6M: CC BY-NC 4.0",
    ),
    "hamer": Source(
        "HaMeR", "regressors:read_hamer",
        "npz, pkl or json, a record a hand: `pred_keypoints_3d` (21, 3), `is_right`, and `pred_cam_t_full` (3) with "
        "`focal_length`, or `pred_cam` (3) with `box_center`, `box_size`, `img_size`",
        "openpose", "m of the mean hand", "each hand in the camera frame, left hands mirrored",
        "scale (a mean hand is assumed, so the distance is uncertain); relative depth of the hands: each is read alone",
        "code MIT; weights trained on non-commercial data; MANO: MPI non-commercial",
    ),
    "wilor": Source(
        "WiLoR", "regressors:read_wilor",
        "as HaMeR, or the list that WiLoR-mini returns (`wilor_preds`); left hands as they are",
        "openpose", "m of the mean hand", "each hand in the camera frame",
        "as HaMeR", "CC BY-NC-ND 4.0; MANO: MPI non-commercial",
    ),
    "dynhamr": Source(
        "Dyn-HaMR", "regressors:read_dynhamr",
        "npz or pkl: `joints` (P, T, 21, 3) world, `is_right` (P, T), `cam_R` (T, 3, 3) and `cam_t` (T, 3), these "
        "also a person each, optional `intrins` (4) and `track_mask` (P, T). Save the joints of its MANO layer; its "
        "parameters alone hold none",
        "openpose", "m, scale of its SLAM", "world frame",
        "scale of the world, which its camera tracker guesses; place of the hands is kept",
        "non-commercial research; MANO: MPI non-commercial",
    ),
    "sam3dbody": Source(
        "SAM 3D Body / MHR", "body:read_sam3dbody",
        "npz, pkl or json, a record a person: `pred_keypoints_3d` (70, 3) in MHR-70 order, or named joints; "
        "`pred_cam_t` (3), `focal_length`",
        "interhand", "m", "the body's root, moved by the camera translation",
        "nothing of the hands' relative place; scale of the body is estimated from one picture",
        "SAM License (Meta)",
    ),
    "mediapipe": Source(
        "MediaPipe Hands / Hand Landmarker", "landmarks:read_mediapipe",
        "json, a record a picture: `hand_landmarks` (normalised to the picture), `hand_world_landmarks` (m) and "
        "`handedness`",
        "mediapipe", "m of a mean hand", "each hand's own centre",
        "place and scale: both are solved from the 2D landmarks and the palm length",
        "Apache-2.0",
    ),
    "openpose": Source(
        "OpenPose", "landmarks:read_openpose",
        "json a picture: `people[].hand_left_keypoints_2d` (63), or `_3d` (84) of a calibrated rig",
        "openpose", "pixels; the unit of the rig in 3D", "the picture; the world of the rig in 3D",
        "2D: all depth. A resting hand is bent until it projects to the points, so fingers may bend the wrong way",
        "non-commercial, Carnegie Mellon University",
    ),
}  # fmt: skip
"""Sources by their name on the command line."""


def convert(name: str, paths: Sequence[Path], given: Given) -> Converted:
    """Read the files of a source.

    Parameters
    ----------
    name : str
        A key of ``SOURCES``.
    paths : sequence of Path
        Files or folders.
    given : Given
        What the user says of them.

    Returns
    -------
    Converted
        Of two hands of one side in a frame only the surer is kept, and a note says so.

    Raises
    ------
    InputError
        The files cannot be used.
    """
    module, _, function = SOURCES[name].reader.partition(":")
    reader = cast(Reader, getattr(import_module(f"{__package__}.{module}"), function))
    try:
        made = reader(paths, given)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Other programs' files can hold any type and shape anywhere; the readers name what people get wrong.
        text = (str(error).splitlines() or [""])[0][:120]
        raise InputError(
            f"The files are not as those of {SOURCES[name].title}: {text}.", f"Expected: {SOURCES[name].files}."
        ) from error
    if not made.hands:
        raise InputError("The files hold no hand.", f"Expected: {SOURCES[name].files}.")
    kept = {}
    for hand in sorted(made.hands, key=lambda hand: hand.score):
        side = other(hand.side) if given.swap_sides else hand.side
        kept[hand.frame, side] = replace(hand, side=side)
    notes = list(made.notes)
    if len(kept) < len(made.hands):
        notes.append(f"{len(made.hands) - len(kept)} hands were left out: a surer one has the same side in the frame.")
    return replace(made, hands=tuple(kept[key] for key in sorted(kept)), notes=tuple(notes))
