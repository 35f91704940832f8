"""Provenance of a table's results, stored beside them, so that results with different inputs are never mixed.

There is an entry for each input of the table: the program, the scenes, the clips, each keypoint source, each method,
and the options. A run adds entries for inputs that are not recorded yet; an entry that is recorded must be equal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from im2hands import __version__
from im2hands.core.errors import InputError
from im2hands.core.files import read_regular, sha256_of, write_atomically
from im2hands.core.unpacking import parse_json
from im2hands.keypoints.placing.confidence import TABLE, table_path
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.evaluation.methods import method_files
from im2hands.weights.folder import BUNDLED, IMAGE_ENCODER, weights_folder
from im2hands.weights.keypoint_networks import LIFTING, PAIR_JUDGE, READING, TWO_HAND
from im2hands.weights.layouts import KEYPOINT_REFINEMENT
from im2hands.weights.mediapipe_bundle import BUNDLE_NAME

from .clips import RESULTS as CLIP_RESULTS
from .rows import RESULTS

FILE = "made_from.json"
"""Name of the provenance file, in the folder of results."""

_FORMAT = "im2hands-table-1"
REFINEMENT = "keypoint refinement"
"""Name of the entry of the keypoint refinement weights."""

_NOT_HASHED = ("lab/training/", "app/", "job/events", "export/", "animation/template/")
"""Path prefixes of modules that cannot influence a measurement."""

Entries = Mapping[str, Mapping[str, Any]]
"""Properties of each input, by entry name and property name; JSON values."""


def program_entry() -> dict[str, Any]:
    """Return the program's version and a hash of the modules that can influence a measurement."""
    package = Path(__file__).parents[3]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if not name.startswith(_NOT_HASHED):
            digest.update(f"{name}\n".encode() + path.read_bytes())
    return {"version": __version__, "code": digest.hexdigest()}


def set_entry(scenes: SceneSet) -> dict[str, Any]:
    """Return the entry of a scene set: seed, generator, number of scenes, and a hash of pictures and keypoints.

    Parameters
    ----------
    scenes : SceneSet
        The set; all its scenes are read.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        The set is damaged.
    """
    digest = hashlib.sha256()
    for number in range(len(scenes)):
        scene = scenes.scene(number)
        for data in (scene.picture, scene.keypoints.tobytes(), scene.intrinsics.tobytes()):
            digest.update(data)
    info = scenes.info
    return {"seed": info.seed, "scenes": info.scenes, "generator": info.generator, "content": digest.hexdigest()}


def two_hand_weights(weights: str | Path) -> Path | None:
    """Return the two-hand network's file in a weights folder, or None if the folder has none.

    Parameters
    ----------
    weights : str or Path
        "bundled" or a folder.

    Returns
    -------
    Path or None
        None means that the bundled network is used.
    """
    path = weights_folder(weights) / TWO_HAND.file
    return path if path.is_file() else None


def keypoint_files(source: str, weights: str | Path) -> dict[str, Path]:
    """Return the files that a source's keypoints depend on.

    Parameters
    ----------
    source : str
        Keypoint source, one of ``rows.SOURCES``.
    weights : str or Path
        "bundled" or a folder.

    Returns
    -------
    dict of str to Path
        Existing files by name; empty for exact keypoints.
    """
    if source == "exact":
        return {}
    files = {BUNDLE_NAME: table_path().parent / BUNDLE_NAME, TABLE: table_path()}
    palms = two_hand_weights(weights) or BUNDLED / TWO_HAND.file
    # The networks trained together with a two-hand network lie beside it; the bundled ones replace missing ones.
    names = [PAIR_JUDGE.name]
    if source != "mediapipe":
        files[TWO_HAND.name] = palms
        names += [LIFTING.name, READING.name]
    for name in names:
        beside = palms.with_name(f"{name}.safetensors")
        files[name] = beside if beside.is_file() else BUNDLED / beside.name
    return {name: path for name, path in files.items() if path.is_file()}


