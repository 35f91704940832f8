"""Keypoints to the 16 bone transforms, the bone lengths and the canonical rotation of a hand.

The conversion is that of HALO (Karunratanakul et al., "A Skeleton-Driven Neural Occupancy Representation for
Articulated Hands", 3DV 2021), on which Im2Hands (Lee et al., CVPR 2023) builds. Everything is batched over hands,
differentiable and computed in float64 (float32 on Metal, which lacks float64).

All hands are treated as right hands; left hands are mirrored in x first. Frames:

* *hand frame*: the input frame minus the wrist, mirrored in x for left hands, metres;
* *canonical frame*: the hand frame rotated by ``rotation``, metres;
* *query space*: the canonical frame divided by ``QUERY_SCALE``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from im2hands.core.devices import exact_dtype
from im2hands.core.hands import FILE_TO_BIOMECH, MIDDLE_MCP, WRIST, Side

from .rotations import aligning, rigid, rodrigues, signed_angle, turned, unit

BONE_COUNT = 16
QUERY_SCALE = 0.4
"""Metres per unit of query space."""
BOX = 1.1
"""Side of the cube of query space in which occupancy is evaluated; the wrist is its centre."""

# The keypoints (file order) between which the length of each of the 16 bones is measured.
BONE_ENDS = (
    (0, 9),
    (5, 6), (6, 7), (7, 8),
    (9, 10), (10, 11), (11, 12),
    (17, 18), (18, 19), (19, 20),
    (13, 14), (14, 15), (15, 16),
    (1, 2), (2, 3), (3, 4),
)  # fmt: skip

BONE_NAMES = (
    "palm",
    "index_1", "index_2", "index_3",
    "middle_1", "middle_2", "middle_3",
    "little_1", "little_2", "little_3",
    "ring_1", "ring_2", "ring_3",
    "thumb_1", "thumb_2", "thumb_3",
)  # fmt: skip

_INDEX_MCP = 5
# A thicker palm is wider by the flesh beside its outer bones: this power of the thickness, as the spheres of
# ``keypoints.placing`` have it.
_PALM_SIDES = 0.4

THICKNESS_COUNT = BONE_COUNT + 1
"""Thicknesses of a hand: of its 16 bones, the palm's from palm to back, and of the palm from side to side."""
# Canonical angles between neighbouring metacarpals, radians: between the planes they span, then between themselves.
_PLANE_THUMB, _PLANE_RING, _PLANE_LITTLE = 0.8, 0.2, 0.2
_ANGLE_THUMB, _ANGLE_OTHERS = 0.4, 0.2
# The published converter's guard: no bend angle is below acos(1 - 1e-6), even where a finger is straight.
_COSINE_LIMIT = 1 - 1e-6
_SIGN_EPSILON = 1e-6
_LENGTH_FLOOR = 1e-9
# Finger and level of bones 1 to 15 in published order; bone 0 is the palm. Fingers run thumb to little, levels run
# metacarpal to distal.
_SELECTED = tuple((finger, level) for finger in (1, 2, 4, 3, 0) for level in (1, 2, 3))


