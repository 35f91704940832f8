"""Do the meshes cover the photographed hands? ``python benchmarks/silhouettes.py [PHOTO MASK]``.

PHOTO and MASK are files, or folders: each mask of a folder belongs to the photo of the same name, which is searched for
with subfolders. Without them, the photos of this repository that have masks are measured. A mask is a grey PNG of the
photo's size: 255 hand, 0 not a hand, 128 not counted (the arm's side of the wrist). The masks were made by colour and
GrabCut, checked by eye, and cut at the wrist by hand, so that no method moves its own boundary.

Prints, for each photo and stage, what share of the hand's pixels the meshes cover (recall), what share of the meshes'
pixels lies on hands (precision), their intersection over union, and how far the meshes lie beside the hand: the shift
of the whole silhouette, in hundredths of the square root of the hand's area, that raises the IoU most. Last the means.
``--overlays DIR`` draws the meshes' outlines over the photos.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from im2hands.app.cli.main import NO_NETWORK, PROCESS_DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from im2hands.core.camera import Camera
    from im2hands.lab.evaluation.measures import Mesh

ROOT = Path(__file__).resolve().parent.parent
OWN_MASKS = ROOT / "benchmarks" / "masks"
OWN_PHOTOS = (ROOT / "demo" / "fingerpose", ROOT / "backend" / "im2hands" / "assets" / "photos")
HAND, IGNORED = 255, 128
STAGES = ("keypoints", "initial", "refined")
SHIFT = 0.12
"""Largest shift that is tried, square roots of the hand's area."""


@dataclass(frozen=True)
class Cover:
    """How well a silhouette covers the hands of a photo.

    Parameters
    ----------
    recall : float
        Share of the hands' pixels that the silhouette covers.
    precision : float
        Share of the silhouette's pixels that lie on hands; 0 without a silhouette.
    iou : float
        Pixels of both over pixels of either.
    shift : float
        Length of the shift of the silhouette that raises the IoU most, square roots of the hands' area.
    """

    recall: float
    precision: float
    iou: float
    shift: float


def pairs(photos: Sequence[Path], masks: Path) -> list[tuple[Path, Path]]:
    """Find the photo of each mask.

    Parameters
    ----------
    photos : Sequence[Path]
        A photo, or folders that are searched with their subfolders.
    masks : Path
        A mask, or a folder of masks.

    Returns
    -------
    list of (Path, Path)
        Photo and mask, in the order of the masks' names.
    """
    from im2hands.media.images import PICTURE_SUFFIXES

    if masks.is_file():
        return [(photos[0], masks)]
    found = {
        path.stem: path for folder in photos for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in PICTURE_SUFFIXES and masks not in path.parents
    }  # fmt: skip
    return [(found[mask.stem], mask) for mask in sorted(masks.glob("*.png")) if mask.stem in found]


def silhouette(meshes: Sequence[Mesh], camera: Camera) -> np.ndarray:
    """Draw meshes in one colour.

    Parameters
    ----------
    meshes : Sequence[Mesh]
        Camera frame, metres.
    camera : Camera
        Camera of the photo.

    Returns
    -------
    (H, W) bool
        The pixels that the meshes cover.
    """
    import cv2
    import numpy as np

    drawn = np.zeros((camera.height, camera.width), np.uint8)
    for mesh in meshes:
        places = np.rint(camera.project(np.asarray(mesh.vertices, np.float64)) * 16)
        for corners in np.clip(places, -(2**20), 2**20).astype(np.int32)[mesh.faces]:
            cv2.fillConvexPoly(drawn, corners, 1, cv2.LINE_8, 4)
    return drawn > 0


def cover(drawn: np.ndarray, mask: np.ndarray) -> Cover:
    """Compare a silhouette with a mask.

    Parameters
    ----------
    drawn : (H, W) bool
        The silhouette.
    mask : (H, W) uint8
        The mask.

    Returns
    -------
    Cover
    """
    import numpy as np

    hand, counted = mask == HAND, mask != IGNORED

    def measured(drawn: np.ndarray) -> tuple[float, float, float]:
        seen = drawn & counted
        both = float((seen & hand).sum())
        return both / hand.sum(), both / max(float(seen.sum()), 1.0), both / float((seen | hand).sum())

    unit = float(np.sqrt(hand.sum()))
    steps = np.unique(np.rint(np.linspace(-SHIFT, SHIFT, 13) * unit).astype(int))
    best, shift = -1.0, 0.0
    for x in steps:
        for y in steps:
            iou = measured(np.roll(drawn, (y, x), axis=(0, 1)))[2]
            length = float(np.hypot(x, y)) / unit
            if iou > best + 1e-9 or (iou > best - 1e-9 and length < shift):
                best, shift = iou, length
    return Cover(*measured(drawn), shift)


