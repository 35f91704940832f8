"""The clean phase on whole takes: template.npz, motion.npz, template vertices, damaged takes, resuming."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from im2hands.animation.clean_options import VERSION, CleanOptions
from im2hands.animation.motion.quaternions import to_matrices
from im2hands.animation.template.rig import skin
from im2hands.animation.template.take_templates import TakeTemplates
from im2hands.app.cli import main as cli
from im2hands.core.errors import Cancelled, InputError, TakeError
from im2hands.core.hands import SIDES, Side
from im2hands.geometry.normals import vertex_normals
from im2hands.geometry.surface_target import SurfaceTarget
from im2hands.job.clean_phase import CleanPhase
from im2hands.lab.bench.motion_figures import jitter
from im2hands.lab.bench.simulated_clips import Clip, Noise
from im2hands.take.record import FrameRecord
from im2hands.take.sequence import is_sequence
from im2hands.take.take import Take
from simulated_takes import header, simulate, write_take

COARSE = CleanOptions(template_density=0)
FRAMES = 8


@pytest.fixture(scope="module")
def clip() -> Clip:
    clip = simulate(FRAMES, seed=12, noise=Noise(white=0.0005, slow=0.0005, depth=0.001))
    clip.seen["left"][3] = np.nan
    return clip


@pytest.fixture(scope="module")
def cleaned(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cleaned take. Frame 4 has only the right hand, and frame 6 is missing."""
    folder = tmp_path_factory.mktemp("cleaned") / "take"
    take = write_take(folder, clip, indices=[1, 2, 3, 4, 5, 7, 8])
    clean(take)
    return folder


def clean(take: Take, options: CleanOptions = COARSE) -> dict[str, Any]:
    return CleanPhase(take, options, lambda work: work(), lambda done, total: None).run()


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def posed(template: dict[str, np.ndarray], motion: dict[str, np.ndarray], side: Side, row: int, raw: str) -> np.ndarray:
    """Skin the template of one frame from the documented arrays alone, as other readers do; (T, 3) metres."""
    heads, axes = template[f"{side}_rest_heads"].astype(float), template[f"{side}_rest_axes"].astype(float)
    rotations = to_matrices(motion[f"{side}_rotations{raw}"][row].astype(float))
    root_turn = to_matrices(motion[f"{side}_root_rotation{raw}"][row].astype(float))
    root = motion[f"{side}_root{raw}"][row].astype(float)
    matrices = np.empty((len(heads), 3, 4))
    for bone, parent in enumerate(template["bone_parents"]):
        own = axes[bone] @ rotations[bone] @ axes[bone].T
        local = np.concatenate([own, (heads[bone] - own @ heads[bone])[:, None]], axis=1)
        before = matrices[parent] if parent >= 0 else np.concatenate([root_turn, root[:, None]], axis=1)
        matrices[bone, :, :3] = before[:, :3] @ local[:, :3]
        matrices[bone, :, 3] = before[:, :3] @ local[:, 3] + before[:, 3]
    weights = template["weights"].astype(float)
    offset = motion[f"{side}_offset_mean"].astype(float)
    offset = offset + np.einsum("k,ktc->tc", motion[f"{side}_offset_weights{raw}"][row], motion[f"{side}_offset_basis"])
    vertices = template[f"{side}_rest_vertices"].astype(float) + offset
    return skin(weights / weights.sum(axis=1, keepdims=True), matrices, vertices)


