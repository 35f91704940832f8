"""Difference between a network's keypoints and the bundled hand's joints: ``benchmarks/joint_definitions.py SET...``.

SET is a folder of rendered scenes (``im2hands synthesize --kind crop``). Only mostly visible hands that the network
reads accurately are measured, from whatever side they are seen. Prints, for each keypoint, the offset from the true
joint to the network's keypoint, in palm lengths: along the bone that leads to the keypoint (for the wrist: from the
middle knuckle), towards the back of the hand, and towards the thumb
(``im2hands.keypoints.placing.joint_definitions.joint_axes``). The three are fitted together, robustly, to the offsets
in the pictures: each view shows two directions, all views together show three. The last column is the standard error.
``OFFSETS`` of that module is the negative; the columns "in use" are the negative of ``OFFSETS``.

With ``--errors``, every hand that is read with an error below half a palm is lifted with its true side and palm length,
once with the network's keypoints and once converted to the bundled hand's joints. Prints the keypoint errors of both.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from im2hands.keypoints.reading.network import LandmarkNetwork

READ = 0.5
"""Largest mean keypoint error of hands measured with ``--errors``, palm lengths."""

MODES = ("apart", "near", "single", "pinch", "fist", "touching")
"""Interaction modes in which hands hardly hide each other."""

SMALLEST_PIXELS = 40.0
"""Smallest palm length of a measured hand, pixels."""

LARGEST_ERROR = 0.16
"""Largest mean keypoint error of a measured hand, palm lengths."""

LEAST_PRESENCE, LEAST_VISIBLE = 0.9, 0.6
"""Least presence probability, and least share of visible keypoints, of a measured hand."""

ROUNDS, OUTLIER = 20, 1.5
"""Rounds of reweighting; distance, in median distances, from which the weight of a view falls."""


def main() -> None:
    """Measure the offsets and print them."""
    import numpy as np

    from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST
    from im2hands.keypoints.choosing.prior import HANDS
    from im2hands.keypoints.placing.joint_definitions import OFFSETS, joint_axes
    from im2hands.keypoints.reading.consensus import read_repeatedly
    from im2hands.lab.datasets.scenes import SceneSet
    from im2hands.lab.evaluation.keypoints import camera_of, palm_pixels

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=460, metavar="N", help="measure N hands (default: 460)")
    parser.add_argument("--hands", default="both", choices=HANDS, help="left, right, or the hands of both sides")
    parser.add_argument("--network", default="mediapipe", choices=("mediapipe", "reading"), help="whose keypoints")
    parser.add_argument("--errors", action="store_true", help="measure the effect on lifted hands, in all modes")
    arguments = parser.parse_args()
    if arguments.errors:
        print_errors(arguments.sets, arguments.count, arguments.hands, arguments.network)
        return
    network = chosen_network(arguments.network)
    views: list[list[np.ndarray]] = [[] for _ in range(21)]
    offsets: list[list[np.ndarray]] = [[] for _ in range(21)]
    hands = 0
    for data in map(SceneSet, arguments.sets):
        for number in range(len(data)):
            if hands >= arguments.count:
                break
            scene = data.scene(number)
            if data.info.modes[int(scene.mode)] not in MODES:
                continue
            camera, image = camera_of(scene), scene.image()
            for side in measured_sides(scene.present, arguments.hands):
                points = scene.keypoints[side].astype(np.float64)
                true, palm = camera.project(points), palm_pixels(points, camera)
                if palm < SMALLEST_PIXELS or scene.visible[side].mean() < LEAST_VISIBLE:
                    continue
                look = read_repeatedly(network, image, true[None], side=1 if side else -1)[0]
                error = float(np.linalg.norm(look.pixels - true, axis=1).mean()) / palm
                if error > LARGEST_ERROR or look.presence < LEAST_PRESENCE:
                    continue
                hands += 1
                step = 1e-3 * float(np.linalg.norm(points[MIDDLE_MCP] - points[WRIST]))
                axes = joint_axes(points, SIDES[side])
                moved = [camera.project(points + step * axes[:, k]) - true for k in range(3)]
                view = np.stack(moved, axis=-1) / 1e-3 / palm
                for k in range(21):
                    views[k].append(view[k])
                    offsets[k].append((look.pixels[k] - true[k]) / palm)
    used = OFFSETS[network.source]
    network.close()
    columns = ("along", "back", "thumb")
    print(f"{hands} hands\n{'':>8}{'measured':^24}{'':>8}{'in use':^24}")
    print(f"{'keypoint':>8}" + "".join(f"{name:>8}" for name in (*columns, "error", *columns)))
    for k in range(21):
        found, error = fitted(np.array(views[k]), np.array(offsets[k]))
        print(f"{k:>8}" + "".join(f"{v:>8.3f}" for v in (*found, error.max(), *-used[k])))


def chosen_network(name: str) -> LandmarkNetwork:
    """Load MediaPipe's landmark network or the reading network."""
    from im2hands.keypoints.reading.network import LandmarkNetwork

    return LandmarkNetwork() if name == "mediapipe" else LandmarkNetwork.bundled()


