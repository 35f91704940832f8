"""The check of an installation: Python, packages, devices, weights, and a self-test on a photo."""

from __future__ import annotations

import importlib
import platform
import sys
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

from im2hands import __version__
from im2hands.core.devices import list_devices
from im2hands.core.errors import Im2HandsError, SetupError
from im2hands.core.gpu import gpu_problem, nvidia_cards
from im2hands.core.mediapipe_import import import_mediapipe
from im2hands.core.memory import require_memory
from im2hands.core.system_libraries import hint_for

from .selftest import PER_FRAME, START_UP, Timing, bundled_photo, time_photo

PYTHONS = ((3, 11), (3, 13))  # oldest and newest supported version
# Distributions that install the same module cv2 and overwrite each other's files.
OPENCV_WHEELS = (
    "opencv-contrib-python",
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python-headless",
)

# Required distributions, with the name of the module that each one installs.
PACKAGES = {
    "torch": "torch",
    "numpy": "numpy",
    "scipy": "scipy",
    "mediapipe": "mediapipe",
    "ai-edge-litert": "ai_edge_litert",
    "pillow": "PIL",
    "pillow-heif": "pillow_heif",
    "av": "av",
    "OpenEXR": "OpenEXR",
    "trimesh": "trimesh",
    "PyMCubes": "mcubes",
    "safetensors": "safetensors",
    "tqdm": "tqdm",
}
NEVER_RUN = "This version was tested on pretended GPUs only, not on a real one"
INSTALL_AGAIN = "Set up the backend again: pip install --force-reinstall im2hands."


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Parameters
    ----------
    name : str
        The thing that was checked.
    ok : bool
        Whether it works.
    message : str
        What was found.
    hint : str
        What to do if it does not work.
    """

    name: str
    ok: bool
    message: str
    hint: str = ""


@dataclass
class Report:
    """All findings of a check.

    Parameters
    ----------
    findings : list of Finding
        The findings, in the order of the checks.
    timing : Timing, optional
        Times of the self-test; None if it did not run.
    """

    findings: list[Finding] = field(default_factory=list)
    timing: Timing | None = None

    @property
    def ok(self) -> bool:
        """Whether every finding is OK."""
        return all(finding.ok for finding in self.findings)

    def add(self, name: str, ok: bool, message: str, hint: str = "") -> None:
        """Append a finding.

        Parameters
        ----------
        name : str
            The thing that was checked.
        ok : bool
            Whether it works.
        message : str
            What was found.
        hint : str
            What to do if it does not work.
        """
        self.findings.append(Finding(name, ok, message, "" if ok else hint))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        timing = None if self.timing is None else asdict(self.timing)
        findings = [asdict(finding) for finding in self.findings]
        return {"ok": self.ok, "version": __version__, "findings": findings, "self_test": timing}


def check(self_test: bool = True) -> Report:
    """Check everything that a reconstruction needs.

    Parameters
    ----------
    self_test : bool
        Whether to reconstruct one bundled photo, if all other checks are OK.

    Returns
    -------
    Report
        The findings.
    """
    report = Report()
    _check_python(report)
    if not _check_memory(report):
        return report  # without memory the packages may hang when they are loaded
    _check_packages(report)
    if report.ok:
        _check_devices(report)
        _check_data(report)
    if self_test and report.ok:
        _self_test(report)
    return report


def _check_python(report: Report) -> None:
    low, high = PYTHONS
    ok = low <= sys.version_info[:2] <= high
    message = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    hint = f"Im2Hands needs Python {low[0]}.{low[1]} to {high[0]}.{high[1]}."
    report.add("Python", ok, message, hint)


def _check_memory(report: Report) -> bool:
    try:
        require_memory()
    except SetupError as error:
        report.add("memory", False, error.message, error.hint)
        return False
    return True


def _check_packages(report: Report) -> None:
    for distribution, module in PACKAGES.items():
        try:
            import_mediapipe() if module == "mediapipe" else importlib.import_module(module)
            report.add(distribution, True, metadata.version(distribution))
        except metadata.PackageNotFoundError:
            report.add(distribution, True, "installed, of unknown version")
        except Exception as error:  # broken native libraries raise many kinds of errors on import
            message = f"cannot be loaded: {type(error).__name__}: {error}".splitlines()[0]
            report.add(distribution, False, message, hint_for(error, INSTALL_AGAIN))
    found = {name: version for name in OPENCV_WHEELS if (version := _version(name))}
    words = ", ".join(f"{name} {version}" for name, version in found.items())
    try:
        importlib.import_module("cv2")
    except ImportError as error:
        report.add("opencv", False, f"cannot be loaded: {error}", hint_for(error, INSTALL_AGAIN))
        return
    message = words if len(found) < 2 else f"{len(found)} packages overwrite each other: {words}"
    keep = next(iter(found), "")
    hint = f"Uninstall all of them, then install {keep} alone."
    report.add("opencv", len(found) < 2, message or "installed, of unknown version", hint)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _check_devices(report: Report) -> None:
    """A GPU that does not compute is no problem of the installation: the processor is used."""
    import torch

    devices = list_devices()
    for device in devices:
        words = device.description
        if device.name != "cpu":
            problem = gpu_problem(torch.device(device.name))
            words += f". {problem}" if problem else f". A trial kernel ran on it. {NEVER_RUN}"
        report.add(f"device {device.name}", True, words)
    if len(devices) == 1:
        problem = gpu_problem(torch.device("cuda"))
        words = f" {problem}" if problem and nvidia_cards() else ""
        report.add("GPU", True, f"none that PyTorch can use; everything runs on the processor.{words}")


def _check_data(report: Report) -> None:
    from im2hands.weights.folder import list_weights
    from im2hands.weights.mediapipe_bundle import BUNDLE_NAME, read_bundle

    try:
        for weights in list_weights():
            ok = weights.found and not weights.problem
            message = f"sha256 {weights.sha256[:12]}… matches its card" if ok else weights.problem or "missing"
            report.add(f"weights {weights.name}", ok, message, INSTALL_AGAIN)
    except Im2HandsError as error:
        report.add("weights", False, error.message, error.hint)
    try:
        bundle = read_bundle()
        report.add("hand bundle", True, f"{BUNDLE_NAME}, {len(bundle.task) / 1e6:.1f} MB, checksums match")
    except Im2HandsError as error:
        report.add("hand bundle", False, error.message, error.hint)


def _self_test(report: Report) -> None:
    try:
        timing = time_photo(bundled_photo())
    except Im2HandsError as error:
        report.add("self-test", False, error.message, hint_for(error.message, error.hint or INSTALL_AGAIN))
        return
    except Exception as error:  # the report must be complete, whatever the self-test raises
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        report.add("self-test", False, message, hint_for(error, INSTALL_AGAIN))
        return
    report.timing = timing
    sides = " and ".join(timing.hands) or "no"
    plural = "hands" if len(timing.hands) != 1 else "hand"
    message = f"{timing.photo} on {timing.device}: {sides} {plural} in {timing.per_frame:.2f} s"
    report.add("self-test", len(timing.hands) == 2, message, "Both hands should have been found. " + INSTALL_AGAIN)


def stage_words(timing: Timing) -> str:
    """Return the times of a self-test as one line of text."""
    once = ", ".join(f"{stage} {timing.seconds[stage]:.2f}" for stage in START_UP)
    each = ", ".join(f"{stage} {timing.seconds[stage]:.2f}" for stage in PER_FRAME)
    return f"seconds at start: {once}; a frame: {each}"
