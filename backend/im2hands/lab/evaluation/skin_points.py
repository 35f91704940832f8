"""Measure the points on the skin on rendered crops and draw them on photos: ``im2hands evaluate skin-points``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import torch

from im2hands.core.errors import InputError
from im2hands.core.files import write_atomically
from im2hands.core.hands import SKIN_POINT_COUNT
from im2hands.geometry.hand_model import HandModel
from im2hands.geometry.skin_points import skin_points
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.reading.crops import CROP_PIXELS
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.keypoints.sources import make_provider
from im2hands.lab.datasets.open_set import open_scenes
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.datasets.skin_labels import SkinLabeller
from im2hands.lab.training.skin_points import given_keypoints, linear_map, skin_figures
from im2hands.lab.training.skin_samples import SkinSamples, gather, see
from im2hands.media.images import read_picture
from im2hands.media.source import Frame
from im2hands.networks.reading_network import ReadingNetwork, SkinReadings
from im2hands.weights.keypoint_networks import READING, TWO_HAND

_TIMED = 200  # crops whose cost is measured
_COLOURS = {"finger": (255, 90, 40), "palm": (60, 200, 255), "web": (120, 255, 60)}  # RGB


@torch.no_grad()
def linear_from_keypoints(model: ReadingNetwork, seen: SkinSamples, told: SkinSamples) -> SkinReadings:
    """Guess the points on the skin from the 21 keypoints that the same network reads, by the best linear map.

    Parameters
    ----------
    model : ReadingNetwork
        The network.
    seen : SkinSamples
        Hands to which the map is fitted.
    told : SkinSamples
        Hands whose points are guessed.

    Returns
    -------
    SkinReadings
        The guesses; all spreads are the same, and every point counts as visible.
    """
    half = CROP_PIXELS / 2
    weights = linear_map(given_keypoints(model, seen, 1.0), torch.from_numpy(seen.pixels)).float()
    pixels = (given_keypoints(model, told, 1.0).flatten(1) / half - 1) @ weights[:-1] + weights[-1]
    places = half + half * pixels.unflatten(1, (SKIN_POINT_COUNT, 2))
    return SkinReadings(places, torch.ones(places.shape[:2]), torch.ones(places.shape[:2]))


@torch.no_grad()
def head_milliseconds(model: ReadingNetwork, samples: SkinSamples) -> float:
    """Measure the CPU time of the head for one crop, milliseconds."""
    assert model.skin is not None
    close, keypoints = (torch.from_numpy(part[:_TIMED]).float() for part in (samples.close, samples.keypoints))
    model.skin(close[:1], keypoints[:1])
    start = time.process_time()
    for row in range(len(close)):
        model.skin(close[row : row + 1], keypoints[row : row + 1])
    return 1000 * (time.process_time() - start) / len(close)


def draw_skin(image: np.ndarray, hands: list[HandDetection], scale: float) -> np.ndarray:
    """Draw the points of hands: large ones that the picture is said to show, small ones that it hides.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB photo.
    hands : list of HandDetection
        The hands.
    scale : float
        Enlargement of the photo.

    Returns
    -------
    (H', W', 3) uint8
        RGB.
    """
    names = skin_points(HandModel()).names
    drawn = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    for hand in hands:
        if hand.skin is None:
            continue
        for name, place, visible in zip(names, hand.skin.pixels, hand.skin.visible, strict=True):
            kind = next((word for word in ("web", "palm") if word in name.replace("back", "palm").split()), "finger")
            x, y = ((place + 0.5) * scale - 0.5).round().astype(int)
            cv2.circle(drawn, (int(x), int(y)), 3 if visible > 0.5 else 1, _COLOURS[kind], -1, cv2.LINE_AA)
    return np.asarray(drawn)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands evaluate skin-points``."""
    add = parser.add_argument
    add("--data", type=Path, metavar="SET", help="scene set")
    add("--scenes", type=int, default=256, metavar="N", help="use the last N scenes (default 256)")
    add("--weights", type=Path, default=READING.bundled, metavar="FILE", help="weights file of the reading network")
    text = "compare with a linear map of the 21 keypoints, fitted to the first scenes of this set"
    add("--linear-from", type=Path, metavar="SET", help=text)
    add("--linear-scenes", type=int, default=2000, metavar="N", help="how many of them (default 2000)")
    text = "photos to draw the points on; the other networks are those beside --weights, else the bundled ones"
    add("--photos", type=Path, nargs="+", metavar="FILE", help=text)
    add("--output", type=Path, metavar="DIR", help="folder of the drawings")
    add("--longest", type=int, default=1200, metavar="PIXELS", help="longest side of a drawing (default 1200)")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads; 0: at most the granted cores")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands evaluate skin-points`` and return the exit code."""
    from im2hands.core.devices import limit_threads

    if (arguments.photos is None) != (arguments.output is None) or not (arguments.photos or arguments.data):
        raise InputError("There is nothing to measure.", "Give --data SET, or --photos FILE … with --output DIR.")
    limit_threads(arguments.threads)
    model = READING.load(arguments.weights)
    if model.skin is None:
        raise InputError(f"{arguments.weights} reads no points on the skin.", "Run im2hands train skin-points.")
    if arguments.data is not None:
        sys.stdout.write(json.dumps(_measured(model, arguments), indent=1) + "\n")
    if arguments.photos is not None:
        _draw(model, arguments)
    return 0


