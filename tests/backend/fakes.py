"""Fake components of a job, small generated pictures and clips, and a client of the server."""

from __future__ import annotations

import json
import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import trimesh

from im2hands.app.server import Server
from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError, SetupError
from im2hands.core.hands import HandKeypoints, Side, TwoHands
from im2hands.job.components import Components, ProviderNeeds
from im2hands.job.options import ReconstructOptions
from im2hands.keypoints.choosing.judge import Verdict
from im2hands.keypoints.choosing.prior import EVEN
from im2hands.keypoints.finder import HandFinder
from im2hands.keypoints.hypothesis import HandDetection, Hypothesis
from im2hands.keypoints.look import THUMBNAIL, Look
from im2hands.keypoints.proposing.box_file import HandBoxes
from im2hands.media.source import Frame
from im2hands.surfaces.from_keypoints import HandMesh

EVENT_SECONDS = 20.0


def hand_positions(side: Side = "left", depth: float = 0.5) -> np.ndarray:
    """Make the keypoints of a flat hand, seen from its back, with the fingers up, next to the optical axis.

    Parameters
    ----------
    side : Side
        Left or right hand.
    depth : float
        Distance of the wrist from the camera, metres.

    Returns
    -------
    (21, 3) float64
        Camera frame, metres.
    """
    rows = [(0.0, 0.0)]
    for angle, knuckle in ((-50, 40), (-12, 88), (0, 88), (10, 84), (20, 78)):
        direction = np.array([np.sin(np.radians(angle)), -np.cos(np.radians(angle))])
        rows += [tuple(direction * length) for length in np.cumsum([knuckle, 32, 25, 22])]
    flat = np.array(rows) / 1000
    mirror = 1.0 if side == "left" else -1.0
    bend = np.array([0, *([0.0, 0.004, 0.008, 0.012] * 5)])
    return np.column_stack([mirror * flat[:, 0] - mirror * 0.08, flat[:, 1] + 0.08, depth + bend])


def keypoint_rows(indices: Sequence[int], sides: Sequence[Side] = ("left", "right")) -> dict[str, Any]:
    """Make the content of a keypoint file, in which the hands move a little from frame to frame.

    Parameters
    ----------
    indices : sequence of int
        Frames of the file.
    sides : sequence of Side
        Hands of every frame.

    Returns
    -------
    dict
        Plain JSON types.
    """
    frames = {
        f"{index:06d}": {
            side: (hand_positions(side) + np.array([0, 0, 0.002 * index])).round(6).tolist() for side in sides
        }
        for index in indices
    }
    return {"order": "file", "unit": "m", "space": "camera", "frames": frames}


def picture(width: int = 160, height: int = 120, number: int = 0) -> np.ndarray:
    """Make an (H, W, 3) uint8 RGB picture that depends on ``number``."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([columns * 255 // width, rows * 255 // height, 0 * rows + number * 37 % 256], -1).astype(np.uint8)


def write_picture(path: Path, pixels: np.ndarray) -> Path:
    """Write RGB or grey pixels, also to paths that OpenCV cannot open; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]] if pixels.ndim == 3 else pixels
    ok, data = cv2.imencode(path.suffix, bgr)
    assert ok
    path.write_bytes(data.tobytes())
    return path


