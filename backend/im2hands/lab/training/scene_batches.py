"""Training batches of two-hand scenes: pictures, keypoints with errors, labelled points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from im2hands.core.devices import to_device
from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, Side
from im2hands.geometry.bones import BOX, QUERY_SCALE, Bones, bones_from_keypoints
from im2hands.lab.datasets.inexact_hands import jitter_keypoints
from im2hands.lab.datasets.open_set import open_scenes
from im2hands.lab.datasets.part_occupancy import cut_distance
from im2hands.lab.datasets.scene import Scene
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.surfaces.hand_crop import CROP_SIZE, normalised

from .augmentation import augment
from .keypoint_errors import KeypointErrors, simulate_errors
from .moved_points import at_depth_of, moved_points
from .picture_targets import PictureTargets, picture_targets
from .runner import stream, torch_stream

SIMULATED = KeypointErrors(across=0.003)
"""Errors of keypoints that the labelled points move to."""

_APART = 0.0015  # standard deviation between a surface point and its repetition, metres
_FAR = 0.015  # smallest distance of points outside the hand's box, metres: the box has this margin around the hand


@dataclass(frozen=True)
class BatchRecipe:
    """How scenes become batches.

    Parameters
    ----------
    side : int
        Side of the picture for the image encoder, pixels.
    points : int
        Labelled points of each hand.
    uniform : float
        Share of the points that are spread evenly over the whole query cube; the others come from the set's points near
        the surface. 0 draws all points from the set's points, near or not.
    noise : float
        Largest standard deviation of the keypoint noise, metres; see ``datasets.inexact_hands.jitter_keypoints``.
    definition : float
        Strength of the jitter of joint definitions; see ``datasets.inexact_hands.jitter_keypoints``.
    detected : float
        Probability that a hand uses the detected keypoints of the set, where the set has them; see ``moved_points``.
    exact : float
        Probability that a hand that uses no detected keypoints has the true ones, without noise and jitter.
    simulated : float
        Probability that a hand that uses no detected keypoints has true ones with :data:`SIMULATED` errors.
    augment : float
        Strength of the picture augmentation; see ``augmentation.augment``.
    maps : int
        Side of the image encoder's target maps, pixels; 0 for none.
    dense : bool
        Whether the targets include dense surface coordinates.
    cut : bool
        Whether the forearm is cut behind the wrist.
    surface : int
        Points of each hand that lie close to its surface, for anchors.
    box_only : bool
        Whether to draw only points that are evenly spread over the hand's box. Figures at such points measure the error
        in volume.
    """

    side: int
    points: int
    uniform: float = 0.0
    noise: float = 0.0
    definition: float = 0.0
    detected: float = 0.0
    exact: float = 0.0
    simulated: float = 0.0
    augment: float = 0.0
    maps: int = 0
    dense: bool = False
    cut: bool = True
    surface: int = 0
    box_only: bool = False


@dataclass(frozen=True)
class HandSamples:
    """The hands of one side in B scenes; an absent hand is replaced by a stand-in, which keeps all numbers finite.

    Parameters
    ----------
    bones : Bones
        Bones of the keypoints that the network is given.
    points : (B, N, 3) float32
        Labelled points, query space of ``bones``.
    distance : (B, N) float32
        Signed distance to the hand, metres, negative inside.
    other : (B, N) float32
        Signed distance to the other hand, metres; NaN without one.
    part : (B, N) int64
        Bone of the nearest surface.
    surface : (B, A, 3) float32
        Points close to the surface, query space of ``bones``.
    """

    bones: Bones
    points: Tensor
    distance: Tensor
    other: Tensor
    part: Tensor
    surface: Tensor


@dataclass(frozen=True)
class SceneBatchTensors:
    """A batch of B scenes; an axis of two hands is (left, right).

    Parameters
    ----------
    image : (B, 3, side, side) float32
        The crops, normalised for the networks.
    intrinsics : (B, 3, 3) float32
        Intrinsic matrices of the crops at 256 x 256 pixels.
    present : (B, 2) bool
        Which hands are present.
    keypoints : (B, 2, 21, 3) float64
        Keypoints that the networks are given, camera frame, metres.
    exact : (B, 2, 21, 3) float64
        True keypoints, camera frame, metres.
    hands : dict of Side to HandSamples
        Labelled points of each side.
    targets : PictureTargets, optional
        Targets of the image encoder. None if they are not wanted.
    """

    image: Tensor
    intrinsics: Tensor
    present: Tensor
    keypoints: Tensor
    exact: Tensor
    hands: dict[Side, HandSamples]
    targets: PictureTargets | None


def moved(value: Any, device: torch.device) -> Any:
    """Copy tensors to a device.

    Parameters
    ----------
    value : Any
        A tensor, or a dict or dataclass that contains tensors.
    device : torch.device
        The device.

    Returns
    -------
    Any
        The same structure on the device; see ``core.devices.to_device``. ``Bones`` stay on the CPU, which has float64.
    """
    if device.type == "cpu" or isinstance(value, Bones):
        return value
    if isinstance(value, Tensor):
        return to_device(value, device)
    if isinstance(value, dict):
        return {name: moved(item, device) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{f.name: moved(getattr(value, f.name), device) for f in fields(value)})
    return value


def training_set(folder: Path, *, labelled: bool = True) -> SceneSet:
    """Open a scene set and check that the occupancy or keypoint refinement networks can be trained on it.

    Parameters
    ----------
    folder : Path
        Folder of the set.
    labelled : bool
        Whether the set must have labelled points.

    Returns
    -------
    SceneSet
        The set.

    Raises
    ------
    InputError
        The folder holds no set or a broken one, its pictures are not crops of 256 x 256 pixels, or it has no labelled
        points.
    """
    scenes = open_scenes(folder)
    scenes.check()
    if scenes.info.picture != CROP_SIZE:
        raise InputError(
            f"The pictures of {folder} are {scenes.info.picture} pixels a side, not {CROP_SIZE}.",
            "Make a set of crops.",
        )
    if labelled and scenes.info.points < 1:
        raise InputError(f"The scenes of {folder} have no labelled points.", "Make a set with points.")
    return scenes


def stand_in() -> Tensor:
    """Return keypoints (21, 3) float64 that stand in for an absent hand: a flat hand 0.5 m from the camera, metres."""
    fingers = [(x, y, 0.0) for x in (-0.06, -0.03, 0.0, 0.02, 0.04) for y in (0.09, 0.13, 0.155, 0.175)]
    bent = [(x, y, 0.2 * (y - 0.09) ** 2 + 0.1 * abs(x)) for x, y, _ in fingers]
    return torch.tensor([(0.0, 0.0, 0.0), *bent], dtype=torch.float64) + torch.tensor([0.0, 0.0, 0.5])


def make_batch(
    scenes: SceneSet, indices: Sequence[int], recipe: BatchRecipe, seed: int, number: int
) -> SceneBatchTensors:
    """Make the batch of some scenes.

    Parameters
    ----------
    scenes : SceneSet
        The scene set.
    indices : sequence of int
        Indices of the B scenes.
    recipe : BatchRecipe
        How scenes become batches.
    seed : int
        Seed of the training.
    number : int
        Number of the batch. The same (seed, number) gives the same batch.

    Returns
    -------
    SceneBatchTensors
        The batch, on the CPU.

    Raises
    ------
    InputError
        A shard or picture is damaged, or a picture is not 256 x 256 pixels.
    """
    rng, generator = stream(seed, number, 1), torch_stream(seed, number, 2)
    chosen = [scenes.scene(index) for index in indices]
    present = torch.from_numpy(np.stack([scene.present for scene in chosen]))
    exact = torch.from_numpy(np.stack([scene.keypoints for scene in chosen]).astype(np.float64))
    exact = torch.where(present[..., None, None], exact, stand_in())
    keypoints, found = _keypoints(chosen, exact, recipe, rng, generator)
    hands = {
        side: _samples(chosen, k, side, exact, keypoints, found, present, recipe, rng) for k, side in enumerate(SIDES)
    }
    targets = picture_targets(chosen, recipe.maps, dense=recipe.dense) if recipe.maps else None
    images = np.stack([normalised(_picture(scene, recipe, rng)) for scene in chosen])
    intrinsics = torch.from_numpy(np.stack([scene.intrinsics for scene in chosen]))
    return SceneBatchTensors(torch.from_numpy(images), intrinsics, present, keypoints, exact, hands, targets)


def _picture(scene: Scene, recipe: BatchRecipe, rng: np.random.Generator) -> np.ndarray:
    """The crop of a scene at the encoder's size, augmented, (side, side, 3) uint8."""
    image = scene.image()
    if image.shape[:2] != (CROP_SIZE, CROP_SIZE):
        raise InputError(f"A picture of the set is {image.shape[1]} x {image.shape[0]} pixels.", "Make the set again.")
    if recipe.side != CROP_SIZE:
        image = cv2.resize(image, (recipe.side, recipe.side), interpolation=cv2.INTER_AREA)
    return augment(image, rng, recipe.augment)


