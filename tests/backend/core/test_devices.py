"""Devices: choice, clear refusals, granted cores, and computation without float64."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fakes import hand_positions
from im2hands.core import devices, gpu
from im2hands.core.devices import choose_device, exact_dtype, granted_cores, limit_threads, list_devices, to_device
from im2hands.core.errors import InputError, SetupError
from im2hands.core.hands import SIDES
from im2hands.geometry.bones import Bones, bones_from_keypoints
from im2hands.lab.bench import weights as bench_weights
from pretended_device import pretended_device

BONES = {side: bones_from_keypoints(torch.from_numpy(hand_positions(side))[None], [side]) for side in SIDES}


def test_the_processor_is_always_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto") == torch.device("cpu")
    last = list_devices()[-1]
    assert last.name == "cpu"
    assert f"{granted_cores()} core" in last.description


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(SetupError, match=f"The device {name} is not there") as caught:
            choose_device(name)
        assert caught.value.exit_code == 3
        assert "--device cpu" in caught.value.hint


def test_gpus() -> None:
    with pretended_device("cuda:0", count=2) as device:
        assert choose_device("auto") == torch.device("cuda")
        assert choose_device("cuda:1") == torch.device("cuda:1")
        assert device.kernels["mm"] == 2
        with pytest.raises(SetupError, match="counted from 0 to 1"):
            choose_device("cuda:2")
    with pretended_device("mps:0"):
        assert choose_device("mps") == torch.device("mps")
        assert choose_device("auto") == torch.device("cpu")


def test_the_card_that_is_named_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    majors, memory = {0: 7, 1: 9}, {0: 2 << 30, 1: 3 << 30}
    with pretended_device("cuda:0", count=2):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (memory[device.index], 0))
        monkeypatch.setattr(
            torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=majors[device.index])
        )
        for number in (0, 1):
            card = torch.device("cuda", number)
            assert gpu.free_memory(card) == memory[number] and gpu.has_bfloat16(card) == (number == 1)


NO_KERNEL = "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be"


@pytest.mark.parametrize(
    ("capability", "error", "reason", "hint"),
    [
        ((6, 1), NO_KERNEL, "it is too old; this PyTorch (CUDA 12.8) needs compute capability 7.5", "older CUDA"),
        ((13, 0), NO_KERNEL, "it is newer than this PyTorch (CUDA 12.8), which goes up to", "newer PyTorch"),
        (
            (8, 6),
            "CUDA driver version is insufficient for CUDA runtime",
            "the driver is too old for CUDA",
            "Update the",
        ),
        ((8, 6), "CUDA out of memory. Tried to allocate", "its memory is full", "Close other programs"),
        ((8, 6), "CUDA error: an illegal memory access.", "CUDA error: an illegal memory access", "--device cpu"),
    ],
)
def test_a_card_that_cannot_compute(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], error: str, reason: str, hint: str
) -> None:
    monkeypatch.setattr(gpu, "nvidia_cards", lambda: [gpu.Card("Any", None, "470.1")])
    refused: list[SetupError] = []
    with pretended_device("cuda:0", capability=capability, fails=error):
        with pytest.raises(SetupError) as caught:
            choose_device("cuda")
        assert choose_device("auto", refused.append) == torch.device("cpu")
    card = f"NVIDIA card Pretended 1 (compute capability {capability[0]}.{capability[1]}, driver 470.1)"
    assert caught.value.message.startswith(f"The {card} cannot be used by this PyTorch: {reason}")
    assert hint in caught.value.hint and "--device cpu" in caught.value.hint
    assert [problem.message for problem in refused] == [f"{caught.value.message} The processor is used."]


def test_the_next_card_is_taken_where_the_first_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_trial", lambda device: None if device.index == 1 else "no kernel image")
    with pretended_device("cuda:0", count=2):
        assert choose_device("auto", pytest.fail) == torch.device("cuda:1")


@pytest.mark.parametrize(
    ("built", "cards", "hidden", "started", "told", "falls_back"),
    [
        (None, [], False, "", "cuda is not there: this PyTorch was built without CUDA.", False),
        (None, ["Old"], False, "", "built without CUDA. This machine has the NVIDIA card Old (driver 470.1).", False),
        ("12.8", [], False, "Found no NVIDIA driver", "PyTorch finds no NVIDIA card and driver.", False),
        ("12.8", ["Old"], True, "No CUDA GPUs are available", "CUDA_VISIBLE_DEVICES hides the NVIDIA cards.", False),
        ("12.8", ["Old"], False, "The NVIDIA driver on your system is too old (found version 11040).",
         "NVIDIA card Old (driver 470.1) cannot be used by this PyTorch: the driver is too old for CUDA 12.8", True),
        ("12.8", [], False, "The NVIDIA driver on your system is too old.", "the driver is too old for", True),
        ("12.8", ["Old"], False, "CUDA unknown error - this may be due to", "CUDA unknown error - this may be", True),
    ],
)  # fmt: skip
def test_cuda_that_does_not_start(
    monkeypatch: pytest.MonkeyPatch, built: str | None, cards: list[str], hidden: bool, started: str, told: str,
    falls_back: bool,
) -> None:  # fmt: skip
    def refuse() -> None:
        raise RuntimeError(started)

    for owner, name, value in (
        (torch.version, "cuda", built), (torch.cuda, "is_available", lambda: False), (torch.cuda, "init", refuse),
        (torch.cuda, "device_count", lambda: 0), (torch.cuda, "get_arch_list", list),
        (gpu, "nvidia_cards", lambda: [gpu.Card(card, None, "470.1") for card in cards]),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SetupError) as caught:
        choose_device("cuda")
    assert told in caught.value.message and "--device cpu" in caught.value.hint
    assert ("driver" in caught.value.hint) == ("driver is too old" in told or "unknown" in told)
    refused: list[SetupError] = []
    assert choose_device("auto", refused.append) == torch.device("cpu")
    assert len(refused) == falls_back


class FakeNvml:
    """NVIDIA's management library with two cards, of which the second cannot be asked."""

    def __init__(self, starts: int = 0) -> None:
        self.starts, self.ended = starts, False

    def nvmlInit_v2(self) -> int:
        return self.starts

    def nvmlShutdown(self) -> int:
        self.ended = True
        return 0

    def nvmlSystemGetDriverVersion(self, text: Any, size: int) -> int:
        text.value = b"535.104.05"
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number: int, handle: Any) -> int:
        return 0 if number == 0 else 3

    def nvmlDeviceGetName(self, handle: Any, text: Any, size: int) -> int:
        text.value = b"NVIDIA GeForce GTX 1080"
        return 0

    def nvmlDeviceGetCudaComputeCapability(self, handle: Any, major: Any, minor: Any) -> int:
        major._obj.value, minor._obj.value = 6, 1
        return 0