def write_clip(path: Path, frames: int, fps: float = 20.0, width: int = 160, height: int = 120) -> Path:
    """Write a clip whose frames have the brightness 10 x frame number; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = {".avi": "MJPG", ".mp4": "mp4v"}[path.suffix]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), fps, (width, height))
    for number in range(1, frames + 1):
        writer.write(np.full((height, width, 3), number * 10 % 256, np.uint8))
    writer.release()
    return path


def bytes_of(take: Path) -> dict[str, bytes]:
    """Return all files of a take by path, without the cache."""
    files = [path for path in take.rglob("*") if path.is_file() and "cache" not in path.relative_to(take).parts]
    return {str(path.relative_to(take)): path.read_bytes() for path in files}


def fake_look(
    frame: Frame, pixels: Sequence[np.ndarray], sides: Sequence[Side], whole: bool = True, strength: float = 20.0
) -> Look:
    """Make the look at a frame in which hands are surely seen.

    Parameters
    ----------
    frame : Frame
        The frame.
    pixels : sequence of (21, 2) float64
        Keypoints of each hypothesis.
    sides : sequence of Side
        The side of each.
    whole : bool
        Whether every proposer was asked.
    strength : float
        Score of a hand alone; a left and a right hand together have twice as much.

    Returns
    -------
    Look
        The look.
    """
    count = len(pixels)
    single, pair = np.full((count, 2), -strength), np.full((count, count), -strength)
    for row, side in enumerate(sides):
        single[row, int(side == "right")] = strength
    for left in range(count):
        for right in range(count):
            if (sides[left], sides[right]) == ("left", "right"):
                pair[left, right] = 2 * strength
    np.fill_diagonal(pair, -np.inf)
    hands = []
    for row, side in enumerate(sides):
        right = 3.0 if side == "right" else -3.0
        source = "mediapipe" if whole else "neighbours"
        hands.append(Hypothesis(pixels[row], hand_positions(side), np.zeros(21), 0.9, 1.0, right, right, 0.5, source))
    thumbnail = cv2.resize(frame.image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    size = frame.image.shape[1], frame.image.shape[0]
    return Look(tuple(hands), Verdict(single, pair), (None, None), size, thumbnail, whole, frame.index)


class FakeReaders:
    """Stands in for the networks that look at a picture: sees the hands that a ``FakeProvider`` names.

    In a clip their place depends on the frame before, as with real readers.
    """

    def __init__(self, provider: FakeProvider) -> None:
        self._provider = provider
        self.network = SimpleNamespace(source="crops")
        self.closed = False

    def look(
        self, frame: Frame, near: np.ndarray | None = None, boxes: object = None, cancelled: object = None
    ) -> Look:
        """Return both hands where they are, a little nearer to the places beside if there are some."""
        return self._look(frame, np.zeros((0, 21, 2)) if near is None else near, whole=True)

    def follow(self, frame: Frame, near: np.ndarray) -> Look:
        """Return one hypothesis for each place."""
        sides = self._provider.sides(frame.index)
        if len(near) == len(sides):
            return self._look(frame, near, whole=False)
        gone = fake_look(frame, list(near), ["left"] * len(near), whole=False)
        return replace(gone, hypotheses=tuple(replace(hand, presence=0.1) for hand in gone.hypotheses))

    def _look(self, frame: Frame, near: np.ndarray, whole: bool) -> Look:
        provider = self._provider
        time.sleep(provider.delay)
        if frame.index in provider.fail_at:
            raise FrameError(f"{frame.name}: the provider gave up.")
        camera = Camera.from_fov(60, frame.image.shape[1], frame.image.shape[0])
        sides = list(provider.sides(frame.index))
        places = [camera.project(hand_positions(side)) for side in sides]
        if len(near) == len(places):
            places = [0.5 * (place + beside) + 0.25 for place, beside in zip(places, near, strict=True)]
        return fake_look(frame, places, sides, whole)

    def close(self) -> None:
        """Record that the readers were closed."""
        self.closed = True


class FakeProvider(HandFinder):
    """The real finder with fake readers: sees the same hands in every picture, and goes the whole road of a clip.

    Parameters
    ----------
    delay : float
        Seconds that each look takes.
    sides : callable
        Returns the hands of a frame.
    fail_at : frozenset of int
        Frames on which the readers fail.
    """

    def __init__(
        self,
        delay: float = 0.0,
        sides: Callable[[int], Sequence[Side]] = lambda index: ("left", "right"),
        fail_at: frozenset[int] = frozenset(),
        hands: str = "auto",
    ) -> None:
        self.delay, self.sides, self.fail_at = delay, sides, fail_at
        self.readers = FakeReaders(self)
        super().__init__(self.readers, hands=hands, name="fake")  # type: ignore[arg-type]
        self.seen: list[int] = []
        """Photos and frames that were looked at for the first time in this job."""
        self.again: list[int] = []
        """Frames of a clip that were looked at once more, because a frame beside them has a hand that they lack."""
        self.known: dict[int, int] = {}
        """By frame of a clip: how many frames before it were known when it was looked at."""

    @property
    def closed(self) -> bool:
        """Whether the provider was closed."""
        return self.readers.closed

    def detect(self, frame: Frame) -> list[HandDetection]:
        """Return the hands of a photo, without the last reading of the real networks."""
        look = self.readers.look(frame)
        self.seen.append(frame.index)
        return self.finish(frame, look, self.choose([look])[0], EVEN)

    def detect_boxed(self, frame: Frame, boxes: HandBoxes) -> list[HandDetection]:
        """Return the hands of the boxes, where the readers see them."""
        look = self.readers.look(frame)
        hands = self.finish(frame, look, self.choose([look])[0], EVEN)
        return [hand for hand in hands if hand.side in boxes.get(frame.index)]

    def look(self, frame: Frame, before: Sequence[Look]) -> Look:
        """Look at the next frame of a clip."""
        look = super().look(frame, before)
        self.seen.append(frame.index)
        self.known[frame.index] = len(before)
        return look

    def look_again(self, frame: Frame, look: Look, near: np.ndarray) -> Look:
        """Look at a frame of a clip again."""
        self.again.append(frame.index)
        return super().look_again(frame, look, near)


@dataclass
class FakeReconstructor:
    """Makes a ball at the centre of each hand."""

    delay: float = 0.0
    fail_sides: frozenset[Side] = frozenset()
    calls: list[int] = field(default_factory=list)
    release: threading.Event | None = None

    @property
    def provenance(self) -> dict[str, Any]:
        """The same fields as the real one's."""
        return {"weights": {"fake": "0" * 64}, "stage": "initial"}

    def reconstruct(self, frame: Frame, camera: Camera, hands: TwoHands) -> dict[Side, HandMesh]:
        """Return the balls."""
        self.calls.append(frame.index)
        if self.release is not None:
            self.release.wait(20)
        time.sleep(self.delay)
        return {hand.side: self._ball(hand) for hand in hands.present()}

    def _ball(self, hand: HandKeypoints) -> HandMesh:
        if hand.side in self.fail_sides:
            raise FrameError(f"The {hand.side} hand has no surface.")
        ball = trimesh.creation.icosphere(1, 0.05)
        vertices = (ball.vertices + hand.positions.mean(axis=0)).astype(np.float32)
        return HandMesh(vertices, ball.faces.astype(np.int32), np.full(16, 0.03, np.float32))