def _keypoints(
    scenes: Sequence[Scene], exact: Tensor, recipe: BatchRecipe, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, np.ndarray]:
    """Keypoints (B, 2, 21, 3) that the networks are given: detected ones of the set, or true ones with jitter.

    Also returns which hands (B, 2) have detected ones or those with simulated errors: their points move.
    """
    flat = exact.flatten(0, 1)
    given = flat
    if recipe.noise or recipe.definition:
        given = jitter_keypoints(flat, generator, recipe.noise, recipe.definition)
    given = given.unflatten(0, exact.shape[:2]).clone()
    use = rng.random((len(scenes), 2)) < recipe.detected
    simulated = np.zeros((len(scenes), 2), bool)
    if recipe.exact or recipe.simulated:
        drawn = rng.random((len(scenes), 2))
        plain = torch.from_numpy(drawn < recipe.exact)
        simulated = (drawn >= recipe.exact) & (drawn < recipe.exact + recipe.simulated)
        visible = torch.from_numpy(np.stack([scene.visible for scene in scenes]).astype(np.float64)).flatten(0, 1)
        errors = simulate_errors(flat, generator, SIMULATED, visible).unflatten(0, exact.shape[:2])
        given = torch.where(plain[..., None, None], exact, given)
        given = torch.where(torch.from_numpy(simulated)[..., None, None], errors, given)
    for row, scene in enumerate(scenes):
        for hand in range(2):
            found = None if scene.detected is None else scene.detected[hand]
            use[row, hand] &= found is not None and bool(np.isfinite(found).all()) and bool(scene.present[hand])
            if use[row, hand]:
                assert found is not None
                at_depth = at_depth_of(found.astype(np.float64), exact[row, hand].numpy())
                given[row, hand] = torch.from_numpy(at_depth)
    return given, use | simulated


