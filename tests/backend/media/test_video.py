"""Clips as cameras, phones and browsers write them: times, orientation, pixels, fields, damage, and what is refused."""

from __future__ import annotations

import io
import os
import shutil
import socket
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from fakes import picture, write_clip
from im2hands.core.errors import FrameError, InputError
from im2hands.media.clip_info import spacing
from im2hands.media.source import Frame, Source, open_source
from im2hands.media.upright import orientation_of_matrix
from im2hands.media.video import ClipInfo, probe_clip, read_clip

CASES = Path(__file__).resolve().parents[2] / "media_cases"

# Times of the variable clips: 30 frames a second, then 10.
VARIABLE = [number / 30 for number in range(9)] + [8 / 30 + number / 10 for number in range(1, 8)]


def clip_info(source: Source) -> ClipInfo:
    assert source.clip is not None
    return source.clip


def frames_of(path: Path, **options: object) -> list[Frame | FrameError]:
    return [frame for _, frame in open_source([path], **options)]  # type: ignore[arg-type]


def images_of(path: Path) -> list[np.ndarray]:
    frames = frames_of(path)
    assert all(isinstance(frame, Frame) for frame in frames)
    return [frame.image for frame in frames if isinstance(frame, Frame)]


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def encode(path: Path, codec: str, count: int = 40, rate: int = 25, **options: str) -> list[np.ndarray]:
    """Write a clip of a moving pattern, and return its pictures."""
    made = []
    base = cv2.resize(picture(), (320, 240), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as container:
        pixels = options.pop("pix_fmt", "yuv420p")
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = 320, 240
        stream.pix_fmt = pixels
        for number in range(count):
            made.append(np.roll(base, 8 * number, axis=1))
            frame = av.VideoFrame.from_ndarray(made[-1], format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return made


@pytest.mark.parametrize(("name", "tolerance"), [("vfr.mp4", 0.0005), ("vfr.webm", 0.005)])
def test_variable_rate_keeps_the_pictures_and_their_times(name: str, tolerance: float) -> None:
    source = open_source([CASES / name])
    assert [entry.time for entry in source.entries] == pytest.approx(VARIABLE, abs=tolerance)
    assert clip_info(source).varies
    assert 15 < source.fps < 16.5
    regular = images_of(CASES / "bars30.mp4")
    for number, image in enumerate(images_of(CASES / name)):
        assert min(range(16), key=lambda other: difference(image, regular[other])) == number


def test_given_rate_takes_the_place_of_the_times() -> None:
    source = open_source([CASES / "vfr.mp4"], fps=24.0)
    assert source.fps == 24.0
    assert source.entries[15].time == pytest.approx(15 / 24)


def test_recording_of_a_browser_without_length() -> None:
    source = open_source([CASES / "recorder.webm"])
    assert len(source) == 16
    assert not clip_info(source).length_known
    assert all(isinstance(frame, Frame) for _, frame in source)


def test_trimmed_clip_has_the_frames_that_are_shown() -> None:
    source = open_source([CASES / "trimmed.mp4"])
    assert len(source) == 18
    assert [entry.time for entry in source.entries] == pytest.approx([number / 25 for number in range(18)])
    assert all(isinstance(frame, Frame) for _, frame in source)
    assert not clip_info(source).varies


def test_damaged_frame_fails_alone() -> None:
    source = open_source([CASES / "damaged.avi"])
    results = [frame for _, frame in source]
    assert [isinstance(frame, Frame) for frame in results] == [True] * 7 + [False] + [True] * 8
    assert "Frame 8 of damaged.avi is damaged" in str(results[7])
    regular = images_of(CASES / "bars30.mp4")
    for number in (6, 8, 15):
        frame = results[number]
        assert isinstance(frame, Frame)
        assert frame.index == number + 1
        assert frame.time == pytest.approx(number / 30)
        assert difference(frame.image, regular[number]) < 4
    wanted = open_source([CASES / "damaged.avi"], frames="8-9")
    assert [(entry.index, isinstance(frame, Frame)) for entry, frame in wanted] == [(8, False), (9, True)]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"bf": "2", "g": "10"}), ("a.mkv", "libx264", {"g": "10"}),
        ("a.avi", "mpeg4", {"g": "10"}), ("a.mp4", "libx265", {"x265-params": "keyint=10:open-gop=0:log-level=none"}),
        ("a.webm", "libvpx-vp9", {"g": "10"}), ("a.avi", "mjpeg", {"pix_fmt": "yuvj420p"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("damaged", [3, 23])
def test_damage_in_any_codec_leaves_numbers_and_times(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], damaged: int
) -> None:
    encode(tmp_path / name, codec, **options)
    whole = open_source([tmp_path / name])
    with av.open(str(tmp_path / name)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    position, size = packets[damaged].pos, packets[damaged].size
    assert position is not None
    data = bytearray((tmp_path / name).read_bytes())
    data[position + 4 : position + size] = bytes(size - 4)
    (tmp_path / name).write_bytes(data)
    source = open_source([tmp_path / name])
    assert [entry.time for entry in source.entries] == [entry.time for entry in whole.entries]
    failed = [entry.index for entry, frame in source if isinstance(frame, FrameError)]
    number = sorted(packet.pts or 0 for packet in packets).index(packets[damaged].pts or 0) + 1
    assert number in failed
    # HEVC shows no frame that refers to a lost one, until the next key frame.
    assert failed == [number] or (codec == "libx265" and set(failed) <= set(range(number, number + 10)))


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"bf": "2"}), ("a.avi", "libx264", {"bf": "2"}), ("a.avi", "mpeg4", {"bf": "2"}),
        ("a.webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16"}), ("a.mkv", "libvpx-vp9", {}),
        ("a.ts", "mpeg2video", {"bf": "2"}), ("a.mpg", "mpeg2video", {"bf": "2"}), ("a.h264", "libx264", {"bf": "2"}),
        ("a.wmv", "wmv2", {}), ("a.flv", "libx264", {}), ("a.mp4", "libx265", {}),
    ],
)  # fmt: skip
def test_frames_are_exact_in_any_format(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    made = encode(tmp_path / name, codec, **options)
    source = open_source([tmp_path / name])
    assert [entry.time for entry in source.entries] == pytest.approx([number / 25 for number in range(40)], abs=0.002)
    assert source.fps == pytest.approx(25.0)
    assert not clip_info(source).varies
    for entry, frame in open_source([tmp_path / name], frames="1,2,17,39-40"):
        assert isinstance(frame, Frame)
        nearest = min(range(40), key=lambda number: difference(frame.image, made[number]))
        assert nearest == entry.index - 1


def test_camcorder_clip_is_deinterlaced() -> None:
    source = open_source([CASES / "avchd.mts"])
    assert clip_info(source).interlaced
    images = images_of(CASES / "avchd.mts")
    regular = images_of(CASES / "base8.mp4")
    assert len(images) == 16
    for image in images:
        assert 150 < image.mean() < 190  # never a black picture
        rows = image.astype(float).mean(axis=2)
        assert np.abs(rows[1:-1:2] - (rows[:-2:2] + rows[2::2]) / 2).mean() < 4  # no combs
    assert images[0].shape == regular[0].shape


def test_interlaced_pictures_lose_their_combs(tmp_path: Path) -> None:
    path = tmp_path / "fields.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme", "b": "4M", "top": "1"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(8):
            pixels = np.full((240, 320, 3), 40, np.uint8)
            for field in range(2):  # the bar moves between the fields
                left = 20 + 30 * number + 15 * field
                pixels[field::2, left : left + 40] = 200
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert clip_info(open_source([path])).interlaced
    for image in images_of(path)[1:-1]:
        rows = image[4:-4].astype(float).mean(axis=2)
        assert (np.abs(np.diff(rows, axis=0)) > 80).mean() < 0.02


@pytest.mark.parametrize(
    ("name", "base", "rotation"),
    [("rot90.mp4", "base8.mp4", 90), ("rot180.mp4", "base8.mp4", 180), ("rot270.mp4", "base8.mp4", 270),
     ("rotsq90.mp4", "basesq.mp4", 90)],
)  # fmt: skip
def test_turned_clips_are_upright(name: str, base: str, rotation: int) -> None:
    source = open_source([CASES / name])
    assert (clip_info(source).rotation, clip_info(source).flipped) == (rotation, False)
    for image, regular in zip(images_of(CASES / name), images_of(CASES / base), strict=True):
        assert image.shape == regular.shape == (*source.image_size[::-1], 3)
        assert difference(image, regular) < 0.02 * 255


def test_display_matrices_of_all_orientations() -> None:
    # (a, b, c, d) of "the point (x, y) is shown at (a x + c y, b x + d y)", y downwards, as EXIF numbers them.
    for orientation, (a, b, c, d) in {
        1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1),
        5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0), 8: (0, -1, 1, 0),
    }.items():  # fmt: skip
        matrix = np.array([a * 65536, b * 65536, 0, c * 65536, d * 65536, 0, 0, 0, 1 << 30], np.int32)
        assert orientation_of_matrix(matrix.tobytes()) == orientation
    assert orientation_of_matrix(np.zeros(9, np.int32).tobytes()) == 1
    assert orientation_of_matrix(b"") == 1


