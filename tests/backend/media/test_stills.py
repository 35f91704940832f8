"""Still pictures as phones, cameras and renderers write them: orientation, HEIC, EXR, RAW, and what is refused."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from fakes import picture, write_picture
from im2hands.core.errors import FrameError
from im2hands.media import picture_file
from im2hands.media.images import probe_picture, read_picture, read_with_info
from im2hands.media.source import Frame, open_source
from im2hands.media.upright import upright

CASES = Path(__file__).resolve().parents[2] / "media_cases"

FORMATS = {
    ".jpg": {"quality": 95, "subsampling": 0}, ".png": {}, ".webp": {"lossless": True}, ".tif": {},
    ".tiff": {"compression": "jpeg", "quality": 95}, ".heic": {"quality": 95}, ".avif": {"quality": 95},
}  # fmt: skip

# The orientation that stores an upright picture for a reader that applies the other.
INVERSE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.mark.parametrize("suffix", list(FORMATS))
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_is_turned_once(tmp_path: Path, suffix: str, orientation: int) -> None:
    probe_picture(CASES / "single.heic")  # registers HEIC, to write it here
    shown = cv2.resize(picture(), (160, 96))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    Image.fromarray(upright(shown, INVERSE[orientation])).save(path, exif=exif.tobytes(), **FORMATS[suffix])
    pixels, info = read_with_info(path)
    assert probe_picture(path) == info
    assert (info.height, info.width) == pixels.shape[:2] == shown.shape[:2]
    assert difference(pixels, shown) < 6


@pytest.mark.parametrize(
    "name", ["exif6.jpg", "exif6.png", "exif6.tif", "exif6.webp", "exif3.png", "grid.heic", "single.heic"]
)
def test_photos_of_phones_are_upright_and_whole(name: str) -> None:
    pixels, info = read_with_info(CASES / name)
    assert (info.width, info.height) == (640, 468)
    assert probe_picture(CASES / name) == info
    assert difference(pixels, read_picture(CASES / "up.png")) < 5
    assert open_source([CASES / name]).kind == "images"


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.99])
def test_cut_heic_is_no_part_of_it(tmp_path: Path, part: float) -> None:
    for name in ("grid.heic", "single.heic"):
        data = (CASES / name).read_bytes()
        path = tmp_path / name
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(FrameError):
            read_picture(path)


def test_heic_with_a_damaged_tile_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.heic"
    probe_picture(CASES / "single.heic")  # registers HEIC, to write it here
    Image.open(CASES / "up.png").convert("RGB").save(whole, tile_size=128)
    assert difference(read_picture(whole), read_picture(CASES / "up.png")) < 5
    for source in (whole, CASES / "grid.heic"):
        data = bytearray(source.read_bytes())
        place = data.index(b"mdat") + len(data) // 4
        data[place : place + len(data) // 8] = bytes(len(data) // 8)
        path = tmp_path / "damaged.heic"
        path.write_bytes(data)
        with pytest.raises(FrameError, match="damaged: a tile of it"):
            read_picture(path)


def test_rendered_exr() -> None:
    pixels, info = read_with_info(CASES / "render.exr")
    assert (info.width, info.height) == (320, 234) == pixels.shape[1::-1]
    assert difference(pixels, cv2.resize(read_picture(CASES / "up.png"), (320, 234), interpolation=cv2.INTER_AREA)) < 3


def write_exr(path: Path, channels: dict[str, np.ndarray], **header: object) -> Path:
    with OpenEXR.File(
        {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}, channels
    ) as file:
        file.write(str(path))
    return path


def test_exr_layers_windows_and_pixels(tmp_path: Path) -> None:
    grey = np.full((60, 80), 0.2140411, np.float32)
    black = np.zeros_like(grey)
    layers = {f"ViewLayer.Combined.{name}": grey for name in "RGB"} | {
        f"ViewLayer.Normal.{name}": black for name in "XYZ"
    }
    assert np.abs(read_picture(write_exr(tmp_path / "layers.exr", layers)).astype(int) - 128).max() <= 1
    assert np.abs(read_picture(write_exr(tmp_path / "grey.exr", {"Y": grey})).astype(int) - 128).max() <= 1
    clear = {"R": black, "G": black, "B": black, "A": black}
    assert np.abs(read_picture(write_exr(tmp_path / "clear.exr", clear)).astype(int) - 128).max() <= 1
    colours = dict.fromkeys("RGB", grey)
    windows = {
        "dataWindow": (np.array([10, 20], np.int32), np.array([89, 79], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([199, 99], np.int32)),
    }
    path = write_exr(tmp_path / "windows.exr", colours, **windows)
    pixels, info = read_with_info(path)
    assert (info.width, info.height) == (200, 100) == pixels.shape[1::-1]
    assert probe_picture(path) == info
    assert (pixels[20:80, 10:90] > 120).all()
    assert pixels[0, 0, 0] == pixels[80, 10, 0] == 0
    wide = write_exr(tmp_path / "wide.exr", colours, pixelAspectRatio=2.0)
    assert (probe_picture(wide).width, probe_picture(wide).height) == (160, 60) == read_picture(wide).shape[1::-1]
    with pytest.raises(FrameError, match="no picture with the channels R, G and B"):
        read_picture(write_exr(tmp_path / "depth.exr", {"Z": grey}))


def tiff(path: Path, tags: dict[int, int], size: int = 64) -> Path:
    """Write a grey TIFF file with extra tags."""
    entries = {256: size, 257: size, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: size, 279: size * size, **tags}
    pixels = bytes(range(256)) * (size * size // 256)
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + struct.pack("<H", len(entries)) + rows + bytes(4)
    )
    return path


def test_raw_files_are_refused(tmp_path: Path) -> None:
    assert read_picture(tiff(tmp_path / "plain.tif", {})).shape == (64, 64, 3)
    kinds = {"a.tif": {254: 1}, "b.tif": {50706: 0x0401}, "c.tif": {262: 32803}, "d.dng": {}, "e.NEF": {}}
    for name, tags in kinds.items():
        with pytest.raises(FrameError, match="raw file of a camera"):
            read_picture(tiff(tmp_path / name, tags))
    canon = tiff(tmp_path / "f.tif", {})
    canon.write_bytes(canon.read_bytes()[:8] + b"CR" + canon.read_bytes()[10:])
    with pytest.raises(FrameError, match="raw file of a camera"):
        read_picture(canon)


def test_float_tiff_is_turned_too(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    pixels = np.random.default_rng(0).random((64, 96, 3), np.float32)
    size = pixels.nbytes
    entries = [
        (256, 3, 1, 96), (257, 3, 1, 64), (258, 3, 3, 8 + size), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8),
        (274, 3, 1, 6), (277, 3, 1, 3), (278, 3, 1, 64), (279, 4, 1, size), (339, 3, 3, 14 + size),
    ]  # fmt: skip
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, 20 + size) + pixels.tobytes() + struct.pack("<6H", 32, 32, 32, 3, 3, 3)
        + struct.pack("<H", len(entries)) + rows + bytes(4)
    )  # fmt: skip
    read, info = read_with_info(path)
    assert (info.width, info.height, info.orientation) == (64, 96, 6)
    plain = np.where(pixels <= 0.0031308, pixels * 12.92, 1.055 * pixels ** (1 / 2.4) - 0.055) * 255
    assert np.abs(read - np.rot90(plain, -1)).max() <= 1


def test_radiance(tmp_path: Path) -> None:
    path = tmp_path / "a.hdr"
    path.write_bytes(cv2.imencode(".hdr", np.full((64, 64, 3), 0.2140411, np.float32))[1].tobytes())
    assert np.abs(read_picture(path).astype(int) - 128).max() <= 2


def test_no_program_is_started_for_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = tmp_path / "started"
    for name in ("gs", "gswin32c", "djpeg", "ppmtogif"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\ntouch {started}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **options: started.touch())
    for suffix in (".png", ".jpg", ".eps", ".tif", ".heic", ""):
        path = tmp_path / f"a{suffix}"
        shutil.copy(CASES / "eps_named.png", path)
        for read in (probe_picture, read_picture):
            with pytest.raises(FrameError, match="is not a picture that can be read"):
                read(path)
    assert not started.exists()
    assert "EPS" not in picture_file.FORMATS


def test_wide_picture_fails_alone(tmp_path: Path) -> None:
    shutil.copy(CASES / "wide_60000x40.png", tmp_path / "b.png")
    shutil.copy(CASES / "up.png", tmp_path / "a.png")
    shutil.copy(CASES / "up.png", tmp_path / "c.png")
    results = [frame for _, frame in open_source([tmp_path])]
    assert [isinstance(frame, Frame) for frame in results] == [True, False, True]
    assert "too large: it has 60000 x 40 pixels" in str(results[1])


def huge_png(path: Path, width: int, height: int) -> None:
    """Write the header of a PNG file and few of its pixels."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process here")
