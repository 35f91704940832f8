"""Random hand shapes, and random poses of single hands within anatomical limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from im2hands.geometry.hand_model import FINGER_BONES, FOREARM_BONES, METACARPAL_BONES, WRIST_BONE, HandModel, HandShape
from im2hands.geometry.rotations import rodrigues


@dataclass(frozen=True)
class ShapeSpread:
    """Spread of random hand shapes.

    Lengths and thicknesses are factors around 1 with these standard deviations, cut off at 2.5 of them. Finger length
    and thickness are drawn apart from the shape basis, because the basis hardly varies them.

    Parameters
    ----------
    size : float
        Half width of the uniform distribution of the first basis component, which is overall size (children to large
        adults).
    components : float
        Standard deviation of the other basis components.
    finger_length : float
        Length of all fingers together.
    one_finger_length : float
        Length of each finger.
    bone_length : float
        Length of each bone.
    thickness : float
        Thickness of all fingers together.
    one_finger_thickness : float
        Thickness of each finger.
    palm_thickness : float
        Thickness of the palm.
    palm_length : float
        Length of the palm.
    """

    size: float = 1.5
    components: float = 1.0
    finger_length: float = 0.04
    one_finger_length: float = 0.02
    bone_length: float = 0.02
    thickness: float = 0.05
    one_finger_thickness: float = 0.025
    palm_thickness: float = 0.05
    palm_length: float = 0.03


def mean_shape(count: int) -> HandShape:
    """Return the model's mean hand ``count`` times."""
    ones = torch.ones(count, 22, dtype=torch.float64)
    return HandShape(torch.zeros(count, 20, dtype=torch.float64), ones, ones.clone())


def random_shape(count: int, generator: torch.Generator, spread: ShapeSpread | None = None) -> HandShape:
    """Draw random hand shapes.

    Parameters
    ----------
    count : int
        B, the number of hands.
    generator : torch.Generator
        Source of the random numbers.
    spread : ShapeSpread or None
        Spread of the shapes. None uses the defaults.

    Returns
    -------
    HandShape
        B shapes.
    """
    spread = spread or ShapeSpread()

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).clamp(-2.5, 2.5)

    components = normal(count, 20) * spread.components
    components[:, 0] = (torch.rand(count, generator=generator, dtype=torch.float64) * 2 - 1) * spread.size
    length = 1 + spread.bone_length * normal(count, 22)
    thickness = torch.ones(count, 22, dtype=torch.float64)
    all_length, all_thickness = spread.finger_length * normal(count), spread.thickness * normal(count)
    for finger in FINGER_BONES:
        one_length = all_length + spread.one_finger_length * normal(count)
        one_thickness = all_thickness + spread.one_finger_thickness * normal(count)
        for bone in finger:
            length[:, bone] += one_length
            thickness[:, bone] += one_thickness
    palm_length, palm_thickness = spread.palm_length * normal(count), spread.palm_thickness * normal(count)
    for bone in (WRIST_BONE, *METACARPAL_BONES):
        length[:, bone] = 1 + palm_length
        thickness[:, bone] = 1 + palm_thickness
    for bone in FOREARM_BONES:
        thickness[:, bone] = 1 + palm_thickness + spread.thickness * normal(count)
    return HandShape(components, length, thickness)


# Joint limits, degrees: (lowest, highest) turn from the rest pose.
_LIMITS = {"mcp": (-30.0, 85.0), "pip": (-12.0, 100.0), "dip": (-12.0, 75.0), "spread": (-16.0, 16.0)}
_THUMB_LIMITS = {"cmc": (-30.0, 50.0), "cmc_spread": (-32.0, 30.0), "mcp": (-30.0, 50.0), "ip": (-25.0, 75.0)}


