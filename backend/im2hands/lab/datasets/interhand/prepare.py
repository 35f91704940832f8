"""Preparation of a split of InterHand2.6M: crops in the order of the annotations, then the files of their frames.

Crops are numbered in the order of the annotations, without gaps, so an interrupted preparation continues after the last
one in ``samples.jsonl``; see ``journal``. The numbers are those of IntagHand's preparation, if photos are left out for
its reasons only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.farm import spread
from im2hands.core.files import link_atomically, write_atomically
from im2hands.core.hands import SIDES, Side

from .crops import BAD_FIT, CropJob, Cropped, CropSettings, crop_photos
from .frames import CONTENTS, DEFAULT_CONTENTS, FrameJob, FrameSettings, write_frame
from .journal import Journal
from .layout import DATALIST, joints_path
from .mano import load_mano
from .posed import Fit, annotated_keypoints, read_fit
from .raw import InterHand, Sample

JOINTS = ("mano", "annotated")

NOT_INTERACTING = "the hands are not annotated as interacting"
INVALID_TYPE = "the annotated type of the hands is not valid"
NO_FIT = "a hand has no MANO fit"
NO_CAMERA = "the camera is missing in the camera file, or damaged"
LISTED_TWICE = "the photo is listed twice"

_BATCH = 16  # photos that a worker crops at once
_WRITERS = 8  # threads that write the files of a batch, which mostly wait for the disk
_ADVICE = "Use fewer --workers, and go on with --resume."

_Spread = Callable[[Callable[[Any], Any], Sequence[Any]], Generator[Any, None, None]]
"""Calls a function for every job; see ``core.farm.spread``."""


@dataclass(frozen=True)
class PrepareSettings:
    """What is prepared, and where.

    Parameters
    ----------
    root : Path
        Folder of InterHand2.6M.
    split : str
        "train", "val" or "test".
    mano : Path
        Folder of MANO's files.
    output : Path
        Folder that gets the folder of the split.
    joints : str
        Which keypoints are true: "mano" or "annotated".
    contents : tuple of str
        Kinds of files of a hand; see ``frames.CONTENTS``.
    points : int
        Points in each file of points.
    max_fit_error_mm : float, optional
        See ``crops.CropSettings``.
    seed : int
        Seed of the random points.
    limit : int, optional
        Largest number of crops; None for all.
    """

    root: Path
    split: str
    mano: Path
    output: Path
    joints: str = "mano"
    contents: tuple[str, ...] = DEFAULT_CONTENTS
    points: int = 100_000
    max_fit_error_mm: float | None = None
    seed: int = 0
    limit: int | None = None

    @property
    def folder(self) -> Path:
        """Folder of the split."""
        return self.output / self.split

    def checked(self) -> PrepareSettings:
        """Return the settings.

        Raises
        ------
        InputError
            An option cannot be used.
        """
        unknown = [name for name in self.contents if name not in CONTENTS]
        if unknown:
            raise InputError(f"There is no content {unknown[0]!r}.", f"Choose of {', '.join(CONTENTS)}.")
        if self.joints not in JOINTS:
            raise InputError(f"There are no joints {self.joints!r}.", f"Choose of {', '.join(JOINTS)}.")
        if self.points < 2 or (self.limit is not None and self.limit < 1):
            raise InputError("--points must be at least 2, and --limit at least 1.", "Leave them out for the usual.")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed} is not possible.", "Give 0 or more.")
        if self.max_fit_error_mm is not None and not self.max_fit_error_mm > 0:
            raise InputError(f"--max-fit-error-mm {self.max_fit_error_mm} keeps no hand.", "Give millimetres above 0.")
        return self


@dataclass
class PrepareReport:
    """What a preparation did, and what the prepared split holds.

    Parameters
    ----------
    pictures : int
        Photos of the split.
    kept : int
        Crops of the split, also those of earlier runs.
    skipped : Counter of str
        Photos that are left out, by reason.
    frames : int
        Frames of the crops.
    files : int
        Files of frames that this run wrote.
    repaired : int
        How many of them replace damaged files.
    fit_mm : dict of Side to float
        Mean distance between MANO's and the valid annotated keypoints of the kept hands, millimetres.
    mano_note : str
        What was done about the left hand's shape basis.
    """

    pictures: int = 0
    kept: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    files: int = 0
    repaired: int = 0
    fit_mm: dict[Side, float] = field(default_factory=dict)
    mano_note: str = ""


Progress = Callable[[str, int, int], None]
"""Called with what is being made ("photo", "frame"), how many are done, and how many there are."""


def prepare(
    settings: PrepareSettings, workers: int = 1, *, executor: str = "local", resume: bool = False,
    progress: Progress = lambda what, done, total: None, data: InterHand | None = None,
) -> PrepareReport:  # fmt: skip
    """Prepare a split.

    Parameters
    ----------
    settings : PrepareSettings
        What is prepared, and where.
    workers : int
        Number of processes on this machine. The files do not depend on it.
    executor : str
        "local" or "ray", see ``core.farm``. The files do not depend on it.
    resume : bool
        Whether to continue a preparation that is there. Damaged and missing files of frames are written anew.
    progress : callable
        See :data:`Progress`.
    data : InterHand, optional
        The annotations; None reads them.

    Returns
    -------
    PrepareReport
        What was done.

    Raises
    ------
    InputError
        The annotations or MANO's files cannot be used, the output has a preparation with other settings, or no photo of
        the split can be kept.
    TakeError
        A file cannot be written, for example because the disk is full. What is there stays; ``resume`` continues.
    SetupError
        libigl is not installed, a worker was killed, or Ray cannot be used.
    """
    settings = settings.checked()
    if workers < 1:
        raise InputError(f"{workers} workers cannot work.", "Give at least one.")
    if executor == "ray":  # workers elsewhere have other working folders
        settings = replace(
            settings, root=settings.root.absolute(), mano=settings.mano.absolute(), output=settings.output.absolute()
        )
    run = partial(spread, workers=workers, advice=_ADVICE, executor=executor)
    mano = load_mano(settings.mano)
    data = data or InterHand(settings.root, settings.split)
    report = PrepareReport(len(data), mano_note=mano.note)
    if data.mano_file is None:
        raise InputError(
            f"{settings.root} has no InterHand2.6M_{settings.split}_MANO_NeuralAnnot.json.",
            "Download the MANO fits (NeuralAnnot) and put the file beside the other annotations of the split.",
        )
    jobs = _jobs(data, report.skipped)
    same = {
        "split": settings.split, "joints": settings.joints, "max_fit_error_mm": settings.max_fit_error_mm,
        "pictures": len(data), "left_shape_corrected": mano.fixed, "seed": settings.seed,
    }  # fmt: skip
    journal = Journal(settings.folder, same, resume)
    kept = _make_crops(settings, jobs, journal, run, report, progress)
    if not kept:
        raise InputError(
            f"No photo of the split {settings.split} shows two interacting hands that can be used: "
            f"{_counted(report.skipped)}.",
            "Check that the annotations, the MANO fits and the pictures belong together.",
        )
    names = _make_frames(settings, kept, run, report, progress)
    write_atomically(settings.folder / DATALIST, "".join(f"{name}\n" for name in names).encode("utf-8"))
    fits = settings.folder / data.mano_file.name
    if not fits.exists():  # the published loaders open it
        link_atomically(data.mano_file, fits)
    return report


def _counted(skipped: Counter[str]) -> str:
    return "; ".join(f"{count} because {reason}" for reason, count in skipped.most_common()) or "it has no photos"


_Fits = dict[Side, Fit]
_Annotated = dict[Side, tuple[np.ndarray, np.ndarray]]


def _jobs(data: InterHand, skipped: Counter[str]) -> list[CropJob]:
    """The jobs of all photos that the annotations do not rule out; the reasons of the others are counted."""
    jobs: list[CropJob] = []
    photos: set[Path] = set()
    frames: dict[tuple[str, str], tuple[_Fits, _Annotated, str]] = {}  # a frame has up to 140 views
    for sample in data.samples():
        reason = "" if sample.type_is_valid else INVALID_TYPE
        if not sample.interacts:
            reason = NOT_INTERACTING
        if not reason:
            key = (sample.capture, sample.frame)
            if key not in frames:
                frames[key] = _frame(data, sample)
            fits, annotated, reason = frames[key]
            camera = data.camera(sample)
            photo = data.photo(sample)
            if photo in photos:
                reason = LISTED_TWICE
            if not reason and camera is not None:
                photos.add(photo)
                jobs.append(CropJob(sample, photo, camera, fits, annotated))
                continue
        skipped[reason or NO_CAMERA] += 1
    return jobs


def _frame(data: InterHand, sample: Sample) -> tuple[_Fits, _Annotated, str]:
    """The MANO parameters and annotated keypoints of a frame, and why it cannot be used."""
    values = data.fit(sample.capture, sample.frame)
    if any(value is None for value in values.values()):
        return {}, {}, NO_FIT
    try:
        fits = {side: read_fit(value) for side, value in values.items()}
    except ValueError:
        return {}, {}, BAD_FIT
    return fits, annotated_keypoints(data, sample), ""


def _make_crops(
    settings: PrepareSettings, jobs: Sequence[CropJob], journal: Journal, run: _Spread, report: PrepareReport,
    progress: Progress,
) -> list[CropJob]:  # fmt: skip
    """Write the crops that are missing; return the jobs of all crops that are kept, in order."""
    entries = journal.entries
    for job, entry in zip(jobs, entries, strict=False):
        if entry["image"] != job.sample.image["id"]:
            raise InputError(
                f"The annotations are not those that {settings.folder} was begun with.", "Choose another --out."
            )
    count = sum("index" in entry for entry in entries)
    limit = settings.limit if settings.limit is not None else len(jobs)
    crop = partial(crop_photos, CropSettings(settings.mano, settings.joints, settings.max_fit_error_mm))
    todo = jobs[len(entries) :] if count < limit else []
    batches = [todo[first : first + _BATCH] for first in range(0, len(todo), _BATCH)]
    results = run(crop, batches)
    progress("photo", len(entries), len(jobs))
    with ThreadPoolExecutor(_WRITERS) as writers:
        for batch, cropped in zip(batches, results, strict=True):
            lines, files = [], []
            for job, done in zip(batch, cropped, strict=True):
                if count >= limit:
                    break
                lines.append(_line(job, done, count))
                if not done.reason:
                    files += _files(settings.folder, done, count)
                    count += 1
            for _ in writers.map(lambda file: write_atomically(*file), files):
                pass
            journal.add(lines)
            progress("photo", len(entries), len(jobs))
            if count >= limit:
                break
    results.close()
    for entry in entries:
        if "skipped" in entry:
            report.skipped[entry["skipped"]] += 1
    report.kept = count
    for side in SIDES:
        errors = [entry["fit_mm"][side] for entry in entries if side in entry.get("fit_mm", {})]
        if errors:
            report.fit_mm[side] = float(np.mean(errors))
    return [job for job, entry in zip(jobs, entries, strict=False) if "index" in entry]


def _line(job: CropJob, done: Cropped, index: int) -> dict[str, Any]:
    image = {"image": job.sample.image["id"]}
    if done.reason:
        return {**image, "skipped": done.reason}
    return {**image, "index": index, "fit_mm": {side: round(error, 3) for side, error in done.fit_mm.items()}}


def _files(folder: Path, done: Cropped, index: int) -> list[tuple[Path, bytes]]:
    assert done.annotation is not None
    files = [(joints_path(folder, index, side), data) for side, data in done.keypoints.items()]
    return [
        *files, (folder / "img" / f"{index}.jpg", done.picture),
        (folder / "anno" / f"{index}.pkl", done.annotation.to_bytes(index)),
    ]  # fmt: skip


def _make_frames(
    settings: PrepareSettings, kept: Sequence[CropJob], run: _Spread, report: PrepareReport, progress: Progress
) -> list[str]:
    """Write the missing files of all frames of the crops; return the names of the hands."""
    frames: dict[tuple[str, str], FrameJob] = {}
    for job in kept:
        key = (job.sample.capture, job.sample.frame)
        if key not in frames:
            truth = {side: found[0] for side, found in job.annotated.items()} if settings.joints == "annotated" else {}
            frames[key] = FrameJob(*key, job.fits, truth)
    write = partial(
        write_frame,
        FrameSettings(settings.folder, settings.mano, settings.contents, settings.points, settings.seed),
    )
    names: list[str] = []
    progress("frame", 0, len(frames))
    for number, done in enumerate(run(write, list(frames.values()))):
        names += done.names
        report.files += done.made
        report.repaired += done.repaired
        progress("frame", number + 1, len(frames))
    report.frames = len(frames)
    return names