def test_arrays_are_as_documented(cleaned: Path) -> None:
    template, motion = arrays_of(cleaned / "template.npz"), arrays_of(cleaned / "motion.npz")
    count, bones = template["weights"].shape
    assert template["faces"].dtype == np.int32
    assert template["uv"].shape == (len(template["faces"]), 4, 2)
    assert template["weights"].dtype == np.float16
    assert len(template["bone_names"]) == len(template["bone_parents"]) == bones == 21
    assert motion["frames"].tolist() == list(range(1, 9))
    assert motion["fps"].shape == ()
    assert float(motion["fps"]) == 25.0
    for side in SIDES:
        assert template[f"{side}_rest_vertices"].shape == (count, 3)
        assert template[f"{side}_rest_axes"].shape == (bones, 3, 3)
        shapes = len(motion[f"{side}_offset_basis"])
        assert 1 <= shapes <= 16
        expected = {
            "status": (8,), "rotations": (8, bones, 4), "rotations_raw": (8, bones, 4), "root": (8, 3),
            "root_raw": (8, 3), "root_rotation": (8, 4), "root_rotation_raw": (8, 4), "keypoints": (8, 21, 3),
            "keypoints_raw": (8, 21, 3), "offset_mean": (count, 3), "offset_basis": (shapes, count, 3),
            "offset_weights": (8, shapes), "offset_weights_raw": (8, shapes),
        }  # fmt: skip
        for name, shape in expected.items():
            assert motion[f"{side}_{name}"].shape == shape
            assert motion[f"{side}_{name}"].dtype == (np.uint8 if name == "status" else np.float32)
    assert motion["left_status"].tolist() == [1, 1, 1, 2, 1, 2, 1, 1]
    assert motion["right_status"].tolist() == [1, 1, 1, 1, 1, 2, 1, 1]
    assert np.isnan(motion["left_rotations_raw"][3]).all()
    assert np.isfinite(motion["left_rotations"]).all()
    header = json.loads((cleaned / "take.json").read_text())["clean"]
    assert header["version"] == VERSION
    assert header["hands"] == ["left", "right"]
    assert header["settings"] == {"smoothing": 0.5, "gap": 12, "template_density": 0}
    assert header["key"] == str(motion["key"])
    assert Take.open(cleaned).records[4].hands["right"]["status"] == "observed"


def test_old_readers_read_it(cleaned: Path) -> None:
    hands = Take.open(cleaned).read_frame(4)
    assert set(hands) == {"right"}
    assert {"vertices", "faces", "keypoints", "template_vertices"} <= set(hands["right"])


def test_skinning_gives_the_template_vertices(cleaned: Path) -> None:
    template, motion, take = arrays_of(cleaned / "template.npz"), arrays_of(cleaned / "motion.npz"), Take.open(cleaned)
    for index in (1, 5, 8):
        for side, arrays in take.read_arrays(index, ("template_vertices",)).items():
            own = posed(template, motion, side, index - 1, "_raw")
            # There are fewer frames than shapes, so only vertices where skinning folds the skin are inexact.
            away = np.linalg.norm(own - arrays["template_vertices"], axis=1)
            assert np.percentile(away, 99) < 5e-5


def test_templates_lie_on_the_surfaces_and_clean_hands_near_the_truth(cleaned: Path, clip: Clip) -> None:
    template, motion, take = arrays_of(cleaned / "template.npz"), arrays_of(cleaned / "motion.npz"), Take.open(cleaned)
    lid = np.concatenate([template["lid"], template["rim"]])
    skin_of_hand = np.setdiff1d(np.arange(len(template["weights"])), lid)
    for index in (1, 7):
        for side, hand in take.read_frame(index).items():
            away = np.abs(SurfaceTarget(hand["vertices"], hand["faces"]).signed_distance(hand["template_vertices"]))
            assert away[skin_of_hand].mean() < 0.0003
            assert np.percentile(away[skin_of_hand], 95) < 0.001
            true = SurfaceTarget(clip.vertices[side][index - 1], clip.faces[side])
            clean_hand = posed(template, motion, side, index - 1, "")
            assert np.abs(true.signed_distance(clean_hand))[skin_of_hand].mean() < 0.0012
    # The missing frame is filled.
    filled = posed(template, motion, "right", 5, "")
    assert np.abs(SurfaceTarget(clip.vertices["right"][5], clip.faces["right"]).signed_distance(filled)).mean() < 0.003


