"""Pose solver for two hands that touch without penetrating each other: batched gradient descent on spheres.

The hands start as ``modes.placement.Start`` places them. The energy pulls wanted contacts together and pushes
overlapping spheres apart, between the hands and within each hand. It also keeps joints near their start; joint angles
are clamped to their limits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from im2hands.geometry.hand_model import FINGER_BONES, METACARPAL_BONES, WRIST_BONE, HandModel, HandShape
from im2hands.geometry.rotations import rodrigues

from .hand_spheres import SphereSet, fit_spheres
from .joint_angles import BEND, CUP, LIMITS, TWIST, rotations_from_angles, wrist_axes
from .modes.placement import Start
from .scene import MIRROR
from .sphere_forces import SCALE, gap_of, pull_table, repulsion, sphere_groups

STEPS = 60
_SKIN = 0.0010
"""Least distance of spheres of different hands, metres: fingers are a little thicker than the spheres in them."""
_OWN_SKIN = 0.0008
"""Least distance of spheres of one hand, metres."""
_FAR = 10.0
"""Upper limit of the gap, metres, for hands without one."""
_FINGER_SPHERES = 45
"""Number of spheres in the fingers; they come first."""
_CUP_SHARES = torch.tensor([0.5, 1.0])
"""Shares of the cup angle for the metacarpals of ring and little finger; see ``joint_angles.rotations_from_angles``."""
_WRIST_SIGNS = torch.tensor([1.0, 1.0, -1.0])
"""Signs of bend, side bend and twist. The palm is fixed, so all are inverted (the first two by a transpose)."""


@dataclass(frozen=True)
class PosedPairs:
    """B pairs of posed hands in the body frame; row 0 of each pair is the left hand. All arrays are float64.

    Parameters
    ----------
    shape : HandShape
        Shapes of 2 B hands, left and right in turn.
    angles : (B, 2, 24)
        Joint angles, radians.
    frame : (B, 2, 3, 3)
        Palm frames; see ``PoseSolver.build``.
    place : (B, 2, 3)
        Palm centres, metres.
    rotations : (B, 2, 22, 3, 3)
        Bone rotations.
    turn : (B, 2, 3, 3)
        Rotation from the model frame (mirrored in x for left hands) to the body frame.
    shift : (B, 2, 3)
        Translation from the same frame to the body frame, metres.
    vertices : (B, 2, 1843, 3)
        Mesh vertices, metres.
    keypoints : (B, 2, 21, 3)
        Keypoints, metres.
    """

    shape: HandShape
    angles: Tensor
    frame: Tensor
    place: Tensor
    rotations: Tensor
    turn: Tensor
    shift: Tensor
    vertices: Tensor
    keypoints: Tensor


class PoseSolver:
    """Solves for poses of pairs of hands; holds the hand model and its spheres.

    Parameters
    ----------
    model : HandModel
        The hand model.
    """

    def __init__(self, model: HandModel) -> None:
        self.model = model
        self.spheres: SphereSet = fit_spheres(model)
        self.groups = sphere_groups(self.spheres)

    def solve(self, starts: list[Start], shape: HandShape, steps: int = STEPS, smooth: bool = False) -> PosedPairs:
        """Pose B pairs of hands.

        Parameters
        ----------
        starts : list of Start
            B starting placements.
        shape : HandShape
            Shapes of 2 B hands, left and right of each pair in turn.
        steps : int
            Steps of gradient descent.
        smooth : bool
            Whether the pairs are the frames of one motion. If so, the corrections change smoothly over the frames.

        Returns
        -------
        PosedPairs
            The posed hands.
        """
        problem = _Problem(self, starts, shape, smooth)
        with torch.enable_grad():
            angles, frame, place = problem.descend(steps)
        return self.build(shape, angles.double(), frame.double(), place.double())

    def build(self, shape: HandShape, angles: Tensor, frame: Tensor, place: Tensor) -> PosedPairs:
        """Compute meshes from angles, palm frames and palm centres.

        The columns of a palm frame are the direction of the fingers, the direction the palm faces and the thumb's side.

        Parameters
        ----------
        shape : HandShape
            Shapes of 2 B hands, left and right of each pair in turn.
        angles : (B, 2, 24) float64
            Joint angles, radians.
        frame : (B, 2, 3, 3) float64
            Palm frames, body frame; they need not be exactly orthonormal.
        place : (B, 2, 3) float64
            Palm centres, metres, body frame.

        Returns
        -------
        PosedPairs
            The posed hands.
        """
        pairs = len(angles)
        frame = _orthonormal(frame)
        rest, heads = self.model.rest(shape)
        rotations = rotations_from_angles(self.model, heads, angles.reshape(2 * pairs, -1))
        vertices, keypoints = self.model.pose(rest, heads, rotations)
        side = torch.tensor([0, 1]).repeat(pairs)
        mirror = MIRROR[side]
        # The palm moves with the wrist bone, so the wrist bone's rotation gives its frame in the posed model.
        arm = rotations[:, 0] @ rotations[:, 1] @ rotations[:, WRIST_BONE]
        local_frame, centre = _palm_frame(heads)
        whole = frame.reshape(-1, 3, 3) @ (arm @ local_frame).mT  # model to body; includes the mirror for left hands
        turn = whole * mirror[:, None]
        posed_centre = _posed_wrist(heads, rotations) + (arm @ (centre - heads[:, WRIST_BONE])[..., None])[..., 0]
        shift = place.reshape(-1, 3) - (whole @ posed_centre[..., None])[..., 0]
        vertices = (vertices @ whole.mT) + shift[:, None]
        keypoints = (keypoints @ whole.mT) + shift[:, None]
        two = (pairs, 2)
        return PosedPairs(
            shape,
            angles,
            frame,
            place,
            rotations.unflatten(0, two),
            turn.unflatten(0, two),
            shift.unflatten(0, two),
            vertices.unflatten(0, two),
            keypoints.unflatten(0, two),
        )


def _posed_wrist(heads: Tensor, rotations: Tensor) -> Tensor:
    """Position (N, 3) of the wrist bone's head in the posed model."""
    upper = heads[:, 1] - heads[:, 0]
    lower = heads[:, WRIST_BONE] - heads[:, 1]
    elbow = heads[:, 0] + (rotations[:, 0] @ upper[..., None])[..., 0]
    return elbow + (rotations[:, 0] @ rotations[:, 1] @ lower[..., None])[..., 0]


