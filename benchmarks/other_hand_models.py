"""Part occupancy on hands of other models: ``python benchmarks/other_hand_models.py MODEL.glb [...]``.

MODEL.glb is a rigged hand, or a rigged body with hands, as a glTF binary file. Its 21 keypoints are found by the names
of its bones; where they cannot be, a JSON file beside it (MODEL.json) names the bone of each keypoint:
{"wrist": "Palm", "thumb_cmc": "Thumb1", ...}. Fingertips may be left out. The hand is posed in six ways by linear
skinning about axes that follow from its skeleton, and the bundled part occupancy reconstructs each pose from the exact
keypoints of that skeleton. Prints the IoU of the volumes and the Chamfer distance, as
``im2hands.lab.evaluation.measures`` has them, of each pose and their means. Both are cut 10 mm behind the wrist, or
where the model ends before. "Thickness" adds the 17 thicknesses measured on the model's rest pose
(``im2hands.lab.datasets.hand_thickness``). "Converted" takes the model's joints for MediaPipe's, which lie in the
middle of the flesh, and converts them (``im2hands.keypoints.placing.joint_definitions``). The first rows are the
bundled model's mean hand, which the network knows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from im2hands.app.cli.main import PROCESS_DEFAULTS

if TYPE_CHECKING:
    import numpy as np

    from im2hands.core.hands import Side
    from im2hands.geometry.bone_reach import BoneReach
    from im2hands.lab.bench.other_hand import OtherHand
    from im2hands.networks.part_decoder import PartDecoder

VOXEL_M = 0.0017
"""Lattice spacing of the reconstructed surfaces, metres."""

END_MARGIN_M = 0.001
"""Both meshes are cut this far before the end of the model's mesh, metres."""

SEED = 0
"""Seed of the random points."""

LABELS = ("keypoints", "thickness", "converted")
"""What the network is given."""

MEDIAPIPE = "mediapipe"
"""Source of keypoints whose definition the converted keypoints are taken to follow."""


def main() -> int:
    """Measure the hands and print the table."""
    os.environ.update(PROCESS_DEFAULTS)  # as the program does; it must precede the import of PyTorch
    from im2hands.core.errors import Im2HandsError
    from im2hands.lab.bench.other_hand import bundled_hand
    from im2hands.weights.folder import require_weights
    from im2hands.weights.part_occupancy import NAME, load_part_occupancy

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="*", metavar="MODEL.glb")
    parser.add_argument("--side", choices=("left", "right"), help="which hand (default: as names tell; else right)")
    parser.add_argument("--scale", type=float, default=1.0, help="metres in a unit of the files (default: 1)")
    parser.add_argument("--meshes", type=Path, metavar="FOLDER", help="also write both meshes of each pose as OBJ")
    arguments = parser.parse_args()
    try:
        decoder, reach = load_part_occupancy(require_weights(NAME, "bundled").path)
        hands = {"bundled": bundled_hand()}
        for path in arguments.models:
            hands[str(path)] = read_hand(path, arguments.side, arguments.scale)
    except Im2HandsError as error:
        print(f"{error} {error.hint}", file=sys.stderr)
        return 1
    for name, hand in hands.items():
        print_hand(name, hand, decoder, reach, arguments.meshes)
    return 0


def read_hand(path: Path, side: Side | None, scale: float) -> OtherHand:
    """Read the hand of a model.

    Parameters
    ----------
    path : Path
        The glTF binary file; beside it there may be a JSON file with the names of its bones.
    side : Side, optional
        Which hand; None is the one that the names of the bones or the file tell, the right one where they tell both.
    scale : float
        Metres in a unit of the file.

    Returns
    -------
    OtherHand
        The hand.

    Raises
    ------
    InputError
        The file, its bones or the JSON file cannot be used.
    """
    from im2hands.core.errors import InputError
    from im2hands.core.files import read_regular
    from im2hands.lab.bench.bone_names import keypoint_bones, require_bones, side_in, sides_of, told_bones
    from im2hands.lab.bench.other_hand import other_hand
    from im2hands.lab.bench.skinned_glb import read_skinned_glb

    mesh = read_skinned_glb(path)
    sides = sides_of(mesh.names)
    side = side or (next(iter(sides)) if len(sides) == 1 else "right" if sides else side_in(path.stem))
    if side is None:
        raise InputError(f"No name tells which hand {path} is.", "Give --side.")
    beside = path.with_suffix(".json")
    if beside.exists():
        try:
            told = json.loads(read_regular(beside, 2**20))
            bones = told_bones(mesh.names, {str(key): str(value) for key, value in told.items()})
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{beside} is no JSON object: {error}.", "Write it again.") from error
    else:
        bones = keypoint_bones(mesh.names, side)
    require_bones(bones, mesh.names)
    return other_hand(mesh, bones, side, scale)


