"""What a detection says of one hand: places in the picture, bone directions in space, and the trust in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import MIDDLE_MCP, WRIST
from im2hands.keypoints.hypothesis import HandDetection, LiftedHand

from .confidence import LIFTED, WITHIN_M, Calibration
from .joint_definitions import OFFSETS, to_own_definition
from .rigid import place
from .terms import ENDS, STARTS, Between, Evidence

# Standard deviations where no network predicts them: a keypoint's place in the picture (palm lengths) and a bone's unit
# direction.
_PIXEL, _DIRECTION = 0.030, 0.60
# The same where a network predicts its errors: factor and floor of a place's deviation (palm lengths), bounds of a
# direction's deviation. Places get half of their predicted error, because meshes shall cover the picture.
_PIXEL_SPREAD, _PIXEL_FLOOR = 0.5, 0.015
_COMMON = 0.3  # of a hand's places: standard deviation, in a clip, by which all of a frame are off alike
_HIDDEN = 100.0  # palm lengths; deviation of a place that tells nothing. Larger ones would leave no equation of it
_TOWARD = (0.08, 1.5)
_SHORTEST = 0.15  # palm lengths; least length of a bone by which its ends' errors become an error of its direction
# Divisors of two keypoints' pixel deviations. The wrist gets a small deviation, as only it shows how the palm is turned
# against the knuckles. The thumb's first joint gets a large one, as its place differs between skeletons.
_WRIST_TRUST, _THUMB_ROOT_TRUST = 2.0, 0.5

_FOLLOWED = 0.2
"""Length of a shift by the lifting network, palm lengths, at which half of it is applied to a keypoint with full
confidence. At lower confidence half is applied at a shorter length."""

# At this distance (palm lengths) between a keypoint and the projected rigid shape, its confidence falls to 60 %.
_TRUST_RADIUS = 0.15
_OUTSIDE = 0.5  # factor on the confidence of a keypoint outside the picture

_LARGEST_DEPTH = 4.0
"""Largest difference in depth between two wrists, palm lengths. A larger estimate of a network is not used."""
_TWO_ESTIMATES = 0.75  # weight of each of the two hands' estimates of it: one network made both from one picture
_LEAST_DEPTH_SPREAD = 1e-4  # metres


@dataclass(frozen=True)
class Observation:
    """One detected hand, ready to be placed.

    Parameters
    ----------
    detection : HandDetection
        The detection.
    camera : Camera
        Camera of its picture.
    palm_m : float
        Distance from wrist to middle MCP, metres.
    pixels : (21, 2) float64
        Keypoints by the bundled hand's definition, pixels.
    rigid : (21, 3) float64
        The shape in space, rigidly placed; metres, camera frame.
    places : (21,) float64
        Standard deviations of ``pixels``, palm lengths.
    toward : (20,) float64
        Standard deviations of the shape's bone directions.
    confidence : (21,) float64
        Calibrated confidence of each keypoint.
    shift : (21, 2) float64 or None
        How far the edge of the hand in the picture moves the keypoints, pixels; see ``outline``. None if it was not
        looked at.
    edge_thickness : float
        How thick the edge makes the hand's flesh, see ``outline``: natural logarithm of a factor. NaN if it does not
        tell.
    thickness : float
        How thick its flesh shall be, see ``thickness``: natural logarithm of a factor.
    """

    detection: HandDetection
    camera: Camera
    palm_m: float
    pixels: np.ndarray
    rigid: np.ndarray
    places: np.ndarray
    toward: np.ndarray
    confidence: np.ndarray
    shift: np.ndarray | None = None
    edge_thickness: float = np.nan
    thickness: float = 0.0

    @property
    def mirror(self) -> np.ndarray:
        """(3,) signs that turn a right hand into this one."""
        return np.array([-1.0 if self.detection.side == "left" else 1.0, 1.0, 1.0])

    @property
    def shown(self) -> np.ndarray:
        """(21, 2) the places in the picture to which the keypoints shall project, pixels."""
        return self.pixels if self.shift is None else self.pixels + self.shift


def observe(detection: HandDetection, camera: Camera, palm_m: float, calibration: Calibration) -> Observation | None:
    """Prepare a detection.

    Parameters
    ----------
    detection : HandDetection
        The detection.
    camera : Camera
        Camera of its picture.
    palm_m : float
        Distance from wrist to middle MCP, metres.
    calibration : Calibration
        Tables from raw certainty to confidence.

    Returns
    -------
    Observation or None
        None if shape or pixels have no extent or are not finite. Where those of the lifting network are not, what was
        read in the picture counts alone.
    """
    if detection.lifted is not None:
        if detection.lifted.sound:
            return _observe_lifted(detection, detection.lifted, camera, palm_m, calibration)
        detection = replace(detection, lifted=None)
    pixels = np.asarray(detection.pixels, dtype=np.float64)
    shape = np.asarray(detection.shape, dtype=np.float64)
    palm_shape = float(np.linalg.norm(shape[MIDDLE_MCP] - shape[WRIST]))
    if not (np.isfinite(pixels).all() and np.isfinite(shape).all()) or palm_shape < 1e-6:
        return None
    if np.ptp(pixels, axis=0).max() < 1.0:
        return None
    if detection.source in OFFSETS:
        pixels, shape = to_own_definition(pixels, shape, detection.side, detection.source)
        palm_shape = max(float(np.linalg.norm(shape[MIDDLE_MCP] - shape[WRIST])), 1e-6)
    rigid = place((shape - shape.mean(axis=0)) * (palm_m / palm_shape), pixels, camera)
    sure = np.nan_to_num(np.clip(np.asarray(detection.confidence, dtype=np.float64), 0.0, 1.0))
    places = _of_wrist_and_thumb(_PIXEL / np.sqrt(np.clip(sure, 0.05, 1.0)))
    miss = np.linalg.norm(camera.project(rigid) - pixels, axis=1) / _palm_pixels(rigid, camera, palm_m)
    outside = (pixels < -0.5).any(axis=1) | (pixels > (camera.width - 0.5, camera.height - 0.5)).any(axis=1)
    certainty = sure * np.exp(-0.5 * (miss / _TRUST_RADIUS) ** 2) * np.where(outside, _OUTSIDE, 1.0)
    confidence = calibration(certainty, detection.source, detection.wrist_offset is not None)
    return Observation(
        detection, camera, palm_m, pixels, rigid, places, np.full(len(ENDS), _DIRECTION), confidence
    )  # fmt: skip


def _observe_lifted(
    detection: HandDetection, seen: LiftedHand, camera: Camera, palm_m: float, calibration: Calibration
) -> Observation:
    """Prepare a detection with the lifting network's shape."""
    pixels = _shown_pixels(detection, seen)
    rigid = place((seen.shape - seen.shape.mean(axis=0)) * palm_m, pixels, camera)
    spread = seen.pixel_spread / _palm_pixels(rigid, camera, palm_m)
    places = _of_wrist_and_thumb(np.hypot(np.minimum(spread * _PIXEL_SPREAD, _HIDDEN), _PIXEL_FLOOR))
    lengths = np.linalg.norm(seen.shape[ENDS] - seen.shape[STARTS], axis=1)
    toward = np.hypot(seen.spread[ENDS], seen.spread[STARTS]) / np.maximum(lengths, _SHORTEST)
    within = 1 - np.exp(-WITHIN_M / (np.sqrt(3) * np.maximum(seen.spread, 1e-3) * palm_m))
    confidence = calibration(np.clip(within, 0, 1), LIFTED, False)
    return Observation(
        detection, camera, palm_m, pixels, rigid, places, np.clip(toward, *_TOWARD), confidence
    )  # fmt: skip