def _palm_frame(heads: Tensor) -> tuple[Tensor, Tensor]:
    """Palm frames (N, 3, 3) of rest-pose hands, with the columns of ``PoseSolver.build``, and palm centres (N, 3)."""
    along = _unit(heads[:, 11] - heads[:, WRIST_BONE])
    across = heads[:, 7] - heads[:, 19]
    thumb = _unit(across - (across * along).sum(-1, keepdim=True) * along)
    # The model is a right hand: thumb side = along x palm.
    palm = torch.linalg.cross(thumb, along)
    return torch.stack([along, palm, thumb], dim=-1), torch.lerp(heads[:, WRIST_BONE], heads[:, 11], 0.6)


class _Problem:
    """The constants of one batch, in float32, and its energy."""

    def __init__(self, solver: PoseSolver, starts: list[Start], shape: HandShape, smooth: bool = False) -> None:
        model, spheres = solver.model, solver.spheres
        pairs = len(starts)
        rest, heads = model.rest(shape)
        centres, radii = spheres.rest(rest)
        local_frame, palm_centre = _palm_frame(heads)
        flexion, spreading = model.flexion_axes(heads)

        def palm(points: Tensor, shifted: bool = True) -> Tensor:
            """Rest-pose points (or directions, if not ``shifted``) in the palm's frame, relative to its centre."""
            moved = points - palm_centre.reshape(-1, *[1] * (points.dim() - 2), 3) if shifted else points
            return torch.einsum("nji,n...j->n...i", local_frame, moved).float()

        self.spheres, self.pairs, self.smooth = spheres, pairs, smooth
        self.centres, self.radii = palm(centres), radii.float().unflatten(0, (pairs, 2))
        self.heads = palm(heads)
        flexion, spreading = palm(flexion, False), palm(spreading, False)
        self.flexion, self.spreading, self.cup = _Axes(flexion), _Axes(spreading), _Axes(flexion[:, 3:, 0])
        self.wrist = _Axes(palm(wrist_axes(heads), False))
        self.finger_heads = self.heads[:, torch.tensor(FINGER_BONES)]
        self.cup_heads = self.heads[:, torch.tensor(METACARPAL_BONES[2:])]
        self.slot = torch.tensor([_slot(int(bone)) for bone in spheres.bone])
        self.low, self.high = LIMITS.float().unbind(-1)

        # The sign makes a left hand's frame a reflection, which mirrors the model.
        along, facing = (torch.tensor(np.stack([getattr(s, n) for s in starts])).float() for n in ("along", "palm"))
        sign = torch.tensor([-1.0, 1.0])[None, :, None]
        self.frame = torch.stack([along, facing, sign * torch.linalg.cross(along, facing)], dim=-1)
        self.place = torch.tensor(np.stack([s.place for s in starts])).float()
        self.angles = torch.tensor(np.stack([s.angles for s in starts])).float()
        self.freedom = torch.tensor(np.stack([s.freedom for s in starts])).float()
        self.elbows = torch.tensor(np.stack([s.elbows for s in starts])).float()
        self.loose = torch.tensor([s.loose for s in starts]).float()
        gaps = [s.gap or (0.0, _FAR) for s in starts]
        least, self.most = torch.tensor(gaps).float().unbind(-1)
        touch = torch.tensor([s.gap is None for s in starts])
        self.room = torch.where(touch, torch.full_like(least, _SKIN), least + 2 * _SKIN)
        self.own_room = torch.full((2 * pairs,), _OWN_SKIN)
        self.both = torch.tensor([all(s.present) for s in starts]).float()
        count = spheres.count
        self.pulls = pull_table(solver.groups, [s.pulls for s in starts], count, between=True)
        within = [[p for p in s.within if p[0] == hand] for s in starts for hand in (0, 1)]
        self.within = pull_table(solver.groups, within, _FINGER_SPHERES, between=False)
        self.first_entry = torch.arange(pairs) * count**2
        self.reach = self.radii[:, 0, :, None] + self.radii[:, 1, None]
        radii = self.radii.flatten(0, 1)
        self.own_reach = radii[:, :_FINGER_SPHERES, None] + radii[:, None]
        self.apart = spheres.apart[:_FINGER_SPHERES].float()

    def descend(self, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """Minimise the energy; returns angles (B, 2, 24), palm frames (B, 2, 3, 3) and palm centres (B, 2, 3)."""
        angles = self.angles.clone().requires_grad_()
        turn = torch.zeros_like(self.place).requires_grad_()
        place = self.place.clone().requires_grad_()
        # A step changes angles by up to a few degrees and moves hands by up to a few millimetres.
        groups = [
            {"params": [angles], "lr": 0.045},
            {"params": [turn], "lr": 0.03},
            {"params": [place], "lr": 0.0022},
        ]
        optimiser = torch.optim.Adam(groups, betas=(0.8, 0.98), foreach=True)
        rates = [group["lr"] for group in groups]
        for step in range(steps):
            share = step / steps
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * (0.06 + 0.94 * 0.5 * (1 + np.cos(np.pi * share)))  # type: ignore[operator]
            energy = self.energy(angles, turn, place, share)
            optimiser.zero_grad()
            energy.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            with torch.no_grad():
                torch.clamp(angles, self.low, self.high, out=angles)
        with torch.no_grad():
            return angles.detach(), _from_vector(turn) @ self.frame, place.detach()

    def energy(self, angles: Tensor, turn: Tensor, place: Tensor, share: float) -> Tensor:
        """Sum of the energies of all pairs; ``share`` of the steps are done."""
        frame = _from_vector(turn) @ self.frame
        local, elbow = self.posed(angles.flatten(0, 1))
        points = (local @ frame.flatten(0, 1).mT + place.reshape(-1, 1, 3)).unflatten(0, (self.pairs, 2))
        push = 0.3 if share < 0.15 else 1.0 if share < 0.6 else 4.0
        pull = 2.5 if share < 0.6 else 4.0
        left, right = points[:, 0], points[:, 1]
        overlap, gap = repulsion(left, right, self.reach, self.room)
        total = push * (self.both * overlap).sum() + pull * self.pulls.attraction(gap, left, right, self.reach)
        nearest = gap_of(gap.flatten(1).argmin(1) + self.first_entry, left, right, self.reach)
        total = total + (self.both * torch.relu(nearest - self.most) / SCALE).sum()
        hands = points.flatten(0, 1)
        fingers = hands[:, :_FINGER_SPHERES]
        overlap, gap = repulsion(fingers, hands, self.own_reach, self.own_room, self.apart)
        total = total + 0.5 * push * overlap.sum() + pull * self.within.attraction(gap, fingers, hands, self.own_reach)
        prior = ((angles - self.angles) / self.freedom).square().sum((1, 2))
        prior = prior + 0.5 * (turn / self.loose[:, None, None]).square().sum((1, 2))
        # The end joint of a finger does not bend much more than the middle joint.
        bend = angles[..., 4:20].unflatten(-1, (4, 4))
        prior = prior + 2.0 * torch.relu(bend[..., 2] - bend[..., 1] - 0.15).square().sum((1, 2))
        arm = (frame @ elbow.unflatten(0, (self.pairs, 2))[..., None])[..., 0]
        wanted = self.elbows.square().sum(-1) > 0
        bad = torch.relu(0.75 - (_unit(arm) * self.elbows).sum(-1)) * wanted
        if self.smooth:
            for change, scale in ((angles - self.angles, 0.05), (turn, 0.03), (place - self.place, 0.0015)):
                total = total + (change.diff(dim=0) / scale).square().sum()
        return total + 0.35 * prior.sum() + 30.0 * bad.square().sum()

    def posed(self, angles: Tensor) -> tuple[Tensor, Tensor]:
        """Sphere centres (N, S, 3) in the palm's frame, and the vector (N, 3) from the wrist to the elbow."""
        count = len(angles)
        own = angles[:, :20].unflatten(-1, (5, 4))
        bend = self.flexion.turn(own[..., :3])  # (N, 5, 3, 3, 3)
        still = torch.eye(3).expand(count, 3, 3, 3)
        cupped = self.cup.turn(angles[:, CUP, None] * _CUP_SHARES)  # ring's and little finger's metacarpal
        level, offset = torch.cat([still, cupped], 1), torch.zeros(count, 5, 3)
        offset = torch.cat([offset[:, :3], _fixing(cupped, self.cup_heads)], 1)
        turns, shifts = [level[:, :1], cupped], [offset[:, :1], offset[:, 3:]]
        for joint in range(3):
            local = bend[:, :, joint]
            if joint == 0:
                local = local @ self.spreading.turn(own[..., 3])
            offset = (level @ _fixing(local, self.finger_heads[:, :, joint])[..., None])[..., 0] + offset
            level = level @ local
            turns.append(level)
            shifts.append(offset)
        wrist = self.wrist.turn(angles[:, BEND : TWIST + 1] * _WRIST_SIGNS)
        # The palm is fixed here, so the forearm gets the inverse rotation.
        lower = (wrist[:, 0] @ wrist[:, 1]).mT
        upper = lower @ wrist[:, 2]
        lower_shift = _fixing(lower, self.heads[:, WRIST_BONE])
        elbow = (lower @ self.heads[:, 1, :, None])[..., 0] + lower_shift
        upper_shift = elbow - (upper @ self.heads[:, 1, :, None])[..., 0]
        turns += [lower[:, None], upper[:, None]]
        shifts += [lower_shift[:, None], upper_shift[:, None]]
        turn, shift = torch.cat(turns, 1)[:, self.slot], torch.cat(shifts, 1)[:, self.slot]
        return (turn @ self.centres[..., None])[..., 0] + shift, elbow - self.heads[:, WRIST_BONE]


class _Axes:
    """Rotations about fixed unit axes (..., 3)."""

    def __init__(self, axes: Tensor) -> None:
        x, y, z = axes.unbind(-1)
        zero = torch.zeros_like(x)
        self._skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
        self._square = self._skew @ self._skew

    def turn(self, angles: Tensor) -> Tensor:
        """Rotation matrices (..., 3, 3) for angles (...) in radians."""
        around = angles[..., None, None]
        return torch.eye(3) + around.sin() * self._skew + (1 - around.cos()) * self._square


def _fixing(turn: Tensor, point: Tensor) -> Tensor:
    """The translation (..., 3) that makes a rotation (..., 3, 3) keep a point (..., 3) in place."""
    return point - (turn @ point[..., None])[..., 0]


def _slot(bone: int) -> int:
    """Index of a rig bone's rotation in ``_Problem.posed``: palm, two cupped metacarpals, fingers, forearm."""
    if bone in METACARPAL_BONES[2:]:
        return 1 + METACARPAL_BONES[2:].index(bone)
    for finger, chain in enumerate(FINGER_BONES):
        if bone in chain:
            return 3 + 5 * chain.index(bone) + finger
    return {1: 18, 0: 19}.get(bone, 0)


def _from_vector(turn: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3), differentiable at zero."""
    angle = (turn.square().sum(-1) + 1e-12).sqrt()
    return rodrigues(angle, turn / angle[..., None])


def _orthonormal(frame: Tensor) -> Tensor:
    """Palm frames (B, 2, 3, 3) of left and right hands, orthonormal again after rounding."""
    along = _unit(frame[..., 0])
    palm = frame[..., 1]
    palm = _unit(palm - (palm * along).sum(-1, keepdim=True) * along)
    sign = torch.tensor([-1.0, 1.0], dtype=frame.dtype)[:, None]
    return torch.stack([along, palm, sign * torch.linalg.cross(along, palm)], dim=-1)


def _unit(vectors: Tensor) -> Tensor:
    return vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
