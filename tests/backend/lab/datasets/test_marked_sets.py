"""Readers of RGB2Hands and EgoHands on tiny sets of our own making."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from im2hands.app.cli.main import main
from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES
from im2hands.lab.datasets.egohands import EgoHands, load_mat, read_metadata, read_polygons
from im2hands.lab.datasets.rgb2hands import KEYPOINTS, Rgb2Hands
from mano_files import write_mano
from marked_files import OFFSET_MM, Shown, silhouette, write_egohands, write_rgb2hands

Photos = dict[tuple[str, str], Shown]


@pytest.fixture(scope="module")
def mano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mano(tmp_path_factory.mktemp("mano"))


@pytest.fixture(scope="module")
def rgb2hands(tmp_path_factory: pytest.TempPathFactory, mano: Path) -> tuple[Path, Photos]:
    folder = tmp_path_factory.mktemp("rgb2hands")
    return folder, write_rgb2hands(folder, mano)


@pytest.fixture(scope="module")
def egohands(tmp_path_factory: pytest.TempPathFactory, mano: Path) -> tuple[Path, Photos]:
    folder = tmp_path_factory.mktemp("egohands")
    return folder, write_egohands(folder, mano)


@pytest.mark.parametrize("inner", [False, True])
def test_marks_of_rgb2hands(rgb2hands: tuple[Path, Photos], inner: bool) -> None:
    folder, shown = rgb2hands
    data = Rgb2Hands(folder / "RGB2HANDS_Benchmark" if inner else folder)
    assert list(data.sequences) == ["seq01_crossed", "seq04_scratch"]
    np.testing.assert_allclose(data.offset * 1000, OFFSET_MM)
    for sequence in data.sequences:
        photos = list(data.photos(sequence))
        assert [photo.name for photo in photos] == ["000100", "000105"]
        for photo in photos:
            camera = photo.camera
            assert camera is not None and (camera.fx, camera.cy, camera.width) == (619.0, 226.0, 640)
            for side in SIDES:
                marked = np.isfinite(photo.keypoints[side]).all(1)
                first = KEYPOINTS[0] if side == "right" else KEYPOINTS[1]  # the rows that nobody marked
                assert set(np.flatnonzero(marked)) == set(KEYPOINTS) - {first}
                true = camera.project(shown[sequence, photo.name].keypoints[side])
                np.testing.assert_allclose(photo.keypoints[side][marked], true[marked], atol=1e-6)
            assert photo.marked_sides == SIDES
    depth = data.depth("seq01_crossed", "000100")
    assert depth is not None and depth.shape == (480, 640) and depth.max() == 1.2
    assert data.depth("seq01_crossed", "000777") is None


def test_marks_in_the_depth_camera_are_moved_into_the_colour_camera(mano: Path, tmp_path: Path) -> None:
    shown = write_rgb2hands(tmp_path, mano, level=".")
    for path in tmp_path.rglob("annot2D_color/*.txt"):
        path.unlink()
    photo = next(iter(Rgb2Hands(tmp_path).photos("seq04_scratch")))
    assert photo.camera is not None
    true = photo.camera.project(shown["seq04_scratch", "000100"].keypoints["left"])
    marked = np.isfinite(photo.keypoints["left"]).all(1)
    assert marked.sum() == 13
    np.testing.assert_allclose(photo.keypoints["left"][marked], true[marked], atol=1e-6)


def _cut(folder: Path) -> None:
    path = next(folder.rglob("000105_color2.5D.txt"))
    path.write_bytes(path.read_bytes()[:900])


def _words(folder: Path) -> None:
    next(folder.rglob("000105_color2.5D.txt")).write_text("a b c d\n" * 28, "ascii")


def _no_picture(folder: Path) -> None:
    next(folder.rglob("000105_color.png")).unlink()


def _no_marks(folder: Path) -> None:
    for path in folder.rglob("annotation/*/*.txt"):
        path.unlink()


@pytest.mark.parametrize("change, message", [
    (_cut, "is damaged or half-written"), (_words, "is damaged or half-written"),
    (_no_picture, "of an annotation is missing"), (_no_marks, "has no annotations"),
    (lambda folder: next(folder.rglob("color_intrinsics.txt")).unlink(), "has no color_intrinsics.txt"),
    (lambda folder: next(folder.rglob("color_intrinsics.txt")).write_text("0 1 2 3"), "is not positive"),
    (lambda folder: next(folder.rglob("extrinsics.txt")).write_text("1 2"), "damaged or half-written"),
])  # fmt: skip
def test_damage_of_rgb2hands_is_named(mano: Path, tmp_path: Path, change: Any, message: str) -> None:
    write_rgb2hands(tmp_path, mano)
    change(tmp_path)
    with pytest.raises(InputError, match=message):
        for sequence in (data := Rgb2Hands(tmp_path)).sequences:
            list(data.photos(sequence))


def test_outlines_of_egohands(egohands: tuple[Path, Photos]) -> None:
    folder, shown = egohands
    data = EgoHands(folder)
    assert list(data.sequences) == ["CARDS_COURTYARD_B_T", "CHESS_OFFICE_H_S"]
    camera = Camera.from_fov(60.0, 1280, 720)
    for video in data.sequences:  # the second one comes from metadata.mat
        photos = list(data.photos(video))
        assert [photo.name for photo in photos] == ["frame_0003", "frame_0014", "frame_0025"]
        assert [photo.marked_sides for photo in photos] == [SIDES, SIDES, ("right",)]
        for photo in photos:
            assert photo.camera is None and cv2.imread(str(photo.path)).shape == (720, 1280, 3)
            for side in photo.marked_sides:
                expected = silhouette(shown[video, photo.name].meshes[side], camera)
                np.testing.assert_allclose(photo.outlines[side], expected)  # counted from 0


@pytest.mark.parametrize("squeeze", [False, True])
def test_both_forms_of_matlab_files_are_read(egohands: tuple[Path, Photos], squeeze: bool) -> None:
    base = egohands[0] / "egohands_data"
    polygons = load_mat(base / "_LABELLED_SAMPLES" / "CARDS_COURTYARD_B_T" / "polygons.mat", squeeze=squeeze)
    metadata = load_mat(base / "metadata.mat", squeeze=squeeze)
    first, second = read_polygons(polygons, "p"), read_metadata(metadata, "CARDS_COURTYARD_B_T", "m")
    assert len(first) == len(second) == 3
    for row, again in zip(first, second, strict=True):
        for name in ("myleft", "myright", "yourleft", "yourright"):
            np.testing.assert_array_equal(row[name], again[name])
        assert row["yourleft"].shape == (0, 2) and row["yourright"].tolist() == [[4, 4], [49, 4], [49, 59]]
    assert first[2]["myleft"].shape == (0, 2)
    with pytest.raises(InputError, match="has no video JENGA"):
        read_metadata(metadata, "JENGA", "m")


@pytest.mark.parametrize("squeeze", [False, True])
def test_a_video_with_one_labelled_picture_is_read(mano: Path, tmp_path: Path, squeeze: bool) -> None:
    write_egohands(tmp_path, mano, photos=1)
    path = next(tmp_path.rglob("polygons.mat"))
    assert len(read_polygons(load_mat(path, squeeze=squeeze), "p")) == 1
    metadata = load_mat(tmp_path / "egohands_data" / "metadata.mat", squeeze=squeeze)
    assert len(read_metadata(metadata, "CHESS_OFFICE_H_S", "m")) == 1


def test_damage_of_egohands_is_named(mano: Path, tmp_path: Path) -> None:
    from scipy.io import savemat

    write_egohands(tmp_path, mano)
    path = next(tmp_path.rglob("polygons.mat"))
    whole = path.read_bytes()
    for content, message in ((whole[:-300], "is damaged"), (b"", "is damaged"), (b"MATLAB 7.3", "is damaged")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            list(EgoHands(tmp_path).photos("CARDS_COURTYARD_B_T"))
    savemat(path, {"other": np.zeros(3)})
    with pytest.raises(InputError, match="has no outlines"):
        list(EgoHands(tmp_path).photos("CARDS_COURTYARD_B_T"))
    path.write_bytes(whole)
    next(tmp_path.rglob("CARDS_COURTYARD_B_T/frame_0003.jpg")).unlink()
    with pytest.raises(InputError, match="has 2 pictures, but outlines for 3"):
        list(EgoHands(tmp_path).photos("CARDS_COURTYARD_B_T"))
    with pytest.raises(InputError, match="has no folder _LABELLED_SAMPLES"):
        EgoHands(tmp_path / "nowhere")


def test_the_checks(rgb2hands: Any, egohands: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "rgb2hands", "--root", str(rgb2hands[0])]) == 0
    assert "seq04_scratch: 2 marked photos, 2 with both hands, 52 points" in capsys.readouterr().out
    assert main(["data", "check", "egohands", "--root", str(egohands[0])]) == 0
    assert "CHESS_OFFICE_H_S: 3 marked photos, 2 with both hands" in capsys.readouterr().out
    assert main(["data", "check", "egohands", "--root", str(tmp_path)]) == 2
    assert "Give the folder egohands_data" in capsys.readouterr().err