def test_templates_are_steadier_than_surfaces_that_flicker(tmp_path: Path) -> None:
    clip = simulate(FRAMES, seed=12, noise=Noise(0, 0, 0, 0))
    swelling = np.random.default_rng(4).normal(0, 0.0004, FRAMES)
    for k, by in enumerate(swelling):
        vertices = clip.vertices["right"][k]
        clip.vertices["right"][k] = vertices + by * vertex_normals(vertices, clip.faces["right"])
    flicker = {}
    for name, source in (("clip", {}), ("pictures", {"kind": "images", "files": ("a.jpg", "hand.jpg", "z.png")})):
        take = write_take(tmp_path / name, clip, ("right",), **source)
        clean(take)
        frames = [take.read_arrays(index, ("template_vertices",))["right"] for index in take.records]
        flicker[name] = jitter(np.array([arrays["template_vertices"] for arrays in frames]))
    surface = jitter(np.array(clip.vertices["right"]))
    assert flicker["clip"] < 0.5 * surface
    # Unrelated pictures are not smoothed over time.
    assert flicker["pictures"] > 0.8 * surface


def test_again_is_the_same_and_quick(cleaned: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(cleaned, tmp_path / "take")
    before = {path.name: path.read_bytes() for path in copy.rglob("*.*")}
    work: list[int] = []

    def counted(step: Callable[[], Any]) -> Any:
        work.append(1)
        return step()

    CleanPhase(Take.open(copy), COARSE, counted, lambda done, total: None).run()
    assert len(work) == 1  # only the keypoints are read
    assert {path.name: path.read_bytes() for path in copy.rglob("*.*")} == before


def test_other_settings_keep_templates_and_shape(
    cleaned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is computed again, which is what takes long; and the bytes are those of a shape measured anew."""
    copy = shutil.copytree(cleaned, tmp_path / "take")
    written: list[int] = []
    measured: list[int] = []
    measure = TakeTemplates.measure
    monkeypatch.setattr(TakeTemplates, "measure", lambda *given: (measured.append(1), measure(*given)))
    add = Take.add_arrays
    monkeypatch.setattr(
        Take, "add_arrays", lambda self, index, arrays: (written.append(index), add(self, index, arrays))
    )
    clean(Take.open(copy), CleanOptions(smoothing=0.0, gap=0, template_density=0))
    assert written == measured == []
    motion = arrays_of(copy / "motion.npz")
    assert motion["left_status"].tolist() == [1, 1, 1, 0, 1, 0, 1, 1]
    assert np.allclose(motion["right_keypoints_raw"][6], motion["right_keypoints"][6], atol=0.006)
    clean(Take.open(copy))
    assert (copy / "motion.npz").read_bytes() == (cleaned / "motion.npz").read_bytes()
    (copy / "motion.npz").unlink()
    (copy / "cache/shape.npz").write_bytes(b"damaged")
    clean(Take.open(copy))
    assert written == [] and measured == [1]
    assert (copy / "motion.npz").read_bytes() == (cleaned / "motion.npz").read_bytes()


def test_mirrored_takes_are_cleaned_for_themselves(cleaned: Path, tmp_path: Path) -> None:
    """The result depends on whether pixels belong to mirror images, because the choice of doubtful frames does."""
    take = Take.open(shutil.copytree(cleaned, tmp_path / "take"))
    before = take.header["clean"]["key"]
    take.header["settings"]["mirrored"] = True
    assert clean(take)["key"] != before


def test_stopped_and_gone_on_with(clip: Clip, cleaned: Path, tmp_path: Path) -> None:
    take = write_take(tmp_path / "take", clip, indices=[1, 2, 3, 4, 5, 7, 8])
    calls: list[int] = []

    def stopping(step: Callable[[], Any]) -> Any:
        calls.append(1)
        if sum(facts.get("template") is not None for r in take.frames() for facts in r.hands.values()) >= 5:
            raise Cancelled("Stopped.")
        return step()

    with pytest.raises(Cancelled):
        CleanPhase(take, COARSE, stopping, lambda done, total: None).run()
    again = Take.open(tmp_path / "take")
    assert "clean" not in again.header
    assert sum("template" in facts for record in again.frames() for facts in record.hands.values()) >= 5
    assert (tmp_path / "take/frames.jsonl").exists()
    clean(again)
    assert not (tmp_path / "take/frames.jsonl").exists()
    assert (tmp_path / "take/motion.npz").read_bytes() == (cleaned / "motion.npz").read_bytes()
    for record in again.frames():
        assert (again.folder / record.file).read_bytes() == (cleaned / record.file).read_bytes()


@pytest.mark.parametrize("sides", [("left",), ("right",)])
def test_one_hand_only(clip: Clip, tmp_path: Path, sides: tuple[Side, ...]) -> None:
    take = write_take(tmp_path / "take", clip, sides, indices=[1, 2])
    assert clean(take)["hands"] == list(sides)
    motion = arrays_of(tmp_path / "take/motion.npz")
    assert f"{sides[0]}_rotations" in motion
    assert not any(name.startswith("left" if sides == ("right",) else "right") for name in motion)


@pytest.mark.parametrize("cores", [1, 5])
def test_bytes_do_not_depend_on_the_cores(
    clip: Clip, cleaned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    for module in ("job.clean_phase", "animation.template.take_templates"):
        monkeypatch.setattr(f"im2hands.{module}.granted_cores", lambda: cores)
    clean(write_take(tmp_path / "take", clip, indices=[1, 2, 3, 4, 5, 7, 8]))
    for path in sorted(cleaned.rglob("*.npz")):
        assert (tmp_path / "take" / path.relative_to(cleaned)).read_bytes() == path.read_bytes(), path


def test_one_frame(clip: Clip, tmp_path: Path) -> None:
    take = write_take(tmp_path / "take", clip, indices=[5])
    clean(take)
    template, motion = arrays_of(tmp_path / "take/template.npz"), arrays_of(tmp_path / "take/motion.npz")
    assert motion["frames"].tolist() == [5]
    assert motion["right_offset_basis"].shape[0] == 0
    vertices = take.read_arrays(5, ("template_vertices",))["right"]["template_vertices"]
    assert np.percentile(np.linalg.norm(posed(template, motion, "right", 0, "") - vertices, axis=1), 99) < 5e-5


def test_take_without_hands(clip: Clip, tmp_path: Path) -> None:
    take = Take.create(tmp_path / "take", header(clip.camera))
    assert clean(take)["hands"] == []
    take.write_frame(FrameRecord(1, "empty"), None)
    take.write_frame(FrameRecord(2, "failed", message="no"), None)
    assert clean(take)["hands"] == []
    assert not (tmp_path / "take/motion.npz").exists()


def test_bones_of_zero_length(clip: Clip, tmp_path: Path) -> None:
    broken = Clip(clip.truth, {s: p.copy() for s, p in clip.seen.items()}, clip.vertices, clip.faces, clip.camera, 25.0)
    broken.seen["right"][:, 12] = broken.seen["right"][:, 11]  # the middle finger's last bone has no length anywhere
    broken.seen["right"][1] = broken.seen["right"][1, 0]  # all keypoints of one frame are one point
    take = write_take(tmp_path / "take", broken, ("right",), indices=[1, 2, 3])
    clean(take)
    motion = arrays_of(tmp_path / "take/motion.npz")
    assert np.isfinite(motion["right_rotations"][[0, 2]]).all()
    assert np.isfinite(arrays_of(tmp_path / "take/template.npz")["right_rest_vertices"]).all()


def test_damaged_frames_are_named(clip: Clip, tmp_path: Path) -> None:
    take = write_take(tmp_path / "take", clip, ("right",), indices=[1, 2])
    (tmp_path / "take/frames/000002.npz").write_bytes(b"no")
    with pytest.raises(TakeError, match="000002"):
        clean(take)


def test_options_are_checked() -> None:
    for wrong in ({"smoothing": 2.0}, {"gap": -1}, {"template_density": 7}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            CleanOptions(**wrong)  # type: ignore[arg-type]


def test_sequences() -> None:
    def images(*files: str) -> dict[str, Any]:
        return {"source": {"kind": "images", "files": list(files)}}

    assert is_sequence({"source": {"kind": "video", "files": ["a.mp4"]}})
    assert is_sequence(images("/a/shot_0001.png", "/a/shot_0002.png"))
    assert not is_sequence(images("/a/shot_0001.png", "/b/shot_0002.png"))
    assert not is_sequence(images("/a/me.png", "/a/you.png"))
    assert not is_sequence(images("/a/shot_0001.png"))
    assert not is_sequence(images("/a/IMG_20240101.png", "/a/IMG_20240102.png"))  # dates
    assert not is_sequence(images("/a/take1_shot_0001.png", "/a/take2_shot_0002.png"))


def test_command_line(cleaned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = shutil.copytree(cleaned, tmp_path / "take")
    assert cli.main(["clean", str(copy), "--smoothing", "0.2", "--gap", "3", "--template-density", "0"]) == 0
    assert "8 frames" not in capsys.readouterr().err
    assert Take.open(copy).header["clean"]["settings"]["smoothing"] == 0.2
    (copy / "frames.jsonl").write_text("left over\n")
    assert cli.main(["clean", str(copy), "--smoothing", "0.2", "--gap", "3", "--template-density", "0"]) == 0
    assert not (copy / "frames.jsonl").exists()
    assert cli.main(["clean", str(tmp_path / "nothing")]) == 2
    assert "There is no take" in capsys.readouterr().err
    assert cli.main(["clean", str(copy), "--smoothing", "3"]) == 2
    assert "smoothing is 3" in capsys.readouterr().err


def test_request(cleaned: Path, tmp_path: Path) -> None:
    from im2hands.app.server import JOBS
    from im2hands.core.errors import InputError
    from im2hands.job.events import Event, Progress

    copy = shutil.copytree(cleaned, tmp_path / "take")
    events: list[Event] = []

    def job(**fields: Any) -> Any:
        return JOBS["clean"](fields, events.append, lambda: False, None)

    finished = job(take=str(copy), options={"smoothing": 0.2, "template_density": 0, "later": 1}).run()
    assert not finished.cancelled and finished.summary.total == len(Take.open(copy).records)
    assert Take.open(copy).header["clean"]["settings"] == {"smoothing": 0.2, "gap": 12, "template_density": 0}
    assert all(isinstance(event, Progress) and event.phase == "clean" for event in events) and events
    for fields, text in (
        ({}, "take must be"), ({"take": 3}, "take must be"), ({"take": str(copy), "options": [1]}, "options must be"),
        ({"take": str(copy), "options": {"smoothing": 3}}, "smoothing is 3"),
        ({"take": str(copy), "options": {"gap": "x"}}, "gap"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=text):
            job(**fields)
    with pytest.raises(InputError, match="There is no take"):
        job(take=str(tmp_path / "nothing")).run()


def test_job_cleans_by_default(pictures: Path, tmp_path: Path, run_job: Callable[..., Any]) -> None:
    from im2hands.job.events import Progress

    _, events = run_job(pictures, clean=True, template_density=0)
    take = Take.open(tmp_path / "take")
    assert take.header["clean"]["hands"] == ["left", "right"]
    assert "template_vertices" in take.read_frame(4)["left"]
    done = [(event.done, event.total) for event in events if isinstance(event, Progress) and event.phase == "clean"]
    assert done[0][0] == 0
    assert done[-1] == (8, 8)
    before = (tmp_path / "take/motion.npz").read_bytes()
    run_job(pictures, clean=True, template_density=0)
    assert (tmp_path / "take/motion.npz").read_bytes() == before
    run_job(pictures, clean=False, overwrite=True)
    assert not (tmp_path / "take/motion.npz").exists()
    assert not (tmp_path / "take/template.npz").exists()
