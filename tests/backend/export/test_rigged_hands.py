"""Exports of clean hands, read back: skinning evaluated from the glb alone, quads and texture coordinates of OBJ."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from im2hands.animation.clean_options import CleanOptions
from im2hands.animation.cleaned_take import CleanHand, CleanTake
from im2hands.core.errors import InputError, TakeError
from im2hands.core.hands import Side
from im2hands.export.rigged_hands import clean_glb
from im2hands.export.surfaces_glb import split_glb
from im2hands.export.write import export_take
from im2hands.job.clean_phase import CleanPhase
from im2hands.lab.bench.simulated_clips import Noise
from im2hands.take.take import Take
from simulated_takes import simulate, write_take

Y_UP = np.array([1.0, -1.0, -1.0])


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Take:
    """A cleaned take of frames 1 to 5; the left hand appears in frame 3."""
    clip = simulate(5, seed=12, noise=Noise(white=0.0005, slow=0.0005, depth=0.001))
    clip.seen["left"][:2] = np.nan
    take = write_take(tmp_path_factory.mktemp("export") / "take", clip)
    CleanPhase(take, CleanOptions(template_density=0), lambda work: work(), lambda done, total: None).run()
    return take


class Glb:
    """Evaluates nodes, morph targets and skins of a glb at a point in time, as a viewer does."""

    def __init__(self, path: Path) -> None:
        self.tree, self.data = split_glb(path.read_bytes())

    def values(self, accessor: int) -> np.ndarray:
        entry = self.tree["accessors"][accessor]
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}[entry["type"]]
        kind = {5126: np.float32, 5121: np.uint8, 5123: np.uint16, 5125: np.uint32}[entry["componentType"]]
        start = self.tree["bufferViews"][entry["bufferView"]]["byteOffset"]
        found = np.frombuffer(self.data, kind, entry["count"] * width, start).reshape(-1, width)
        return found.reshape(-1, 4, 4).transpose(0, 2, 1) if width == 16 else found

    def node(self, name: str) -> int:
        return next(k for k, node in enumerate(self.tree["nodes"]) if node["name"] == name)

    def pose(self, frame: int) -> list[dict[str, Any]]:
        nodes = [dict(node) for node in self.tree["nodes"]]
        for channel in self.tree["animations"][0]["channels"] if "animations" in self.tree else []:
            sampler = self.tree["animations"][0]["samplers"][channel["sampler"]]
            values = self.values(sampler["output"])
            times = len(self.values(sampler["input"]))
            target = channel["target"]
            nodes[target["node"]][target["path"]] = values.reshape(times, -1)[frame]
        return nodes

    def vertices(self, name: str, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Skinned vertices and triangles of a mesh node at a key frame."""
        nodes = self.pose(frame)
        world: dict[int, np.ndarray] = {}

        def walk(index: int, above: np.ndarray) -> None:
            node = nodes[index]
            local = np.eye(4)
            turn = Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).as_matrix()
            local[:3, :3] = turn * np.asarray(node.get("scale", [1, 1, 1]))
            local[:3, 3] = node.get("translation", [0, 0, 0])
            world[index] = above @ local
            for child in node.get("children", []):
                walk(child, world[index])

        for root in self.tree["scenes"][0]["nodes"]:
            walk(root, np.eye(4))
        node = nodes[self.node(name)]
        mesh = self.tree["meshes"][node["mesh"]]
        primitive = mesh["primitives"][0]
        points = self.values(primitive["attributes"]["POSITION"]).astype(float)
        weights = node.get("weights", mesh.get("weights", []))
        for weight, target in zip(weights, primitive.get("targets", []), strict=True):
            points = points + weight * self.values(target["POSITION"])
        skin = self.tree["skins"][node["skin"]]
        binds = self.values(skin["inverseBindMatrices"])
        joints = np.array([world[joint] @ bind for joint, bind in zip(skin["joints"], binds, strict=True)])
        index = self.values(primitive["attributes"]["JOINTS_0"])
        share = self.values(primitive["attributes"]["WEIGHTS_0"])
        moved = np.einsum("vk,vkij,vj->vi", share, joints[index], np.column_stack([points, np.ones(len(points))]))
        return moved[:, :3], self.values(primitive["indices"]).reshape(-1, 3)