def _palm_pixels(rigid: np.ndarray, camera: Camera, palm_m: float) -> float:
    """Return the palm's length in the picture, pixels."""
    return palm_m * camera.fx / float(rigid[:, 2].mean())


def _of_wrist_and_thumb(places: np.ndarray) -> np.ndarray:
    """Return the deviations (21,) with those of two special keypoints changed."""
    places = places.copy()
    places[WRIST] /= _WRIST_TRUST
    places[1] /= _THUMB_ROOT_TRUST
    return places


def _shown_pixels(detection: HandDetection, seen: LiftedHand) -> np.ndarray:
    """Return the pixels (21, 2) to fit: as read if the lifting network moves a keypoint little, else as it estimates.

    The lifting network was trained on rendered hands. On photographs, clearly visible keypoints are more accurate as
    they were read. Keypoints that only the two-hand network reads are less accurate, so the lifting network's are used.
    """
    read, shape = np.asarray(detection.pixels, np.float64), np.asarray(detection.shape, np.float64)
    if detection.source not in OFFSETS or not (np.isfinite(read).all() and np.isfinite(shape).all()):
        return seen.pixels
    read, _ = to_own_definition(read, shape, detection.side, detection.source)
    flat = seen.shape[:, :2] - seen.shape[:, :2].mean(axis=0)
    extent = np.linalg.norm(seen.pixels - seen.pixels.mean(axis=0))
    palm_px = float(extent) / max(float(np.linalg.norm(flat)), 1e-9)
    move = seen.pixels - read
    far = (np.linalg.norm(move, axis=1, keepdims=True) / max(palm_px, 1e-9)) ** 2
    half = (_FOLLOWED * np.clip(np.nan_to_num(detection.confidence), 0.01, 1.0)[:, None]) ** 2
    shown: np.ndarray = read + far / (far + half) * move
    return shown