def random_rotations(model: HandModel, heads: Tensor, generator: torch.Generator) -> Tensor:
    """Draw random bone rotations within anatomical limits.

    The hand as a whole is flat, relaxed, a fist or anything between, and each finger deviates from that.

    Parameters
    ----------
    model : HandModel
        The hand model.
    heads : (B, 27, 3) float64
        Rest-pose bone heads and finger tips.
    generator : torch.Generator
        Source of the random numbers.

    Returns
    -------
    (B, 22, 3, 3) float64
        Rotations for ``HandModel.pose``.
    """
    count = heads.shape[0]

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, dtype=torch.float64)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).clamp(-2.5, 2.5)

    flexion, spreading = model.flexion_axes(heads)
    rotations = torch.eye(3, dtype=torch.float64).repeat(count, 22, 1, 1)
    whole = uniform(count, 1) ** 1.6
    alone = uniform(count, 5)
    own = (uniform(count, 1) < 0.55).double() * uniform(count, 1)
    curl = (1 - own) * whole + own * alone  # 0 open, 1 closed, per finger
    curl = (curl + 0.08 * normal(count, 5)).clamp(0, 1)
    claw = 0.22 * normal(count, 1)  # knuckles bend less or more than middle joints: hook, flat fist, table top
    common_spread = 9 * normal(count)
    for finger, bones in enumerate(FINGER_BONES):
        if finger == 0:
            continue
        c = curl[:, finger]
        mcp = _between(_LIMITS["mcp"], 0.18 + 0.82 * c - claw[:, 0] + 0.08 * normal(count))
        middle = (c + claw[:, 0] + 0.07 * normal(count)).clamp(0, 1)
        pip = _between(_LIMITS["pip"], middle)
        dip = _between(_LIMITS["dip"], middle * (0.75 + 0.2 * normal(count)) + 0.06 * normal(count))
        fan = (1.5 - (finger - 1)) / 1.5  # 1 for the index finger to -1 for the little finger
        # Closed fingers cannot spread.
        sideways = (fan * common_spread + 3.5 * normal(count)) * (1 - 0.75 * c)
        sideways = sideways.clamp(*_LIMITS["spread"])
        _turn(rotations, bones[0], spreading[:, finger], sideways)
        for k, angle in enumerate((mcp, pip, dip)):
            _turn(rotations, bones[k], flexion[:, finger, k], angle)
    thumb = FINGER_BONES[0]
    _turn(rotations, thumb[0], spreading[:, 0], _between(_THUMB_LIMITS["cmc_spread"], 0.45 + 0.25 * normal(count)))
    towards = (0.25 + 0.4 * curl[:, 0] + 0.18 * normal(count)).clamp(0, 1)
    _turn(rotations, thumb[0], flexion[:, 0, 0], _between(_THUMB_LIMITS["cmc"], towards))
    _turn(
        rotations,
        thumb[1],
        flexion[:, 0, 1],
        _between(_THUMB_LIMITS["mcp"], 0.3 + 0.4 * curl[:, 0] + 0.15 * normal(count)),
    )
    _turn(
        rotations,
        thumb[2],
        flexion[:, 0, 2],
        _between(_THUMB_LIMITS["ip"], 0.2 + 0.5 * alone[:, 0] + 0.15 * normal(count)),
    )
    # The palm cups a little when ring and little finger close.
    cup = 8 * curl[:, 4] * uniform(count)
    _turn(rotations, METACARPAL_BONES[3], flexion[:, 4, 0], cup)
    _turn(rotations, METACARPAL_BONES[2], flexion[:, 3, 0], 0.5 * cup)
    # Side bend and bend of the wrist, and twist of the forearm.
    across = heads[:, 7] - heads[:, 19]
    along = heads[:, 11] - heads[:, WRIST_BONE]
    across = across / torch.linalg.vector_norm(across, dim=-1, keepdim=True)
    along = along / torch.linalg.vector_norm(along, dim=-1, keepdim=True)
    _turn(rotations, WRIST_BONE, torch.linalg.cross(across, along), (9 * normal(count)).clamp(-20, 25))
    _turn(rotations, WRIST_BONE, across, (22 * normal(count)).clamp(-50, 55))
    _turn(rotations, 1, along, (12 * normal(count)).clamp(-30, 30))
    return rotations


def _between(limits: tuple[float, float], share: Tensor) -> Tensor:
    """Degrees at ``share`` of the way from the lower to the upper limit, clamped."""
    low, high = limits
    return low + (high - low) * share.clamp(0, 1)


def _turn(rotations: Tensor, bone: int, axis: Tensor, degrees: Tensor) -> None:
    """Rotate ``bone`` of all hands further, by ``degrees`` (B,) about ``axis`` (B, 3), after its present rotation."""
    axis = axis / torch.linalg.vector_norm(axis, dim=-1, keepdim=True)
    rotations[:, bone] = rodrigues(degrees * (math.pi / 180), axis) @ rotations[:, bone]
