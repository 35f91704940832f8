"""Import of the published checkpoints: recognised by their contents, checked, written as safetensors with a card."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save as to_bytes
from torch import Tensor

from im2hands.core.errors import InputError, SetupError
from im2hands.core.files import sha256_of
from im2hands.core.person_path import person_path

from .checkpoint_file import Checkpoint, read_checkpoint
from .layouts import Layout, needs_padding, padded, published_layouts, recognise

FORMAT = "im2hands-published-1"
LICENCE = "no licence stated by the authors: for your own use, do not redistribute"


@dataclass(frozen=True)
class Imported:
    """An imported checkpoint.

    Parameters
    ----------
    source : Path
        The file that was given.
    path : Path
        The weights file that was written.
    card : dict
        Its card, which is written beside it.
    """

    source: Path
    path: Path
    card: dict[str, Any]


def import_checkpoints(
    files: Sequence[str | Path],
    folder: str | Path,
    overwrite: bool = False,
    layouts: Sequence[Layout] | None = None,
) -> list[Imported]:
    """Import checkpoints into a folder: all of them, or none if anything is wrong with one.

    Parameters
    ----------
    files : sequence of str or Path
        The authors' checkpoint files, under any name.
    folder : str or Path
        Target folder; it is created if it does not exist.
    overwrite : bool
        Replace networks that are in the folder already.
    layouts : sequence of Layout or None
        The known layouts; None for those of the published checkpoints.

    Returns
    -------
    list of Imported
        The imported checkpoints.

    Raises
    ------
    InputError
        A file does not fit, two files hold the same network, or a network is in the folder already.
    SetupError
        The folder cannot be written.
    """
    layouts = published_layouts() if layouts is None else layouts
    target = person_path(folder)
    sources = [person_path(file) for file in files]
    made = [path for path in (target, *target.parents) if not path.exists()]
    try:
        target.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".import-", dir=target))
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{target} is not a folder.", "Give --to a folder.") from error
    except OSError as error:
        raise _unwritable(target, error) from error
    done: list[Imported] = []
    try:
        for source in sources:
            done.append(_stage(source, staging, target, overwrite, layouts, done))
        _publish(done, staging, overwrite)
    except (OSError, SafetensorError) as error:
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        for path in made:  # folders made here that stayed empty
            if not any(path.iterdir()):
                path.rmdir()
    return done


def _unwritable(folder: Path, error: Exception) -> SetupError:
    """The error for a folder that cannot be written."""
    return SetupError(f"The folder {folder} cannot be written: {error}.", "Free some space or give another --to.")


def _stage(
    source: Path, staging: Path, target: Path, overwrite: bool, layouts: Sequence[Layout], before: Sequence[Imported]
) -> Imported:
    """Read and check one file, and write its weights and card into the staging folder."""
    checkpoint = read_checkpoint(source, max(layout.limit for layout in layouts))
    layout, state = _recognised(source, checkpoint, layouts)
    for other in before:
        if other.card["name"] == layout.name:
            raise InputError(f"{other.source} and {source} both hold {layout.name}.", "Give one of them.")
    path = target / f"{layout.name}.safetensors"
    if not overwrite and (path.exists() or path.with_suffix(".json").exists()):
        raise InputError(f"{path} is there already.", "Give --overwrite to replace it, or another --to.")
    whole = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in state.items()}
    for name, value in whole.items():
        if not torch.isfinite(value).all():
            raise InputError(f"{source}: {name} holds values that are not finite numbers.", "Download it again.")
    staged = staging / path.name
    # Not save_file, which takes only names in UTF-8.
    staged.write_bytes(to_bytes(whole, {"format": FORMAT, "network": layout.name}))
    card = _card(source, layout, checkpoint, staged, path.name)
    staged.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return Imported(source, path, card)


def _recognised(source: Path, checkpoint: Checkpoint, layouts: Sequence[Layout]) -> tuple[Layout, dict[str, Tensor]]:
    """The layout of a checkpoint and the tensors that belong to it, with HALO's third layer padded."""
    try:
        layout, state = recognise(checkpoint.state, layouts)
    except InputError as error:
        raise InputError(f"{source} {error.message}", error.hint) from None
    if source.stat().st_size > layout.limit:
        raise InputError(f"{source} is far larger than the published {layout.origin} ({layout.limit} bytes at most).")
    return layout, padded(layout, state) if needs_padding(layout) else state


def _card(source: Path, layout: Layout, checkpoint: Checkpoint, weights: Path, file: str) -> dict[str, Any]:
    """The card of imported weights."""
    return {
        "name": layout.name,
        "file": file,
        "sha256": sha256_of(weights),
        "origin": {"file": source.name, "sha256": sha256_of(source), "published_as": layout.origin},
        "licence": LICENCE,
        "iteration": checkpoint.iteration,
        "epoch": checkpoint.epoch,
        "best_validation": checkpoint.best,
        "note": layout.note,
        "date": date.today().isoformat(),
    }


def _publish(done: Sequence[Imported], staging: Path, overwrite: bool) -> None:
    """Move the staged files into the folder; if that fails midway, remove those that were not there before."""
    moved: list[Path] = []
    try:
        for imported in done:
            for path in (imported.path, imported.path.with_suffix(".json")):
                (staging / path.name).replace(path)
                moved.append(path)
    except BaseException:
        if not overwrite:
            for path in moved:
                path.unlink(missing_ok=True)
        raise
