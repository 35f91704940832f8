"""Template hands of a take: one shape for all of it, and a template on every frame's surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from im2hands.core.hands import Side
from im2hands.take.take import Take

from .files import handed
from .fit import Fitter
from .rest import Measures, Rest, measure, pooled, rest_hand
from .rig import Pose, bone_matrices, forward, pose_from_keypoints, skin, stretched_matrices, unskin
from .surface_target import SurfaceTarget
from .topology import Topology

_SHAPE_SAMPLES = 8
_BESIDE = 0.25  # the weight of the frame before and of the one after, where the hand is posed alike
_ALIKE = 0.015  # metres that keypoints move from frame to frame, beside the palm, where that is a third of it

Run = Callable[[Callable[[], Any]], Any]
Hands = Mapping[Side, np.ndarray]
"""Keypoints (21, 3) of the hands that are there, camera frame, metres."""


@dataclass(frozen=True)
class OnSurface:
    """A template on the surface of one frame, a right hand.

    Args:
        matrices: those it was skinned with. offset: (T, 3) metres, what skinning lacks of it, rest frame. local:
            (21, 3) metres, the keypoints beside the palm.
    """

    matrices: np.ndarray
    offset: np.ndarray
    local: np.ndarray


def steadied(own: OnSurface, beside: Sequence[OnSurface]) -> np.ndarray:
    """(T, 3) metres: what skinning lacks of a template, averaged with its neighbours in time.

    Where the surface flickers, or is not the hand's own between fingers that press, the fit flickers with it. The
    hand's motion is in the matrices, and stays.

    Args:
        beside: the frames before and after, as far as they are there; such as are posed otherwise count less.
    """
    total, weight = own.offset * (1 - _BESIDE * len(beside)), 1 - _BESIDE * len(beside)
    for other in beside:
        moved = float(np.linalg.norm(other.local - own.local, axis=1).mean())
        share = _BESIDE * float(np.exp(-((moved / _ALIKE) ** 2)))
        total, weight = total + share * other.offset, weight + share
    found: np.ndarray = total / weight
    return found


class TakeTemplates:
    """Fits templates to the surfaces of a take, frame by frame.

    Args:
        take: read, and written to. topology: of the template. run: runs a piece of work.
    """

    def __init__(self, take: Take, topology: Topology, run: Run) -> None:
        self._take, self._topology, self._run = take, topology, run
        self._weights = topology.skin_weights()
        self._fitter = Fitter(topology, topology.positions @ topology.base_vertices)
        self._kept: dict[tuple[int, Side], OnSurface] = {}
        self.rests: dict[Side, Rest] = {}

    def measure(
        self, keypoints: Mapping[Side, np.ndarray], samples: Mapping[Side, Sequence[tuple[int, np.ndarray]]]
    ) -> None:
        """Find :attr:`rests`: constant bone lengths, and what surfaces over the take have in common.

        Args:
            keypoints: per side (N, 21, 3) metres, the frames to be believed. samples: per side frames, by index, and
                their keypoints (21, 3), whose surfaces tell the shape; some of them are looked at.
        """
        measures: dict[Side, Measures] = {
            side: measure(handed(points, side), self._topology) for side, points in keypoints.items()
        }
        one_person = False
        if len(measures) == 2:
            left, right = pooled(measures["left"], measures["right"])
            one_person = left is not measures["left"]
            measures = {"left": left, "right": right}
        rests = {side: rest_hand(self._topology, own) for side, own in measures.items()}
        offsets = {side: self._sampled_offsets(side, rest, samples[side]) for side, rest in rests.items()}
        if one_person:
            both = offsets["left"] + offsets["right"]
            offsets = dict.fromkeys(rests, both)
        for side, rest in rests.items():
            offset = np.median(offsets[side], axis=0) if offsets[side] else np.zeros_like(rest.vertices)
            self.rests[side] = Rest(rest.vertices + offset, rest.heads, rest.tails, rest.axes, rest.keypoints)

    def _sampled_offsets(
        self, side: Side, rest: Rest, samples: Sequence[tuple[int, np.ndarray]]
    ) -> list[np.ndarray]:  # fmt: skip
        if not samples:
            return []
        chosen = np.unique(np.linspace(0, len(samples) - 1, _SHAPE_SAMPLES).round().astype(int))

        def offset(index: int, points: np.ndarray) -> np.ndarray:
            return self._on_surface(index, side, points, rest).offset

        return [self._run(partial(offset, *samples[k])) for k in chosen]

    def fit_frame(self, index: int, keypoints: Hands, beside: Mapping[int, Hands] | None = None) -> None:
        """Fit the hands of one frame and write their vertices beside what its file holds.

        Args:
            keypoints: of the frame. beside: of the frame before and of the one after, by index, where they are parts of
                one motion: templates are steadied with theirs, see :func:`steadied`.
        """
        beside = beside or {}
        self._kept = {place: kept for place, kept in self._kept.items() if place[0] in (index, *beside)}
        fitted: dict[Side, np.ndarray] = {}
        for side, points in keypoints.items():
            own = self._fitted(index, side, points)
            others = [self._fitted(k, side, hands[side]) for k, hands in beside.items() if side in hands]
            vertices = skin(self._weights, own.matrices, self.rests[side].vertices + steadied(own, others))
            fitted[side] = handed(self._fitter.unfolded(vertices) if others else vertices, side)
        fitted = self._fitter.keep_apart(fitted)
        arrays = {f"{side}_template_vertices": vertices.astype(np.float32) for side, vertices in fitted.items()}
        self._take.add_arrays(index, arrays)

    def offset(self, index: int, side: Side, pose: Pose) -> np.ndarray | None:
        """What skinning by a pose of one frame (a right hand) lacks of the frame's template, in the rest pose's space.

        Returns:
            (T, 3) metres; None if the frame has no template of that side.
        """
        vertices = self._take.read_arrays(index, ("template_vertices",)).get(side, {}).get("template_vertices")
        if vertices is None or len(vertices) != self._topology.vertex_count:
            return None
        rest = self.rests[side]
        matrices = bone_matrices(forward(pose, rest), rest)[0]
        return unskin(self._weights, matrices, handed(vertices.astype(np.float64), side)) - rest.vertices

    def _fitted(self, index: int, side: Side, points: np.ndarray) -> OnSurface:
        if (index, side) not in self._kept:
            self._kept[index, side] = self._on_surface(index, side, points, self.rests[side])
        return self._kept[index, side]

    def _on_surface(self, index: int, side: Side, points: np.ndarray, rest: Rest) -> OnSurface:
        """The template on the surface of one frame, posed by keypoints (21, 3) first."""
        points = handed(points, side)
        pose = pose_from_keypoints(points[None], rest)
        matrices = stretched_matrices(forward(pose, rest), rest, points[None])[0]
        start = skin(self._weights, matrices, rest.vertices)
        arrays = self._take.read_arrays(index, ("vertices", "faces"))[side]
        faces = arrays["faces"][:, ::-1] if side == "left" else arrays["faces"]
        vertices = start
        if len(faces):
            target = SurfaceTarget(handed(arrays["vertices"].astype(np.float64), side), faces)
            vertices = self._fitter.fit(start, target).vertices
        offset = unskin(self._weights, matrices, vertices) - rest.vertices
        return OnSurface(matrices, offset, (points - pose.root[0]) @ pose.root_rotation[0])
