"""Template hands of a take: one shape for the whole take, fitted to the surface of every frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from im2hands.core.devices import granted_cores
from im2hands.core.hands import Side
from im2hands.geometry.searches import Searches
from im2hands.geometry.surface_target import SurfaceTarget
from im2hands.take.take import Take

from .files import handed
from .fit import Fitter
from .rest import Measures, Rest, measure, pooled, rest_hand
from .rig import Pose, bone_matrices, forward, pose_from_keypoints, skin, stretched_matrices, unskin
from .topology import Topology

_SHAPE_SAMPLES = 8
_BESIDE = 0.25  # weight of the frame before and of the frame after, in the same pose
_ALIKE = 0.015  # metres; mean movement of the keypoints relative to the palm that lowers this weight to 1/e

Run = Callable[[Callable[[], Any]], Any]
"""Calls a function and returns its result; may raise ``Cancelled``."""
Hands = Mapping[Side, np.ndarray]
"""Keypoints (21, 3) of the hands that are present, camera frame, metres."""
Wanted = tuple[int, Side, np.ndarray, Rest]
"""A frame's index, one of its hands, the keypoints (21, 3) of that hand, and its rest pose."""


@dataclass(frozen=True)
class SurfaceFit:
    """A template fitted to the surface of one frame, as a right hand.

    Parameters
    ----------
    matrices : (21, 3, 4) float
        Matrices it was skinned with, rest frame to camera frame.
    offset : (T, 3) float
        Difference between the fitted template, unskinned, and the rest pose; rest frame, metres.
    local : (21, 3) float
        Keypoints, rest frame, metres.
    """

    matrices: np.ndarray
    offset: np.ndarray
    local: np.ndarray


