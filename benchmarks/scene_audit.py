"""Audit of scene sets against photos: ``python benchmarks/scene_audit.py SET ... --photos FOLDER ...``.

Prints, for the photos and for each set, mean and range (5th to 95th percentile) of the signal of whole pictures and of
squares around hands, and for the sets the share of hands with a visible arm, what hides keypoints, and the flexion of
joints. ``--sheet`` writes a contact sheet of each set. Photos are only measured.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from im2hands.app.cli.main import PROCESS_DEFAULTS

COLUMNS = 8
TILE = 200
"""Side of a picture on the contact sheet, pixels."""
AROUND = 1.5
"""Side of the square around a hand, in extents of its keypoints."""


def main() -> None:
    """Measure and print."""
    os.environ.update(PROCESS_DEFAULTS)  # as the program does; it must precede the import of PyTorch
    import cv2
    import numpy as np

    from im2hands.core.errors import FrameError
    from im2hands.keypoints.sources import make_provider
    from im2hands.lab.datasets.scenes import SceneSet
    from im2hands.lab.synthesis.audit import SIDE, hand_figures, means, picture_figures
    from im2hands.media.images import PICTURE_SUFFIXES, read_picture
    from im2hands.media.source import Frame

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--photos", type=Path, nargs="*", default=[])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--sheet", type=Path, help="folder for contact sheets")
    parser.add_argument("--on-sheet", type=int, default=32, help="scenes on a contact sheet")
    arguments = parser.parse_args()

    def square(image: np.ndarray, points: np.ndarray) -> np.ndarray | None:
        """Square around points, scaled to SIDE; None for a hand of a few pixels."""
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        side = AROUND * float(np.ptp(points, axis=0).max())
        if side < SIDE / 4:
            return None
        scale = SIDE / side
        affine = np.array([[scale, 0, SIDE / 2 - scale * middle[0]], [0, scale, SIDE / 2 - scale * middle[1]]])
        if scale < 1:
            image = cv2.GaussianBlur(image, (0, 0), 0.5 / scale)
        return cv2.warpAffine(image, affine, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT_101)

    columns: dict[str, dict[str, tuple[float, float, float]]] = {}
    photos = sorted(p for folder in arguments.photos for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    if photos:
        provider = make_provider("mediapipe", video=False)
        whole, hands = [], []
        for photo in photos:
            try:
                image = read_picture(photo)
            except FrameError:
                continue
            whole.append(picture_figures(image))
            for found in provider.detect(Frame(0, 0.0, image, photo.name), None):
                around = square(image, found.pixels)
                if around is not None:
                    hands.append(picture_figures(around))
        provider.close()
        columns["photos"] = means(whole) | {f"hand: {k}": v for k, v in means(hands).items()}
    for folder in arguments.sets:
        scenes = SceneSet(folder)
        chosen = range(arguments.first, min(arguments.first + arguments.scenes, len(scenes)))
        whole, hands, facts, tiles, counts = [], [], [], [], np.zeros(3)
        for number in chosen:
            scene = scenes.scene(number)
            image = scene.image()
            whole.append(picture_figures(image))
            facts += hand_figures(scene)
            counts[int(scene.present.sum())] += 1
            for k in np.flatnonzero(scene.present):
                seen = scene.keypoints[k] @ scene.intrinsics.T
                around = square(image, seen[:, :2] / seen[:, 2:])
                if around is not None:
                    hands.append(picture_figures(around))
            if len(tiles) < arguments.on_sheet:
                scale = TILE / max(image.shape[:2])
                small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:TILE, :TILE]
                tile = np.zeros((TILE, TILE, 3), np.uint8)
                tile[: small.shape[0], : small.shape[1]] = small
                tiles.append(tile)
        shares = {f"{k} hands": (float(counts[k] / max(counts.sum(), 1)),) * 3 for k in range(3)}
        columns[folder.name] = means(whole) | {f"hand: {k}": v for k, v in means(hands).items()} | shares | means(facts)
        if arguments.sheet:
            arguments.sheet.mkdir(parents=True, exist_ok=True)
            tiles += [np.zeros((TILE, TILE, 3), np.uint8)] * (-len(tiles) % COLUMNS)
            rows = [np.hstack(tiles[k : k + COLUMNS]) for k in range(0, len(tiles), COLUMNS)]
            cv2.imwrite(str(arguments.sheet / f"{folder.name}.png"), np.vstack(rows)[..., ::-1])
    names = dict.fromkeys(name for column in columns.values() for name in column)
    print(f"{'mean (5 % to 95 %)':<22}" + "".join(f"{name:>30}" for name in columns))
    for name in names:
        cells = [
            f"{c[name][0]:.2f} ({c[name][1]:.2f} to {c[name][2]:.2f})" if name in c else "" for c in columns.values()
        ]
        print(f"{name:<22}" + "".join(f"{cell:>30}" for cell in cells))


if __name__ == "__main__":
    main()