def test_mirrored_display_matrix_is_applied(tmp_path: Path) -> None:
    data = (CASES / "base8.mp4").read_bytes()
    unit, last = (65536).to_bytes(4, "big"), (1 << 30).to_bytes(4, "big")
    upright = unit + bytes(12) + unit + bytes(12) + last
    mirrored = (-65536).to_bytes(4, "big", signed=True) + bytes(12) + unit + bytes(12) + last
    track = data.index(b"tkhd")
    place = data.index(upright, track)
    path = tmp_path / "mirrored.mp4"
    path.write_bytes(data[:place] + mirrored + data[place + len(upright) :])
    assert clip_info(open_source([path])).flipped
    for image, regular in zip(images_of(path), images_of(CASES / "base8.mp4"), strict=True):
        assert np.array_equal(image[:, ::-1], regular)


def test_pixels_are_square() -> None:
    source = open_source([CASES / "sar43.mp4"])
    assert source.image_size == (640, 360)
    assert clip_info(source).pixel_aspect == pytest.approx(4 / 3)
    for image, regular in zip(images_of(CASES / "sar43.mp4"), images_of(CASES / "base8.mp4"), strict=True):
        assert image.shape == regular.shape
        assert difference(image, regular) < 0.02 * 255


@pytest.mark.parametrize("name", ["bars30.mp4", "damaged.avi"])
def test_colours_of_ordinary_clips_are_those_of_opencv(name: str) -> None:
    capture = cv2.VideoCapture(str(CASES / name))
    for image in images_of(CASES / name) if name == "bars30.mp4" else [read_first(CASES / name)]:
        read, other = capture.read()
        assert read
        assert np.array_equal(image, other[..., ::-1])


