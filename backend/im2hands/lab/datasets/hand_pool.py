"""Labelled hands of scene sets, one by one, for the training of the part occupancy network (HALO's baseline)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES
from im2hands.geometry.bones import THICKNESS_COUNT, bones_from_keypoints

from .part_occupancy import HandPoints
from .scenes import SceneSet


def pool_of_set(
    scenes: SceneSet, count: int, points: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> HandPoints:
    """Take hands with their labelled points out of a set.

    Parameters
    ----------
    scenes : SceneSet
        A scene set or a prepared split, with labelled points.
    count : int
        Largest number of hands. If the set has more, scenes are chosen at random.
    points : int
        Largest number of points of each hand.
    seed : int
        The same seed gives the same hands.
    progress : callable, optional
        Called with the number of hands so far and ``count``.

    Returns
    -------
    HandPoints
        The hands, left ones mirrored, as ``part_occupancy.make_points`` returns them. Their thicknesses are not known.

    Raises
    ------
    InputError
        The set has no labelled points or no hands, or is damaged.
    """
    if scenes.info.points < 1:
        raise InputError(f"The scenes of {scenes.folder} have no labelled points.", "Make a set with points.")
    rng = np.random.default_rng(seed)
    rows = rng.permutation(min(points, scenes.info.points))
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("points", "distance", "part", "keypoints")}
    for index in rng.permutation(len(scenes)):
        scene = scenes.scene(int(index))
        for hand, side in enumerate(SIDES):
            if scene.present[hand] and len(found["points"]) < count:
                keypoints = torch.from_numpy(scene.keypoints[hand].astype(np.float64))[None]
                joints = bones_from_keypoints(keypoints, [side]).joints
                assert joints is not None
                found["keypoints"].append(joints[0].numpy())
                for name in ("points", "distance", "part"):
                    found[name].append(getattr(scene, name)[hand][rows])
        if progress:
            progress(len(found["points"]), count)
        if len(found["points"]) >= count:
            break
    if not found["points"]:
        raise InputError(f"{scenes.folder} shows no hands.", "Give another set.")
    arrays = {name: torch.from_numpy(np.stack(values)) for name, values in found.items()}
    return HandPoints(
        arrays["points"].float(), arrays["distance"].float(), arrays["part"].to(torch.int8), arrays["keypoints"],
        torch.full((len(arrays["keypoints"]), THICKNESS_COUNT), torch.nan, dtype=torch.float64),
    )  # fmt: skip