@dataclass(frozen=True)
class Bones:
    """The bones of a batch of hands.

    Parameters
    ----------
    transforms : (B, 16, 4, 4) float64
        The networks' input ``W``. Multiplied by a query point / 0.4 it gives the point in each bone's straight frame,
        in query-space units.
    lengths : (B, 16) float64
        Bone lengths, metres.
    rotation : (B, 3, 3) float64
        ``M``, from the hand frame to the canonical frame.
    wrist : (B, 3) float64
        Wrist in the input frame, mirrored in x for left hands, metres.
    mirror : (B, 3) float64
        (-1, 1, 1) for left hands and (1, 1, 1) for right ones.
    joints : (B, 21, 3) float64 or None
        Keypoints in file order, canonical frame, metres. None if they were not kept.
    thickness : (B, 17) float64 or None
        How thick the flesh of each bone is, and of the palm from side to side, as factors on what is usual for such a
        skeleton; None for 1. Networks with a shape encoder read them.
    steps : dict
        Intermediate results under the names of the parity data ``converter.npz``. Filled on demand only.
    """

    transforms: Tensor
    lengths: Tensor
    rotation: Tensor
    wrist: Tensor
    mirror: Tensor
    joints: Tensor | None = None
    thickness: Tensor | None = None
    steps: dict[str, Tensor] = field(default_factory=dict)

    def __getitem__(self, hands: slice) -> Bones:
        """Select hands of the batch."""
        joints, thickness = (None if kept is None else kept[hands] for kept in (self.joints, self.thickness))
        return Bones(
            self.transforms[hands],
            self.lengths[hands],
            self.rotation[hands],
            self.wrist[hands],
            self.mirror[hands],
            joints,
            thickness,
        )

    def straight_frames(self) -> tuple[Tensor, Tensor]:
        """Return the maps from query space to the straight frames of the bones.

        Returns
        -------
        turn : (B, 16, 3, 3) float64
            Linear parts.
        shift : (B, 16, 3) float64
            Translations, query-space units.
        """
        return self.transforms[:, :, :3, :3] / QUERY_SCALE, self.transforms[:, :, :3, 3]

    def to_query_space(self, points: Tensor) -> Tensor:
        """Convert points from the input frame to query space.

        Parameters
        ----------
        points : (B, N, 3) float
            Points, input frame, metres.

        Returns
        -------
        (B, N, 3) float64
            Points in each hand's query space.
        """
        local = self._beside(points) * self.mirror[:, None] - self.wrist[:, None]
        return local @ self.rotation.mT / QUERY_SCALE

    def from_query_space(self, points: Tensor) -> Tensor:
        """Convert points from query space to the input frame.

        Parameters
        ----------
        points : (B, N, 3) float
            Points in each hand's query space.

        Returns
        -------
        (B, N, 3) float64
            Points, input frame, metres.
        """
        local = (self._beside(points) * QUERY_SCALE) @ self.rotation
        return (local + self.wrist[:, None]) * self.mirror[:, None]

    def _beside(self, points: Tensor) -> Tensor:
        """Points on the device and in the type of the bones; the device comes first, because Metal has no float64."""
        return points.to(self.rotation.device).to(self.rotation.dtype)


def even_thickness(factors: Tensor) -> Tensor:
    """Return the thicknesses of hands whose flesh is thicker everywhere by one factor each.

    Parameters
    ----------
    factors : (B,) float
        Factors on the usual thickness.

    Returns
    -------
    (B, 17) float
        See ``Bones.thickness``.
    """
    return torch.cat([factors[:, None].expand(-1, BONE_COUNT), factors[:, None] ** _PALM_SIDES], dim=1)


def bones_from_keypoints(keypoints: Tensor, sides: Sequence[Side], *, keep_steps: bool = False) -> Bones:
    """Compute the bones of a batch of hands.

    Parameters
    ----------
    keypoints : (B, 21, 3) float
        Keypoints in file order, metres, any frame.
    sides : sequence of B Side
        The side of each hand.
    keep_steps : bool
        Keep the intermediate results in ``Bones.steps``.

    Returns
    -------
    Bones
        The bones of the B hands.

    Raises
    ------
    ValueError
        The shapes do not fit.
    """
    if keypoints.ndim != 3 or keypoints.shape[1:] != (21, 3) or len(sides) != keypoints.shape[0]:
        raise ValueError(f"keypoints {tuple(keypoints.shape)} and {len(sides)} sides do not fit (B, 21, 3)")
    points = keypoints.to(exact_dtype(keypoints.device))
    mirror = points.new_ones(len(sides), 3)
    mirror[[side == "left" for side in sides], 0] = -1.0
    points = points * mirror[:, None]
    wrist = points[:, WRIST]
    points = points - wrist[:, None]

    starts, ends = (list(column) for column in zip(*BONE_ENDS, strict=True))
    lengths = torch.linalg.vector_norm(points[:, ends] - points[:, starts], dim=-1)
    global_rotation, rotation = _root_rotation(points)
    joints = points @ rotation.mT
    return _straighten(joints, lengths, global_rotation, rotation, wrist, mirror, points, keep_steps)


