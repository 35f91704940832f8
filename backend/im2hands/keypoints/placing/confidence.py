"""What a keypoint's confidence means: the probability that it lies within 10 mm, as measured on rendered scenes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import SetupError

WITHIN_M = 0.010
"""The confidence is the probability that a keypoint is no farther from the truth than this, the wrist given."""

TABLE = "keypoint_confidence.json"
_FORMAT = "im2hands-keypoint-confidence-1"
# Sources without measurements of their own, and whose they share.
_SHARED = {
    "tracking": "palm_seed",
    "boxes": "palm_seed",
    "crop_search": "palm_seed",
    "palm_seed": "mediapipe",
    "network": "palm_seed",
}
_BINS, _FEWEST = 16, 60


LIFTED = "lifted"
"""Name of the table of hands that the lifting network lifted, whatever found them: it says itself how sure it is."""


def source_key(source: str, agreed: bool) -> str:
    """Name of a table: what found the hand, and whether the two-hand network saw it too."""
    return f"{source}+agreed" if agreed and source != "network" else source


@dataclass(frozen=True)
class Calibration:
    """Tables from a keypoint's own measure of certainty to the probability that it lies within :data:`WITHIN_M`.

    Args:
        tables: per :func:`source_key` rising numbers (K,) and the probabilities (K,) there, never falling.
    """

    tables: Mapping[str, tuple[np.ndarray, np.ndarray]]

    def __call__(self, certainty: np.ndarray, source: str, agreed: bool) -> np.ndarray:
        """Probabilities of keypoints (...) of a hand of that source; unchanged where nothing like it was measured."""
        for name in (source, _SHARED.get(source, source)):
            for key in dict.fromkeys((source_key(name, agreed), name)):
                if key in self.tables:
                    x, y = self.tables[key]
                    return np.interp(certainty, x, y)
        return np.asarray(certainty, dtype=np.float64)

    @classmethod
    def fit(cls, measured: Mapping[str, tuple[Sequence[float], Sequence[bool]]]) -> Calibration:
        """Tables from measurements: per source key certainties and whether each keypoint lay near enough.

        Sources with few measurements get no table.
        """
        tables = {}
        for key, (certainty, near) in measured.items():
            if len(certainty) >= _FEWEST:
                tables[key] = _table(np.asarray(certainty, np.float64), np.asarray(near, np.float64))
        return cls(tables)

    def to_json(self, about: Mapping[str, Any]) -> str:
        """As it stands in the file; ``about`` says what it was measured on."""
        tables = {
            key: {"certainty": np.round(x, 5).tolist(), "share": np.round(y, 5).tolist()}
            for key, (x, y) in sorted(self.tables.items())
        }
        return json.dumps({"format": _FORMAT, "within_m": WITHIN_M, **about, "tables": tables}, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read a file of :meth:`to_json`.

        Raises:
            SetupError: it is missing or damaged.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["format"] != _FORMAT:
                raise ValueError("another format")
            tables = {
                str(key): (np.array(row["certainty"], np.float64), np.array(row["share"], np.float64))
                for key, row in data["tables"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SetupError(f"The table {path} cannot be read: {error}.", "Install im2hands again.") from error
        return cls(tables)


def table_path() -> Path:
    """Where the table that ships lies."""
    return Path(str(resources.files("im2hands") / "assets" / TABLE))


@cache
def bundled_calibration() -> Calibration:
    """The table that ships.

    Raises:
        SetupError: it is missing or damaged.
    """
    return Calibration.read(table_path())


def _table(certainty: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Isotonic regression over bins of equal count: (K,) certainties and shares, both rising."""
    order = np.argsort(certainty, kind="stable")
    bins = np.array_split(order, min(_BINS, max(2, len(order) // _FEWEST)))
    x = np.array([certainty[rows].mean() for rows in bins])
    # Pool neighbours until the shares rise; a bin begins with one miss and one hit, so that none is ever quite sure.
    pools = [[float(near[rows].sum() + 1), float(len(rows) + 2), 1] for rows in bins]
    k = 0
    while k < len(pools) - 1:
        if pools[k][0] / pools[k][1] > pools[k + 1][0] / pools[k + 1][1]:
            pools[k] = [a + b for a, b in zip(pools[k], pools.pop(k + 1), strict=True)]
            k = max(k - 1, 0)
        else:
            k += 1
    y = np.concatenate([np.full(int(count), hits / total) for hits, total, count in pools])
    rising = np.concatenate([[True], np.diff(x) > 1e-9])
    return x[rising], y[rising]