def test_the_driver_tells_of_the_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.sys, "platform", "linux")
    library = FakeNvml()
    monkeypatch.setattr(gpu.ctypes, "CDLL", lambda name: library)
    (card,) = gpu.nvidia_cards()
    assert str(card) == "NVIDIA card GeForce GTX 1080 (compute capability 6.1, driver 535.104.05)" and library.ended
    monkeypatch.setattr(gpu.ctypes, "CDLL", lambda name: FakeNvml(9))
    assert gpu.nvidia_cards() == []
    monkeypatch.setattr(gpu.ctypes, "CDLL", lambda name: object())
    assert gpu.nvidia_cards() == []
    monkeypatch.setattr(gpu.sys, "platform", "darwin")
    assert gpu.nvidia_cards() == []


def affinity(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    """Simulate a machine with 64 cores, some of which the process may use."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)


def control_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, membership: str, files: dict[str, str]) -> None:
    """Write the files with which Linux describes control groups."""
    (tmp_path / "membership").write_text(membership)
    monkeypatch.setattr(devices, "CGROUP_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(devices, "CGROUP_MOUNT", tmp_path / "groups")
    for name, content in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


V1_QUOTA, V1_PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "350000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 16),
        ("0::/outer/inner\n", {"outer/cpu.max": "200000 100000\n", "outer/inner/cpu.max": "max 100000\n"}, 2),
        ("0::/not/seen/from/here\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/../escaped\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 16),
        ("4:cpu,foo:/job\n", {f"cpu,foo/job/{V1_QUOTA}": "400000", f"cpu,foo/job/{V1_PERIOD}": "100000"}, 4),
        ("1:cpu:/docker/abc\n0::/\n", {f"cpu/{V1_QUOTA}": "500000", f"cpu/{V1_PERIOD}": "100000"}, 5),
        ("1:cpu:/\n", {f"cpu/{V1_QUOTA}": "-1", f"cpu/{V1_PERIOD}": "100000"}, 16),
        ("3:cpuset:/\n", {f"cpuset/{V1_QUOTA}": "100000", f"cpuset/{V1_PERIOD}": "100000"}, 16),
        ("", {}, 16),
    ],
)  # fmt: skip
def test_granted_cores_keep_to_affinity_and_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, membership: str, files: dict[str, str], cores: int
) -> None:
    affinity(monkeypatch, 16)
    control_groups(monkeypatch, tmp_path, membership, files)
    assert granted_cores() == cores


def test_granted_cores_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    affinity(monkeypatch, 16)
    monkeypatch.setattr(devices, "CGROUP_MEMBERSHIP", tmp_path / "missing")
    assert granted_cores() == 16
    monkeypatch.setattr(os, "process_cpu_count", lambda: 3, raising=False)
    assert granted_cores() == 3
    monkeypatch.delattr(os, "process_cpu_count")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert granted_cores() == 64
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert granted_cores() == 1


def test_threads_keep_to_the_granted_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setattr(devices, "granted_cores", lambda: 4)
    limit_threads()
    limit_threads(8)
    limit_threads(64)
    monkeypatch.setattr(devices, "granted_cores", lambda: 96)
    limit_threads()
    assert asked == [4, 8]


def test_hand_crops_are_read_on_the_granted_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    from im2hands.keypoints.reading import network as landmark_network

    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(landmark_network, "granted_cores", lambda: 2)
    network = landmark_network.LandmarkNetwork()
    try:
        assert network._workers == 2
    finally:
        network.close()


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:1", "", "cuda:-1"])
def test_names_that_mean_nothing(name: str) -> None:
    with pytest.raises(InputError, match="There is no device called"):
        choose_device(name)


def test_geometry_is_exact_where_the_device_can() -> None:
    assert exact_dtype(torch.device("cpu")) == exact_dtype(torch.device("cuda:1")) == torch.float64
    assert exact_dtype(torch.device("mps")) == torch.float32
    with pretended_device("mps:0") as metal:
        for given in (torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.int64)):
            moved = to_device(given, metal.device)
            assert moved.device == metal.device and moved.cpu().tolist() == given.tolist()


@torch.no_grad()
def test_float32_geometry_is_near_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    network = bench_weights.initial()
    generator = torch.Generator().manual_seed(0)
    points = (torch.rand(1, 400, 3, generator=generator) - 0.5) * 0.4
    features = network.encode(torch.rand(1, 3, 256, 256, generator=generator))

    def logits(bones: dict[Any, Bones]) -> torch.Tensor:
        return torch.cat([network.hand(side, features, bones[side]).part_logits(points) for side in SIDES])

    exact = logits(BONES)
    for module in ("geometry.bones", "networks.initial_hand"):
        monkeypatch.setattr(f"im2hands.{module}.exact_dtype", lambda device: torch.float32)
    coarse = {side: bones_from_keypoints(torch.from_numpy(hand_positions(side))[None], [side]) for side in SIDES}
    assert coarse["left"].transforms.dtype == torch.float32
    # A logit of 1 is about a millimetre at the surface.
    assert (logits(coarse).clamp(-20, 20) - exact.clamp(-20, 20)).abs().max() < 0.02