def _straighten(
    joints: Tensor, lengths: Tensor, global_rotation: Tensor, rotation: Tensor, wrist: Tensor, mirror: Tensor,
    points: Tensor, keep_steps: bool,
) -> Bones:  # fmt: skip
    """Bone transforms of hands with canonical ``joints`` (B, 21, 3), file order, metres.

    The metacarpals are brought to canonical angles, the fingers are straightened joint by joint, and the result is
    scaled to query space.
    """
    biomech = joints[:, list(FILE_TO_BIOMECH)]
    start = torch.cat([biomech[:, :1].expand(-1, 5, -1), biomech[:, 1:16]], dim=1)
    bone = biomech[:, 1:] - start
    length = torch.linalg.vector_norm(bone, dim=-1).clamp_min(_LENGTH_FLOOR)
    direction = (bone / length[..., None]).unflatten(1, (4, 5))  # (B, level, finger, 3)
    length_lf, start_lf = length.unflatten(1, (4, 5)), start.unflatten(1, (4, 5))

    plane = _plane_rotations(direction[:, 0])
    angle = _angle_rotations(turned(plane, direction[:, 0]))
    normal = angle @ plane  # N_f (B, finger, 3, 3)
    straight = turned(normal[:, None], direction)  # S (B, level, finger, 3)

    systems, local, theta, phi, bends = _local_systems(straight)
    c1, c2, c3 = systems[1], systems[2], systems[3]
    r1, r2, r3 = bends[1], bends[2], bends[3]
    identity = torch.eye(3, dtype=joints.dtype, device=joints.device).expand_as(c1)
    unbend = [identity, c1.mT @ r1 @ c1, c2.mT @ r1 @ r2 @ c2, c3.mT @ r2 @ r1 @ r3 @ c3]  # U

    shift = torch.zeros_like(start_lf[:, 0])
    parts: dict[tuple[int, int], Tensor] = {}
    all_parts = []
    for level in range(4):
        turn = unbend[level] @ normal
        offset = shift - turned(turn, start_lf[:, level])
        all_parts.append(rigid(turn, offset))
        for finger in range(5):
            parts[finger, level] = all_parts[-1][:, finger]
        shift = shift + length_lf[:, level, :, None] * turned(unbend[level], straight[:, level])

    eye4 = torch.eye(4, dtype=joints.dtype, device=joints.device).expand(joints.shape[0], 4, 4)
    transforms = torch.stack([eye4, *(parts[key] for key in _SELECTED)], dim=1)  # T, metres
    # W = S(1/0.4) T S(0.4) S(0.4): rotation block times 0.4, translation divided by 0.4.
    scale = torch.full((4, 4), 1.0, dtype=joints.dtype, device=joints.device)
    scale[:3, :3], scale[:3, 3] = QUERY_SCALE, 1 / QUERY_SCALE
    steps: dict[str, Tensor] = {}
    if keep_steps:
        steps = {
            "kp_canonical_biomech": (points @ global_rotation.mT)[:, list(FILE_TO_BIOMECH)],
            "glo_rot": rigid(global_rotation, torch.zeros_like(wrist)),
            "kp_swapped_biomech": biomech,
            "bones_biomech": direction.flatten(1, 2),
            "bone_len_biomech": length,
            "root_plane_mat": plane.repeat(1, 4, 1, 1),
            "root_angle_mat": angle.repeat(1, 4, 1, 1),
            "bones_norm": straight.flatten(1, 2),
            "local_cs": torch.cat(systems, dim=1),
            "local_coords": torch.cat(local, dim=1),
            "rot_angles": torch.stack([torch.cat(theta, dim=1), torch.cat(phi, dim=1)], dim=-1),
            "rot_mat": torch.cat(bends, dim=1),
            "trans_rot": torch.cat(unbend, dim=1),
            "trans_mat_biomech": torch.cat([eye4[:, None], *all_parts], dim=1),
        }
    return Bones(transforms * scale, lengths, rotation, wrist, mirror, joints, steps=steps)


def _root_rotation(points: Tensor) -> tuple[Tensor, Tensor]:
    """G and M = P G of hand-frame ``points`` (B, 21, 3): middle metacarpal along -x, palm normal along +y."""
    middle, index = unit(points[:, MIDDLE_MCP]), unit(points[:, _INDEX_MCP])
    down = points.new_tensor([0.0, -1.0, 0.0]).expand_as(middle)
    out = points.new_tensor([0.0, 0.0, 1.0]).expand_as(middle)
    first = aligning(middle, down)
    second = aligning(turned(first, torch.linalg.cross(middle, index)), out)
    both = second @ first
    return both, both[:, [1, 2, 0]]  # P takes x' = y, y' = z, z' = x


def _plane_rotations(d: Tensor) -> Tensor:
    """Rotations A (B, finger, 3, 3) that bring neighbouring metacarpals to the canonical angles between their planes.

    ``d`` (B, finger, 3) are the metacarpal directions, thumb to little finger.
    """
    d0, d1, d2, d3, d4 = d.unbind(1)
    n1 = torch.linalg.cross(d2, d1)
    eye = torch.eye(3, dtype=d.dtype, device=d.device).expand(d.shape[0], 3, 3)
    thumb = rodrigues(signed_angle(torch.linalg.cross(d1, d0), n1, d1) - _PLANE_THUMB, d1)
    ring = rodrigues(signed_angle(torch.linalg.cross(d3, d2), n1, d2) + _PLANE_RING, d2)
    d3, d4 = turned(ring, d3), turned(ring, d4)
    bend = signed_angle(torch.linalg.cross(d4, d3), torch.linalg.cross(d3, d2), d3) + _PLANE_LITTLE
    little = rodrigues(bend, d3) @ ring
    return torch.stack([thumb, eye, eye, ring, little], dim=1)


