"""Hashes of the arrays of two bundled photos and ten frames of the demo clip, which moving code must not change.

``python tests/backend/job/kept_results.py`` records them again, for a change that is meant to alter results.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as in the program and the test lanes; NumPy reads it when it is imported
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[3]
PHOTOS = [ROOT / "backend" / "im2hands" / "assets" / "photos" / f"hands_{letter}.jpg" for letter in "ab"]
CLIP = ROOT / "demo" / "clip" / "hands_clip.avi"
CLIP_OPTIONS = ["--camera", str(ROOT / "demo" / "clip" / "hands_clip_camera.json"), "--frames", "21-30"]
BUNDLED = ROOT / "backend" / "im2hands" / "weights" / "bundled"
KEPT = Path(__file__).with_name("kept_results.json")

# Which vertices just touch the other hand depends on rounding, so their number differs between processors.
_NOT_ARRAYS_OF_THE_RESULT = ("key", "left_contact", "right_contact")


def reconstruct(folder: Path) -> dict[str, Path]:
    """Make both takes with the command line and the default options.

    Parameters
    ----------
    folder : Path
        Folder of the takes.

    Returns
    -------
    dict of str to Path
        Folder of each take by name, ``photos`` and ``clip``.

    Raises
    ------
    RuntimeError
        A job did not end with exit code 0.
    """
    from im2hands.app.cli.main import main

    takes = {"photos": folder / "photos", "clip": folder / "clip"}
    photos = ["reconstruct", *map(str, PHOTOS), "-o", str(takes["photos"]), "--json"]
    clip = ["reconstruct", str(CLIP), *CLIP_OPTIONS, "-o", str(takes["clip"]), "--json"]
    for arguments in (photos, clip):
        code = main(arguments)
        if code:
            raise RuntimeError(f"im2hands {' '.join(arguments)} ended with {code}")
    return takes


def described(take: Path) -> dict[str, dict[str, Any]]:
    """Describe every array of a take: its hash, and values that can be compared on another processor.

    Parameters
    ----------
    take : Path
        Folder of the take.

    Returns
    -------
    dict of str to dict
        By ``file/array``: ``sha256`` of the bytes, ``shape``, ``dtype``, and ``mean`` and ``spread`` of floats.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(take.rglob("*.npz")):
        if "cache" in path.relative_to(take).parts:
            continue
        with np.load(path) as data:
            for name in sorted(set(data.files) - set(_NOT_ARRAYS_OF_THE_RESULT)):
                array = np.ascontiguousarray(data[name])
                entry: dict[str, Any] = {
                    "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
                    "shape": list(array.shape),
                    "dtype": str(array.dtype),
                }
                if array.dtype.kind == "f":
                    entry["mean"] = float(np.nanmean(array.astype(np.float64)))
                    entry["spread"] = float(np.nanstd(array.astype(np.float64)))
                found[f"{path.relative_to(take).as_posix()}/{name}"] = entry
    return found


def machine() -> dict[str, str]:
    """Describe everything that the rounding of sums depends on: versions of libraries and features of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")[0]
    except OSError:
        text = platform.processor()
    wanted = ("vendor_id", "cpu family", "model\t", "flags")
    processor = "\n".join(line for line in text.splitlines() if line.startswith(wanted)) or text
    return {
        "processor": hashlib.sha256(processor.encode()).hexdigest()[:16],
        "threads": str(torch.get_num_threads()),
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS", ""),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version().rpartition(".")[0],
    }


def weights() -> dict[str, str]:
    """Return the sha256 of every bundled weights file by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(BUNDLED.glob("*.safetensors"))}


def record() -> dict[str, Any]:
    """Reconstruct and describe everything, as :data:`KEPT` stores it."""
    with tempfile.TemporaryDirectory() as folder:
        takes = {name: described(take) for name, take in reconstruct(Path(folder)).items()}
    return {"machine": machine(), "weights": weights(), "takes": takes}


if __name__ == "__main__":
    KEPT.write_text(json.dumps(record(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    sys.stderr.write(f"recorded {KEPT}\n")
