"""Short clips of two moving hands: key poses, a smooth path between them, and removal of penetration along the path."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation, RotationSpline
from torch import Tensor

from im2hands.geometry.hand_model import HandShape
from im2hands.geometry.signed_distance import ClosedMesh

from .contact import measure_contact
from .interaction import PosedPairs
from .interaction_modes import start
from .modes.placement import Start, random_angles
from .pairs import APART, CONTACT, PENETRATION, Pair, PairMaker, Tally, draw_shape, pair_of

CLIP = 60
"""Frames of a clip: two seconds at 30 frames per second."""

_FREE = ("apart", "near", "behind")
_APPROACH = ("touching", "facing")
_HELD = ("clasped", "interlaced", "grasping", "crossed")
_ATTEMPTS = 6
_STEPS = 60
_TOWARDS = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])


class ClipMaker:
    """Makes clips one by one.

    Parameters
    ----------
    pairs : PairMaker
        Solver and meshes of pairs of hands.
    """

    def __init__(self, pairs: PairMaker) -> None:
        self.pairs = pairs

    def clip(self, seed: int, number: int) -> tuple[list[Pair], Tally]:
        """Make a clip.

        The hands move freely, or they come together, touch and part, or they stay in contact and move together. The
        first attempt whose frames all keep the limit of penetration is taken. If all attempts fail, the one with the
        least penetration is taken.

        Parameters
        ----------
        seed : int
            Seed of the scene set.
        number : int
            Number of the clip in the set.

        Returns
        -------
        list of Pair
            ``CLIP`` frames.
        Tally
            Attempts and accepted attempts by mode.
        """
        rng = np.random.default_rng((seed, number, 20))
        family = (_FREE, _APPROACH, _HELD)[int(rng.choice(3, p=[0.3, 0.4, 0.3]))]
        one_person = bool(rng.uniform() < 0.8)
        shape = draw_shape(rng, one_person)
        mode = str(rng.choice(family))
        tally, best = Tally(), None
        for attempt in range(_ATTEMPTS):
            frames = self._attempt(mode, shape, one_person, np.random.default_rng((seed, number, 21, attempt)))
            fits = frames is not None and max(pair.depth for pair in frames) <= PENETRATION
            tally.count(mode, fits)
            if frames is not None and (best is None or _depth(frames) < _depth(best)):
                best = frames
            if fits:
                break
            if attempt == _ATTEMPTS - 2:
                mode = "apart"  # the last attempt is an easy one
        assert best is not None
        return best, tally

    def _attempt(self, mode: str, shape: HandShape, one_person: bool, rng: np.random.Generator) -> list[Pair] | None:
        """One attempt at a clip, or None if the key pose in contact does not pass the check on the meshes."""
        if mode in _FREE:
            keys = [start(mode, rng, one_person) for _ in range(3)]
            solved = self.pairs.solver.solve(keys, _repeated(shape, len(keys)))
            angles, frame, place = solved.angles, solved.frame, solved.place
            first = keys[0]
        else:
            first = start(mode, rng, one_person)
            solved = self.pairs.solver.solve([first], shape)
            touching = self.pairs.verified(solved, 0, first)
            if touching is None:
                return None
            # The check may have moved the right hand: use its corrected position.
            mended = touching.shift - solved.shift[0]
            angles, frame, place = _key_poses(solved, mended, mode, rng)
        times = _key_times(len(angles), rng)
        bent, turned, where = smooth_path(times, angles, frame, place, CLIP)
        held = _held(mode, times, CLIP)
        starts = [frame_start(first, bent[t], turned[t], where[t], float(held[t])) for t in range(CLIP)]
        posed = self.pairs.solver.solve(starts, _repeated(shape, CLIP), _STEPS, smooth=True)
        return self._measured(posed, starts, mode, rng)

    def _measured(self, posed: PosedPairs, starts: list[Start], mode: str, rng: np.random.Generator) -> list[Pair]:
        """The frames with measured contact, the mode that follows from it, and a slow common motion of both hands."""
        turns, shifts = _travel(len(starts), rng)
        frames = []
        for t, begun in enumerate(starts):
            pair = pair_of(posed, t, begun)
            left, right = (ClosedMesh(v, f) for v, f in zip(pair.vertices, self.pairs.faces, strict=True))
            contact = measure_contact(left, right, APART + 0.001)
            name = mode
            if contact.gap > CONTACT:
                name = "apart" if contact.gap > APART else "near"
            elif mode in _FREE:
                name = "touching"
            turn, shift = turns[t], shifts[t]
            rotation = torch.from_numpy(turn)
            frames.append(
                replace(
                    pair,
                    mode=name,
                    depth=contact.depth,
                    gap=contact.gap,
                    turn=rotation @ pair.turn,
                    shift=pair.shift @ rotation.mT + torch.from_numpy(shift),
                    vertices=pair.vertices @ turn.T + shift,
                    keypoints=pair.keypoints @ turn.T + shift,
                )
            )
        return frames


def _depth(frames: list[Pair]) -> float:
    """Deepest penetration in any frame, metres."""
    return max(pair.depth for pair in frames)


def _repeated(shape: HandShape, count: int) -> HandShape:
    """The two shapes repeated for ``count`` pairs."""
    return HandShape(*(getattr(shape, n).repeat(count, 1) for n in ("components", "length", "thickness")))


def _key_poses(
    solved: PosedPairs, mended: Tensor, mode: str, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Key poses: coming together and parting, or held in contact.

    Returns angles (K, 2, 24), palm frames (K, 2, 3, 3) and palm centres (K, 2, 3).
    """
    angles, frame, place = solved.angles[0], solved.frame[0], solved.place[0] + mended
    if mode in _HELD:
        wiggles = torch.from_numpy(0.03 * rng.standard_normal((3, 2, 24)))
        return angles + wiggles, frame.repeat(3, 1, 1, 1), place.repeat(3, 1, 1)
    key_angles, key_places = [angles, angles], [place, place]
    for position in (0, 3):
        relaxed = torch.from_numpy(np.stack([random_angles(rng, 0.25), random_angles(rng, 0.25)]))
        away = rng.uniform(0.04, 0.09) * (-_TOWARDS + 0.2 * rng.standard_normal((2, 3)))
        key_angles.insert(position, 0.6 * angles + 0.4 * relaxed)
        key_places.insert(position, place + torch.from_numpy(away))
    return torch.stack(key_angles), frame.repeat(4, 1, 1, 1), torch.stack(key_places)


