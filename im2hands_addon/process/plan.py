"""What an installation will do, told before it starts: folder, room, downloads (no bpy)."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import environment

# Measured on Linux by benchmarks/installation_size.py.
_DOWNLOAD_GB = {"CPU": 0.5, "GPU": 3.0}
# Below this the person is warned. The environment of the CPU build takes 1.8 GB; for the GPU build it is a guess.
_ROOM_GB = {"CPU": 2.5, "GPU": 8.0}


def resolved(compute: str) -> str:
    """Return the build of PyTorch, "CPU" or "GPU", that a choice stands for on this machine.

    Parameters
    ----------
    compute : {"AUTO", "CPU", "GPU"}
        The choice. "AUTO" asks for NVIDIA cards and their driver, which takes a moment.
    """
    if compute == "AUTO":
        return "CPU" if environment.torch_build(compute).backend == "cpu" else "GPU"
    return compute


def why(compute: str) -> str:
    """Return why not the newest build for NVIDIA cards is installed, as a sentence; empty if it is, or without a card.

    Parameters
    ----------
    compute : {"AUTO", "CPU", "GPU"}
        The choice.
    """
    build = environment.torch_build(compute)
    what = "the processor" if build.backend == "cpu" else f"older CUDA ({build.backend})"
    return f"PyTorch is installed for {what}: {build.why}." if build.why else ""


def told(folder: Path, build: str, wheels: Path | None) -> list[str]:
    """Return what an installation will do, in sentences.

    Parameters
    ----------
    folder : Path
        The folder for environments; it need not exist.
    build : {"CPU", "GPU"}
        The build of PyTorch.
    wheels : Path or None
        Folder of wheels to install from; None for the package index.
    """
    lines = [f"A Python environment of its own in {folder}; Blender's Python stays as it is."]
    if wheels is None:
        size = f"{_DOWNLOAD_GB[build]:g} GB"
        lines.append(f"Downloads about {size} from the Python Package Index and that of PyTorch ({build} build).")
    else:
        lines.append(f"Downloads nothing: everything comes from {wheels}.")
    free = free_gb(folder)
    if free is not None:
        lines.append(f"{free:.1f} GB are free there.")
        if free < _ROOM_GB[build]:
            lines.append(f"That may be too little: keep {_ROOM_GB[build]:g} GB free.")
    return lines


def free_gb(folder: Path) -> float | None:
    """The room on the disk of a folder that need not exist; None if that cannot be told."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free / 1e9
        except OSError:
            continue
    return None
