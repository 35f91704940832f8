"""Readers and what they read, for tests that give them damaged files: each answers, or refuses in words."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fakes import fake_look, hand_positions, keypoint_rows, picture
from im2hands.animation.cleaned_take import CleanTake
from im2hands.core.camera import Camera
from im2hands.core.errors import Im2HandsError
from im2hands.core.hands import SIDES
from im2hands.job.detection_cache import DetectionCache
from im2hands.keypoints.file import KeypointFile
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.media.source import Frame
from im2hands.take.record import FrameRecord
from im2hands.take.take import Take
from mutants import DAMAGE, FAULTS

ADDON = Path(__file__).parents[2] / "im2hands_addon"


@dataclass(frozen=True)
class Reader:
    """A reader under attack.

    Parameters
    ----------
    target : str
        The file that is damaged, relative to the folder of ``prepare``.
    read : callable
        Reads it; called with the folder.
    refusals : tuple of type
        Errors that say in words what is wrong; no other error may come out.
    """

    target: str
    read: Callable[[Path], Any]
    refusals: tuple[type[Exception], ...] = (Im2HandsError,)


def load_addon() -> types.ModuleType:
    """Import the add-on's readers without Blender; return the package, with ``errors`` and ``take`` in it."""
    if "im2hands_addon" not in sys.modules:
        package = types.ModuleType("im2hands_addon")
        package.__path__ = [str(ADDON)]
        sys.modules["im2hands_addon"] = package
    for name in ("errors", "take.reader", "take.motion"):
        importlib.import_module(f"im2hands_addon.{name}")
    return sys.modules["im2hands_addon"]


def prepare(folder: Path) -> Path:
    """Make a folder with a good file for every reader; return it."""
    shutil.copytree(FAULTS / "base_take", folder)
    growing = Take.create(folder / "growing", json.loads((folder / "take.json").read_text("utf-8")) | {"frames": []})
    for index in range(1, 4):
        growing.write_frame(FrameRecord(index, "empty", message="No hand was found.", key="0" * 32), None)
    detection = [
        HandDetection(side, np.ones((21, 2)), np.ones((21, 3)), np.full(21, 0.9), 0.9, "test", note="n")
        for side in SIDES
    ]
    cache = DetectionCache(folder / "cache")
    cache.write(1, "key", detection)
    cache.finish_clip("key", [1, 2, 3])
    places = [hand_positions(side)[:, :2] for side in SIDES]
    cache.write_look(1, "key", fake_look(Frame(1, 0.0, picture(), "picture"), places, SIDES))
    rows = keypoint_rows(range(1, 4))
    (folder / "keypoints.json").write_text(json.dumps(rows), "utf-8")
    flat = {
        f"{frame}_{side}": np.array(points) for frame, hands in rows["frames"].items() for side, points in hands.items()
    }
    np.savez(folder / "keypoints.npz", **flat)
    return folder


def backend_readers() -> dict[str, Reader]:
    """Return the backend's readers by name."""

    def keypoints(name: str) -> Callable[[Path], Any]:
        camera = Camera.from_fov(60, 320, 240)

        def read(folder: Path) -> Any:
            found = KeypointFile.read(folder / name)
            return [found.hands(index, camera) for index in found.frames]

        return read

    def cache(folder: Path) -> DetectionCache:
        return DetectionCache(folder / "cache")

    return {
        "take": Reader("take.json", Take.open),
        "journal": Reader("growing/frames.jsonl", lambda folder: Take.open(folder / "growing")),
        "frame": Reader("frames/000001.npz", lambda folder: Take.open(folder).read_frame(1)),
        "template": Reader("template.npz", lambda folder: CleanTake.read(Take.open(folder))),
        "motion": Reader("motion.npz", lambda folder: CleanTake.read(Take.open(folder))),
        "detections": Reader("cache/hands/000001.npz", lambda folder: cache(folder).read(1, "key"), ()),
        "finished clip": Reader("cache/clip.json", lambda folder: cache(folder).finished_clip("key"), ()),
        "look": Reader("cache/looks/000001.npz", lambda folder: cache(folder).read_look(1, "key"), ()),
        "keypoints json": Reader("keypoints.json", keypoints("keypoints.json")),
        "keypoints npz": Reader("keypoints.npz", keypoints("keypoints.npz")),
    }


def addon_readers() -> dict[str, Reader]:
    """Return the add-on's readers by name."""
    addon = load_addon()
    reader, motion = addon.take.reader, addon.take.motion
    refusals = (addon.errors.AddonError,)
    return {
        "take": Reader("take.json", reader.read_take, refusals),
        "journal": Reader("growing/frames.jsonl", lambda folder: reader.read_take(folder / "growing"), refusals),
        "frame": Reader("frames/000001.npz", lambda folder: reader.read_take(folder).read_hands(1), refusals),
        "template": Reader("template.npz", lambda folder: motion.read_animation(reader.read_take(folder)), refusals),
        "motion": Reader("motion.npz", lambda folder: motion.read_animation(reader.read_take(folder)), refusals),
    }


def attack(reader: Reader, folder: Path, seed: int, count: int) -> dict[str, int]:
    """Give a reader mutants of its file, and the file as it was at the end.

    Parameters
    ----------
    reader : Reader
        The reader.
    folder : Path
        A folder of :func:`prepare`.
    seed : int
        Seed of the mutants.
    count : int
        Number of mutants.

    Returns
    -------
    dict of str to int
        How many were "read" and "refused".

    Raises
    ------
    Exception
        What came out that is no refusal; the damaged file stays, and a note names the mutant.
    """
    path = folder / reader.target
    good = path.read_bytes()
    damage = DAMAGE.get(path.suffix, DAMAGE[".json"])
    told = {"read": 0, "refused": 0}
    for number in range(count):
        random = np.random.default_rng([seed, number])
        if path.suffix == ".jsonl":
            first, *lines = good.splitlines()
            damaged = damage((lines or [first])[0], random).replace(b"\n", b" ")
            mutant = b"\n".join([first, damaged, *lines[1:]] if lines else [damaged]) + b"\n"
        else:
            mutant = damage(good, random)
        path.write_bytes(mutant)
        try:
            reader.read(folder)
            told["read"] += 1
        except reader.refusals as error:
            assert str(error)
            told["refused"] += 1
        except Exception as error:
            error.add_note(f"mutant {number} of seed {seed}, {path}")
            raise
    path.write_bytes(good)
    reader.read(folder)
    return told