def expected(take: Take, side: Side, index: int) -> np.ndarray:
    clean = CleanTake.read(take)
    return clean.hands[side].posed(clean.row(index)) * Y_UP


def test_glb_skinning_gives_the_clean_hands(cleaned: Take, tmp_path: Path) -> None:
    [path] = export_take(cleaned.folder, "glb", tmp_path / "clean.glb")
    glb = Glb(path)
    for side, name, index in (("right", "Hand.R", 1), ("right", "Hand.R", 4), ("left", "Hand.L", 5)):
        points, triangles = glb.vertices(name, index - 1)
        truth = expected(cleaned, side, index)  # type: ignore[arg-type]
        away = trimesh.proximity.ProximityQuery(trimesh.Trimesh(truth, process=False)).vertex(points)[0]
        assert away.max() < 1e-5  # every vertex of the file is a vertex of the hand
        mesh = trimesh.Trimesh(points, triangles, process=True, merge_tex=True, merge_norm=True)
        assert mesh.volume > 1e-4  # outward
    names = {node["name"] for node in glb.tree["nodes"]}
    assert {"Hand.L", "Hand.R", "hand.L", "thumb.01.L", "f_pinky.03.R", "palm.04.R", "Camera"} <= names
    hidden, _ = glb.vertices("Hand.L", 0)  # the hand is still missing
    assert np.ptp(hidden, axis=0).max() < 1e-6
    times = glb.values(glb.tree["animations"][0]["samplers"][0]["input"])
    assert np.allclose(times.ravel(), np.arange(5) / 25.0)
    primitive = glb.tree["meshes"][0]["primitives"][0]
    assert glb.values(primitive["attributes"]["TEXCOORD_0"]).min() >= 0
    assert np.allclose(glb.values(primitive["attributes"]["WEIGHTS_0"]).sum(axis=1), 1, atol=1e-6)
    trimesh.load(path)  # another reader accepts the file


def test_glb_of_one_frame(cleaned: Take, tmp_path: Path) -> None:
    [path] = export_take(cleaned.folder, "glb", tmp_path / "one.glb", frames="4", mesh="clean")
    glb = Glb(path)
    assert "animations" not in glb.tree
    points, _ = glb.vertices("Hand.R", 0)
    truth = expected(cleaned, "right", 4)
    assert np.allclose(sorted(points[:, 0].round(5))[0], sorted(truth[:, 0].round(5))[0], atol=2e-5)


def long_take(count: int, present: np.ndarray) -> CleanTake:
    """A hand of one triangle and four bones that moves along x by 1 m per frame; it is far away where it is missing."""
    turns = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))
    root = np.where(present, np.arange(count), 1e6)[:, None] * [1.0, 0.0, 0.0]
    hand = CleanHand(
        np.array([[0, 1, 2, -1]], np.int32), np.zeros((1, 4, 2)), np.full((3, 4), 0.25),
        [f"{bone}.R" for bone in "abcd"], np.array([-1, 0, 1, 2]), np.eye(3), np.zeros((0, 3, 3)), np.zeros((4, 3)),
        np.tile(np.eye(3), (4, 1, 1)), present, np.tile(turns[:, None], (1, 4, 1)), turns, root, np.zeros((count, 0)),
    )  # fmt: skip
    return CleanTake(np.arange(1, count + 1), 25.0, {"right": hand})


CAMERA = {"fx": 100.0, "fy": 100.0, "width": 100, "height": 100}


def test_glb_memory_grows_with_the_frames_not_their_square() -> None:
    def peak(count: int) -> int:
        clean = long_take(count, np.arange(count) % 3 > 0)
        indices = clean.frames.tolist()
        clean_glb(clean, indices, CAMERA)  # warm-up: imports and caches of the first use
        tracemalloc.start()
        try:
            clean_glb(clean, indices, CAMERA)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(5000) < 13 * peak(500)