def print_hand(
    name: str, hand: OtherHand, decoder: PartDecoder, reach: BoneReach | None, folder: Path | None
) -> None:  # fmt: skip
    """Measure a hand in six poses and print its part of the table.

    Parameters
    ----------
    name : str
        Name of the hand.
    hand : OtherHand
        The hand.
    decoder : PartDecoder
        The part occupancy network.
    reach : BoneReach or None
        Largest extent of each bone's part.
    folder : Path, optional
        Where both meshes of each pose are written.
    """
    import numpy as np

    from im2hands.core.hands import MIDDLE_MCP, WRIST
    from im2hands.geometry.sealing import is_open
    from im2hands.keypoints.placing.joint_definitions import to_own_definition
    from im2hands.lab.bench.other_hand import posed, poses
    from im2hands.lab.evaluation.measures import CUT_M, Mesh, TrueHand

    palm = float(np.linalg.norm(hand.keypoints[MIDDLE_MCP] - hand.keypoints[WRIST]))
    cut = min(CUT_M, hand.end - END_MARGIN_M)
    state = "open" if is_open(hand.faces) else "closed"
    print(
        f"{name}: palm {palm * 1000:.0f} mm, {len(hand.vertices)} vertices, {state}, "
        f"cut {cut * 1000:.0f} mm behind the wrist"
    )
    print(f"  {'':<12}" + "".join(f"{label:>20}" for label in LABELS))
    print(f"  {'pose':<12}" + f"{'IoU':>8}{'Chamfer mm':>12}" * len(LABELS))
    thickness, rows = measured_thickness(hand), []
    for pose_name, pose in poses().items():
        vertices, keypoints = posed(hand, pose)
        truth = TrueHand("right", Mesh(vertices, hand.faces), keypoints, SEED, cut)
        converted = to_own_definition(keypoints[:, :2], keypoints, "right", MEDIAPIPE)[1]
        given = ((keypoints, None), (keypoints, thickness), (converted, None))
        meshes = {label: Mesh(*reconstructed(*what, decoder, reach)) for label, what in zip(LABELS, given, strict=True)}
        measured = [truth.measure(mesh, keypoints) for mesh in meshes.values()]
        rows.append([value for one in measured for value in (one.iou, one.chamfer_mm)])
        print_row(pose_name, rows[-1])
        if folder is not None:
            for label, mesh in {"model": Mesh(vertices, hand.faces), **meshes}.items():
                write_obj(folder / f"{Path(name).stem}_{pose_name}_{label}.obj", mesh.vertices, mesh.faces)
    print_row("mean", np.mean(rows, axis=0))


def print_row(name: str, values: list[float] | np.ndarray) -> None:
    """Print IoU and Chamfer distance, millimetres, for each of ``LABELS``."""
    print(f"  {name:<12}" + "".join(f"{value:>{8 + 4 * (k % 2)}.{3 - k % 2}f}" for k, value in enumerate(values)))


def measured_thickness(hand: OtherHand) -> np.ndarray:
    """Measure the 17 thicknesses (17,) of a hand in its rest pose, metres."""
    import torch

    from im2hands.geometry.bones import bones_from_keypoints
    from im2hands.lab.datasets.hand_thickness import measure_thickness

    bones = bones_from_keypoints(torch.from_numpy(hand.keypoints)[None], ["right"])
    turn, wrist = bones.rotation[0].numpy(), bones.wrist[0].numpy()
    vertices, keypoints = (
        torch.from_numpy((points - wrist) @ turn.T)[None] for points in (hand.vertices, hand.keypoints)
    )
    found: np.ndarray = measure_thickness(vertices, keypoints, hand.faces, hand.owner)[0].numpy()
    return found


def reconstructed(
    keypoints: np.ndarray, thickness: np.ndarray | None, decoder: PartDecoder, reach: BoneReach | None
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Reconstruct a right hand from its keypoints with the part occupancy network.

    Parameters
    ----------
    keypoints : (21, 3) float
        Keypoints, metres.
    thickness : (17,) float, optional
        Thicknesses of the hand, metres; None for what is usual for its skeleton.
    decoder : PartDecoder
        The network.
    reach : BoneReach or None
        Largest extent of each bone's part.

    Returns
    -------
    vertices : (V, 3) float
        Frame of the keypoints, metres.
    faces : (F, 3) int
        Triangles.
    """
    import torch

    from im2hands.geometry.bones import bones_from_keypoints
    from im2hands.networks.shape_encoder import skeleton_of
    from im2hands.surfaces.dense_lattice import extract_surfaces
    from im2hands.surfaces.from_keypoints import hand_mesh
    from im2hands.surfaces.occupancy_field import PartField

    points = torch.from_numpy(keypoints)[None]
    bones = bones_from_keypoints(points, ["right"])
    if thickness is not None and decoder.shape_encoder is not None:
        usual = decoder.shape_encoder.usual_thickness(skeleton_of(bones)).detach().exp()
        bones = replace(bones, thickness=torch.from_numpy(thickness)[None] / usual)
    with torch.inference_mode():
        surface = extract_surfaces(PartField(decoder, bones, points, reach), VOXEL_M)[0]
    mesh = hand_mesh(surface, bones, 0)
    return mesh.vertices, mesh.faces


def write_obj(path: Path, vertices: np.ndarray, faces: np.ndarray) -> None:
    """Write a mesh (V, 3), (F, 3) as OBJ."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices] + [f"f {a} {b} {c}" for a, b, c in faces + 1]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    sys.exit(main())
