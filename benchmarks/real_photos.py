"""Reconstruction of real photos, for visual inspection: ``python benchmarks/real_photos.py FOLDER --output DIR``.

Prints a line for each photo: hands, sides, confidence, reprojection error, seconds. Writes contact sheets with a row
for each photo: the photo, the keypoints, the meshes over the photo, and a side view of the meshes.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from im2hands.app.cli.main import PROCESS_DEFAULTS


def main() -> None:
    """Reconstruct all photos of a folder."""
    os.environ.update(PROCESS_DEFAULTS)  # as the program does; it must precede the import of PyTorch
    import cv2
    import numpy as np

    from im2hands.core.devices import choose_device
    from im2hands.core.errors import FrameError
    from im2hands.keypoints.choosing.prior import HANDS
    from im2hands.keypoints.placing.solve import DEFAULT_PALM_M, place_hands
    from im2hands.keypoints.sources import make_provider
    from im2hands.lab.evaluation.measures import Mesh
    from im2hands.lab.evaluation.overlay import draw_keypoints, draw_meshes, side_view, tile
    from im2hands.media.camera_choice import CameraChoice
    from im2hands.media.images import PICTURE_SUFFIXES, PictureInfo, read_picture
    from im2hands.media.source import Frame
    from im2hands.surfaces.keypoint_refiner import load_keypoint_refiner
    from im2hands.surfaces.load import load_reconstructor

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=Path("real_photos"), help="folder for the contact sheets")
    parser.add_argument("--keypoints", default="auto", help="auto, network or mediapipe")
    parser.add_argument("--hands", default="auto", choices=HANDS, help="what is known of the hands")
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--stage", choices=("initial", "refined"))
    parser.add_argument("--no-keypoint-refinement", action="store_true")
    parser.add_argument("--voxel-mm", type=float, default=1.7)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--height", type=int, default=320, help="height of a row, pixels")
    parser.add_argument("--rows", type=int, default=6, help="rows of a contact sheet")
    arguments = parser.parse_args()

    photos = sorted(p for p in arguments.folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    if not photos:
        raise SystemExit(f"No photos in {arguments.folder}.")
    device = choose_device(arguments.device)
    surfaces = load_reconstructor(
        arguments.weights, device=device, voxel_m=arguments.voxel_mm / 1000, stage=arguments.stage
    )
    refiner = None if arguments.no_keypoint_refinement else load_keypoint_refiner(arguments.weights, device=device)
    provider = make_provider(arguments.keypoints, hands=arguments.hands)
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows, sheets = [], 0
    print(f"{'photo':<34}{'hands':<30}{'confidence':<14}{'reprojection px':<18}{'s':>6}")
    for number, photo in enumerate(photos, start=1):
        image = read_picture(photo)
        frame = Frame(number, 0.0, image, photo.name, photo)
        camera = CameraChoice().for_picture(PictureInfo(image.shape[1], image.shape[0]))
        began = time.perf_counter()
        hands = place_hands(provider.detect(frame), camera, DEFAULT_PALM_M)
        if refiner is not None:
            hands = refiner.refine(frame, camera, hands).hands
        try:
            made = surfaces.reconstruct(frame, camera, hands)
            trouble = ""
        except FrameError as error:
            made, trouble = {}, error.message
        seconds = time.perf_counter() - began
        present = hands.present()
        off = [float(np.linalg.norm(camera.project(h.positions) - h.pixels, axis=1).mean()) for h in present]
        print(
            f"{photo.name[:33]:<34}{', '.join(f'{h.side} ({h.source})' for h in present) or '-':<30}"
            f"{', '.join(f'{h.confidence.mean():.2f}' for h in present):<14}"
            f"{', '.join(f'{o:.1f}' for o in off):<18}{seconds:>6.2f} {trouble}",
            flush=True,
        )
        meshes = {side: Mesh(np.asarray(mesh.vertices, np.float64), mesh.faces) for side, mesh in made.items()}
        rows.append(
            tile(
                [
                    image, draw_keypoints(image, hands, camera), draw_meshes(image, meshes, camera),
                    side_view(meshes, max(arguments.height, 64)),
                ],
                arguments.height,
            )
        )  # fmt: skip
        if len(rows) == arguments.rows or number == len(photos):
            width = max(row.shape[1] for row in rows)
            sheet = np.concatenate([np.pad(r, ((0, 4), (0, width - r.shape[1]), (0, 0))) for r in rows])
            sheets += 1
            path = arguments.output / f"sheet_{sheets:02}.jpg"
            cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
            print(f"wrote {path}")
            rows = []
    provider.close()


if __name__ == "__main__":
    main()
