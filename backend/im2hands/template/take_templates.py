"""Template hands of a take: one shape for all of it, and a template on every frame's surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..hands import Side
from ..take import Take
from .files import handed
from .fit import Fitter
from .rest import Measures, Rest, measure, pooled, rest_hand
from .rig import Pose, bone_matrices, forward, pose_from_keypoints, skin, stretched_matrices, unskin
from .surface_target import SurfaceTarget
from .topology import Topology

_SHAPE_SAMPLES = 8

Run = Callable[[Callable[[], Any]], Any]


class TakeTemplates:
    """Fits templates to the surfaces of a take, frame by frame.

    Args:
        take: read, and written to. topology: of the template. run: runs a piece of work.
    """

    def __init__(self, take: Take, topology: Topology, run: Run) -> None:
        self._take, self._topology, self._run = take, topology, run
        self._weights = topology.skin_weights()
        self._fitter = Fitter(topology, topology.positions @ topology.base_vertices)
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
            start, matrices = self._start(handed(points, side), rest)
            return unskin(self._weights, matrices, self._fitted(index, side, start)) - rest.vertices

        return [self._run(partial(offset, *samples[k])) for k in chosen]

    def fit_frame(self, index: int, keypoints: Mapping[Side, np.ndarray]) -> None:
        """Fit the hands of one frame and write their vertices beside what its file holds.

        Args:
            keypoints: (21, 3) metres of the hands that are there, camera frame.
        """
        fitted: dict[Side, np.ndarray] = {}
        for side, points in keypoints.items():
            start, _ = self._start(handed(points, side), self.rests[side])
            fitted[side] = handed(self._fitted(index, side, start), side)
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

    def _start(self, points: np.ndarray, rest: Rest) -> tuple[np.ndarray, np.ndarray]:
        """The template posed by keypoints (21, 3), a right hand, and the matrices it was skinned with."""
        pose = pose_from_keypoints(points[None], rest)
        matrices = stretched_matrices(forward(pose, rest), rest, points[None])[0]
        return skin(self._weights, matrices, rest.vertices), matrices

    def _fitted(self, index: int, side: Side, start: np.ndarray) -> np.ndarray:
        """The template (T, 3), a right hand, on the surface of one frame."""
        arrays = self._take.read_arrays(index, ("vertices", "faces"))[side]
        faces = arrays["faces"][:, ::-1] if side == "left" else arrays["faces"]
        if len(faces) == 0:
            return start
        target = SurfaceTarget(handed(arrays["vertices"].astype(np.float64), side), faces)
        return self._fitter.fit(start, target).vertices
