"""Devices: choice, clear refusals, granted cores, and computation without float64."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fakes import hand_positions
from im2hands.core import devices
from im2hands.core.devices import choose_device, exact_dtype, granted_cores, limit_threads, list_devices
from im2hands.core.errors import InputError, SetupError
from im2hands.core.hands import SIDES
from im2hands.geometry.bones import Bones, bones_from_keypoints
from im2hands.lab.bench import weights as bench_weights
from im2hands.networks.configuration import COMPACT, PUBLISHED, Configuration
from im2hands.networks.refined_hands import View

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


def test_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(SetupError, match="counted from 0 to 1"):
        choose_device("cuda:2")


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


# The choice of bones near a point depends on values, which tensors on the device "meta" do not have.
_EVERYWHERE = replace(COMPACT.initial, reach=False)
ALL_BONES = replace(COMPACT, initial=_EVERYWHERE, refined=replace(COMPACT.refined, initial=_EVERYWHERE))


class NoFloat64(TorchDispatchMode):
    """Simulates Metal: refuses every float64 tensor on the device "meta"."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        result = function(*arguments, **(named or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.device.type == "meta" and leaf.dtype == torch.float64:
                raise TypeError(f"{function} makes float64")
        return result


@pytest.mark.parametrize("sizes", [PUBLISHED, ALL_BONES], ids=["published", "compact"])
def test_networks_make_no_float64_where_there_is_none(sizes: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
    assert exact_dtype(torch.device("cpu")) == exact_dtype(torch.device("cuda:1")) == torch.float64
    assert exact_dtype(torch.device("mps")) == torch.float32
    with torch.device("meta"):
        encoder = sizes.make_encoder()
        network, refinement = sizes.make_refined(encoder).eval(), sizes.make_keypoints(encoder).eval()
        image, points = torch.empty(1, 3, 256, 256), torch.empty(1, 50, 3)
        relative, anchors = torch.empty(1, 2, 21, 3), dict.fromkeys(SIDES, torch.empty(1, 512, 3))
    view = View(torch.eye(3)[None], torch.zeros(1, 3), torch.eye(3)[None])

    def run() -> None:
        with torch.no_grad(), NoFloat64():
            both = network.hands(network.encode(image), BONES, view, anchors)
            assert both.occupancy("left", points).shape == (1, 50)
            assert both.initial["right"].occupancy(points).shape == (1, 50)
            assert refinement(image, relative).shape == (1, 2, 21, 3)

    with pytest.raises(TypeError, match="makes float64"):
        run()  # as on the processor

    def like_metal(device: torch.device) -> torch.dtype:
        return exact_dtype(torch.device("mps") if device.type == "meta" else device)

    for module in ("initial_hand", "refined_hands"):
        monkeypatch.setattr(f"im2hands.networks.{module}.exact_dtype", like_metal)
    run()


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
    assert (logits(coarse) - exact).abs().max() < 0.02
