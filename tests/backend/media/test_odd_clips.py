"""Clips of odd kinds, made here: what is in them is read or refused, and where copies are needed."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition

from fakes import picture
from im2hands.core.errors import FrameError, InputError
from im2hands.media.footage import why_copies
from im2hands.media.source import Frame, Source, open_source

PICTURE = cv2.GaussianBlur(picture(), (0, 0), 2)


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