def _samples(
    scenes: Sequence[Scene], hand: int, side: Side, exact: Tensor, keypoints: Tensor, found: np.ndarray,
    present: Tensor, recipe: BatchRecipe, rng: np.random.Generator,
) -> HandSamples:  # fmt: skip
    """Labelled points of the hands ``side`` (``hand`` is its index) in the query space of the given keypoints."""
    batch, count = len(scenes), recipe.points
    true_bones = bones_from_keypoints(exact[:, hand], [side] * batch)
    bones = bones_from_keypoints(keypoints[:, hand], [side] * batch)
    points = np.zeros((batch, count, 3))
    distance, other = np.full((batch, count), _FAR), np.full((batch, count), np.nan)
    part = np.zeros((batch, count), np.int64)
    surface = np.zeros((batch, recipe.surface, 3))
    surface_part = np.zeros((batch, recipe.surface), np.int64)
    for row, scene in enumerate(scenes):
        if present[row, hand] and count:
            rows, stored = _choose(scene.points[hand], recipe, rng)
            points[row, : len(rows)] = scene.points[hand][rows]
            distance[row, : len(rows)] = scene.distance[hand][rows]
            other[row, : len(rows)] = scene.other[hand][rows]
            part[row, : len(rows)] = scene.part[hand][rows]
            points[row, len(rows) :] = stored
        if present[row, hand] and recipe.surface:
            surface[row], near = _close(scene.points[hand], recipe.surface, rng)
            surface_part[row] = scene.part[hand][near]
    own, close = (
        bones.to_query_space(true_bones.from_query_space(torch.from_numpy(there) / QUERY_SCALE))
        for there in (points, surface)
    )
    for row in np.flatnonzero(found[:, hand] & present[:, hand].numpy()).tolist():
        one, visible = slice(row, row + 1), scenes[row].visible[hand] > 0
        moved_here, holds = moved_points(
            points[row], part[row], true_bones[one], bones[one], visible, distance[row]
        )  # fmt: skip
        if holds.any():
            again = rng.choice(np.flatnonzero(holds), size=int((~holds).sum()))
            for values in (moved_here, distance[row], other[row], part[row]):
                values[~holds] = values[again]
        own[row] = torch.from_numpy(moved_here)
        if recipe.surface:
            close[row] = torch.from_numpy(
                moved_points(surface[row], surface_part[row], true_bones[one], bones[one], visible)[0]
            )
    signed = torch.from_numpy(distance).float()
    if recipe.cut:
        signed = cut_distance(signed, (own[..., 0] * QUERY_SCALE).float())
    return HandSamples(
        bones, own.float(), signed, torch.from_numpy(other).float(), torch.from_numpy(part), close.float()
    )


def _choose(points: np.ndarray, recipe: BatchRecipe, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Choose the points of a hand from its labelled ``points`` (P, 3), canonical frame, metres.

    Returns row indices into ``points``, drawn with replacement, and further points (F, 3) in the query cube outside the
    hand's box; together they are ``recipe.points``.
    """
    stored, count = len(points), recipe.points
    if recipe.box_only:
        return rng.integers(2 * (stored // 3), stored, size=count), np.zeros((0, 3))
    if not recipe.uniform:
        return rng.integers(stored, size=count), np.zeros((0, 3))
    # Two thirds of a hand's points lie near its surface; the last third is spread evenly over its box.
    near = 2 * (stored // 3) or stored
    evenly = round(count * recipe.uniform)
    half = BOX / 2 * QUERY_SCALE
    box = points[near:].astype(np.float64) if stored > near else points.astype(np.float64)
    low, high = box.min(0), box.max(0)
    anywhere = rng.uniform(-half, half, (evenly, 3))
    outside = ((anywhere < low) | (anywhere > high)).any(1)
    rows = rng.integers(near, max(stored, near + 1), size=int((~outside).sum())).clip(max=stored - 1)
    return np.concatenate([rng.integers(near, size=count - evenly), rows]), anywhere[outside]


def _close(points: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Choose ``count`` points close to a hand's surface from the first third of its labelled ``points`` (P, 3).

    If that third is smaller than ``count``, points are repeated with a small random offset. Also returns the rows.
    """
    third = max(len(points) // 3, 1)
    if third >= count:
        rows = rng.permutation(third)[:count]
        return points[rows].astype(np.float64), rows
    rows = rng.integers(third, size=count)
    again = points[rows].astype(np.float64)
    return again + rng.standard_normal(again.shape) * _APART, rows
