"""Every network, in use and in training, on a pretended ``cuda:0`` and ``mps:0``: it runs, with the same result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from fakes import hand_positions, picture
from im2hands.core.camera import Camera
from im2hands.core.hands import SIDES, HandKeypoints, Side, TwoHands
from im2hands.job.components import Components
from im2hands.job.options import ReconstructOptions
from im2hands.keypoints.choosing.judge import PairJudge
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.placing.lift import HandLifter
from im2hands.keypoints.proposing.two_hand_network import TwoHandReader
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.keypoints.reading.readings import Part
from im2hands.keypoints.sources import make_provider
from im2hands.lab.bench import weights as bench_weights
from im2hands.lab.datasets.part_occupancy import make_points
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.training import (
    aligned_occupancy,
    initial_occupancy,
    keypoint_refinement,
    lifting_network,
    reading_network,
    refined_occupancy,
    two_hand_network,
)
from im2hands.lab.training.lifting_samples import LiftingSamples
from im2hands.lab.training.part_occupancy_trainer import Trainer, TrainingSettings
from im2hands.lab.training.runner import Runner, Task
from im2hands.media.source import Frame
from im2hands.networks.anchor_encoder import AnchorSizes
from im2hands.networks.configuration import Configuration, compact
from im2hands.networks.lifting_network import HAND_FEATURES, POINT_FEATURES
from im2hands.networks.pair_judge import PAIR_FEATURES, SINGLE_FEATURES
from im2hands.networks.reading_network import FEATURES
from im2hands.networks.two_hand_network import EMBEDDING, PYRAMID_CHANNELS
from im2hands.surfaces.batch import frames, hands
from im2hands.surfaces.batch.frames import BatchReconstructor
from im2hands.surfaces.from_keypoints import HandMesh
from im2hands.surfaces.from_picture import PictureReconstructor, load_picture_reconstructor
from im2hands.surfaces.keypoint_refiner import KeypointRefiner
from im2hands.surfaces.load import load_reconstructor
from im2hands.surfaces.precision import pair_precision
from im2hands.weights.keypoint_networks import LIFTING, PAIR_JUDGE, READING, TWO_HAND
from pretended_device import DeviceError, pretended_device
from scene_pictures import make_scene, make_set

CPU = torch.device("cpu")
CAMERA = Camera.from_fov(50, 320, 240)
FRAME = Frame(1, 0.0, picture(320, 240), "shot.png")
VOXEL_M = 0.008
LIMIT_M = 5e-5
"""Largest distance between a surface and the processor's: bfloat16 moves a vertex by some micrometres."""
DEVICES = ("cuda:0", "mps:0")


def _hand(side: Side) -> HandKeypoints:
    positions = hand_positions(side)
    return HandKeypoints(side, positions, CAMERA.project(positions), np.ones(21), 1.0, "test")


BOTH = TwoHands(_hand("left"), _hand("right"))

Use = Callable[[torch.device], Any]


def test_a_pretended_device_refuses_what_a_real_one_would() -> None:
    with pretended_device("cuda:0") as card:
        there, here = torch.ones(3, device="cuda"), torch.ones(3)
        assert (there + 1)[:2].device == card.device and there.cpu().device == here.device == CPU
        assert (there * torch.tensor(2.0)).device == card.device
        for wrong in (lambda: there + here, lambda: torch.cat([there, here]), there.numpy, lambda: np.asarray(there)):
            with pytest.raises(DeviceError):
                wrong()
        card.kernels.clear(), card.waits.clear()
        assert float(there.sum()) == 3 and bool((there[there > 0] > 0).all())
        assert card.kernels.total() == 7 and card.waits == {"_local_scalar_dense": 2, "index by truth values": 1}
        given = torch.ones(3, requires_grad=True)
        (given.to(card.device) * there).sum().backward()
        assert given.grad is not None and given.grad.device == CPU
    with pretended_device("mps:0") as metal:
        there, double = torch.ones(3, device="mps"), torch.ones(3, dtype=torch.float64)
        assert double.to(there).device == metal.device and there.cpu().double().dtype == torch.float64
        for wrong in (there.double, lambda: double.to("mps"), lambda: there.to("cpu", torch.float64)):
            with pytest.raises(DeviceError, match="float64"):
                wrong()
    assert torch.ones(3).device == CPU


def _bundled(stage: str) -> Use:
    def use(device: torch.device) -> dict[Side, HandMesh]:
        made = load_reconstructor("bundled", device=device, voxel_m=VOXEL_M, stage=stage)
        return made.reconstruct(FRAME, CAMERA, BOTH)

    return use


