"""Accuracy of MediaPipe's landmark network and of the reading network on the same crops of rendered hands.

    python benchmarks/reading.py SET [--scenes 256] [--first 0] [--hands both] [--weights FILE]

SET is a scene set of crops (`im2hands synthesize --kind crop`). The crops are randomly displaced from the true ones.
The true keypoints are converted to the definition that the reading network was taught, which differs from MediaPipe's
towards the back of the hand. Errors are means over the keypoints of a hand: in the picture in palm lengths; in space in
millimetres, with both wrists at the origin and both hands scaled to a palm of 90 mm. ``--hands left`` or ``right``
measures the hands of one side alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST
from im2hands.keypoints.choosing.prior import HANDS
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.training.reading_samples import PALM_M, HandsInPicture, hands_in_picture
from im2hands.weights.keypoint_networks import READING

SHIFT, SIZE, TURN = 0.06, 0.12, 0.25
"""Standard deviations of the crops' displacement: shift in crop sizes, logarithm of the size, rotation in radians."""

COLUMNS = ("2D", "3D mm", "side", "presence", "spread")
"""Printed measures: errors, share of right sides, presence probability, predicted 2D error."""


def crops_near(hands: HandsInPicture, seed: int) -> np.ndarray:
    """Displace the crops of hands at random.

    Parameters
    ----------
    hands : HandsInPicture
        K hands with their true crops.
    seed : int
        Seed of the displacement.

    Returns
    -------
    (K, 4) float
        Crops: centre, size, rotation.
    """
    rng, crops = np.random.default_rng(seed), hands.crops.copy()
    crops[:, :2] += rng.normal(0, SHIFT, (len(crops), 2)) * crops[:, 2:3]
    crops[:, 2] *= np.exp(rng.normal(0, SIZE, len(crops)))
    crops[:, 3] += rng.normal(0, TURN, len(crops))
    return crops


def from_wrist(shape: np.ndarray) -> np.ndarray:
    """Move a hand's wrist to the origin and scale its palm to 90 mm.

    Parameters
    ----------
    shape : (21, 3) float
        Keypoints, any unit.

    Returns
    -------
    (21, 3) float
        Metres.
    """
    shape = shape - shape[WRIST]
    return shape * (PALM_M / max(float(np.linalg.norm(shape[MIDDLE_MCP])), 1e-4))


def main() -> None:
    """Run both networks and print their accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="SET")
    parser.add_argument("--scenes", type=int, default=256)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--hands", default="both", choices=HANDS, help="left, right, or the hands of both sides")
    parser.add_argument("--weights", type=Path, default=READING.bundled, metavar="FILE", help="of the reading network")
    arguments = parser.parse_args()
    data = SceneSet(arguments.data)
    mediapipe, reading = LandmarkNetwork(), LandmarkNetwork(reading=READING.load(arguments.weights))
    variants = {
        "MediaPipe": (mediapipe, False),
        "reading network": (reading, False),
        "reading network, side given": (reading, True),
    }
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in variants}
    for number in range(arguments.first, min(arguments.first + arguments.scenes, len(data))):
        scene = data.scene(number)
        hands, image = hands_in_picture(scene), scene.image()
        crops = crops_near(hands, number)
        for name, (network, side_given) in variants.items():
            for k, crop in enumerate(crops):
                if arguments.hands in SIDES and hands.right[k] != (arguments.hands == "right"):
                    continue
                side = (1 if hands.right[k] else -1) if side_given else 0
                read = network.read(image, crop[None], side=side)
                aside = np.linalg.norm(read.pixels[0] - hands.pixels[k], axis=-1).mean() / hands.palm[k]
                away = np.linalg.norm(from_wrist(read.shape[0]) - from_wrist(hands.shape[k]), axis=-1).mean() * 1000
                sided = float((read.right[0] > 0.5) == hands.right[k])
                rows[name].append((aside, away, sided, float(read.presence[0]), float(read.spread[0].mean())))
    for name, values in rows.items():
        table = np.array(values)
        middle = np.median(table, axis=0)
        means = ", ".join(f"{column} {value:.3f}" for column, value in zip(COLUMNS, table.mean(axis=0), strict=True))
        share = (table[:, 0] < 0.25).mean()
        print(f"{name}: {means}; medians {middle[0]:.3f}, {middle[1]:.1f} mm; 2D below 0.25: {100 * share:.0f} %")
    print(f"{len(table)} hands")


if __name__ == "__main__":
    main()