def _measured(model: ReadingNetwork, arguments: argparse.Namespace) -> dict[str, object]:
    assert model.skin is not None
    network = LandmarkNetwork(workers=arguments.threads or None, reading=model)
    try:
        with tempfile.TemporaryDirectory() as folder:
            data = open_scenes(arguments.data)
            rows = range(max(0, len(data) - arguments.scenes), len(data))
            told = _hands(network, data, rows, Path(folder))
            report: dict[str, object] = {"set": data.folder.name, "scenes": len(rows), "hands": len(told)}
            if not len(told):
                raise InputError(f"No hand can be seen in {data.folder}.", "Give another set.")
            targets = [torch.from_numpy(value) for value in (told.pixels, told.visible, told.palm)]
            close = torch.from_numpy(told.close).float()
            with torch.no_grad():
                for name, worst in (("skin_points", 1.0), ("skin_points_of_true_keypoints", 0.0)):
                    made = model.skin(close, given_keypoints(model, told, worst))
                    report[name] = skin_figures(made, *targets)
            report["head_ms_a_crop"] = head_milliseconds(model, told)
            if arguments.linear_from is not None:
                fit = open_scenes(arguments.linear_from)
                rows = range(min(arguments.linear_scenes, len(fit)))
                seen = _hands(network, fit, rows, Path(folder))
                figures = skin_figures(linear_from_keypoints(model, seen, told), *targets)
                for name in ("surer_error", "visible_told", "error_by_spread"):  # it tells none of them
                    del figures[name]
                report["linear_from_keypoints"] = figures
    finally:
        network.close()
    return report


def _hands(network: LandmarkNetwork, data: SceneSet, rows: range, folder: Path) -> SkinSamples:
    """The hands of some scenes, without augmentation."""
    return see(network, gather(data, rows, SkinLabeller(), folder, 0, True), folder / "features")


def _draw(model: ReadingNetwork, arguments: argparse.Namespace) -> None:
    """Draw the points that the network reads on photos."""
    beside = arguments.weights.with_name(TWO_HAND.file)
    with closing(make_provider(two_hand_weights=beside if beside.is_file() else None, reading=model)) as provider:
        for path in arguments.photos:
            image = read_picture(path)
            hands = provider.detect(Frame(0, 0.0, image, path.name, path))
            drawn = draw_skin(image, hands, arguments.longest / max(image.shape[:2]))
            arguments.output.mkdir(parents=True, exist_ok=True)
            _, data = cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
            write_atomically(arguments.output / f"{path.stem}.jpg", data.tobytes())
