"""Reconstruction with the published networks: stages, single hands, hands outside the picture, choice of weights."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from fakes import hand_positions, picture, write_picture
from im2hands.app.cli.main import main
from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError, InputError, WeightsError
from im2hands.core.hands import HandKeypoints, Side, TwoHands
from im2hands.geometry.even_points import even_points
from im2hands.lab.bench import weights as bench_weights
from im2hands.lab.bench.scenes import scenes
from im2hands.lab.bench.surface_agreement import agreement
from im2hands.media.source import Frame
from im2hands.networks.chunks import Chunks
from im2hands.networks.refined_occupancy import RefinedOccupancy
from im2hands.networks.refinement_decoder import FoldedHands
from im2hands.surfaces import tracked_hand
from im2hands.surfaces.from_keypoints import HandMesh, Reconstructor
from im2hands.surfaces.from_picture import PictureReconstructor, load_picture_reconstructor
from im2hands.surfaces.hand_crop import crop_hands
from im2hands.surfaces.load import load_reconstructor
from im2hands.surfaces.refined_side import RefinedSide
from im2hands.weights.part_occupancy import FILE, load_part_occupancy, save_part_occupancy

CPU = torch.device("cpu")
ANCHORS = 512
CAMERA = Camera.from_fov(50, 320, 240)
FRAME = Frame(1, 0.0, picture(320, 240), "shot.png")
VOXEL = 0.005
OPTIONS = {"device": CPU, "voxel_m": VOXEL}


def _hand(side: Side) -> HandKeypoints:
    return HandKeypoints(side, hand_positions(side), np.zeros((21, 2)), np.ones(21), 1.0, "test")


BOTH = TwoHands(_hand("left"), _hand("right"))
LEFT = TwoHands(left=_hand("left"))


def _reconstruct(network: torch.nn.Module, hands: TwoHands = BOTH, **options: object) -> dict[Side, HandMesh]:
    return PictureReconstructor(network, **OPTIONS, **options).reconstruct(FRAME, CAMERA, hands)  # type: ignore[arg-type]


def _distance(a: HandMesh, b: HandMesh) -> float:
    """Mean distance from the vertices of each mesh to those of the other, metres; both use the same lattice."""
    ways = ((a, b), (b, a))
    return float(np.mean([cKDTree(to.vertices).query(of.vertices)[0].mean() for of, to in ways]))


def _volume(mesh: HandMesh) -> float:
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight
    return float(solid.volume)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> dict[Side, HandMesh]:
    """Hands of the decoders of ``bench_weights``, from keypoints alone, with their reach."""
    folder = tmp_path_factory.mktemp("parts")
    save_part_occupancy(*load_part_occupancy(Path(bench_weights.__file__).parent / FILE), folder, {})
    return load_reconstructor(folder, **OPTIONS, stage="keypoints").reconstruct(FRAME, CAMERA, BOTH)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def refined_network() -> RefinedOccupancy:
    return bench_weights.refined()


@pytest.fixture(scope="module")
def refined(refined_network: RefinedOccupancy) -> dict[Side, HandMesh]:
    return _reconstruct(refined_network, refine=True)


@pytest.fixture(scope="module")
def initial(refined_network: RefinedOccupancy) -> dict[Side, HandMesh]:
    return _reconstruct(refined_network)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, refined_network: RefinedOccupancy) -> Iterator[Path]:
    """Folders of imported weights: halo, initial, refined."""
    folder = tmp_path_factory.mktemp("weights")
    bench_weights.save("halo_baseline", bench_weights.halo().published_state_dict(), folder / "halo")
    bench_weights.save("initial_occupancy", refined_network.init_occ.state_dict(), folder / "initial")
    bench_weights.save("refined_occupancy", refined_network.state_dict(), folder / "refined")
    yield folder
    shutil.rmtree(folder)  # hundreds of megabytes


def test_the_initial_stage_gives_the_hands_of_its_decoders(bundled, initial) -> None:
    for side, mesh in bundled.items():
        assert initial[side].vertices.dtype == np.float32 and initial[side].faces.dtype == np.int32
        assert np.array_equal(initial[side].bone_lengths, mesh.bone_lengths)
        assert _distance(initial[side], mesh) < 0.0006  # not 0: the bundled weights cut the forearm off
        assert _volume(initial[side]) == pytest.approx(_volume(mesh), rel=0.08)


def test_the_refined_stage_follows_its_head(bundled, initial, refined) -> None:
    for side, mesh in initial.items():
        assert _distance(refined[side], mesh) < 0.0004
        assert _distance(refined[side], bundled[side]) < 0.001
        assert _volume(refined[side]) == pytest.approx(_volume(mesh), rel=0.05)


def test_the_refined_surface_is_the_refined_networks(refined) -> None:
    # The bias moves the surface to where the initial occupancy is 0.89, about two millimetres further in.
    smaller = _reconstruct(bench_weights.refined(bias=-8.0), refine=True)
    for side, mesh in refined.items():
        assert _volume(smaller[side]) < 0.97 * _volume(mesh)


def test_halo_needs_no_picture(initial) -> None:
    meshes = PictureReconstructor(bench_weights.halo(), device=CPU, voxel_m=VOXEL).reconstruct(None, CAMERA, BOTH)
    for side, mesh in initial.items():
        assert _distance(meshes[side], mesh) < 1e-5


def test_one_encoding_a_frame_and_the_same_bytes(refined_network, refined, monkeypatch) -> None:
    calls = []
    for encoder in (refined_network.image_encoder, refined_network.init_occ.image_encoder):
        seen = encoder.seen
        monkeypatch.setattr(encoder, "seen", lambda image, how, run=seen: calls.append(image.shape) or run(image, how))
    again = _reconstruct(refined_network, refine=True)
    assert calls == [(1, 3, 256, 256)] * 2
    assert all(again[side].vertices.tobytes() == refined[side].vertices.tobytes() for side in refined)


def test_one_hand_is_not_refined(refined_network, caplog) -> None:
    with caplog.at_level(logging.INFO, "im2hands"):
        alone = _reconstruct(refined_network, LEFT, refine=True)
    assert "shot.png: only the left hand is there; its surface is not refined" in caplog.text
    assert np.array_equal(alone["left"].vertices, _reconstruct(refined_network, LEFT)["left"].vertices)


def test_the_network_is_shown_the_crop_and_anchors_of_its_side(refined_network, monkeypatch) -> None:
    shown = []
    hands = refined_network.hands
    monkeypatch.setattr(refined_network, "hands", lambda *given: shown.append(given[:4]) or hands(*given))
    _reconstruct(refined_network, refine=True)
    [(_, bones, view, anchors)] = shown
    crop = crop_hands(FRAME, CAMERA, BOTH)
    assert np.allclose(view.intrinsics[0].numpy(), crop.camera.matrix)
    assert torch.equal(view.rotation[0], torch.eye(3)) and not view.translation.any()
    for hand in BOTH.present():
        assert np.allclose((bones[hand.side].wrist * bones[hand.side].mirror)[0], hand.positions[0])
        points = anchors[hand.side][0].numpy()
        assert points.shape == (ANCHORS, 3) and cKDTree(points).query(hand.positions)[0].max() < 0.025
        pixels = crop.camera.project(points)
        assert (pixels > 0).all() and (pixels < 255).all()


SCENES = scenes()


@pytest.fixture(scope="module")
def attentive_network() -> RefinedOccupancy:
    """A network whose attention to the anchors changes the logit by about 1 near the surface."""
    return bench_weights.refined(bias=0.8, attention=1.0)


def _agree(fast: dict[Side, HandMesh], exact: dict[Side, HandMesh]) -> None:
    for side, mesh in exact.items():
        found = agreement(fast[side].vertices, fast[side].faces, mesh.vertices, mesh.faces)
        assert found.iou >= 0.999 and found.hausdorff <= 0.0002, (side, found)


@pytest.mark.parametrize("scene", SCENES)
def test_the_fast_surface_is_the_exact_one(attentive_network, scene, monkeypatch) -> None:
    # Use bfloat16 even if this processor has no hardware for it.
    monkeypatch.setattr("im2hands.surfaces.from_picture.pair_precision", _bfloat16_if_fast)
    hands = SCENES[scene]
    options = {"device": CPU, "voxel_m": 0.004, "refine": True}
    fast, exact = (
        PictureReconstructor(attentive_network, **options, precision=precision).reconstruct(FRAME, CAMERA, hands)
        for precision in ("fast", "exact")
    )
    _agree(fast, exact)
    assert not np.array_equal(fast["left"].vertices, exact["left"].vertices)


def _bfloat16_if_fast(precision: str, device: torch.device) -> torch.dtype | None:
    return torch.bfloat16 if precision == "fast" else None


def test_the_fast_surface_is_that_of_the_dense_lattice(attentive_network) -> None:
    options = {"device": CPU, "voxel_m": 0.007, "refine": True}
    fast = PictureReconstructor(attentive_network, **options)
    dense = PictureReconstructor(attentive_network, **options, precision="exact", dense=True)
    _agree(*(made.reconstruct(FRAME, CAMERA, SCENES["touching"]) for made in (fast, dense)))
    queries = [made.costs.stages["refined surface"].queries for made in (fast, dense)]
    assert queries[0] < 0.2 * queries[1]


def test_a_device_with_little_memory(refined_network, refined, monkeypatch, caplog) -> None:
    logits = FoldedHands.logits

    def limited(hands: FoldedHands, positions: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        if positions.shape[1] > 700:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return logits(hands, positions, extra)

    monkeypatch.setattr(FoldedHands, "logits", limited)
    monkeypatch.setattr(refined_network, "chunks", Chunks())
    with caplog.at_level(logging.WARNING, "im2hands"):
        meshes = _reconstruct(refined_network, refine=True)
    assert "too many for this device's memory; trying" in caplog.text
    for side, mesh in refined.items():
        assert np.abs(meshes[side].vertices - mesh.vertices).max() < 1e-5


@pytest.mark.parametrize("scene", ["touching", "closed fingers"])
def test_walking_gives_the_dense_lattice(scene) -> None:
    options = {"device": CPU, "voxel_m": 0.004}
    walked, dense = (
        PictureReconstructor(bench_weights.halo(), **options, dense=dense).reconstruct(None, CAMERA, SCENES[scene])
        for dense in (False, True)
    )
    for side, mesh in dense.items():
        assert walked[side].faces.shape == mesh.faces.shape
        assert cKDTree(walked[side].vertices).query(mesh.vertices)[0].max() < 1e-6


def test_frames_that_cannot_be_made(refined_network) -> None:
    reconstructor = PictureReconstructor(refined_network, device=CPU, voxel_m=VOXEL, refine=True)
    assert reconstructor.reconstruct(FRAME, CAMERA, TwoHands()) == {}
    with pytest.raises(FrameError, match="need the picture"):
        reconstructor.reconstruct(None, CAMERA, BOTH)
    far = HandKeypoints(
        "right", hand_positions("right") + np.array([2, 0, 0]), np.zeros((21, 2)), np.ones(21), 1.0, "test"
    )
    with pytest.raises(FrameError, match="right hand lies outside the picture"):
        reconstructor.reconstruct(FRAME, CAMERA, TwoHands(_hand("left"), far))
    own = load_reconstructor("bundled", **OPTIONS, stage="keypoints")  # type: ignore[arg-type]
    assert isinstance(own, Reconstructor)
    helped = PictureReconstructor(refined_network, device=CPU, voxel_m=VOXEL, refine=True, fallback=own)
    hands = TwoHands(_hand("left"), far)
    made, alone = helped.reconstruct(FRAME, CAMERA, hands), own.reconstruct(None, CAMERA, hands)
    assert all(np.array_equal(made[side].vertices, alone[side].vertices) for side in ("left", "right"))
    nowhere = HandKeypoints("left", np.full((21, 3), np.nan), np.zeros((21, 2)), np.ones(21), 1.0, "test")
    with pytest.raises(FrameError, match="do not make a hand"):
        reconstructor.reconstruct(FRAME, CAMERA, TwoHands(left=nowhere))
    for keypoint, bone in ((8, "bone index 3"), (2, "bone thumb 1"), (17, "do not make a hand")):
        short = hand_positions("left")
        short[keypoint] = short[keypoint - 1 if keypoint != 17 else 0]
        stub = TwoHands(HandKeypoints("left", short, np.zeros((21, 2)), np.ones(21), 1.0, "test"), _hand("right"))
        for refusing in (reconstructor, helped, own):
            with pytest.raises(FrameError, match=bone):
                refusing.reconstruct(FRAME, CAMERA, stub)
    with pytest.raises(InputError, match="voxel"):
        PictureReconstructor(refined_network, device=CPU, voxel_m=0.0)


def test_a_picture_smaller_than_the_networks_input(refined_network, refined) -> None:
    camera = Camera.from_fov(50, 100, 75)
    frame = Frame(1, 0.0, picture(100, 75), "thumbnail.png")
    assert crop_hands(frame, camera, BOTH).image.shape == (256, 256, 3)
    reconstructor = PictureReconstructor(refined_network, device=CPU, voxel_m=VOXEL, refine=True)
    meshes = reconstructor.reconstruct(frame, camera, BOTH)
    for side, mesh in refined.items():  # these weights ignore the picture
        assert _distance(meshes[side], mesh) < 1e-4


def test_anchors_cover_the_surface_evenly(initial) -> None:
    mesh = initial["left"]
    points = even_points(mesh.vertices, mesh.faces, ANCHORS)
    assert points.shape == (ANCHORS, 3)
    assert np.array_equal(points, even_points(mesh.vertices, mesh.faces, ANCHORS))
    assert cKDTree(mesh.vertices).query(points)[0].max() < VOXEL
    apart = cKDTree(points).query(points, k=2)[0][:, 1]
    assert apart.min() > 0.003 and cKDTree(points).query(mesh.vertices)[0].max() < 0.012


def _renamed(folder: Path, other: Path) -> Path:
    """A folder that holds the initial network under the refined one's name."""
    other.mkdir()
    for suffix in (".json", ".safetensors"):
        (other / f"refined_occupancy{suffix}").symlink_to(folder / f"initial_occupancy{suffix}")
    return other


