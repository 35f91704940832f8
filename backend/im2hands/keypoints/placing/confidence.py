"""Calibrates confidences: the probability that a keypoint lies within 10 mm of the truth, from rendered scenes."""

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
from im2hands.keypoints.hypothesis import OWN, READ, READING

WITHIN_M = 0.010
"""A keypoint's confidence is the probability that its error relative to the wrist is at most this, metres."""

TABLE = "keypoint_confidence.json"
_FORMAT = "im2hands-keypoint-confidence-1"
# Sources without measurements of their own, and the source whose table they use.
_SHARED = dict.fromkeys((READ, READING, OWN), "mediapipe")
# Largest number of bins of a table; measurements per bin, which is also the least number for a table.
_BINS, _FEWEST = 16, 60


LIFTED = "lifted"
"""Table of hands from the lifting network, whatever source found them: that network predicts its errors itself."""


def source_key(source: str, agreed: bool) -> str:
    """Return the name of a table.

    Parameters
    ----------
    source : str
        The detection's source.
    agreed : bool
        Whether the two-hand network read the hand too.

    Returns
    -------
    str
        The source, with "+agreed" if the two-hand network agreed and is not the source itself.
    """
    return f"{source}+agreed" if agreed and source != "two_hand_network" else source


@dataclass(frozen=True)
class Calibration:
    """Tables from a keypoint's raw certainty to the probability that its error is at most ``WITHIN_M``.

    Parameters
    ----------
    tables : Mapping[str, tuple[np.ndarray, np.ndarray]]
        By ``source_key``: rising certainties (K,) and the probabilities (K,) there, which never fall.
    """

    tables: Mapping[str, tuple[np.ndarray, np.ndarray]]

    def __call__(self, certainty: np.ndarray, source: str, agreed: bool) -> np.ndarray:
        """Convert certainties to probabilities.

        Parameters
        ----------
        certainty : (...) float64
            Raw certainties of keypoints, in [0, 1].
        source : str
            The detection's source.
        agreed : bool
            Whether the two-hand network read the hand too.

        Returns
        -------
        (...) float64
            The probabilities. Unchanged certainties if there is no table for this source.
        """
        for name in (source, _SHARED.get(source, source)):
            for key in dict.fromkeys((source_key(name, agreed), name)):
                if key in self.tables:
                    x, y = self.tables[key]
                    return np.interp(certainty, x, y)
        return np.asarray(certainty, dtype=np.float64)

    @classmethod
    def fit(cls, measured: Mapping[str, tuple[Sequence[float], Sequence[bool]]]) -> Calibration:
        """Make tables from measurements.

        Parameters
        ----------
        measured : Mapping[str, tuple[Sequence[float], Sequence[bool]]]
            By ``source_key``: certainties of keypoints, and whether each keypoint's error was at most ``WITHIN_M``. A
            source with fewer than 60 measurements gets no table.

        Returns
        -------
        Calibration
            The tables.
        """
        tables = {}
        for key, (certainty, near) in measured.items():
            if len(certainty) >= _FEWEST:
                tables[key] = _table(np.asarray(certainty, np.float64), np.asarray(near, np.float64))
        return cls(tables)

    def to_json(self, about: Mapping[str, Any]) -> str:
        """Return the tables as the text of their file.

        Parameters
        ----------
        about : Mapping[str, Any]
            Further entries of the file: what was measured.

        Returns
        -------
        str
            JSON.
        """
        tables = {
            key: {"certainty": np.round(x, 5).tolist(), "share": np.round(y, 5).tolist()}
            for key, (x, y) in sorted(self.tables.items())
        }
        return json.dumps({"format": _FORMAT, "within_m": WITHIN_M, **about, "tables": tables}, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read a file made by ``to_json``.

        Parameters
        ----------
        path : Path
            The file.

        Returns
        -------
        Calibration
            The tables.

        Raises
        ------
        SetupError
            If the file is missing or damaged.
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
    """Return the path of the table that ships."""
    return Path(str(resources.files("im2hands") / "assets" / TABLE))


@cache
def bundled_calibration() -> Calibration:
    """Read the table that ships.

    Returns
    -------
    Calibration
        The tables.

    Raises
    ------
    SetupError
        If the file is missing or damaged.
    """
    return Calibration.read(table_path())


def _table(certainty: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Isotonic regression over bins of equal count: certainties (K,) and shares (K,), both rising."""
    order = np.argsort(certainty, kind="stable")
    bins = np.array_split(order, min(_BINS, max(2, len(order) // _FEWEST)))
    x = np.array([certainty[rows].mean() for rows in bins])
    # Pool adjacent bins until the shares rise. Every bin starts with one hit and one miss, so no share is 0 or 1.
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