def fitted(views: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit the offset of a keypoint in space to its offsets in pictures, robustly.

    Parameters
    ----------
    views : (N, 2, 3) float
        How a step along each of the three axes moves the keypoint in each picture, palm lengths.
    offsets : (N, 2) float
        The offsets in the pictures, palm lengths.

    Returns
    -------
    offset : (3,) float
        Along the three axes, palm lengths.
    error : (3,) float
        Its standard errors.
    """
    import numpy as np

    weight = np.ones(len(views))
    for _ in range(ROUNDS):
        normal = np.einsum("n,nij,nik->jk", weight, views, views)
        found = np.linalg.solve(normal, np.einsum("n,nij,ni->j", weight, views, offsets))
        miss = np.linalg.norm(offsets - views @ found, axis=1)
        weight = 1 / (1 + (miss / (OUTLIER * np.median(miss))) ** 2)
    return found, np.sqrt(np.diag(np.linalg.inv(normal))) * float(np.median(miss))


def measured_sides(present: np.ndarray, hands: str) -> list[int]:
    """Return the sides of a scene that are measured: 0 left, 1 right.

    Parameters
    ----------
    present : (2,) bool
        Which hands the scene shows.
    hands : str
        "left" or "right" for that side alone; otherwise both sides.

    Returns
    -------
    list of int
    """
    from im2hands.core.hands import SIDES

    return [k for k, side in enumerate(SIDES) if present[k] and (hands not in SIDES or side == hands)]


def print_errors(sets: list[Path], most: int, hands: str, name: str) -> None:
    """Lift hands with and without the conversion of the keypoints, and print the errors.

    Parameters
    ----------
    sets : list of Path
        Scene sets.
    most : int
        Largest number of hands.
    hands : str
        Which sides, see ``measured_sides``.
    name : str
        "mediapipe" or "reading": whose keypoints.
    """
    from dataclasses import replace

    import numpy as np

    from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST
    from im2hands.keypoints.placing.solve import place_hands
    from im2hands.keypoints.reading.consensus import read_repeatedly
    from im2hands.lab.datasets.scenes import SceneSet
    from im2hands.lab.evaluation.keypoints import camera_of, palm_pixels

    network = chosen_network(name)
    errors: dict[str, list[tuple[float, float]]] = {"file": [], network.source: []}
    for data in map(SceneSet, sets):
        for number in range(len(data)):
            scene = data.scene(number)
            camera, image = camera_of(scene), scene.image()
            for k in measured_sides(scene.present, hands):
                points = scene.keypoints[k].astype(np.float64)
                true, palm = camera.project(points), palm_pixels(points, camera)
                look = read_repeatedly(network, image, true[None], side=1 if k else -1)[0]
                if len(errors["file"]) >= most or np.linalg.norm(look.pixels - true, axis=1).mean() > READ * palm:
                    continue
                metres = float(np.linalg.norm(points[MIDDLE_MCP] - points[WRIST]))
                for source, values in errors.items():
                    hand = place_hands([replace(look.detection(source), side=SIDES[k])], camera, metres).present()[0]
                    miss = np.linalg.norm(camera.project(hand.positions) - true, axis=1).mean() / palm
                    values.append((_aligned(hand.positions, points), float(miss)))
    network.close()
    print(f"{len(errors['file'])} hands{'':>12}aligned mm (mean, median)   picture palms (mean, median)")
    for source, values in errors.items():
        mean, median = np.mean(values, axis=0), np.median(values, axis=0)
        row = "the network's keypoints" if source == "file" else "converted to joints"
        print(f"{row:<24}{mean[0] * 1000:>10.1f}{median[0] * 1000:>8.1f}{mean[1]:>20.3f}{median[1]:>8.3f}")


def _aligned(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of two point sets (21, 3) after the best rigid alignment of the first to the second."""
    import numpy as np

    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    u, _, v = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))]) @ v
    return float(np.linalg.norm(a @ turn - b, axis=1).mean())


if __name__ == "__main__":
    main()
