"""Detect keypoints in the pictures of a scene set, as training data: ``im2hands train detected-keypoints``.

The command writes a copy of the set with a ``detected`` array. The steps are those of a reconstruction: the reading
network reads each hand in a crop near the true one, the lifting network lifts it, the image encoder shows the edge of
the hands, and the optimisation places them.
Networks that take a picture and keypoints are then trained with the real errors of these steps.
"""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from im2hands.core.devices import limit_threads
from im2hands.core.errors import InputError
from im2hands.core.hands import KEYPOINT_COUNT, MIDDLE_MCP, SIDES, WRIST
from im2hands.keypoints.placing.lift import HandLifter
from im2hands.keypoints.placing.solve import place_hands
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.lab.datasets.open_set import open_scenes
from im2hands.lab.datasets.scene import Scene
from im2hands.lab.datasets.scenes import SceneWriter
from im2hands.lab.evaluation.keypoints import camera_of
from im2hands.weights.compact import load_encoder
from im2hands.weights.folder import BUNDLED
from im2hands.weights.keypoint_networks import LIFTING, TWO_HAND

from .lifting_samples import read_hands

_log = logging.getLogger(__name__)


def detected_keypoints(
    scene: Scene, network: LandmarkNetwork, lifter: HandLifter, rng: np.random.Generator
) -> np.ndarray:
    """Detect the 3D keypoints of a scene's hands.

    Both hands are placed with the mean of their true palm lengths.

    Parameters
    ----------
    scene : Scene
        The scene.
    network : LandmarkNetwork
        Reads the crops.
    lifter : HandLifter
        Runs the lifting network.
    rng : numpy.random.Generator
        Draws the crops near the true ones.

    Returns
    -------
    (2, 21, 3) float64
        Keypoints of the left and the right hand, camera frame, metres; NaN for a hand that is not found.
    """
    found = np.full((len(SIDES), KEYPOINT_COUNT, 3), np.nan)
    hands = lifter.lift(scene.image(), read_hands(network, scene, rng))
    palms = np.linalg.norm(scene.keypoints[:, MIDDLE_MCP] - scene.keypoints[:, WRIST], axis=1)
    if hands:
        lifted = place_hands(hands, camera_of(scene), float(np.nanmean(palms)))
        for hand in lifted.present():
            found[SIDES.index(hand.side)] = hand.positions
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands train detected-keypoints``."""
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="SET", help="a scene set")
    add(
        "--output",
        type=Path,
        required=True,
        metavar="SET",
        help="folder for the same scenes with detected keypoints; a set begun there is continued",
    )
    add("--scenes", type=int, default=0, metavar="N", help="only the first N")
    add(
        "--two-hand-network", type=Path, default=TWO_HAND.bundled, metavar="FILE", help="its weights (default: bundled)"
    )
    add("--lifting-network", type=Path, default=LIFTING.bundled, metavar="FILE", help="its weights (default: bundled)")
    add("--seed", type=int, default=0, metavar="N")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads; 0: at most the granted cores")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train detected-keypoints`` and return the exit code."""
    limit_threads(arguments.threads)
    data = open_scenes(arguments.data)
    if arguments.output.resolve() == data.folder.resolve():
        raise InputError("The output folder is the set itself.", "Give another folder to --output.")
    count = min(arguments.scenes or len(data), len(data))
    palms = TWO_HAND.load(arguments.two_hand_network)
    network = LandmarkNetwork.bundled(arguments.threads or None, arguments.two_hand_network)
    lifter = HandLifter(LIFTING.load(arguments.lifting_network), palms.folded(), network, load_encoder(BUNDLED))
    started = time.monotonic()
    try:
        with SceneWriter(arguments.output, data.info) as writer:
            for done, number in enumerate(range(writer.count, count), start=1):
                scene, rng = data.scene(number), np.random.default_rng((arguments.seed, number))
                found = detected_keypoints(scene, network, lifter, rng)
                writer.append(replace(scene, detected=found.astype(np.float32)))
                if done % 200 == 0:
                    left = (time.monotonic() - started) / done * (count - number - 1) / 60
                    _log.warning("%d of %d scenes, %.0f min left", number + 1, count, left)
    finally:
        network.close()
    return 0