def test_glb_missing_frames_stand_at_the_nearest_one(tmp_path: Path) -> None:
    present = np.zeros(12, bool)
    present[[2, 5, 9]] = True
    path = tmp_path / "long.glb"
    path.write_bytes(clean_glb(long_take(12, present), list(range(1, 13)), CAMERA))
    glb = Glb(path)
    places = [glb.pose(frame)[glb.node("Hand.R Rig")] for frame in range(12)]
    assert [place["translation"][0] for place in places] == [2, 2, 2, 2, 5, 5, 5, 5, 9, 9, 9, 9]
    assert [bool(place["scale"][0]) for place in places] == present.tolist()


def test_obj_has_quads_and_the_same_texture_every_frame(cleaned: Take, tmp_path: Path) -> None:
    files = export_take(cleaned.folder, "obj", tmp_path / "obj")
    assert [path.name for path in files] == [f"{index:06d}.obj" for index in range(1, 6)]
    text = files[2].read_text().splitlines()
    vertices = np.array([line.split()[1:] for line in text if line.startswith("v ")], float)
    truth = np.concatenate([expected(cleaned, side, 3) for side in ("left", "right")])
    assert np.abs(vertices - truth).max() < 1e-6
    faces = [line for line in text if line.startswith("f ")]
    assert sum(len(line.split()) == 5 for line in faces) > 0.9 * len(faces)
    again = files[4].read_text().splitlines()
    for kind in ("f ", "vt "):
        assert [line for line in text if line.startswith(kind)] == [line for line in again if line.startswith(kind)]
    largest = max(int(corner.split("/")[0]) for line in faces for corner in line.split()[1:])
    assert largest == len(vertices)
    mesh = trimesh.load(files[0], process=False, force="mesh")
    assert mesh.volume > 1e-4


def test_ply(cleaned: Take, tmp_path: Path) -> None:
    files = export_take(cleaned.folder, "ply", tmp_path / "ply", frames="2-3")
    assert [path.name for path in files] == ["000002_right.ply", "000003_left.ply", "000003_right.ply"]
    for path in files:
        index, side = path.stem.split("_")
        mesh = trimesh.load(path, process=False)
        assert np.abs(mesh.vertices - expected(cleaned, side, int(index))).max() < 1e-6  # type: ignore[arg-type]
        assert mesh.is_watertight
        assert mesh.volume > 0


def test_surfaces_can_be_asked_for(cleaned: Take, tmp_path: Path) -> None:
    [path] = export_take(cleaned.folder, "ply", tmp_path / "out", frames="1", mesh="surface")
    assert len(trimesh.load(path, process=False).vertices) == len(cleaned.read_frame(1)["right"]["vertices"])


def test_refusals(cleaned: Take, tmp_path: Path, pictures: Path, run_job: Callable[..., Any]) -> None:
    run_job(pictures, tmp_path / "raw")
    with pytest.raises(InputError, match="has no clean hands") as caught:
        export_take(tmp_path / "raw", "glb", mesh="clean")
    assert "im2hands clean" in caught.value.hint
    with pytest.raises(InputError, match='no mesh "fine"'):
        export_take(cleaned.folder, "glb", mesh="fine")
    with pytest.raises(InputError, match="There are frames 1 to 5"):
        export_take(cleaned.folder, "obj", tmp_path / "obj", frames="70")
    export_take(cleaned.folder, "ply", tmp_path / "twice", frames="3")
    with pytest.raises(InputError, match="is there already"):
        export_take(cleaned.folder, "ply", tmp_path / "twice", frames="3")
    broken = write_broken(cleaned, tmp_path)
    with pytest.raises(TakeError, match=r"motion\.npz"):
        export_take(broken, "glb", tmp_path / "broken.glb")


def write_broken(take: Take, folder: Path) -> Path:
    import shutil

    copy = shutil.copytree(take.folder, folder / "broken")
    (copy / "motion.npz").write_bytes(b"no")
    return copy