def read_first(path: Path) -> np.ndarray:
    [(_, image)] = read_clip(path, probe_clip(path), [1])
    assert isinstance(image, np.ndarray)
    return image


@pytest.mark.parametrize(("name", "count"), [("hands.gif", 6), ("anim.webp", 2)])
def test_animations_are_clips(name: str, count: int) -> None:
    source = open_source([CASES / name])
    assert source.kind == "video"
    images = images_of(CASES / name)
    assert len(images) == len(source) == count
    with Image.open(CASES / name) as file:
        for number, image in enumerate(images):
            file.seek(number)
            assert difference(image, np.array(file.convert("RGB"))) < 1
    assert [entry.time for entry in source.entries] == sorted({entry.time for entry in source.entries})


def test_animation_has_the_times_of_its_pictures(tmp_path: Path) -> None:
    pictures = [Image.fromarray(picture(number=number)) for number in range(4)]
    for suffix in (".gif", ".png", ".webp"):
        path = tmp_path / f"a{suffix}"
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[100, 50, 200, 50])
        source = open_source([path])
        assert [entry.time for entry in source.entries] == pytest.approx([0, 0.1, 0.15, 0.35])
        assert clip_info(source).varies
    still = tmp_path / "still.gif"
    pictures[0].save(still)
    assert open_source([still]).kind == "images"
    assert isinstance(frames_of(still)[0], Frame)


def test_animation_in_a_folder_is_not_read_in_part(tmp_path: Path) -> None:
    shutil.copy(CASES / "anim.webp", tmp_path / "a.webp")
    shutil.copy(CASES / "up.png", tmp_path / "b.png")
    source = open_source([tmp_path])
    assert [entry.name for entry in source.entries] == ["b.png"]
    assert [note.message for note in source.notes] == [
        f"1 file of the folder {tmp_path} left out (an animation): a.webp."
    ]
    with pytest.raises(InputError, match=r"a\.webp is an animation and cannot be mixed"):
        open_source([tmp_path / "a.webp", tmp_path / "b.png"])


