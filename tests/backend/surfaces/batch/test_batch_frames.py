"""Batches of two-hand frames: the meshes of single-frame reconstruction, in order."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from fakes import hand_positions, picture
from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError
from im2hands.core.hands import SIDES, HandKeypoints, TwoHands
from im2hands.lab.bench import weights as bench_weights
from im2hands.lab.bench.scenes import scenes
from im2hands.media.source import Frame
from im2hands.networks.refinement_decoder import FoldedHands
from im2hands.surfaces.batch.frames import BatchReconstructor, Job, Made, frames_at_once
from im2hands.surfaces.batch.lattices import BatchField
from im2hands.surfaces.from_keypoints import HandMesh
from im2hands.surfaces.from_picture import PictureReconstructor, load_picture_reconstructor

CPU = torch.device("cpu")
CAMERA = Camera.from_fov(50, 320, 240)
VOXEL = 0.007
NAMES = ["touching", "apart", "touching, other poses"]


def _job(number: int) -> Job:
    name = NAMES[number % len(NAMES)]
    hands = {side: replace(scenes()[name].get(side), thickness=1 + 0.05 * number) for side in SIDES}  # type: ignore[type-var]
    return Frame(number, 0.0, picture(320, 240, number=number), f"{name} {number}"), CAMERA, TwoHands(**hands)


JOBS = [_job(number) for number in range(3)]


def _hand(side, shift: float = 0.0) -> HandKeypoints:
    positions = hand_positions(side) + np.array([shift, 0, 0])
    return HandKeypoints(side, positions, np.zeros((21, 2)), np.ones(21), 1.0, "test")


def _same(made: Made, alone: dict) -> None:
    """Check for the same surface.

    Not bit for bit: the rounding of a matrix product depends on its size and on the processor. Where the logit is steep
    that moves a vertex by nanometres, where it is flat by hundredths of millimetres.
    """
    assert isinstance(made, dict) and list(made) == list(alone)
    for side, mesh in alone.items():
        found: HandMesh = made[side]
        assert found.vertices.dtype == np.float32 and found.faces.dtype == np.int32
        assert np.array_equal(found.bone_lengths, mesh.bone_lengths)
        for one, other in ((mesh, found), (found, mesh)):
            away = cKDTree(one.vertices).query(other.vertices)[0]
            assert away.mean() < 1e-6 and away.max() < 1e-4  # metres


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # faster for small tensors
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def compact() -> PictureReconstructor:
    loaded = load_picture_reconstructor("bundled", device=CPU, voxel_m=VOXEL, stage="refined")
    assert loaded is not None
    return loaded


@pytest.fixture(scope="module")
def alone(compact) -> list[dict]:
    return [compact.reconstruct(*job) for job in JOBS]


@pytest.fixture(scope="module")
def published() -> PictureReconstructor:
    network = bench_weights.refined(bias=0.8, attention=1.0)
    return PictureReconstructor(network, device=CPU, voxel_m=VOXEL, refine=True, precision="exact")


@pytest.fixture(scope="module")
def truth(published) -> list[dict]:
    return [published.reconstruct(*job) for job in JOBS[:2]]


def test_a_batch_is_its_frames(compact, alone) -> None:
    with BatchReconstructor(compact, batch=2) as many:
        found = list(many.reconstruct(iter(JOBS)))
    assert len(found) == 3
    for made, expected in zip(found, alone, strict=True):
        _same(made, expected)
    # The frames differ, so mixed-up frames would fail the test.
    assert cKDTree(alone[0]["left"].vertices).query(alone[2]["left"].vertices)[0].max() > 0.01


def test_a_batch_with_the_published_network(published, truth) -> None:
    with BatchReconstructor(published, batch=2) as many:
        for made, expected in zip(many.reconstruct(JOBS[:2]), truth, strict=True):
            _same(made, expected)


def test_frames_that_cannot_be_batched_are_made_alone(compact, alone, caplog) -> None:
    frame, camera, both = JOBS[0]
    nowhere = TwoHands(_hand("left"), _hand("right", 2.0))
    jobs = [
        (frame, camera, TwoHands(left=both.left)),
        JOBS[0],
        (frame, camera, nowhere),
        (frame, camera, TwoHands()),
        (None, camera, both),
        JOBS[1],
    ]
    with caplog.at_level(logging.INFO, "im2hands"), BatchReconstructor(compact, batch=4) as many:
        found = list(many.reconstruct(jobs))
    one = compact.reconstruct(*jobs[0])
    assert np.array_equal(found[0]["left"].vertices, one["left"].vertices) and list(found[0]) == ["left"]
    _same(found[1], alone[0])
    _same(found[5], alone[1])
    assert found[3] == {}
    for made, words in ((found[2], "lies outside the picture"), (found[4], "need the picture")):
        assert isinstance(made, FrameError) and words in str(made)
    assert "only the left hand is there" in caplog.text


def test_a_hand_that_the_coarse_lattice_misses_is_made_alone(compact, alone, monkeypatch) -> None:
    near_surface = BatchField.near_surface

    def missing(field, level, cells):
        return [None, *near_surface(field, level, cells)[1:]]

    monkeypatch.setattr(BatchField, "near_surface", missing)
    calls = []
    reconstruct = compact.reconstruct
    monkeypatch.setattr(compact, "reconstruct", lambda *job: calls.append(job[0].name) or reconstruct(*job))
    with BatchReconstructor(compact, batch=2) as many:
        found = list(many.reconstruct(JOBS[:2]))
    assert calls == [JOBS[0][0].name]
    assert np.array_equal(found[0]["left"].vertices, alone[0]["left"].vertices)
    _same(found[1], alone[1])


def test_a_device_with_little_memory(compact, alone, monkeypatch, caplog) -> None:
    logits, largest = FoldedHands.logits, []

    def limited(hands: FoldedHands, positions: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        if positions.shape[:2].numel() > 3000:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        largest.append(positions.shape[:2].numel())
        return logits(hands, positions, extra)

    monkeypatch.setattr(FoldedHands, "logits", limited)
    with caplog.at_level(logging.WARNING, "im2hands"), BatchReconstructor(compact, batch=3) as many:
        found = list(many.reconstruct(JOBS))
    assert "too many for this device's memory; trying" in caplog.text and max(largest) <= 3000
    for made, expected in zip(found, alone, strict=True):
        _same(made, expected)


def test_memory_that_runs_out_costs_single_frames(compact, alone, monkeypatch, caplog) -> None:
    """The lattices of a batch do not fit; alone, one frame does not fit either."""

    def too_large(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(BatchField, "level", too_large)
    reconstruct = compact.reconstruct

    def single(frame, camera, hands):
        return too_large() if frame is JOBS[2][0] else reconstruct(frame, camera, hands)

    monkeypatch.setattr(compact, "reconstruct", single)
    with caplog.at_level(logging.WARNING, "im2hands"), BatchReconstructor(compact, batch=2) as many:
        found = list(many.reconstruct(JOBS))
        assert many.size == 1
    assert "2 frames at once are too many for this device's memory; trying 1" in caplog.text
    for made, expected in zip(found[:2], alone[:2], strict=True):
        assert np.array_equal(made["left"].vertices, expected["left"].vertices)
    assert isinstance(found[2], FrameError) and "not enough memory" in str(found[2])


def test_a_device_that_stops_ends_the_batch(compact, monkeypatch) -> None:
    def stopped(*_: object) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(BatchField, "level", stopped)
    with BatchReconstructor(compact, batch=2) as many, pytest.raises(RuntimeError, match="launch failure"):
        list(many.reconstruct(JOBS[:2]))


def test_other_networks_and_nothing_at_all(compact) -> None:
    initial = load_picture_reconstructor("bundled", device=CPU, voxel_m=VOXEL, stage="initial")
    assert initial is not None
    with BatchReconstructor(initial, batch=2) as many:
        [made] = many.reconstruct(JOBS[:1])
    expected = initial.reconstruct(*JOBS[0])
    assert all(np.array_equal(made[side].vertices, mesh.vertices) for side, mesh in expected.items())
    with BatchReconstructor(compact) as many:
        assert list(many.reconstruct([])) == []
    with pytest.raises(ValueError, match="batch of 0 frames"):
        BatchReconstructor(compact, batch=0)


def test_costs_of_a_batch(compact) -> None:
    compact.costs.stages.clear()
    waits: list[int] = []
    compact.costs.wait = lambda: waits.append(1)
    try:
        with BatchReconstructor(compact, batch=3) as many:
            list(many.reconstruct(JOBS))
    finally:
        compact.costs.wait = None
    stages = compact.costs.stages
    assert list(stages) == ["picture", "initial surface", "anchors", "anchor encoder", "refined surface", "meshes"]
    assert stages["refined surface"].queries > 1000 and len(waits) == 2 * (5 + 3)


def test_the_memory_decides_the_size_of_a_batch(compact, monkeypatch) -> None:
    for gigabytes, sizes in ((2, (1, 6)), (16, (1, 8)), (139, (8, 8))):
        monkeypatch.setattr("im2hands.surfaces.batch.frames.free_memory", lambda _, size=gigabytes: size * 2**30)
        assert (frames_at_once(0.0004, CPU), frames_at_once(0.0017, CPU)) == sizes
    monkeypatch.setattr("im2hands.surfaces.batch.frames.free_memory", lambda _: 2**28)
    assert frames_at_once(0.0017, CPU) == 1
