"""Pictures and clips of odd kinds, made here: what is in them is read or refused, and where copies are needed."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import OpenEXR
import pytest
from av.stream import Disposition
from PIL import Image

from fakes import picture
from im2hands.core.errors import FrameError, InputError
from im2hands.media.footage import why_copies
from im2hands.media.images import probe_picture, read_picture
from im2hands.media.source import Frame, Source, open_source
from im2hands.media.upright import upright

CASES = Path(__file__).resolve().parents[2] / "media_cases"
PICTURE = cv2.GaussianBlur(picture(), (0, 0), 2)
NEITHER = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # what stores an upright picture for each orientation


def moved(number: int) -> np.ndarray:
    return np.roll(PICTURE, 8 * number, axis=1)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def frames_of(source: Source) -> list[Frame]:
    frames = [frame for _, frame in source]
    assert all(isinstance(frame, Frame) for frame in frames)
    return [frame for frame in frames if isinstance(frame, Frame)]


def numbers_in(path: Path, among: int = 40) -> list[int]:
    """Which of the moved pictures the frames of a clip show, counted from 0."""
    made = [moved(number) for number in range(among)]
    return [
        min(range(among), key=lambda n: difference(frame.image, made[n])) for frame in frames_of(open_source([path]))
    ]


def encode(
    path: Path, codec: str = "libx264", count: int = 20, pixels: str = "yuv420p",
    change: Callable[[av.VideoFrame, int], av.VideoFrame] | None = None, make: Callable[[int], np.ndarray] = moved,
    **options: str,
) -> Path:  # fmt: skip
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = make(0).shape[:2]
        stream.pix_fmt = pixels
        for number in range(count):
            image = make(number)
            frame = av.VideoFrame.from_ndarray(image, format="rgba" if image.shape[2] == 4 else "rgb24")
            frame.pts = number
            if change:
                frame = change(frame, number)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


# ---- pictures


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_lossless_pictures_of_all_orientations_are_the_same_to_the_last_bit(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    """So their hands are the same. JPEG, HEIC and AVIF differ by their compression alone (test_stills.py)."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    stored = Image.fromarray(upright(PICTURE, NEITHER[orientation]))
    stored.save(path, exif=exif.tobytes(), **({"lossless": True} if suffix == ".webp" else {}))
    assert np.array_equal(read_picture(path), PICTURE)


def sensor_file(
    path: Path, order: str = "<", subfile: int | None = None, colours: int = 32803, linked: bool = False
) -> Path:
    """Write what cameras write: a thumbnail, and what the sensor recorded in a directory inside or after it."""
    thumbnail, sensor = bytes([90, 100, 110]) * 64 * 64, bytes(200 * 160 * 2)
    bits_at = 8 + len(thumbnail) + len(sensor)
    first_at = bits_at + 6

    def directory(tags: dict[int, tuple[int, int, int]], following: int) -> bytes:
        rows = b"".join(
            struct.pack(f"{order}HHIHH", tag, kind, count, value, 0) if (kind, count) == (3, 1)
            else struct.pack(f"{order}HHII", tag, kind, count, value)
            for tag, (kind, count, value) in sorted(tags.items())
        )  # fmt: skip
        return struct.pack(f"{order}H", len(tags)) + rows + struct.pack(f"{order}I", following)

    first = {
        256: (3, 1, 64), 257: (3, 1, 64), 258: (3, 3, bits_at), 259: (3, 1, 1), 262: (3, 1, 2), 273: (4, 1, 8),
        277: (3, 1, 3), 278: (3, 1, 64), 279: (4, 1, len(thumbnail)),
    }  # fmt: skip
    if subfile is not None:
        first[254] = (4, 1, subfile)
    second_at = first_at + 2 + 12 * (len(first) + (0 if linked else 1)) + 4
    if not linked:
        first[330] = (4, 1, second_at)
    second = {
        256: (3, 1, 200), 257: (3, 1, 160), 258: (3, 1, 16), 259: (3, 1, 1), 262: (3, 1, colours),
        273: (4, 1, 8 + len(thumbnail)), 277: (3, 1, 1), 278: (3, 1, 160), 279: (4, 1, len(sensor)),
    }  # fmt: skip
    path.write_bytes(
        struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, first_at) + thumbnail + sensor
        + struct.pack(f"{order}3H", 8, 8, 8) + directory(first, second_at if linked else 0) + directory(second, 0)
    )  # fmt: skip
    return path


