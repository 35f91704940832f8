"""MediaPipe's keypoints beside the joints of the bundled hand: ``python benchmarks/joint_definitions.py SET...``.

SET is a folder of rendered scenes (``im2hands synthesize --kind crop``). Only hands that hide nothing of each other
and that the landmark network sees well are measured. Prints, for each keypoint, the median way from the true joint to
MediaPipe's, along the bone that leads to it (the wrist: from the middle knuckle) and across, in palm lengths, over
bones that are seen lengthwise. ``im2hands.keypoints.joint_definitions.ALONG`` is the first column, turned round.
"""

from __future__ import annotations

import argparse
from pathlib import Path

MODES = ("apart", "near", "single", "pinch")
SMALLEST_PIXELS = 60.0
LARGEST_ERROR = 0.16
LEAST_PRESENCE = 0.9
LENGTHWISE = 0.75


def main() -> None:
    """Measure and print."""
    import numpy as np
    from im2hands.datasets.scenes import SceneSet
    from im2hands.evaluation.keypoints import camera_of, palm_pixels
    from im2hands.hands import MIDDLE_MCP, WRIST
    from im2hands.keypoints.joint_definitions import ALONG
    from im2hands.keypoints.landmark_network import LandmarkNetwork
    from im2hands.keypoints.second_look import look_again

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--hands", type=int, default=260)
    arguments = parser.parse_args()
    network = LandmarkNetwork()
    rows: list[list[tuple[float, float]]] = [[] for _ in range(21)]
    hands = 0
    for data in map(SceneSet, arguments.sets):
        for number in range(len(data)):
            scene = data.scene(number)
            if hands >= arguments.hands or data.info.modes[int(scene.mode)] not in MODES:
                continue
            camera, image = camera_of(scene), scene.image()
            for side in np.flatnonzero(scene.present):
                points = scene.keypoints[side].astype(np.float64)
                true, palm = camera.project(points), palm_pixels(points, camera)
                if palm < SMALLEST_PIXELS:
                    continue
                look = look_again(network, image, true[None])[0]
                error = float(np.linalg.norm(look.pixels - true, axis=1).mean()) / palm
                if error > LARGEST_ERROR or look.presence < LEAST_PRESENCE:
                    continue
                hands += 1
                metres = float(np.linalg.norm(points[MIDDLE_MCP] - points[WRIST]))
                for k in range(21):
                    before = MIDDLE_MCP if k == WRIST else WRIST if k % 4 == 1 else k - 1
                    bone = true[k] - true[before]
                    length = float(np.linalg.norm(bone))
                    if length < LENGTHWISE * palm * float(np.linalg.norm(points[k] - points[before])) / metres:
                        continue
                    along = bone / length
                    across = np.array([-along[1], along[0]]) * (1 if side else -1)
                    off = (look.pixels[k] - true[k]) / palm
                    rows[k].append((float(off @ along), float(off @ across)))
    network.close()
    print(f"{hands} hands\n{'keypoint':>8}{'bones':>7}{'along':>8}{'across':>8}{'in use':>8}")
    for k, values in enumerate(rows):
        along, across = np.median(values, axis=0)
        print(f"{k:>8}{len(values):>7}{along:>8.3f}{across:>8.3f}{-ALONG[k]:>8.3f}")


if __name__ == "__main__":
    main()
