"""Detection of overlapping hands in composed photos: ``python benchmarks/composed_photos.py FOLDER``.

The pictures are composed from photos of one hand each: the hand of one photo is cut out and pasted over or beside the
hand of another, rotated, scaled, and mirrored if both hands have the same side. MediaPipe's keypoints in the original
photos are the ground truth. Prints, for each keypoint provider, in how many pictures both hands were found, in how many
with the right sides, and the number of false hands. Seeds are fixed, so the same folder gives the same pictures.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from im2hands.app.cli.main import NO_NETWORK, PROCESS_DEFAULTS

if TYPE_CHECKING:
    import numpy as np

    from im2hands.core.hands import Side
    from im2hands.keypoints.hypothesis import HandDetection

PALM_PIXELS = 110.0
"""Palm length to which the photos are scaled."""

SMALLEST = 45.0
"""Smallest palm length, in pixels of the original photo, of a photo that is used."""

FOUND = 0.5
"""Largest mean keypoint distance at which a hand counts as found, in palm lengths."""


@dataclass(frozen=True)
class Cut:
    """A hand of a photo.

    Parameters
    ----------
    image : (H, W, 3) uint8
        The scaled photo, RGB.
    pixels : (21, 2) float
        Keypoints.
    side : Side
        The person's own left or right hand.
    mask : (H, W) float32
        Opacity of the hand, 0 to 1.
    """

    image: np.ndarray
    pixels: np.ndarray
    side: Side
    mask: np.ndarray

    def mirrored(self) -> Cut:
        """Return the mirror image: a hand of the other side."""
        pixels = self.pixels * (-1, 1) + (self.image.shape[1] - 1, 0)
        side: Side = "left" if self.side == "right" else "right"
        return Cut(self.image[:, ::-1].copy(), pixels, side, self.mask[:, ::-1].copy())


def cut_hands(folder: Path) -> list[Cut]:
    """Cut the hands out of all photos in a folder that show exactly one hand, large enough.

    Parameters
    ----------
    folder : Path
        Searched with its subfolders.

    Returns
    -------
    list of Cut
    """
    import cv2
    import numpy as np

    from im2hands.keypoints.hand_geometry import palm_length
    from im2hands.keypoints.proposing.mediapipe import MediaPipeProvider
    from im2hands.media.images import PICTURE_SUFFIXES, read_picture
    from im2hands.media.source import Frame

    mediapipe = MediaPipeProvider()
    made = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES):
        image = read_picture(path)
        hands = mediapipe.detect(Frame(1, 0.0, image, path.name))
        if len(hands) != 1 or palm_length(hands[0].pixels) < SMALLEST:
            continue
        scale = PALM_PIXELS / float(palm_length(hands[0].pixels))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=how))
        pixels = hands[0].pixels * scale
        made.append(Cut(image, pixels, hands[0].side, _mask(image, pixels)))
    mediapipe.close()
    return made


def _mask(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Opacity (H, W) of the hand, segmented by GrabCut from its keypoints."""
    import cv2
    import numpy as np

    def drawn(width: int) -> np.ndarray:
        lines = np.zeros(image.shape[:2], np.uint8)
        for k in range(1, 21):
            start, end = pixels[0 if k % 4 == 1 else k - 1], pixels[k]
            cv2.line(lines, tuple(map(int, start)), tuple(map(int, end)), 1, width)
        return lines

    marks = np.full(image.shape[:2], cv2.GC_BGD, np.uint8)
    around = np.zeros_like(marks)
    cv2.fillConvexPoly(around, cv2.convexHull(pixels.astype(np.int32)), 1)
    marks[cv2.dilate(around, np.ones((45, 45), np.uint8)) > 0] = cv2.GC_PR_BGD
    likely = drawn(30)
    cv2.fillConvexPoly(likely, cv2.convexHull(pixels[[0, 1, 5, 9, 13, 17]].astype(np.int32)), 1)
    marks[likely > 0] = cv2.GC_PR_FGD
    marks[drawn(9) > 0] = cv2.GC_FGD
    cv2.setRNGSeed(1)
    cv2.grabCut(image, marks, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    hand = (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)
    return np.asarray(cv2.GaussianBlur(hand.astype(np.float32), (0, 0), 1.2))


def compose(cuts: list[Cut], count: int, seed: int) -> Iterator[tuple[np.ndarray, dict[Side, np.ndarray]]]:
    """Compose pictures of two hands.

    Parameters
    ----------
    cuts : list of Cut
        Hands to choose from.
    count : int
        Number of pictures.
    seed : int
        Seed of the choice and the placement.

    Yields
    ------
    picture : (H, W, 3) uint8
        RGB.
    truth : dict of Side to (21, 2) float
        Keypoints of both hands, pixels.
    """
    import cv2
    import numpy as np

    from im2hands.keypoints.hand_geometry import palm_centre

    rng = np.random.default_rng(seed)
    done = 0
    while done < count:
        a, b = rng.choice(len(cuts), 2, replace=False)
        below, above = cuts[a], cuts[b].mirrored() if cuts[a].side == cuts[b].side else cuts[b]
        angle, scale = rng.uniform(-1.2, 1.2), float(np.exp(rng.uniform(-0.15, 0.15)))
        way = rng.uniform(0, 2 * np.pi)
        apart = rng.uniform(0.35, 1.1) * PALM_PIXELS * np.array([np.cos(way), np.sin(way)])
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        offset = palm_centre(below.pixels) + apart - linear @ palm_centre(above.pixels)
        affine = np.column_stack([linear, offset])
        height, width = below.image.shape[:2]
        moved = above.pixels @ linear.T + offset
        if ((moved < 0) | (moved >= (width, height))).any(axis=1).mean() > 0.15:
            continue
        over = cv2.warpAffine(above.image, affine, (width, height))
        share = cv2.warpAffine(above.mask, affine, (width, height))[..., None]
        picture = (below.image * (1 - share) + over * share).astype(np.uint8)
        points = np.concatenate([below.pixels, moved])
        low, high = points.min(axis=0), points.max(axis=0)
        half = float((high - low).max()) * rng.uniform(0.6, 1.1)
        x0, y0 = np.maximum(((low + high) / 2 - half).astype(int), 0)
        x1, y1 = np.minimum(((low + high) / 2 + half).astype(int), (width, height))
        origin = np.array([x0, y0])
        done += 1
        truth = {below.side: below.pixels - origin, above.side: moved - origin}
        yield np.ascontiguousarray(picture[y0:y1, x0:x1]), truth


def judge(hands: list[HandDetection], truth: dict[Side, np.ndarray]) -> tuple[bool, bool, int, int]:
    """Compare the detections in one picture with the true hands.

    Parameters
    ----------
    hands : list of HandDetection
        Detections.
    truth : dict of Side to (21, 2) float
        True keypoints, pixels.

    Returns
    -------
    both : bool
        Whether exactly two hands were detected, one for each true hand.
    sided : bool
        Whether they also have the right sides.
    found : int
        True hands that a detection matches.
    wrong : int
        Detections that match no true hand.
    """
    import numpy as np

    from im2hands.keypoints.hand_geometry import palm_length

    far = {
        (k, side): float(np.linalg.norm(hand.pixels - true, axis=1).mean() / palm_length(true))
        for k, hand in enumerate(hands)
        for side, true in truth.items()
    }
    ways = [("left", "right"), ("right", "left")]
    both = len(hands) == 2 and any(all(far[k, side] < FOUND for k, side in enumerate(way)) for way in ways)
    sided = both and all(far[k, hand.side] < FOUND for k, hand in enumerate(hands))
    found = sum(any(far[k, side] < FOUND for k in range(len(hands))) for side in truth)
    wrong = sum(all(far[k, side] >= FOUND for side in truth) for k in range(len(hands)))
    return both, sided, found, wrong


def main() -> None:
    """Compose the pictures, run the providers and print the table."""
    os.environ.update({**PROCESS_DEFAULTS, **NO_NETWORK})  # as the program does; it must precede the import of PyTorch
    import cv2

    from im2hands.keypoints.choosing.prior import HANDS
    from im2hands.keypoints.sources import make_provider
    from im2hands.media.source import Frame

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    home = Path(__file__).resolve().parent.parent / "demo" / "fingerpose"
    parser.add_argument("folder", type=Path, nargs="?", default=home, help="photos of one hand (default: the demo's)")
    parser.add_argument("--pictures", type=int, default=60, metavar="N")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--keypoints", nargs="+", default=["mediapipe", "auto"])
    parser.add_argument("--hands", default="auto", choices=HANDS, help="what is known of the hands")
    parser.add_argument("--output", type=Path, help="folder to write the pictures to")
    arguments = parser.parse_args()
    cuts = cut_hands(arguments.folder)
    if len(cuts) < 2:
        raise SystemExit(
            f"{arguments.folder} has fewer than two photos of one hand with a palm of {SMALLEST:.0f} pixels or more."
        )
    pictures = list(compose(cuts, arguments.pictures, arguments.seed))
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        for number, (picture, _) in enumerate(pictures):
            cv2.imwrite(str(arguments.output / f"{number:03d}.png"), picture[..., ::-1])
    print(f"{len(cuts)} hands, {len(pictures)} pictures")
    print(f"{'keypoints':<12}{'both':>6}{'right sides':>13}{'hands':>9}{'wrong':>7}{'s a picture':>13}")
    for name in arguments.keypoints:
        provider = make_provider(name, hands=arguments.hands)
        started = time.perf_counter()
        rows = [
            judge(provider.detect(Frame(k + 1, 0.0, picture, f"{k}")), truth)
            for k, (picture, truth) in enumerate(pictures)
        ]
        seconds = (time.perf_counter() - started) / len(pictures)
        provider.close()
        both, sided, found, wrong = (sum(column) for column in zip(*rows, strict=True))
        print(f"{name:<12}{both:>6}{sided:>13}{found:>5}/{2 * len(rows):<3}{wrong:>7}{seconds:>13.2f}")


if __name__ == "__main__":
    main()
