"""The phases of a clip: the same road as a reconstruction, from the file, with a time for each phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from im2hands.core.errors import FrameError
from im2hands.core.workers import Workers
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.lab.bench.clip_phases import PHASES, find_in_clip
from im2hands.media.source import Frame, open_source


@dataclass
class Seen:
    """Stands for a look."""

    brightness: int
    whole: bool
    again: bool = False


class Finder:
    """Looks at the first frame with all proposers, and at the third one again."""

    def look(self, frame: Frame, before: Sequence[Seen]) -> Seen:
        return Seen(int(frame.image.mean()), whole=not before)

    def choose(self, looks: Sequence[Seen]) -> list[int]:
        return [look.brightness for look in looks]

    def prior(self, looks: Sequence[Seen]) -> str:
        return f"{len(looks)} looks"

    def gaps(self, looks: Sequence[Seen], chosen: Sequence[int]) -> dict[int, np.ndarray]:
        assert chosen == self.choose(looks)
        return {2: np.zeros((1, 21, 2))}

    def look_again(self, frame: Frame, look: Seen, near: np.ndarray) -> Seen:
        assert int(frame.image.mean()) == look.brightness and len(near) == 1
        return Seen(look.brightness, True, again=True)

    def workers(self) -> Workers:
        return Workers(2, with_torch=False)

    def finish(self, frame: Frame, look: Seen, chosen: int, prior: str) -> list[HandDetection]:
        assert int(frame.image.mean()) == look.brightness == chosen and prior == "4 looks"
        hand = HandDetection("right", np.full((21, 2), chosen), np.zeros((21, 3)), np.ones(21), 1.0, "test")
        return [hand] if look.again else []


def test_a_frame_that_the_readers_fail_on_costs_itself_alone(tmp_path: Path) -> None:
    class Failing(Finder):
        def look(self, frame: Frame, before: Sequence[Seen]) -> Seen:
            if frame.index == 2:
                raise FrameError("The readers gave up.")
            return super().look(frame, before)

        def look_again(self, frame: Frame, look: Seen, near: np.ndarray) -> Seen:
            raise FrameError("The readers gave up.")

    paths = [tmp_path / f"shot_{number:03d}.png" for number in range(1, 6)]
    for number, path in enumerate(paths, start=1):
        cv2.imwrite(str(path), np.full((48, 64, 3), 20 * number, np.uint8))
    run = find_in_clip(Failing(), open_source(paths))  # type: ignore[arg-type]
    assert [entry.index for entry in run.entries] == [1, 3, 4, 5]
    assert [len(hands) for hands in run.found] == [0, 0, 0, 0] and len(run.failed) == 2


def test_every_phase_is_measured_and_broken_frames_are_left_out(tmp_path: Path) -> None:
    paths = [tmp_path / f"shot_{number:03d}.png" for number in range(1, 6)]
    for number, path in enumerate(paths, start=1):
        cv2.imwrite(str(path), np.full((48, 64, 3), 20 * number, np.uint8))
    paths[3].write_bytes(b"no picture")
    beside: list[int] = []
    source = open_source(paths)
    assert source.is_sequence
    run = find_in_clip(Finder(), source, lambda frame: beside.append(frame.index))  # type: ignore[arg-type]
    assert [entry.index for entry in run.entries] == beside == [1, 2, 3, 5]
    assert [len(hands) for hands in run.found] == [0, 0, 1, 0] and len(run.failed) == 1
    assert [sorted(hands) for hands in run.hands()] == [[], [], ["right"], []]
    frames = {name: run.phases[name].frames for name in PHASES}
    assert frames == {
        "decode": 5, "look, followed": 3, "look, whole": 1, "choose": 8, "look again": 1, "finish": 4,
    }  # fmt: skip
    assert all(phase.seconds > 0 for phase in run.phases.values())
    assert all(phase.cpu_seconds > 0 for name, phase in run.phases.items() if name == "decode")
    assert run.rate() > 0