def evidence(observations: Sequence[Observation]) -> Evidence:
    """Stack what is seen of N hands.

    Parameters
    ----------
    observations : Sequence[Observation]
        The hands.

    Returns
    -------
    Evidence
        Left hands are mirrored.
    """
    cameras = np.array([(o.camera.cx, o.camera.cy, o.camera.fx, o.camera.fy) for o in observations])
    mirror = np.stack([o.mirror for o in observations])
    rays = (np.stack([o.shown for o in observations]) - cameras[:, None, :2]) / cameras[:, None, 2:]
    shapes = np.stack([o.rigid for o in observations])
    scale = np.array([o.palm_m for o in observations]) / shapes[..., 2].mean(axis=1)
    shapes = shapes * mirror[:, None]
    directions = shapes[:, ENDS] - shapes[:, STARTS]
    return Evidence(
        mirror,
        rays * mirror[:, None, :2],
        np.stack([o.places for o in observations]) * scale[:, None],
        directions / np.maximum(np.linalg.norm(directions, axis=-1, keepdims=True), 1e-9),
        np.stack([o.toward for o in observations]),
        np.array([o.thickness for o in observations]),
        _COMMON * np.array([np.sqrt((o.places**2).mean()) for o in observations]) * scale,
    )


def depth_between(pairs: Sequence[tuple[Observation, Observation]]) -> Between:
    """Return what the networks say of the depth between the wrists of pairs of hands.

    Parameters
    ----------
    pairs : Sequence[tuple[Observation, Observation]]
        The pairs.

    Returns
    -------
    Between
        Two estimates of each pair, one from each hand.
    """
    depth, sigma = np.zeros((len(pairs), 2)), np.full((len(pairs), 2), np.inf)
    for row, pair in enumerate(pairs):
        lifted = [hand.detection.lifted for hand in pair]
        both = all(hand is not None and hand.depth is not None for hand in lifted)
        for k, (hand, sign) in enumerate(zip(pair, (1.0, -1.0), strict=True)):
            seen, offset = lifted[k], hand.detection.wrist_offset
            if both:
                assert seen is not None and seen.depth is not None and seen.depth_spread is not None
                way, error = seen.depth, seen.depth_spread
            elif offset is not None:
                way, error = float(offset.vector[2]), float(offset.spread[2])
            else:
                continue
            if np.isfinite(way) and np.isfinite(error) and abs(way) < _LARGEST_DEPTH:
                depth[row, k] = sign * way * hand.palm_m
                spread = max(error * hand.palm_m * np.sqrt(2), _LEAST_DEPTH_SPREAD)
                sigma[row, k] = spread / np.sqrt(_TWO_ESTIMATES)
    return Between(depth, sigma)
