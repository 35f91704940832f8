"""Figures of a keypoint provider on scenes with known hands, for ``im2hands evaluate keypoints``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np


@dataclass
class Measured:
    """Results of one provider on some scenes.

    Parameters
    ----------
    pairs : int
        Scenes with two hands.
    both : int
        Scenes with two hands in which both were found.
    right : int
        Scenes with two hands in which both were found with the right sides.
    hands : int
        True hands in all scenes.
    found : int
        True hands that were found.
    invented : int
        Detections that match no true hand.
    single : int
        Scenes with one hand.
    doubled : int
        Scenes with one hand in which two were detected.
    error : list of float
        MPJPE of each found hand with the right side, metres.
    picture_error : list of float
        Mean keypoint error in the picture of each found hand, palm lengths.
    distance : list of float
        Error of the vector between the wrists of each pair with the right sides, metres.
    depth : list of float
        Depth component of that error, metres.
    seconds : list of float
        Detection time of each picture.
    sources : dict
        Number of found hands by source key (``keypoints.placing.confidence.source_key``).
    certainty : dict
        By source key: the uncalibrated confidence of each keypoint, and whether the keypoint is within 10 mm.
    confidence : list of float
        Calibrated confidence of each keypoint, as a take states it.
    within : list of bool
        Whether each of these keypoints is within 10 mm.
    """

    pairs: int = 0
    both: int = 0
    right: int = 0
    hands: int = 0
    found: int = 0
    invented: int = 0
    single: int = 0
    doubled: int = 0
    error: list[float] = field(default_factory=list)
    picture_error: list[float] = field(default_factory=list)
    distance: list[float] = field(default_factory=list)
    depth: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)
    certainty: dict[str, tuple[list[float], list[bool]]] = field(default_factory=dict)
    confidence: list[float] = field(default_factory=list)
    within: list[bool] = field(default_factory=list)

    def add(self, other: Measured) -> None:
        """Add the results of further scenes."""
        for name in (one.name for one in fields(self)):
            mine, more = getattr(self, name), getattr(other, name)
            if name == "sources":
                for key, count in more.items():
                    mine[key] = mine.get(key, 0) + count
            elif name == "certainty":
                for key, columns in more.items():
                    for column, values in zip(mine.setdefault(key, ([], [])), columns, strict=True):
                        column.extend(values)
            else:
                setattr(self, name, mine + more)

    def report(self) -> dict[str, Any]:
        """Return the summary figures as plain numbers; None where there was nothing to measure."""
        return {
            "two_hand_pictures": self.pairs,
            "both_found": _share(self.both, self.pairs),
            "both_found_right_sides": _share(self.right, self.pairs),
            "hands_found": _share(self.found, self.hands),
            "invented_hands": self.invented,
            "one_hand_pictures": self.single,
            "second_hand_invented": _share(self.doubled, self.single),
            "mpjpe_mm": _mean(self.error, 1000),
            "picture_error_palms": _mean(self.picture_error),
            "picture_error_palms_median": float(np.median(self.picture_error)) if self.picture_error else None,
            "hand_distance_error_mm": _mean(self.distance, 1000),
            "hand_depth_error_mm": _mean(self.depth, 1000),
            "seconds": _mean(self.seconds),
            "seconds_median": float(np.median(self.seconds)) if self.seconds else None,
            "sources": dict(sorted(self.sources.items())),
            "calibration": self.calibration(),
        }

    def calibration(self) -> list[dict[str, float]]:
        """Return one entry for each tenth of confidence that has keypoints.

        Returns
        -------
        list of dict
            Keys: ``from`` (lower limit), ``keypoints`` (count), ``stated`` (mean confidence) and ``within_10_mm``
            (share of the keypoints within 10 mm).
        """
        stated, within = np.array(self.confidence), np.array(self.within, dtype=bool)
        rows = []
        for low in np.arange(0, 1, 0.1):
            chosen = (stated >= low) & (stated < low + 0.1 + 1e-9 * (low > 0.85))
            if chosen.any():
                rows.append(
                    {"from": round(float(low), 1), "keypoints": int(chosen.sum()),
                     "stated": float(stated[chosen].mean()), "within_10_mm": float(within[chosen].mean())}
                )  # fmt: skip
        return rows


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float], scale: float = 1.0) -> float | None:
    return float(np.mean(values)) * scale if values else None