@pytest.mark.parametrize(
    ("weights", "stage", "network", "done"),
    [
        ("halo", None, "halo_baseline", "keypoints"),
        ("halo", "keypoints", "halo_baseline", "keypoints"),
        ("initial", None, "initial_occupancy", "initial"),
        ("initial", "initial", "initial_occupancy", "initial"),
        ("refined", "initial", "refined_occupancy", "initial"),
    ],
)
def test_the_weights_decide(folders, initial, weights, stage, network, done) -> None:
    loaded = load_reconstructor(folders / weights, **OPTIONS, stage=stage)
    assert isinstance(loaded, PictureReconstructor)
    sha256 = json.loads((folders / weights / f"{network}.json").read_text())["sha256"]
    assert loaded.provenance == {"weights": {network: sha256}, "stage": done}
    if weights != "halo":
        mesh = loaded.reconstruct(FRAME, CAMERA, BOTH)["left"]
        assert np.array_equal(mesh.vertices, initial["left"].vertices)


def test_weights_that_lack_the_stage(folders, tmp_path) -> None:
    own = load_reconstructor("bundled", **OPTIONS, stage="keypoints")
    assert isinstance(own, Reconstructor) and own.provenance["stage"] == "keypoints"
    best = load_reconstructor("bundled", **OPTIONS)
    assert isinstance(best, PictureReconstructor) and best.provenance["stage"] == "refined"
    with pytest.raises(WeightsError, match="needs no picture"):
        load_reconstructor(folders / "initial", **OPTIONS, stage="keypoints")
    for weights in (folders / "halo", folders / "initial"):
        with pytest.raises(WeightsError, match="hold no refinement network"):
            load_reconstructor(weights, **OPTIONS, stage="refined")
    with pytest.raises(WeightsError, match="of initial_occupancy, not of refined_occupancy"):
        load_reconstructor(_renamed(folders / "initial", tmp_path / "renamed"), **OPTIONS, stage="refined")
    with pytest.raises(WeightsError, match="part_occupancy are missing"):
        load_reconstructor(tmp_path, **OPTIONS)
    with pytest.raises(InputError, match="voxel"):
        load_reconstructor(folders / "halo", device=CPU, voxel_m=0.5)
    (tmp_path / "initial_occupancy.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="initial_occupancy"):
        load_reconstructor(tmp_path, **OPTIONS)


def test_the_command_line_refines(folders, refined, tmp_path, capsys) -> None:
    write_picture(tmp_path / "shot_0001.png", FRAME.image)
    rows = {side: hand_positions(side).tolist() for side in ("left", "right")}
    content = {"order": "file", "unit": "m", "space": "camera", "frames": {"000001": rows}}
    (tmp_path / "keypoints.json").write_text(json.dumps(content), encoding="utf-8")
    arguments = [str(tmp_path / "shot_0001.png"), "-o", str(tmp_path / "take"), "--fov", "50", "--voxel-mm", "5"]
    arguments += ["--keypoints", str(tmp_path / "keypoints.json"), "--device", "cpu"]
    # All three published networks in one process; the keypoint refinement network returns its input.
    bench_weights.save("keypoint_refinement", bench_weights.shifting({}).state_dict(), folders / "refined")
    assert main(["reconstruct", *arguments, "--weights", str(folders / "refined"), "--stage", "refined"]) == 0
    header = json.loads((tmp_path / "take" / "take.json").read_text(encoding="utf-8"))
    assert set(header["provenance"]["weights"]) == {"refined_occupancy", "keypoint_refinement"}
    assert {hand["keypoints"] for hand in header["frames"][0]["hands"].values()} == {"refined"}
    with np.load(next((tmp_path / "take").rglob("*000001*.npz"))) as arrays:
        assert np.abs(arrays["left_vertices"] - refined["left"].vertices).max() < 1e-5


def test_the_bundled_networks_refine_a_photo() -> None:
    """Both stages with the bundled weights: closed meshes around the keypoints, and each stage its own mesh."""
    from im2hands.weights.folder import BUNDLED, list_weights

    assert {"image_encoder", "refined_occupancy", "aligned_occupancy"} <= {w.name for w in list_weights(BUNDLED)}
    own = load_reconstructor("bundled", **OPTIONS, stage="keypoints").reconstruct(FRAME, CAMERA, BOTH)  # type: ignore[arg-type]
    for stage in ("initial", "refined"):
        loaded = load_reconstructor("bundled", **OPTIONS, stage=stage)  # type: ignore[arg-type]
        assert isinstance(loaded, PictureReconstructor) and loaded.provenance["stage"] == stage
        assert {"image_encoder", "refined_occupancy", "part_occupancy"} == set(loaded.provenance["weights"])
        for side, mesh in loaded.reconstruct(FRAME, CAMERA, BOTH).items():
            assert 1e-4 < _volume(mesh) < 8e-4
            assert 1e-5 < _distance(mesh, own[side]) < 0.004


def test_answers_of_the_anchors_between_lattice_points_change_no_surface(monkeypatch) -> None:
    fast, exact = (load_reconstructor("bundled", device=CPU, voxel_m=0.0017, stage="refined") for _ in range(2))
    asked: list[int] = []
    told = RefinedSide.told
    monkeypatch.setattr(RefinedSide, "told", lambda side, points: asked.append(len(points)) or told(side, points))
    meshes = fast.reconstruct(FRAME, CAMERA, SCENES["touching"])
    assert 0 < sum(asked) < 0.5 * fast.costs.stages["refined surface"].queries
    monkeypatch.setattr(tracked_hand, "TOLD_LATTICE", 0.001)
    asked.clear()
    for side, mesh in exact.reconstruct(FRAME, CAMERA, SCENES["touching"]).items():
        found = agreement(meshes[side].vertices, meshes[side].faces, mesh.vertices, mesh.faces)
        assert found.iou >= 0.9999 and found.hausdorff <= 0.00003, (side, found)
    assert not asked


def test_published_networks_keep_the_thickness_of_their_own_hands() -> None:
    thick = [HandKeypoints("left", hand_positions("left"), np.zeros((21, 2)), np.ones(21), 1.0, "test", 1.1)]
    own = load_picture_reconstructor("bundled", **OPTIONS, stage="initial")  # type: ignore[arg-type]
    assert isinstance(own, PictureReconstructor)
    published = PictureReconstructor(bench_weights.initial(), **OPTIONS)  # type: ignore[arg-type]
    assert own.bones_of(thick)[2].thickness is not None and published.bones_of(thick)[2].thickness is None