def steadied(own: SurfaceFit, beside: Sequence[SurfaceFit]) -> np.ndarray:
    """Average the offset of a template with those of its neighbours in time.

    The fit flickers where the surface flickers, or where fingers press against each other and share one surface. The
    matrices hold the motion of the hand, which is not averaged.

    Parameters
    ----------
    own : SurfaceFit
        The template of the frame.
    beside : sequence of SurfaceFit
        Templates of the frames before and after, as far as they exist. Those in another pose count less.

    Returns
    -------
    (T, 3) float
        Offset, rest frame, metres.
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

    Parameters
    ----------
    take : Take
        The take; it is read and written.
    topology : Topology
        Topology of the template.
    run : Run
        Calls the longer computations.
    searches : Searches, optional
        The searches of a device; None for the processor's.

    Attributes
    ----------
    rests : dict of Side to Rest
        The hands at rest; filled by ``measure``.
    """

    def __init__(self, take: Take, topology: Topology, run: Run, searches: Searches | None = None) -> None:
        self._take, self._topology, self._run, self._searches = take, topology, run, searches
        self._weights = topology.skin_weights()
        self._fitter = Fitter(topology, topology.positions @ topology.base_vertices, searches)
        self._kept: dict[tuple[int, Side], SurfaceFit] = {}
        self._latest: tuple[int, dict[Side, dict[str, np.ndarray]]] | None = None  # templates of one frame, as read
        self.rests: dict[Side, Rest] = {}

    def measure(
        self, keypoints: Mapping[Side, np.ndarray], samples: Mapping[Side, Sequence[tuple[int, np.ndarray]]]
    ) -> None:
        """Compute ``rests``: constant bone lengths, and the median offset of the surfaces over the take.

        Hands of one person share their lengths and offsets.

        Parameters
        ----------
        keypoints : mapping of Side to (N, 21, 3) float
            Keypoints of the reliable frames, camera frame, metres.
        samples : mapping of Side to sequence of (int, (21, 3) float)
            Frame indices and keypoints of frames whose surfaces give the shape; a few of them are used.
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
        """Offsets (T, 3) of up to ``_SHAPE_SAMPLES`` frames spread over the samples."""
        if not samples:
            return []
        chosen = np.unique(np.linspace(0, len(samples) - 1, _SHAPE_SAMPLES).round().astype(int))
        wanted = [(samples[k][0], side, samples[k][1], rest) for k in chosen]
        return [fit.offset for fit in self._run(partial(self._on_surfaces, wanted))]

    def prepare(self, frames: Mapping[int, Hands]) -> None:
        """Fit the hands of several frames on all granted cores, for later calls of ``fit_frame``.

        Parameters
        ----------
        frames : mapping of int to Hands
            Keypoints of the frames by index.

        Raises
        ------
        TakeError
            A file of the take cannot be read.
        """
        wanted = [
            (index, side, points, self.rests[side])
            for index, hands in frames.items()
            for side, points in hands.items()
            if (index, side) not in self._kept
        ]
        for (index, side, *_), fit in zip(wanted, self._on_surfaces(wanted), strict=True):
            self._kept[index, side] = fit

    def fit_frame(self, index: int, keypoints: Hands, beside: Mapping[int, Hands] | None = None) -> None:
        """Fit the hands of one frame and add their vertices to the frame's file.

        Parameters
        ----------
        index : int
            Index of the frame.
        keypoints : mapping of Side to (21, 3) float
            Keypoints of the frame, camera frame, metres.
        beside : mapping of int to Hands, optional
            Keypoints of the frames before and after by index, where they belong to the same motion. Templates are
            averaged with theirs, see ``steadied``.

        Raises
        ------
        TakeError
            A file of the take cannot be read or written.
        """
        beside = beside or {}
        first = min([index, *beside])
        self._kept = {place: kept for place, kept in self._kept.items() if place[0] >= first}
        self.prepare({**beside, index: keypoints})
        fitted: dict[Side, np.ndarray] = {}
        for side in keypoints:
            own = self._kept[index, side]
            others = [self._kept[k, side] for k, hands in beside.items() if side in hands]
            vertices = skin(self._weights, own.matrices, self.rests[side].vertices + steadied(own, others))
            fitted[side] = handed(self._fitter.unfolded(vertices) if others else vertices, side)
        fitted = self._fitter.keep_apart(fitted)
        arrays = {f"{side}_template_vertices": vertices.astype(np.float32) for side, vertices in fitted.items()}
        self._latest = None
        self._take.add_arrays(index, arrays)

    def offset(self, index: int, side: Side, pose: Pose) -> np.ndarray | None:
        """The difference between a frame's template, unskinned by a pose, and the rest pose.

        Parameters
        ----------
        index : int
            Index of the frame.
        side : Side
            The hand.
        pose : Pose
            One pose of a right hand.

        Returns
        -------
        (T, 3) float or None
            Offset, rest frame, metres; None if the frame has no template of that side.
        """
        if self._latest is None or self._latest[0] != index:  # both hands of a frame are asked for in turn
            self._latest = index, self._take.read_arrays(index, ("template_vertices",))
        vertices = self._latest[1].get(side, {}).get("template_vertices")
        if vertices is None or len(vertices) != self._topology.vertex_count:
            return None
        rest = self.rests[side]
        matrices = bone_matrices(forward(pose, rest), rest)[0]
        vertices = handed(vertices.astype(np.float64), side)
        return unskin(self._weights, matrices, vertices) - rest.vertices

    def _on_surfaces(self, wanted: Sequence[Wanted]) -> list[SurfaceFit]:
        """Fit the template to surfaces on all granted cores."""
        if not wanted:
            return []
        frames = {index for index, *_ in wanted}
        surfaces = {index: self._take.read_arrays(index, ("vertices", "faces")) for index in frames}
        with ThreadPoolExecutor(min(granted_cores(), len(wanted)), thread_name_prefix="templates") as pool:
            return list(pool.map(lambda one: self._on_surface(surfaces[one[0]][one[1]], *one[1:]), wanted))

    def _on_surface(self, surface: Mapping[str, np.ndarray], side: Side, points: np.ndarray, rest: Rest) -> SurfaceFit:
        """Pose the template by keypoints (21, 3) and fit it to a surface."""
        points = handed(points, side)
        pose = pose_from_keypoints(points[None], rest)
        matrices = stretched_matrices(forward(pose, rest), rest, points[None])[0]
        start = skin(self._weights, matrices, rest.vertices)
        faces = surface["faces"][:, ::-1] if side == "left" else surface["faces"]
        vertices = start
        if len(faces):
            target = SurfaceTarget(handed(surface["vertices"].astype(np.float64), side), faces, self._searches)
            vertices = self._fitter.fit(start, target).vertices
        offset = unskin(self._weights, matrices, vertices) - rest.vertices
        return SurfaceFit(matrices, offset, (points - pose.root[0]) @ pose.root_rotation[0])