@pytest.mark.parametrize("name", ["a.nef", "a.arw", "a.cr2", "a.dng", "a.tif", "a.jpg", "a"])
@pytest.mark.parametrize("options", [{}, {"order": ">"}, {"subfile": 0}, {"subfile": 1}, {"linked": True}])
def test_a_thumbnail_is_never_the_picture(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    for colours in (32803, 34892):
        path = sensor_file(tmp_path / name, colours=colours, **options)  # type: ignore[arg-type]
        for read in (probe_picture, read_picture):
            with pytest.raises(FrameError, match="raw file of a camera"):
                read(path)
    with pytest.raises(FrameError, match=r"raw file of a camera|larger picture than its first"):
        read_picture(sensor_file(tmp_path / name, colours=2, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a.raf", "a.jpg", "a.dat", "a"])
def test_a_preview_inside_another_file_is_no_picture(tmp_path: Path, name: str) -> None:
    inside = io.BytesIO()
    Image.fromarray(PICTURE).save(inside, "JPEG")
    for head in (b"FUJIFILMCCD-RAW 0201FF389501", b"%PDF-1.7\n"):
        (tmp_path / name).write_bytes(head + bytes(64) + inside.getvalue())
        [(_, frame)] = open_source([tmp_path / name])
        assert isinstance(frame, FrameError)


def test_pages_are_told_of(tmp_path: Path) -> None:
    first = Image.fromarray(PICTURE)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(moved(2))] * 2)
    first.save(tmp_path / "b.tif")
    source = open_source([tmp_path])
    assert [note.message.split(" is read")[0] for note in source.notes] == ["Only the first page of a.tif (3)"]
    assert np.array_equal(frames_of(source)[0].image, PICTURE)


def matrix_profile(*columns: tuple[float, float, float]) -> bytes:
    """Make an ICC profile with these primaries (XYZ) and a gamma of 2.2."""

    def numbers(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    name = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(79)
    tags = {b"desc": name, b"wtpt": b"XYZ " + bytes(4) + numbers(0.9642, 1, 0.8249), b"cprt": b"text" + bytes(8)}
    tags |= {
        key + b"XYZ": b"XYZ " + bytes(4) + numbers(*one) for key, one in zip((b"r", b"g", b"b"), columns, strict=True)
    }
    tags |= {key + b"TRC": curve for key in (b"r", b"g", b"b")}
    table, body = b"", b""
    start = 132 + 12 * len(tags)
    for key, value in tags.items():
        table += key + struct.pack(">II", start + len(body), len(value))
        body += value
    head = struct.pack(">I", start + len(body)) + bytes(4) + b"\x02\x10\0\0mntrRGB XYZ " + bytes(12) + b"acsp"
    head += bytes(28) + numbers(0.9642, 1, 0.8249) + bytes(48)
    return head[:128] + struct.pack(">I", len(tags)) + table + body


DISPLAY_P3 = matrix_profile((0.5151, 0.2412, -0.0011), (0.292, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
SRGB = matrix_profile((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", ".heic", ".avif"])
def test_colour_profiles_are_applied(tmp_path: Path, suffix: str) -> None:
    probe_picture(CASES / "single.heic")  # registers HEIC, to write it here
    stored = np.full((64, 64, 3), (180, 120, 100), np.uint8)
    path = tmp_path / f"a{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {"quality": 98}
    Image.fromarray(stored).save(path, icc_profile=DISPLAY_P3, **options)
    found = read_picture(path)[32, 32].astype(int)
    assert np.abs(found - (191, 118, 96)).max() <= 4  # (180, 120, 100) of Display P3 in sRGB
    assert "colour profile" in why_copies(open_source([path]))
    Image.fromarray(stored).save(path, icc_profile=SRGB, **options)
    assert np.abs(read_picture(path)[32, 32].astype(int) - stored[0, 0]).max() <= 2
    assert "colour profile" not in why_copies(open_source([path]))
    Image.fromarray(stored).save(path, icc_profile=DISPLAY_P3[:200], **options)
    assert np.abs(read_picture(path)[32, 32].astype(int) - stored[0, 0]).max() <= 2


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_transparent_pictures_need_copies(tmp_path: Path, suffix: str) -> None:
    whole = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    half = whole.copy()
    half[:, :80, 3] = 0
    for pixels, differs in ((whole, ""), (half, "some of its pictures are transparent")):
        Image.fromarray(pixels).save(tmp_path / f"a{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
        [frame] = frames_of(open_source([tmp_path / f"a{suffix}"]))
        assert frame.differs == differs
        assert np.array_equal(frame.image[:, 80:], PICTURE[:, 80:])
    assert (frame.image[:, :80] == 128).all()


def test_floats_that_are_no_light_are_refused(tmp_path: Path) -> None:
    Image.fromarray(PICTURE[..., 0].astype(np.float32) + 20).save(tmp_path / "a.tif")
    with pytest.raises(FrameError, match="not light from 0 to 1"):
        read_picture(tmp_path / "a.tif")
    Image.fromarray(PICTURE[..., 0].astype(np.float32) / 255).save(tmp_path / "a.tif")
    assert "other colours" in why_copies(open_source([tmp_path / "a.tif"]))


def test_a_changed_byte_in_a_png_is_noticed(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(FrameError, match="damaged"):
        read_picture(tmp_path / "a.png")


def exr(path: Path, *parts: tuple[str, dict[str, np.ndarray]], **header: object) -> Path:
    made = [
        OpenEXR.Part({"name": name, "type": OpenEXR.scanlineimage, **header}, dict(channels))
        for name, channels in parts
    ]
    OpenEXR.File(made).write(str(path))
    return path


def test_exr_passes_are_not_the_picture(tmp_path: Path) -> None:
    grey, black = np.full((48, 64), 0.2140411, np.float32), np.zeros((48, 64), np.float32)
    shown, other = dict.fromkeys("RGB", grey), dict.fromkeys("RGB", black)
    for name, parts in {
        "a": [("View.AO", other), ("View.Combined", shown)],
        "b": [("depth", {"Z": black}), ("rgba", shown)],
        "c": [("", {**{f"AO.{c}": black for c in "RGB"}, **{f"beauty.{c}": grey for c in "RGB"}})],
    }.items():
        path = exr(tmp_path / f"{name}.exr", *parts)
        assert np.abs(read_picture(path).astype(int) - 128).max() <= 1, name
        assert "several layers" in why_copies(open_source([path]))
    plain = exr(tmp_path / "plain.exr", ("", shown))
    assert why_copies(open_source([plain])) == ""
    crop = {"displayWindow": (np.array([0, 0], np.int32), np.array([99, 79], np.int32))}
    assert "another part" in why_copies(open_source([exr(tmp_path / "crop.exr", ("", shown), **crop)]))


# ---- clips


def joined(path: Path, *parts: Path) -> Path:
    """Write the packets of clips without reordered frames one after another, at 25 frames a second."""
    number = 0
    with av.open(str(path), "w") as container:
        stream = None
        for part in parts:
            with av.open(str(part)) as clip:
                stream = stream or container.add_stream_from_template(clip.streams.video[0])
                for packet in clip.demux(video=0):
                    if packet.size:
                        packet.pts = packet.dts = number * 3600
                        packet.time_base, packet.stream = Fraction(1, 90000), stream
                        container.mux(packet)
                        number += 1
    return path


def test_clip_that_becomes_interlaced_late(tmp_path: Path) -> None:
    def fields(number: int) -> np.ndarray:
        pixels = np.full((240, 320, 3), 40, np.uint8)
        for field in range(2):
            left = 20 + 5 * number + (5 * field if number >= 30 else 0)
            pixels[field::2, left : left + 40] = 200
        return pixels

    plain = encode(tmp_path / "plain.ts", "mpeg2video", 30, make=fields, b="4M")
    options = {"flags": "+ildct+ilme", "b": "4M"}
    interlaced = encode(tmp_path / "i.ts", "mpeg2video", 10, make=lambda number: fields(30 + number), **options)
    path = joined(tmp_path / "a.ts", plain, interlaced)
    source = open_source([path])
    assert source.clip is not None and not source.clip.interlaced
    frames = [frame for _, frame in source]
    good = [frame for frame in frames if isinstance(frame, Frame)]
    assert [frame.index for frame in good] in (
        list(range(1, 41)),
        [*range(1, 30), *range(31, 41)],
    )  # the joint may fail
    assert [frame.index for frame in good if frame.differs] == list(range(31, 41))
    for frame in good[-9:-1]:
        rows = frame.image[4:-4].astype(float).mean(axis=2)
        assert (np.abs(np.diff(rows, axis=0)) > 80).mean() < 0.02


@pytest.mark.parametrize(
    ("name", "codec", "pixels"), [("a.mov", "qtrle", "argb"), ("a.mov", "prores_ks", "yuva444p10le")]
)
def test_transparent_clips_need_copies(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    def make(number: int) -> np.ndarray:
        alpha = np.full(PICTURE.shape[:2], 255, np.uint8)
        alpha[:, :80] = 0 if number >= 2 else 255
        return np.dstack([PICTURE, alpha])

    frames = frames_of(open_source([encode(tmp_path / "a.mov", codec, 4, pixels, make=make)]))
    assert [bool(frame.differs) for frame in frames] == [False, False, True, True]
    assert np.abs(frames[3].image[:, :70].astype(int) - 128).max() <= 2
    assert difference(frames[3].image[:, 90:], PICTURE[:, 90:]) < 3


def test_hdr_clips_need_copies(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = 9, 9, 16
        frame = av.VideoFrame.from_ndarray(PICTURE, format="rgb24").reformat(format="yuv420p10le")
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert why_copies(open_source([path])) == "its colours are those of HDR"


@pytest.mark.parametrize("attached", [False, True])
def test_a_cover_is_not_the_clip(tmp_path: Path, attached: bool) -> None:
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        cover, clip = container.add_stream("mjpeg", rate=25), container.add_stream("libx264", rate=25)
        cover.width = cover.height = 320
        cover.pix_fmt = "yuvj420p"
        clip.width, clip.height, clip.pix_fmt = 160, 120, "yuv420p"
        if attached:
            cover.disposition = Disposition.attached_pic
        for stream, number in [(cover, 0), *((clip, number) for number in range(6))]:
            image = cv2.resize(PICTURE, (320, 320)) if stream is cover else moved(number)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        for stream in (cover, clip):
            container.mux(stream.encode())
    assert numbers_in(path) == list(range(6))
    if not attached:  # these are moved behind the clip
        assert why_copies(open_source([path])) == "Blender shows another of its video streams"


def test_rate_of_a_variable_clip_is_the_average(tmp_path: Path) -> None:
    stamps = [0, 1, 2, 3, 6, 7, 9, 15, 16, 20, 30, 31]

    def late(frame: av.VideoFrame, number: int) -> av.VideoFrame:
        frame.pts, frame.time_base = stamps[number], Fraction(1, 25)
        return frame

    for name in ("a.mp4", "a.mkv", "a.mov"):
        source = open_source([encode(tmp_path / name, count=12, change=late, bf="2")])
        assert [entry.time for entry in source.entries] == pytest.approx([stamp / 25 for stamp in stamps], abs=0.001)
        assert source.fps == pytest.approx(11 / 31 * 25, rel=0.01)
        assert numbers_in(tmp_path / name) == list(range(12))


def replace_edits(path: Path, *edits: tuple[int, int]) -> None:
    """Write another edit list into an MP4 whose index stands last: lengths in ms, starts in units of the stream."""
    data = path.read_bytes()
    moov = data.index(b"moov") - 4
    track = data.index(b"trak", moov) - 4
    place = data.index(b"edts", track) - 4
    size = int.from_bytes(data[place : place + 4], "big")
    rows = b"".join(struct.pack(">iii", length, start, 65536) for length, start in edits)
    table = struct.pack(">I4sII", 16 + len(rows), b"elst", 0, len(edits)) + rows
    made = struct.pack(">I4s", 8 + len(table), b"edts") + table
    data = bytearray(data[:place] + made + data[place + size :])
    for box in (moov, track):
        data[box : box + 4] = (int.from_bytes(data[box : box + 4], "big") + len(made) - size).to_bytes(4, "big")
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("edits", "shown"),
    [
        ([(400, 10)], range(10, 20)),
        ([(500, -1), (400, 15)], range(15, 25)),  # a pause, then the middle: not a clip that was cut off
        ([(400, 0), (400, 20)], [*range(10), *range(20, 30)]),
        ([(400, 17)], range(17, 27)),  # begins between key frames
    ],
)
def test_edit_lists(tmp_path: Path, edits: list[tuple[int, int]], shown: list[int]) -> None:
    path = encode(tmp_path / "a.mp4", count=40, bf="2", g="12")
    replace_edits(path, *((length, -1 if start < 0 else 1024 + 512 * start) for length, start in edits))
    assert open_source([path]).clip.count == len(shown)  # type: ignore[union-attr]
    # The pictures repeat after 20 (160 pixels, moved by 8).
    assert numbers_in(path, 20) == [number % 20 for number in shown]


def test_cut_clips_say_so(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", count=40, bf="2")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"was not finished: the index at its end \(moov\) is missing"):
        open_source([path])
    with av.open(io.BytesIO(data)) as whole, av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(whole.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.7)])
    source = open_source([path])
    assert source.clip is not None
    assert source.clip.count == 40 and len(source.clip.times) < 40
    last = list(source)[-1][1]
    assert isinstance(last, FrameError) and "ends early" in last.message


@pytest.mark.parametrize(("name", "codec", "pixels"), [("a.avi", "mjpeg", "yuvj420p"), ("a.mov", "png", "rgb24")])
def test_half_a_packet_is_a_damaged_frame(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    path = encode(tmp_path / name, codec, 8, pixels)
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][4]
    assert packet.pos is not None
    data = bytearray(path.read_bytes())
    begin, end = packet.pos + 8 + packet.size // 2, packet.pos + packet.size
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)
    assert [isinstance(frame, Frame) for _, frame in open_source([path])] == [True] * 4 + [False] + [True] * 3