def _published(make: Callable[[], torch.nn.Module], **options: Any) -> Use:
    def use(device: torch.device) -> dict[Side, HandMesh]:
        made = PictureReconstructor(make(), device=device, voxel_m=VOXEL_M, **options)  # type: ignore[arg-type]
        return made.reconstruct(FRAME, CAMERA, BOTH)

    return use


def _in_a_batch(device: torch.device) -> dict[Side, HandMesh]:
    single = load_picture_reconstructor("bundled", device=device, voxel_m=VOXEL_M, stage="refined")
    assert single is not None
    with BatchReconstructor(single, batch=1, workers=0) as many:
        (made,) = many.reconstruct([(FRAME, CAMERA, BOTH)])
    assert isinstance(made, dict)
    return made


def _refined_keypoints(device: torch.device) -> list[np.ndarray]:
    network = bench_weights.shifting({("left", 4): (0.0, 0.0, -5.0)})
    result = KeypointRefiner(network, device=device).refine(FRAME, CAMERA, BOTH)
    assert result.refined == SIDES
    return [hand.positions for hand in result.hands.present()]


def _two_hands(device: torch.device) -> list[np.ndarray]:
    reading = TwoHandReader(TWO_HAND.load(device=device)).read(make_scene(3, 0).image())
    return [reading.hand_map.values, *(hand.pixels for hand in reading.hands)]


def _read(mediapipe: bool) -> Use:
    def use(device: torch.device) -> list[np.ndarray]:
        network = LandmarkNetwork(workers=1, reading=READING.load(), device=device)
        reader = network.mediapipe() if mediapipe else network
        image = make_scene(3, 0).image()
        crops = np.array([[40.0, 50.0, 60.0, 0.3], [60.0, 40.0, 45.0, -1.0], [50.0, 50.0, 90.0, 2.0]])
        parts = [Part(crops, side, mirrored) for side in (0, 1, -1) for mirrored in (False, True)]
        found = [value for readings in reader.read_parts(image, parts) for value in vars(readings).values()]
        pictures = np.random.default_rng(0).integers(0, 255, (2, 224, 224, 3), dtype=np.uint8)
        features = reader.features(pictures)
        network.close()
        return [*found, features]

    return use


def _found(device: torch.device) -> list[np.ndarray]:
    """Everything that a provider does with a picture."""
    finder = make_provider("network", device=str(device))
    frame = Frame(1, 0.0, make_scene(3, 0).image(), "shot.png")
    found = finder.detect(frame)
    finder.close()
    assert found and all(hand.lifted is not None for hand in found)
    return [value for hand in found for value in (hand.pixels / 100, hand.shape, hand.confidence)]


def _lifted(device: torch.device) -> list[np.ndarray]:
    reader = LandmarkNetwork(workers=1, reading=READING.load(device=device), device=device)
    lifter = HandLifter(LIFTING.load(device=device), TWO_HAND.load(device=device), reader)
    seen = []
    for hand in BOTH.present():
        shape = hand.positions - hand.positions.mean(0)
        seen.append(HandDetection(hand.side, hand.pixels, shape, hand.confidence, 0.9, "crops"))
    lifted = [hand.lifted for hand in lifter.lift(FRAME.image, seen)]
    reader.close()
    return [value for hand in lifted if hand for value in (hand.shape, hand.pixels, hand.spread)]


def _judged(device: torch.device) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    single, pairs = rng.normal(size=(4, 2, len(SINGLE_FEATURES))), rng.normal(size=(4, 4, len(PAIR_FEATURES)))
    verdict = PairJudge(PAIR_JUDGE.load(device=device))(single, pairs)
    return list(vars(verdict).values())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # faster for small tensors
    yield
    torch.set_num_threads(threads)


USES: dict[str, Use] = {
    "keypoints": _bundled("keypoints"),
    "initial": _bundled("initial"),
    "refined": _bundled("refined"),
    "refined in a batch": _in_a_batch,
    "published keypoints": _published(bench_weights.halo),
    "published initial": _published(bench_weights.initial),
    "published refined": _published(bench_weights.refined, refine=True),
    "keypoint refinement": _refined_keypoints,
    "two-hand network": _two_hands,
    "reading": _read(mediapipe=False),
    "MediaPipe's reading": _read(mediapipe=True),
    "a provider": _found,
    "lifting": _lifted,
    "pair judge": _judged,
}


# On the processor LiteRT computes these, on a device PyTorch: how close they are depends on the processor.
# Keypoints are pixels of pictures with palms of 20 pixels.
LOOSE = {"reading": 0.02, "MediaPipe's reading": 0.02, "a provider": 5e-3, "lifting": 2e-3}


