"""Corrective shapes of one hand of a take and their weights over time, computed one frame at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from im2hands.animation.template.rig import Pose
from im2hands.animation.template.take_templates import TakeTemplates
from im2hands.core.hands import Side

from .correctives import SAMPLES, Correctives, correctives_from
from .files import HandMotion
from .smoothing import smooth
from .solve import Motion
from .tracks import OBSERVED

Run = Callable[[Callable[[], Any]], Any]
"""Calls a function and returns its result; may raise ``Cancelled``."""


class TakeCorrectives:
    """Computes the corrective shapes of one hand.

    Parameters
    ----------
    templates : TakeTemplates
        The templates of the take.
    side : Side
        The hand.
    motion : Motion
        Its motion.
    rows : mapping of int to int
        Frame index by row of the motion, for the frames whose surface belongs to this hand.
    run : Run
        Calls the longer computations.
    """

    def __init__(self, templates: TakeTemplates, side: Side, motion: Motion, rows: Mapping[int, int], run: Run) -> None:
        self._templates, self._side, self._motion, self._rows, self._run = templates, side, motion, rows, run
        self._mean_away: dict[int, float] = {}  # by row
        self._far_away: dict[int, float] = {}
        self._shapes, self._weights = self._find()

    def _find(self) -> tuple[Correctives, np.ndarray]:
        """The shapes, from up to ``SAMPLES`` frames spread over the take, and the weights of these frames."""
        rows = [row for row in self._rows if self._motion.status[row] == OBSERVED] or list(self._rows)
        chosen = sorted({int(k) for k in np.linspace(0, len(rows) - 1, SAMPLES).round()}) if rows else []
        found = {rows[k]: self._run(partial(self._offset, rows[k])) for k in chosen}
        offsets = [offset.astype(np.float32) for offset in found.values() if offset is not None]
        offsets = offsets or [np.zeros_like(self._templates.rests[self._side].vertices)]
        shapes: Correctives = self._run(lambda: correctives_from(np.array(offsets)))
        weights = np.full((len(self._motion.status), len(shapes.basis)), np.nan)
        for row, offset in found.items():
            if offset is not None:
                weights[row] = self._run(partial(self._fit, shapes, row, offset))
        return shapes, weights

    def _offset(self, row: int) -> np.ndarray | None:
        """What skinning by the raw pose lacks of the template of a row, (T, 3) metres; None without a template."""
        raw, one = self._motion.raw, slice(row, row + 1)
        pose = Pose(raw.rotations[one], raw.root_rotation[one], raw.root[one])
        return self._templates.offset(self._rows[row], self._side, pose)

    def _fit(self, shapes: Correctives, row: int, offset: np.ndarray) -> np.ndarray:
        """The weights of the shapes for the offset of a row; how far they miss it is noted."""
        weights = shapes.weights(offset)
        away = np.linalg.norm(offset - shapes.offset(weights), axis=1)
        self._mean_away[row] = float(away.mean())
        self._far_away[row] = float(np.percentile(away, 95))
        return weights

    def weigh(self, row: int) -> None:
        """Compute the weights of one frame, if its surface belongs to this hand and they are not known yet.

        Parameters
        ----------
        row : int
            Row of the motion.
        """
        if row not in self._rows or row in self._mean_away:
            return
        weights = self._run(lambda: self._weighed(row))
        if weights is not None:
            self._weights[row] = weights

    def _weighed(self, row: int) -> np.ndarray | None:
        offset = self._offset(row)
        return None if offset is None else self._fit(self._shapes, row, offset)

    @property
    def truncation_mm(self) -> dict[str, float]:
        """Distance of the templates from rest pose, mean and shapes together, millimetres.

        "mean" and "p95" (95th percentile) over the vertices, averaged over the frames.
        """
        measured = ([found[row] for row in sorted(found)] for found in (self._mean_away, self._far_away))
        means, p95 = (1000 * float(np.mean(found or [0.0])) for found in measured)
        return {"mean": round(means, 4), "p95": round(p95, 4)}

    def result(self, strength: float) -> HandMotion:
        """The hand's motion with its shapes; the weights of the shapes are smoothed like the motion.

        Parameters
        ----------
        strength : float
            Strength of the smoothing, 0 to 1.

        Returns
        -------
        HandMotion
            Motion and shapes.
        """
        clean = np.full_like(self._weights, np.nan)
        for first, last in self._motion.parts:
            part = slice(first, last)
            own = self._weights[part]
            known = np.isfinite(own).all(axis=1)
            trust = np.where(known, self._motion.weights[part], 0.0)
            if not (trust > 0).any():
                trust = known.astype(float)
            for k in range(own.shape[1]):
                clean[part, k] = smooth(own[:, k : k + 1], trust, strength)[:, 0] if known.any() else 0.0
        return HandMotion(self._motion, self._shapes, self._weights, clean)