def test_huge_pictures_are_refused_by_their_header(tmp_path: Path) -> None:
    huge_png(tmp_path / "a.png", 30000, 30000)
    Image.new("L", (16000, 16000)).save(tmp_path / "b.tif", compression="tiff_lzw")
    head = struct.pack("<IIIIiiHHIIiiII", 90, 0, 54, 40, 30000, 30000, 1, 24, 0, 0, 0, 0, 0, 0)
    (tmp_path / "c.bmp").write_bytes(b"BM" + head)
    program = (
        "import re, sys\nfrom pathlib import Path\nfrom im2hands.core.errors import FrameError\n"
        "from im2hands.media.images import probe_picture, read_picture\n"
        "for name in sys.argv[1:]:\n"
        "    for read in (probe_picture, read_picture):\n"
        "        try:\n            read(Path(name))\n"
        "        except FrameError as error:\n            assert 'too large' in str(error), error\n"
        "        else:\n            raise SystemExit(name)\n"
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', Path('/proc/self/status').read_text())[1])"
    )
    names = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < 10**9


def test_sixteen_bit_and_palette_pictures_stay_as_they_were(tmp_path: Path) -> None:
    eight = picture()
    deep = write_picture(tmp_path / "deep.png", eight.astype(np.uint16) * 257)
    assert np.abs(read_picture(deep).astype(int) - eight).max() <= 1
    Image.fromarray(eight).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.gif")
    assert difference(read_picture(tmp_path / "p.gif"), eight) < 8