def outlined(image: np.ndarray, drawn: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Draw the outline of the silhouette (orange) and of the mask (white) over a photo (H, W, 3) uint8, RGB."""
    import cv2
    import numpy as np

    made = image.copy()
    for shape, colour in ((mask == HAND, (255, 255, 255)), (drawn, (230, 90, 0))):
        lines, _ = cv2.findContours(shape.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(made, lines, -1, colour, max(1, round(max(image.shape) / 500)))
    return made


def main() -> None:
    """Reconstruct the photos and print the table."""
    os.environ.update({**PROCESS_DEFAULTS, **NO_NETWORK})  # as the program does; it must precede the import of PyTorch
    import cv2
    import numpy as np

    from im2hands.core.devices import choose_device
    from im2hands.core.errors import FrameError
    from im2hands.keypoints.choosing.prior import HANDS
    from im2hands.keypoints.placing.solve import DEFAULT_PALM_M, place_hands
    from im2hands.keypoints.sources import make_provider
    from im2hands.lab.evaluation.measures import Mesh
    from im2hands.lab.evaluation.overlay import draw_keypoints, draw_meshes, tile
    from im2hands.media.camera_choice import CameraChoice
    from im2hands.media.images import PictureInfo, read_picture
    from im2hands.media.source import Frame
    from im2hands.surfaces.load import load_reconstructor

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path, nargs="?", help="a photo, or a folder (default: this repository's)")
    parser.add_argument("mask", type=Path, nargs="?", help="its mask, or the folder of masks")
    parser.add_argument("--keypoints", default="auto", help="auto, network or mediapipe")
    parser.add_argument("--hands", default="auto", choices=HANDS, help="what is known of the hands")
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--stages", nargs="+", default=["refined"], choices=STAGES)
    parser.add_argument("--voxel-mm", type=float, default=1.7)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--overlays", type=Path, metavar="DIR", help="folder for pictures of the outlines")
    arguments = parser.parse_args()
    if (arguments.photo is None) != (arguments.mask is None):
        raise SystemExit("Give a photo and its mask, or two folders.")
    photos = OWN_PHOTOS if arguments.photo is None else (arguments.photo,)
    chosen = pairs(photos, arguments.mask or OWN_MASKS)
    if not chosen:
        raise SystemExit("No mask has a photo of its name.")
    device = choose_device(arguments.device)
    surfaces = {
        stage: load_reconstructor(
            arguments.weights, device=device, voxel_m=arguments.voxel_mm / 1000, stage=stage
        ) for stage in arguments.stages
    }  # fmt: skip
    provider = make_provider(arguments.keypoints, hands=arguments.hands)
    rows: dict[str, list[Cover]] = {stage: [] for stage in surfaces}
    print(f"{'photo':<18}{'hands':<30}{'stage':<11}{'recall':>7}{'precision':>11}{'IoU':>7}{'shift':>7}")
    for number, (photo, path) in enumerate(chosen, start=1):
        image, mask = read_picture(photo), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if mask is None or mask.shape != image.shape[:2]:
            raise SystemExit(f"{path} is not a grey picture of the size of {photo}.")
        frame = Frame(number, 0.0, image, photo.name, photo)
        camera = CameraChoice().for_picture(PictureInfo(image.shape[1], image.shape[0]))
        hands = place_hands(provider.detect(frame), camera, DEFAULT_PALM_M)
        names = ", ".join(f"{hand.side} ({hand.source})" for hand in hands.present()) or "-"
        for stage, maker in surfaces.items():
            try:
                made = maker.reconstruct(frame, camera, hands) if hands.present() else {}
            except FrameError as error:
                print(f"{photo.stem[:17]:<18}{error.message}")
                made = {}
            meshes = {side: Mesh(np.asarray(mesh.vertices, np.float64), mesh.faces) for side, mesh in made.items()}
            drawn = silhouette(list(meshes.values()), camera)
            found = cover(drawn, mask)
            rows[stage].append(found)
            print(f"{photo.stem[:17]:<18}{names:<30}{stage:<11}{_figures(found)}", flush=True)
            if arguments.overlays is not None:
                arguments.overlays.mkdir(parents=True, exist_ok=True)
                views = [outlined(image, drawn, mask), draw_keypoints(image, hands, camera)]
                sheet = tile([*views, draw_meshes(image, meshes, camera)], 640)
                cv2.imwrite(str(arguments.overlays / f"{photo.stem}_{stage}.png"), sheet[..., ::-1])
    provider.close()
    for stage, values in rows.items():
        mean = Cover(*np.mean([list(vars(value).values()) for value in values], axis=0))
        print(f"{f'mean of {len(values)}':<48}{stage:<11}{_figures(mean)}")


def _figures(found: Cover) -> str:
    return f"{found.recall:>7.3f}{found.precision:>11.3f}{found.iou:>7.3f}{100 * found.shift:>7.1f}"


if __name__ == "__main__":
    main()