def _angle_rotations(d: Tensor) -> Tensor:
    """Rotations B (B, finger, 3, 3) that bring neighbouring metacarpals to the canonical angles between them.

    ``d`` (B, finger, 3) are the metacarpal directions after A.
    """
    d0, d1, d2, d3, d4 = d.unbind(1)
    eye = torch.eye(3, dtype=d.dtype, device=d.device).expand(d.shape[0], 3, 3)
    n = unit(torch.linalg.cross(d2, d1))
    index = rodrigues(_ANGLE_OTHERS - signed_angle(d2, d1, n), n)
    e1, e0 = turned(index, d1), turned(index, d0)
    n = unit(torch.linalg.cross(e1, e0))
    thumb = rodrigues(_ANGLE_THUMB - signed_angle(e1, e0, n), n) @ index
    n = unit(torch.linalg.cross(d3, d2))
    ring = rodrigues(signed_angle(d3, d2, n) - _ANGLE_OTHERS, n)
    e3, e4 = turned(ring, d3), turned(ring, d4)
    n = unit(torch.linalg.cross(e4, e3))
    little = rodrigues(signed_angle(e4, e3, n) - _ANGLE_OTHERS, n) @ ring
    return torch.stack([thumb, index, eye, ring, little], dim=1)


def _bend_angles(c: Tensor, y_sign: float) -> tuple[Tensor, Tensor]:
    """Flexion and abduction of directions (..., 3), radians.

    ``y_sign`` is the sign of the y for which abduction is negative.
    """
    cx, cy, cz = c.unbind(-1)
    in_plane = cx * cx + cz * cz
    r = torch.sqrt(in_plane).clamp_min(_LENGTH_FLOOR)
    cz = torch.where(cz.abs() < _SIGN_EPSILON, torch.zeros_like(cz), cz)
    theta = torch.acos((cz / r).clamp(-_COSINE_LIMIT, _COSINE_LIMIT))
    theta = torch.where(cx + _SIGN_EPSILON < 0, -theta, theta)
    phi = torch.acos((in_plane / r).clamp(-_COSINE_LIMIT, _COSINE_LIMIT))
    negative = cy + _SIGN_EPSILON < 0 if y_sign < 0 else cy + _SIGN_EPSILON > 0
    return theta, torch.where(negative, -phi, phi)


def _local_systems(
    s: Tensor,
) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
    """Local coordinate systems and bends of the bones with directions S (B, level, finger, 3).

    Returns lists over the four levels, each entry (B, finger, ...): the systems C (rows are the axes), the directions
    c = C S in them, their flexion theta and abduction phi, and the rotations Rot that straighten them.
    """
    eye = torch.eye(3, dtype=s.dtype, device=s.device).expand(s.shape[0], 5, 3, 3)
    x_axis, y_axis = (s.new_tensor(v).expand_as(s[:, 0]) for v in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]))
    m = unit(torch.linalg.cross(s[:, 0, :4], s[:, 0, 1:]))
    h = torch.stack([m[:, 0], m[:, 1], (m[:, 1] + m[:, 2]) / 2, (m[:, 2] + m[:, 3]) / 2, m[:, 3]], dim=1)
    z = s[:, 0]
    side = torch.linalg.cross(z, h)
    systems = [eye, torch.stack([unit(torch.linalg.cross(side, z)), unit(side), z], dim=-2)]
    for level in (2, 3):
        p = systems[level - 1]
        theta, phi = _bend_angles(turned(p, s[:, level - 1]), -1.0)
        e = p[..., 1, :]
        a = turned(p.mT, turned(rodrigues(theta, y_axis), x_axis))
        systems.append((rodrigues(-phi, a) @ rodrigues(theta, e) @ p.mT).mT)
    local, thetas, phis, bends = [], [], [], []
    for level in range(4):
        c = turned(systems[level], s[:, level])
        theta, phi = _bend_angles(c, 1.0)
        turned_x = turned(rodrigues(theta, y_axis), x_axis)
        bends.append(eye if level == 0 else rodrigues(-theta, y_axis) @ rodrigues(-phi, turned_x))
        local.append(c)
        thetas.append(theta)
        phis.append(phi)
    return systems, local, thetas, phis, bends