def _key_times(keys: int, rng: np.random.Generator) -> np.ndarray:
    """Times (K,) of the key poses, from 0 to 1."""
    inner = np.linspace(0, 1, keys)[1:-1] + rng.uniform(-0.08, 0.08, keys - 2)
    return np.concatenate([[0.0], inner, [1.0]])


def _held(mode: str, times: np.ndarray, count: int) -> np.ndarray:
    """Strength (T,) of the wanted contacts in each frame: zero, or highest between the middle keys, or always 1."""
    if mode in _FREE:
        return np.zeros(count)
    if mode in _HELD:
        return np.ones(count)
    return np.interp(np.linspace(0, 1, count), times, [0.0, 1.0, 1.0, 0.0]) ** 4


def smooth_path(
    times: np.ndarray, angles: Tensor, frame: Tensor, place: Tensor, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Interpolate K key poses smoothly.

    Parameters
    ----------
    times : (K,) float64
        Times of the key poses, from 0 to 1.
    angles : (K, 2, 24) float64
        Joint angles, radians.
    frame : (K, 2, 3, 3) float64
        Palm frames, body frame; see ``interaction.PoseSolver.build``.
    place : (K, 2, 3) float64
        Palm centres, metres, body frame.
    count : int
        T, the number of frames.

    Returns
    -------
    angles : (T, 2, 24) float64
        Joint angles, radians.
    frame : (T, 2, 3, 3) float64
        Palm frames.
    place : (T, 2, 3) float64
        Palm centres, metres.
    """
    at = np.linspace(0, 1, count)
    bent = PchipInterpolator(times, angles.numpy())(at)
    where = PchipInterpolator(times, place.numpy())(at)
    turned = np.empty((count, 2, 3, 3))
    mirror = np.diag([1.0, 1.0, -1.0])
    for hand in (0, 1):
        # A left palm's frame is a reflection; the spline needs rotations.
        proper = frame[:, hand].numpy() @ (mirror if hand == 0 else np.eye(3))
        spline = RotationSpline(times, Rotation.from_matrix(proper))
        turned[:, hand] = spline(at).as_matrix() @ (mirror if hand == 0 else np.eye(3))
    return bent, turned, where


def frame_start(first: Start, angles: np.ndarray, frame: np.ndarray, place: np.ndarray, held: float) -> Start:
    """Make the starting placement of one frame of a path.

    Parameters
    ----------
    first : Start
        Placement of the key pose that the path comes from.
    angles : (2, 24) float64
        Joint angles, radians.
    frame : (2, 3, 3) float64
        Palm frames, body frame.
    place : (2, 3) float64
        Palm centres, metres, body frame.
    held : float
        Factor on the weights of the wanted contacts of ``first``, 0 to 1.

    Returns
    -------
    Start
        The placement; it binds joint angles and palm orientation more tightly than ``first``.
    """
    pulls = [(hand, part, target, held * weight) for hand, part, target, weight in first.pulls if held > 0.01]
    return replace(
        first, along=frame[..., 0], palm=frame[..., 1], place=place, angles=angles,
        freedom=np.full_like(angles, 0.2), pulls=pulls, within=[], gap=None, elbows=np.zeros((2, 3)), loose=0.2,
    )  # fmt: skip


def _travel(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Smooth common motion of both hands: rotations (T, 3, 3) and shifts (T, 3) in metres."""
    times, at = np.linspace(0, 1, 4), np.linspace(0, 1, count)
    turns = RotationSpline(times, Rotation.from_rotvec(0.22 * rng.standard_normal((4, 3))))(at).as_matrix()
    return turns, PchipInterpolator(times, 0.015 * rng.standard_normal((4, 3)))(at)
