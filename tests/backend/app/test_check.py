"""The check of an installation: every finding has a result, and a hint if something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes import FakeParts
from im2hands.app import check as check_module
from im2hands.app.check import Report, check
from im2hands.app.cli.main import main
from im2hands.app.selftest import PER_FRAME, START_UP, bundled_photo, time_photo
from im2hands.core import gpu
from im2hands.core.errors import SetupError, WeightsError
from im2hands.core.system_libraries import hint_for
from im2hands.weights.folder import WeightsInfo
from pretended_device import pretended_device


def test_timing_of_a_photo() -> None:
    timing = time_photo(bundled_photo(), repeat=2, parts=FakeParts())
    assert set(timing.seconds) == {*START_UP, *PER_FRAME}
    assert timing.per_frame > 0
    assert set(timing.hands) == {"left", "right"}


def problems(report: Report) -> dict[str, str]:
    return {finding.name: f"{finding.message} {finding.hint}" for finding in report.findings if not finding.ok}


def test_everything_is_there() -> None:
    report = check(self_test=False)
    assert problems(report) == {}
    names = [finding.name for finding in report.findings]
    for name in ("Python", "torch", "mediapipe", "opencv", "device cpu", "weights part_occupancy", "hand bundle"):
        assert name in names


def test_devices_are_tried() -> None:
    def words(name: str) -> str:
        findings = check(self_test=False).findings
        assert all(finding.ok for finding in findings)
        return next(finding.message for finding in findings if finding.name == name)

    with pretended_device("cuda:0"):
        assert words("device cuda:0").startswith("NVIDIA Pretended 1, 8 GB. A trial kernel ran on it. This version was")
    with pretended_device("cuda:0", capability=(6, 1), fails="no kernel image is available"):
        assert "Pretended 1 (compute capability 6.1) cannot be used by this PyTorch: it is too" in words(
            "device cuda:0"
        )
    with pretended_device("mps:0"):
        assert "tested on pretended GPUs only" in words("device mps")


def test_a_card_that_pytorch_does_not_see_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.version.cuda", None)
    for module in (gpu, check_module):
        monkeypatch.setattr(module, "nvidia_cards", lambda: [gpu.Card("GeForce", None, "470.1")])
    found = {finding.name: finding.message for finding in check(self_test=False).findings}
    assert "built without CUDA. This machine has the NVIDIA card GeForce (driver 470.1)." in found["GPU"]


def test_wrong_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [WeightsInfo("part_occupancy", Path("p.safetensors"), "ab" * 32, True, "p.safetensors is damaged")]
    monkeypatch.setattr("im2hands.weights.folder.list_weights", lambda: broken)
    found = problems(check())
    assert list(found) == ["weights part_occupancy"]
    assert "p.safetensors is damaged Set up the backend again" in found["weights part_occupancy"]


def test_no_weights_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> list[WeightsInfo]:
        raise WeightsError("There is no weights folder.", "Install again.")

    monkeypatch.setattr("im2hands.weights.folder.list_weights", missing)
    assert "weights" in problems(check())


def test_missing_package_and_two_opencvs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(check_module.PACKAGES, "no-such-package", "no_such_package")
    monkeypatch.setattr(check_module, "_version", lambda name: "5.0" if "contrib" in name else "")
    found = problems(check())
    assert "cannot be loaded: ModuleNotFoundError" in found["no-such-package"]
    assert "2 packages overwrite each other" in found["opencv"]


MISSING = "libGLESv2.so.2: cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (MISSING, "libGLESv2.so.2 is missing. On Debian or Ubuntu: sudo apt install libgles2."),
        ("libgthread-2.0.so.0: cannot open shared object file", "sudo apt install libglib2.0-0."),
        ("libnobody.so.9: cannot open shared object file", "libnobody.so.9 is missing: install the package"),
        ("undefined symbol: PyUnicode", "otherwise"),
    ],
)
def test_a_library_of_the_system_is_named_with_its_package(said: str, told: str) -> None:
    assert told in hint_for(OSError(said), "otherwise")


def test_a_missing_library_is_told_instead_of_advice_that_cannot_help(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(photo: Path) -> None:
        raise SetupError(f"MediaPipe cannot be started: {MISSING}.", "Install mediapipe again.")

    monkeypatch.setattr(check_module, "time_photo", fails)
    found = problems(check())["self-test"]
    assert "apt install libgles2" in found and "again" not in found


def test_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "PYTHONS", ((4, 0), (4, 1)))
    assert "needs Python 4.0 to 4.1" in problems(check())["Python"]


def test_self_test_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(photo: Path) -> None:
        raise SetupError("MediaPipe cannot be started.", "Install it again.")

    def breaks(photo: Path) -> None:
        raise ZeroDivisionError("oh\nno")

    monkeypatch.setattr(check_module, "time_photo", fails)
    assert problems(check())["self-test"] == "MediaPipe cannot be started. Install it again."
    monkeypatch.setattr(check_module, "time_photo", breaks)
    assert "ZeroDivisionError: oh" in problems(check())["self-test"]


def test_command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(check_module, "time_photo", lambda photo: time_photo(photo, parts=FakeParts()))
    assert main(["check"]) == 0
    printed = capfd.readouterr().out
    assert "OK       Python: 3." in printed
    assert "self-test: hands_a.jpg on cpu: left and right hands" in printed
    assert "seconds at start" in printed
    assert "Everything is installed and works." in printed
    assert main(["check", "--json"]) == 0
    data = json.loads(capfd.readouterr().out)
    assert data["ok"] is True
    assert set(data["self_test"]["seconds"]) == {*START_UP, *PER_FRAME}
    monkeypatch.setitem(check_module.PACKAGES, "no-such-package", "no_such_package")
    assert main(["check"]) == 3
    printed = capfd.readouterr().out
    assert "PROBLEM  no-such-package" in printed
    assert "-> Set up the backend again" in printed
    assert "Not ready: see no-such-package." in printed