@cache
def _on_the_processor(use: str) -> Any:
    return USES[use](CPU)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", DEVICES)
def test_a_network_gives_the_same_on_a_device(name: str, use: str) -> None:
    with pretended_device(name, bfloat16=True) as device:
        found = USES[use](device.device)
    assert sum(device.kernels.values()) > 10 and sum(device.waits.values()) > 0
    expected = _on_the_processor(use)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for side, mesh in expected.items():
            ways = (mesh, found[side]), (found[side], mesh)
            assert max(cKDTree(to.vertices).query(of.vertices)[0].max() for to, of in ways) < LIMIT_M
    else:
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, atol=LOOSE.get(use, 1e-4), rtol=1e-4)


def test_jobs_on_a_device_go_through_batches() -> None:
    options = ReconstructOptions(("a.png",), "take", batch="3")
    with pretended_device("cuda:0") as device:
        made = Components().batches(options, load_reconstructor("bundled", device=device.device, voxel_m=VOXEL_M))
        assert isinstance(made, BatchReconstructor) and made.size == 3
        made.close()
        alone = load_reconstructor("bundled", device=device.device, voxel_m=VOXEL_M, stage="keypoints")
        assert Components().batches(options, alone) is None
    here = load_reconstructor("bundled", device=CPU, voxel_m=VOXEL_M)
    assert Components().batches(options, here) is None


def test_arithmetic_follows_the_device_that_is_asked() -> None:
    card = torch.device("cuda:0")
    with pretended_device("cuda:0", bfloat16=True):
        assert pair_precision("fast", card) == torch.bfloat16 and pair_precision("exact", card) is None
        assert pair_precision("fast", torch.device("mps")) is None
    with pretended_device("cuda:0", capability=(7, 5)):  # T4, RTX 2060: bfloat16 would be emulated
        assert pair_precision("fast", card) is None
        before = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = True
        try:
            assert Components().device_name(ReconstructOptions(("a.png",), "take", device="cuda")) == "cuda"
            assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
        finally:
            torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(("count", "waits", "kernels"), [(1, 60, 4000), (8, 15, 800)])
