"""What a reconstruction sees of a hand: noisy keypoints, other joint definitions, its thickness or not."""

from __future__ import annotations

import torch
from torch import Tensor

from .part_occupancy import FIRST_BONES

# Jitter of the joint definitions, standard deviations.
_ALONG_BONE = 0.06  # of joints along their bone, share of the bone's length
_ALONG_TIP = 0.08  # of fingertips along their bone, share of the bone's length
_ACROSS = 0.02  # of all keypoints in each coordinate, share of the palm length


# Joints of another skeleton, standard deviations unless stated otherwise. Those of the bundled hand lie near its back,
# those of most others in the middle of the flesh, and their first phalanges are longer.
_MIDDLE = -0.045  # mean place of all joints, towards the back of the hand, share of the palm length
_DEPTH, _DEPTH_EACH = 0.035, 0.015  # of all joints, and of each level, about that mean
_SIDE = 0.02  # sideways, share of the palm length
_ALONG, _ALONG_EACH = 0.14, 0.05  # of each level, and of each joint, along its bone, share of the bone's length
_FIRST_PHALANX = 0.1  # mean place of its end along it, share of its length
_TIP_DEEP, _TIP = (-0.5, 0.0), 0.06  # of the tips along their bones: range of one half, about 0 for the other
_ROOT, _WRIST = 0.08, 0.08  # of the root of the thumb in each direction, and of the wrist along the palm, share of it


def other_skeletons(keypoints: Tensor, transforms: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Move the keypoints of some hands to where another skeleton has them.

    Joints lie nearer to the palm or the back of the hand, farther out or in along their bones, alike for all fingers in
    the main; the thumb's root and the wrist lie elsewhere.

    Parameters
    ----------
    keypoints : (B, 21, 3) float64
        Keypoints of B right hands, file order, canonical frame, metres.
    transforms : (B, 16, 4, 4) float64
        Their bone transforms; see ``geometry.bones``.
    generator : torch.Generator
        CPU generator. The same state gives the same keypoints.
    share : float
        Share of the hands that are changed, 0 to 1.

    Returns
    -------
    (B, 21, 3) float64
        The keypoints.
    """
    count = len(keypoints)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).clamp(-2.5, 2.5)

    use = (torch.rand(count, 1, generator=generator, dtype=torch.float64) < share).double()
    palm = use * torch.linalg.vector_norm(keypoints[:, 9] - keypoints[:, 0], dim=-1, keepdim=True)
    depth = _MIDDLE + _DEPTH * normal(count, 1) + _DEPTH_EACH * normal(count, 5)
    side, along = _SIDE * normal(count, 5, 4), _ALONG_EACH * normal(count, 5, 4)
    along[:, 1:] += _ALONG * normal(count, 1, 4)
    along[:, 0] += _ALONG * normal(count, 4)  # the thumb has joints of its own
    along[:, :, 1] += _FIRST_PHALANX
    kind, far = torch.rand(2, count, 1, generator=generator, dtype=torch.float64)
    low, high = _TIP_DEEP
    tip = torch.where(kind < 0.5, low + (high - low) * far, _TIP * normal(count, 1))
    along[:, :, 3] = tip + _ALONG_EACH * normal(count, 5)
    moved = keypoints.clone()
    for finger, first in enumerate(FIRST_BONES):
        for level in range(4):
            joint = 1 + 4 * finger + level
            # The bone that starts at this joint, or ends at the tip, in the straight hand: back of the hand along y.
            turn = transforms[:, first + min(level, 2), :3, :3]
            turn = turn / torch.linalg.vector_norm(turn, dim=-1, keepdim=True)
            back = depth[:, level + 1] * (0.5 if level == 3 else 1.0)
            across = torch.stack([torch.zeros_like(back), back, side[:, finger, level]], dim=-1)
            start = joint if level == 0 else joint - 1  # roots move along their own bone, others along the one before
            bone = keypoints[:, start + 1] - keypoints[:, start]
            moved[:, joint] += palm * (turn.mT @ across[..., None])[..., 0] + use * along[:, finger, level, None] * bone
    moved[:, 1] += palm * _ROOT * normal(count, 3)
    wrist = torch.stack([_WRIST * normal(count), depth[:, 0], torch.zeros_like(depth[:, 0])], dim=-1)
    moved[:, 0] += palm * wrist
    return moved


def jitter_keypoints(keypoints: Tensor, generator: torch.Generator, noise: float, definition: float) -> Tensor:
    """Add random noise and other joint definitions to keypoints, as another detector would.

    Half of the hands get other joint definitions: joints move along their bones, partly alike for all fingers and
    partly each by itself, and all keypoints move a little in every direction. Three quarters of the hands also get
    Gaussian noise, whose standard deviation is uniform between 0 and ``noise`` for each hand.

    Parameters
    ----------
    keypoints : (B, 21, 3) float64
        Keypoints of B hands, file order, metres.
    generator : torch.Generator
        CPU generator. The same state gives the same jitter.
    noise : float
        Largest standard deviation of a coordinate's noise, metres.
    definition : float
        Strength of the joint definition jitter: 0 for none, 1 for the usual strength.

    Returns
    -------
    (B, 21, 3) float64
        The moved keypoints.
    """
    count = keypoints.shape[0]

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).clamp(-2.5, 2.5)

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, dtype=torch.float64)

    moved = keypoints.clone()
    use = (uniform(count, 1, 1) < 0.5).double() * definition
    for level in range(4):  # MCP (thumb CMC), PIP, DIP, tip of all fingers
        rows = [1 + 4 * finger + level for finger in range(5)]
        previous = [0 if level == 0 else row - 1 for row in rows]
        inward = keypoints[:, rows] - keypoints[:, previous]
        if level == 0:  # the metacarpals are long, so take a share of the first phalanx instead
            inward = keypoints[:, [row + 1 for row in rows]] - keypoints[:, rows]
        strength = _ALONG_TIP if level == 3 else _ALONG_BONE
        share = strength * (normal(count, 1, 1) + 0.5 * normal(count, 5, 1))
        moved[:, rows] += use * share * inward
    palm = torch.linalg.vector_norm(keypoints[:, 9] - keypoints[:, 0], dim=-1)[:, None, None]
    moved[:, :1] += use * _ALONG_BONE * normal(count, 1, 1) * (keypoints[:, 9:10] - keypoints[:, :1])
    moved += use * _ACROSS * palm * normal(count, 21, 3)
    sigma = noise * uniform(count, 1, 1) * (uniform(count, 1, 1) < 0.75).double()
    return moved + sigma * normal(count, 21, 3)


def forget_thickness(thickness: Tensor, generator: torch.Generator) -> Tensor:
    """Keep of the thicknesses of hands what may be known of them: of four in ten nothing, of one in ten half.

    Parameters
    ----------
    thickness : (B, 17) float64
        Natural logarithms of factors on the usual thickness; NaN where not known.
    generator : torch.Generator
        CPU generator. The same state gives the same result.

    Returns
    -------
    (B, 17) float64
        The same, 0 where nothing is known.
    """
    kind = torch.rand(len(thickness), 1, generator=generator, dtype=torch.float64)
    half = torch.rand(thickness.shape, generator=generator, dtype=torch.float64) < 0.5
    keep = (kind >= 0.4) & (half | (kind < 0.9))
    return torch.where(keep, thickness.nan_to_num(0.0), 0.0)