def test_spacing() -> None:
    assert spacing([number / 30 for number in range(9)], [30.0]) == (30.0, False)
    assert spacing([round(number / 30, 3) for number in range(90)], [30.0]) == (30.0, False)  # rounded as in WebM
    assert spacing([0, 1 / 30, 3 / 30, 4 / 30], [30.0])[1]  # a dropped frame
    assert spacing([0.0], [24.0]) == (24.0, False)
    assert spacing([0.0], []) == (0.0, False)
    fps, varies = spacing([0, 0.5, 1.0], [30.0])
    assert (fps, varies) == (2.0, False)  # the header is wrong


def test_wrong_count_in_a_header_means_nothing(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", 12)
    data = bytearray(path.read_bytes())
    for chunk, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        place = data.index(chunk) + offset
        data[place : place + 4] = (5000).to_bytes(4, "little")
    path.write_bytes(data)
    assert len(images_of(path)) == len(open_source([path])) == 12


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_becomes_srgb(tmp_path: Path, transfer: str) -> None:
    path = tmp_path / "hdr.mp4"
    # White paper (203 nits) and grey are 58 % and 38 % of the signal in PQ, 75 % and 38 % in HLG (ITU-R BT.2408).
    paper = {"smpte2084": 0.58, "arib-std-b67": 0.75}[transfer]
    grey = 0.38
    numbers = {"smpte2084": 16, "arib-std-b67": 18}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": "lossless=1:log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 9, 9, numbers[transfer], 1
        luma = np.full((128, 128), round(64 + 876 * paper), np.uint16)
        luma[:, 64:] = round(64 + 876 * grey)
        for number in range(3):
            frame = av.VideoFrame(128, 128, "yuv420p10le")
            for plane, values in zip(frame.planes, (luma, np.full((64, 64), 512), np.full((64, 64), 512)), strict=True):
                rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
                rows[:, : plane.width] = values
                plane.update(rows.tobytes())
            frame.pts = number
            frame.colorspace, frame.color_range = 9, 1
            frame.color_primaries, frame.color_trc = 9, numbers[transfer]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    image = images_of(path)[0]
    assert np.ptp(image[:, 10:50].astype(int), axis=2).max() <= 2  # grey stays grey
    assert 215 < image[:, 10:50].mean() < 250  # paper is nearly white
    assert 85 < image[:, 78:118].mean() < 150


def test_tagged_colours_use_their_matrix(tmp_path: Path) -> None:
    path = tmp_path / "hd.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 1, 1, 1, 1
        pixels = np.full((64, 64, 3), (190, 120, 90), np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert np.abs(images_of(path)[0].astype(int) - (190, 120, 90)).max() <= 3


@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8", "list.ffconcat", "list.sdp", "list"])
def test_lists_of_other_files_open_nothing(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "clip.avi", 3)
    texts = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{clip}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile {clip}\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    }
    calls: list[object] = []
    monkeypatch.setattr(socket, "socket", lambda *arguments, **options: calls.append(arguments))
    for text in texts.values():
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError):
            probe_clip(tmp_path / name)
    assert not calls


def test_heic_is_never_a_clip(tmp_path: Path) -> None:
    for name in ("grid.heic", "single.heic"):
        shutil.copy(CASES / name, tmp_path / "a.mp4")
        with pytest.raises(InputError, match="cannot be opened as a video"):
            open_source([tmp_path / "a.mp4"])


def special(tmp_path: Path, kind: str, suffix: str) -> Path:
    path = tmp_path / f"a{suffix}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    else:
        path.mkdir()
    return path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("suffix", [".mp4", ".png", ".gif", ".exr", ".heic", ""])
@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str, suffix: str) -> None:
    path = special(tmp_path, kind, suffix)
    started = time.monotonic()
    with pytest.raises(InputError, match="has no pictures" if kind == "folder" else "not a regular file"):
        open_source([path]).first_picture()
    with pytest.raises(InputError, match="not a regular file"):
        probe_clip(path)
    assert time.monotonic() - started < 30  # a hang would last for ever


def test_sound_and_nonsense_are_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InputError, match="sound, but no pictures"):
        open_source([tmp_path / "sound.mp4"])
    cover = io.BytesIO()
    Image.fromarray(picture()).save(cover, "JPEG")
    (tmp_path / "picture.mp4").write_bytes(cover.getvalue())
    with pytest.raises(InputError, match="cannot be opened as a video"):
        open_source([tmp_path / "picture.mp4"])


def test_name_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"clip \xff\xfe.mp4")
    try:
        shutil.copy(CASES / "base8.mp4", path)
    except OSError:
        pytest.skip("this file system takes no such names")
    assert len(images_of(path)) == 8