def test_few_waits_and_kernels_a_frame(count: int, waits: int, kernels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of ``docs/gpu.md``, for a frame alone and for a batch of frames.

    All lattices are as much coarser as the finest one is coarser than 1.7 mm. So there are as many levels. As a call of
    the network takes as many points fewer as a surface has on these lattices, there are about as many calls, too.
    """
    voxel_m = 0.01
    coarser = voxel_m / 0.0017
    for owner, name, factor in (
        (hands, "ANCHOR_LATTICE", coarser), (hands, "_COARSEST", coarser), (hands, "_FEW", coarser**-2),
        (frames, "_QUERY_SHARE", coarser**-2),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, factor * getattr(owner, name))
    with pretended_device("cuda:0", bfloat16=True) as device:
        single = load_picture_reconstructor("bundled", device=device.device, voxel_m=voxel_m, stage="refined")
        assert single is not None
        with BatchReconstructor(single, batch=count, workers=0) as many:
            device.waits.clear(), device.kernels.clear()
            made = list(many.reconstruct([(FRAME, CAMERA, BOTH)] * count))
    assert all(isinstance(one, dict) for one in made) and len(made) == count
    assert device.waits.total() <= waits * count and device.kernels.total() <= kernels * count


TINY = {
    "steps": 2, "batch": 2, "held_out": 2, "log_every": 1, "checkpoint_every": 2, "validate_every": 2, "warmup": 0,
    "precision": "float32",
}  # fmt: skip
POINTS = 48


def _tiny() -> Configuration:
    sizes = compact(64, 16)
    anchors = AnchorSizes(reduced=16, width=32, counts=(48, 16), neighbours=8, final_layers=1)
    refined = replace(sizes.refined, anchors=anchors, attention=24, blocks=2, neighbours=4, anchor_count=96)
    return replace(sizes, refined=refined)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> SceneSet:
    return SceneSet(make_set(tmp_path_factory.mktemp("scenes") / "set", 6, 900))


@pytest.fixture(scope="module")
def start(scenes: SceneSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained initial network."""
    recipe = replace(initial_occupancy.COMPACT, **TINY)
    torch.manual_seed(1)
    initial_occupancy.InitialTask(_tiny(), recipe, scenes, None, CPU).save(tmp := tmp_path_factory.mktemp("start"), {})
    return tmp


def _invented(count: int) -> LiftingSamples:
    """Samples of the lifting network with random numbers."""
    rng, found = np.random.default_rng(count), {}
    widths = {
        "points": (21, POINT_FEATURES), "hand": (HAND_FEATURES,), "vector": (EMBEDDING,),
        "seen": (21, 3 * PYRAMID_CHANNELS), "close": (FEATURES,), "between": (3,), "shape": (21, 3), "places": (21, 2),
        "depth": (),
    }  # fmt: skip
    for field in fields(LiftingSamples):
        whole = np.arange(count) ^ 1 if field.name == "partner" else np.arange(count)
        found[field.name] = (
            rng.normal(size=(count, *widths[field.name])).astype(np.float32) if field.name in widths else whole
        )
    return LiftingSamples(**found)


Make = Callable[[SceneSet, Path, torch.device], Task[Any]]


def _on_scenes(task: type, recipe: Any, **changes: Any) -> Make:
    made = replace(recipe, **TINY, **changes)
    return lambda scenes, start, device: task(_tiny(), made, scenes, start, device)


def _on_sets(task: type, recipe: Any, **changes: Any) -> Make:
    made = replace(recipe, **TINY, **changes)
    return lambda scenes, start, device: task(made, [scenes], None, device)


TRAININGS: dict[str, Make] = {
    "initial": _on_scenes(initial_occupancy.InitialTask, initial_occupancy.COMPACT, points=POINTS),
    "aligned": _on_scenes(aligned_occupancy.AlignedTask, aligned_occupancy.COMPACT, points=POINTS),
    "refined": _on_scenes(
        refined_occupancy.RefinedTask, refined_occupancy.COMPACT, points=POINTS, penetration_points=8
    ),
    "keypoint refinement": _on_scenes(keypoint_refinement.KeypointTask, keypoint_refinement.COMPACT),
    "two-hand network": _on_sets(two_hand_network.TwoHandTask, two_hand_network.RECIPE),
    "reading network": _on_sets(reading_network.ReadingTask, reading_network.RECIPE, frozen_blocks=14),
    "lifting network": lambda _, __, device: lifting_network.LiftingTask(
        replace(lifting_network.RECIPE, **{**TINY, "batch": 8}), _invented(24), _invented(6), {}, None, device
    ),
}


def _trained(make: Make, scenes: SceneSet, start: Path, folder: Path, device: torch.device) -> dict[str, np.ndarray]:
    """Train a network for two steps; return its weights and the figures of the validation."""
    torch.manual_seed(1)
    task = make(scenes, start, device)
    runner = Runner(task, task.recipe, folder, device)  # type: ignore[attr-defined]
    figures = runner.run()
    weights = {name: value.detach().cpu().numpy() for name, value in task.model.state_dict().items()}
    return {**weights, **{name: np.array(value) for name, value in figures.items()}}


_trained_on_the_processor: dict[str, dict[str, np.ndarray]] = {}


@pytest.mark.parametrize("network", TRAININGS)
@pytest.mark.parametrize("name", DEVICES)
def test_a_network_learns_the_same_on_a_device(
    name: str, network: str, scenes: SceneSet, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (initial_occupancy, refined_occupancy):
        monkeypatch.setattr(module, "VALIDATION_POINTS", POINTS)
    make = TRAININGS[network]
    if network not in _trained_on_the_processor:
        _trained_on_the_processor[network] = _trained(make, scenes, start, tmp_path / "processor", CPU)
    with pretended_device(name) as device:
        found = _trained(make, scenes, start, tmp_path / "device", device.device)
    assert sum(device.kernels.values()) > 100
    expected = _trained_on_the_processor[network]
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=1e-3, rtol=1e-3, err_msg=key)


@pytest.mark.parametrize("name", DEVICES)
def test_the_part_networks_learn_the_same_on_a_device(name: str, tmp_path: Path) -> None:
    settings = TrainingSettings(steps=2, pool=8, pool_points=600, hands=4, points=64)
    data = make_points(settings.pool, settings.pool_points, 1)

    def trained(folder: str, device: torch.device) -> dict[str, np.ndarray]:
        (tmp_path / folder).mkdir()
        trainer = Trainer(settings, tmp_path / folder, data, device)
        trainer.run_block()
        trainer.save()
        decoder = trainer.model.cpu().plain()
        return {key: value.detach().numpy() for key, value in decoder.state_dict().items()}

    with pretended_device(name) as device:
        found = trained("device", device.device)
    for key, value in trained("processor", CPU).items():
        np.testing.assert_allclose(found[key], value, atol=1e-4, rtol=1e-3, err_msg=key)