def weights_entries(
    sources: Sequence[str], methods: Sequence[str], weights: str | Path, refines: bool
) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """Return the entries of all weights files that the rows of a table depend on.

    Parameters
    ----------
    sources : sequence of str
        Keypoint sources of the table.
    methods : sequence of str
        Reconstruction methods of the table.
    weights : str or Path
        "bundled" or a folder.
    refines : bool
        Whether the table has rows with keypoint refinement.

    Returns
    -------
    hashes : dict
        sha256 of each file, by entry name and file name.
    paths : dict
        Path of each file, by entry name and file name.
    """
    files = {f"keypoints {source}": keypoint_files(source, weights) for source in sources}
    files |= {f"method {method}": method_files(method, weights) for method in methods}
    refiner = weights_folder(weights) / f"{KEYPOINT_REFINEMENT}.safetensors"
    if refines and refiner.is_file():
        encoder = refiner.with_name(f"{IMAGE_ENCODER}.safetensors")
        files[REFINEMENT] = {KEYPOINT_REFINEMENT: refiner}
        files[REFINEMENT] |= {IMAGE_ENCODER: encoder} if encoder.is_file() else {}
    hashes = {path: sha256_of(path) for named in files.values() for path in named.values()}
    kept = {entry: named for entry, named in files.items() if named}
    return (
        {entry: {name: hashes[path] for name, path in named.items()} for entry, named in kept.items()},
        {entry: {name: str(path) for name, path in named.items()} for entry, named in kept.items()},
    )


def keep_made_from(folder: Path, entries: Entries) -> None:
    """Check that the results in a folder have the same provenance, and record the entries that this run adds.

    Parameters
    ----------
    folder : Path
        Folder of the results.
    entries : Entries
        Entries of this run.

    Raises
    ------
    InputError
        A recorded entry differs, the provenance file cannot be read, or the folder holds results without one.
    """
    path = folder / FILE
    again = "Give another --output, or --restart to delete those results and start again."
    there: dict[str, Any] = {}
    if path.exists():
        try:
            data = parse_json(read_regular(path))
            if data["format"] != _FORMAT:
                raise ValueError("another format")
            there = {str(name): dict(entry) for name, entry in data["entries"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} cannot be read: {error}.", again) from error
    elif result_files(folder):
        raise InputError(f"{folder} holds results, but not what they were made from ({FILE}).", again)
    differing = differences(there, entries)
    if differing:
        raise InputError(f"The results in {folder} have other inputs: {'; '.join(differing)}.", again)
    if not set(entries) <= set(there):
        text = json.dumps({"format": _FORMAT, "entries": {**there, **entries}}, indent=1) + "\n"
        write_atomically(path, text.encode("utf-8"))


def differences(there: Entries, now: Entries) -> list[str]:
    """Describe the differences in entries that both sides have.

    Parameters
    ----------
    there : Entries
        Recorded entries.
    now : Entries
        Entries of this run.

    Returns
    -------
    list of str
        One message for each property that differs.
    """
    found = []
    for entry in there.keys() & now.keys():
        for name in {**there[entry], **now[entry]}:
            before, after = (_words(entries[entry].get(name)) for entries in (there, now))
            if there[entry].get(name) != now[entry].get(name):
                found.append(f"{entry}: {name} was {before}, is {after}")
    return sorted(found)


def _words(value: Any) -> str:
    """Text of a value, shortened; of a hash only the first 12 digits."""
    if isinstance(value, str) and len(value) == 64:
        return value[:12]
    text = "missing" if value is None else str(value)
    return text if len(text) <= 120 else text[:119] + "…"


def begin_anew(folder: Path) -> None:
    """Delete the results in a folder and their provenance file."""
    for path in [*result_files(folder), folder / FILE]:
        path.unlink(missing_ok=True)


def result_files(folder: Path) -> list[Path]:
    """Return the files with results, of scenes and clips, in a folder."""
    return sorted({*folder.glob(RESULTS), *folder.glob(CLIP_RESULTS)})
