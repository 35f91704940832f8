"""Logs of a training run: ``log.csv`` and TensorBoard's files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from im2hands.core.errors import SetupError
from im2hands.core.files import write_atomically

LOG = "log.csv"


class RunLog:
    """Writer of ``log.csv`` and TensorBoard's files; a context manager.

    A resumed run drops the rows after its checkpoint, so the log is that of an uninterrupted run.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    columns : tuple of str
        Columns of the log, "step" first.
    step : int
        Steps done; 0 begins a new log.

    Raises
    ------
    SetupError
        TensorBoard is not installed.
    """

    def __init__(self, folder: Path, columns: tuple[str, ...], step: int) -> None:
        self._columns = columns
        path = folder / LOG
        rows: list[dict[str, str]] = []
        if step and path.exists():
            with open(path, newline="", encoding="utf-8") as handle:
                # A killed run may have cut off the last row, which then lacks values.
                whole = [row for row in csv.DictReader(handle) if None not in row.values()]
            rows = [row for row in whole if int(row["step"]) <= step]
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, columns, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(path, buffer.getvalue().encode("utf-8"))
        self._handle = open(path, "a", newline="", encoding="utf-8")  # noqa: SIM115 (closed in __exit__)
        self._writer = csv.DictWriter(self._handle, columns, restval="")
        self._board = summary_writer(folder / "tensorboard", step)

    def write(self, step: int, row: Mapping[str, float], scenes_per_second: float) -> None:
        """Write one row.

        Parameters
        ----------
        step : int
            Steps done.
        row : mapping of str to float
            Values by column; missing columns stay empty.
        scenes_per_second : float
            Training speed, for TensorBoard only: it differs between a resumed and an uninterrupted run.
        """
        self._writer.writerow({"step": step, **{name: f"{value:.6g}" for name, value in row.items()}})
        self._handle.flush()
        for name, value in row.items():
            self._board.add_scalar(name, value, step)
        self._board.add_scalar("scenes_per_second", scenes_per_second, step)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *error: object) -> None:
        self._handle.close()
        self._board.close()


def summary_writer(folder: Path, step: int) -> Any:
    """Open TensorBoard's writer.

    Parameters
    ----------
    folder : Path
        Folder of TensorBoard's files.
    step : int
        Steps done; later events in the folder are dropped.

    Returns
    -------
    torch.utils.tensorboard.SummaryWriter
        The writer.

    Raises
    ------
    SetupError
        TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise SetupError("Training needs TensorBoard.", "pip install 'im2hands[train]'") from error
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
