"""Choice of a picture's camera: camera files, focal lengths, fields of view, EXIF, assumption."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from im2hands.core.errors import InputError
from im2hands.media.camera_choice import ASSUMED_FOV_DEGREES, CameraChoice
from im2hands.media.images import PictureInfo

GOOD = {"fx": 1200, "fy": 1190.5, "cx": 959.5, "cy": 539.5, "width": 1920, "height": 1080}


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_camera_file_fits_and_scales(tmp_path: Path) -> None:
    rotation = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    path = write(tmp_path / "camera ä.json", {**GOOD, "R": rotation, "t": [0.1, 0.2, 0.3], "unknown": 1})
    choice = CameraChoice.from_options(path, None, None)
    same = choice.for_picture(PictureInfo(1920, 1080, focal_px=999))
    assert (same.fx, same.fy, same.cx, same.cy, same.origin) == (1200, 1190.5, 959.5, 539.5, "file")
    assert np.array_equal(same.rotation, rotation)
    half = choice.for_picture(PictureInfo(960, 540))
    assert (half.fx, half.fy, half.cx, half.cy) == pytest.approx((600, 595.25, 479.5, 269.5))
    assert half.origin == "file"
    assert np.array_equal(half.translation, [0.1, 0.2, 0.3])
    with pytest.raises(InputError, match="is for pictures of 1920 x 1080 pixels, this one has 1080 x 1920"):
        choice.for_picture(PictureInfo(1080, 1920))


def test_camera_file_without_size_is_for_any(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", {name: GOOD[name] for name in ("fx", "fy", "cx", "cy")})
    camera = CameraChoice.from_options(path, None, None).for_picture(PictureInfo(640, 480))
    assert (camera.fx, camera.width, camera.height) == (1200, 640, 480)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**GOOD, "fx": 0}, "fx is 0"),
        ({**GOOD, "fy": -3}, "fy is -3"),
        ({**GOOD, "fx": float("nan")}, "fx is nan"),
        ({**GOOD, "cx": "middle"}, "cx is 'middle', it must be a number"),
        ({**GOOD, "width": 0}, "width is 0"),
        ({**GOOD, "R": [[1, 0], [0, 1]]}, "R must be 3x3"),
        ({**GOOD, "R": [[2, 0, 0], [0, 1, 0], [0, 0, 1]]}, "R is not a rotation"),
        ({**GOOD, "t": ["a"]}, "no number"),
        ({"fx": 3}, "fy is None"),
        ([1, 2], "not a JSON object"),
        ("{", "is not JSON"),
    ],
)
def test_bad_camera_files(tmp_path: Path, content: object, message: str) -> None:
    path = write(tmp_path / "camera.json", content)
    with pytest.raises(InputError, match=message) as caught:
        CameraChoice.from_options(path, None, None)
    assert "camera.json" in caught.value.message


def test_missing_camera_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Cannot read the camera file"):
        CameraChoice.from_options(tmp_path / "none.json", None, None)


def test_origins() -> None:
    info = PictureInfo(1000, 500, focal_px=800.0)
    assert CameraChoice(focal_px=700).for_picture(info).to_dict()["origin"] == "user"
    assert CameraChoice(focal_px=700).for_picture(info).fx == 700
    assert CameraChoice(fov=90).for_picture(info).fx == pytest.approx(500)
    assert (CameraChoice().for_picture(info).fx, CameraChoice().for_picture(info).origin) == (800, "exif")
    assumed = CameraChoice().for_picture(PictureInfo(500, 1000))
    assert assumed.origin == "assumed"
    assert 2 * np.degrees(np.arctan(500 / assumed.fx)) == pytest.approx(ASSUMED_FOV_DEGREES)


@pytest.mark.parametrize(
    ("focal", "fov"), [(0.0, None), (-5.0, None), (float("inf"), None), (None, 0.5), (None, 180.0)]
)
def test_impossible_lenses(focal: float | None, fov: float | None) -> None:
    with pytest.raises(InputError):
        CameraChoice.from_options(None, focal, fov)


def test_one_way_only(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", GOOD)
    for given in ((path, 700.0, None), (path, None, 60.0), (None, 700.0, 60.0)):
        with pytest.raises(InputError, match="given twice"):
            CameraChoice.from_options(*given)