class FakeParts(Components):
    """Components without networks. The provider and the reconstructor can be inspected after a job."""

    def __init__(self, provider: FakeProvider | None = None, reconstructor: FakeReconstructor | None = None) -> None:
        self.provider_made = provider or FakeProvider()
        self.reconstructor_made = reconstructor or FakeReconstructor()
        self.needs: ProviderNeeds | None = None

    def device_name(self, options: ReconstructOptions, refused: Callable[[SetupError], None] | None = None) -> str:
        """Return the processor."""
        return "cpu"

    def reconstructor(self, options: ReconstructOptions, device_name: str) -> Any:
        """Return the given reconstructor; for drafts the real one, which has no networks."""
        if options.stage == "none":
            return super().reconstructor(options, device_name)
        return self.reconstructor_made

    def provider(self, needs: ProviderNeeds) -> FakeProvider:
        """Return the given provider."""
        self.needs = needs
        return self.provider_made


class Client:
    """A client of a server in this process, connected through pipes."""

    def __init__(self, parts: Components | None = None) -> None:
        requests_read, requests_write = os.pipe()
        events_read, events_write = os.pipe()
        self._requests = os.fdopen(requests_write, "wb", buffering=0)
        self._events, self._unread = events_read, b""
        self.last_resort = threading.Event()
        self._serving = os.fdopen(requests_read, "rb"), os.fdopen(events_write, "wb")
        self.server = Server(*self._serving, parts, self.last_resort.set)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()

    def send(self, kind: str, identifier: str = "1", **fields: Any) -> None:
        """Send a request."""
        if kind == "reconstruct" and isinstance(fields.get("options", {}), dict):  # the clean phase has its own tests
            fields["options"] = {"clean": False, **fields.get("options", {})}
        self.send_raw(json.dumps({"type": kind, "id": identifier, **fields}).encode() + b"\n")

    def send_raw(self, data: bytes) -> None:
        """Send any bytes."""
        self._requests.write(data)

    def event(self) -> dict[str, Any]:
        """Return the next event; raise TimeoutError if none comes."""
        while b"\n" not in self._unread:
            if not select.select([self._events], [], [], EVENT_SECONDS)[0]:
                raise TimeoutError("the server is silent")
            data = os.read(self._events, 65536)
            assert data, "the server ended"
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    def until(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the events up to the first one of the given kinds."""
        events = [self.event()]
        while events[-1]["type"] not in kinds:
            events.append(self.event())
        return events

    def end_requests(self) -> None:
        """Close the server's stdin."""
        self._requests.close()

    def go_away(self) -> None:
        """Stop reading the server's events."""
        os.close(self._events)
