"""Frames a second in which the hands of a clip are found, by phase, beside MediaPipe's video mode.

python benchmarks/clip.py clip.mp4                  every frame
python benchmarks/clip.py clip.mp4 --frames 1-60    some frames

MediaPipe's hand landmarker in video mode, which follows two hands from frame to frame, sees each frame right before the
finder does, so other programs on the machine slow down both alike. Decoding is measured by itself. The rates of
"look, followed" and "look, whole" are those of the frames that were looked at so; the rate of all phases together
counts every frame once. The last column is the processor time of a frame, of all threads together, which other programs
change little. Sequences of pictures are measured like clips.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from im2hands.app.cli.main import NO_NETWORK, PROCESS_DEFAULTS

if TYPE_CHECKING:
    from im2hands.media.source import Frame

HANDS = 2
"""Hands that MediaPipe follows."""

CONFIDENCE = 0.5
"""MediaPipe's three thresholds; its own defaults."""


class VideoMode:
    """MediaPipe's hand landmarker in video mode; counts what it finds and how long it takes."""

    def __init__(self) -> None:
        from im2hands.core.mediapipe_import import import_mediapipe
        from im2hands.core.native_log import quiet_start
        from im2hands.weights.mediapipe_bundle import read_bundle

        self._mediapipe = import_mediapipe()
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.HandLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=read_bundle(None).task),
            running_mode=vision.RunningMode.VIDEO,
            num_hands=HANDS,
            min_hand_detection_confidence=CONFIDENCE,
            min_hand_presence_confidence=CONFIDENCE,
            min_tracking_confidence=CONFIDENCE,
        )
        with quiet_start():
            self._landmarker = vision.HandLandmarker.create_from_options(options)
        self._milliseconds = -1
        self.seconds: list[float] = []
        self.cpu_seconds = 0.0
        self.both = 0

    def see(self, frame: Frame) -> None:
        """Follow the hands into the next frame."""
        import numpy as np

        # MediaPipe needs strictly increasing time stamps; those of a clip may not be.
        self._milliseconds = max(self._milliseconds + 1, round(frame.time * 1000))
        started, worked = time.perf_counter(), time.process_time()
        image = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame.image)
        )
        found = self._landmarker.detect_for_video(image, self._milliseconds)
        self.seconds.append(time.perf_counter() - started)
        self.cpu_seconds += time.process_time() - worked
        self.both += {hand[0].category_name for hand in found.handedness} == {"Left", "Right"}

    def close(self) -> None:
        """Release MediaPipe."""
        self._landmarker.close()


def main() -> int:
    """Parse the command line and run; the exit codes are those of ``im2hands``."""
    os.environ.update({**PROCESS_DEFAULTS, **NO_NETWORK})  # as the program does; it must precede the import of PyTorch
    from im2hands.core.errors import Im2HandsError
    from im2hands.keypoints import PROVIDERS
    from im2hands.keypoints.choosing.prior import HANDS as KNOWN

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="+", type=Path, help="one clip, or the pictures of a sequence")
    parser.add_argument("--keypoints", default="auto", choices=PROVIDERS, help="which provider (default: auto)")
    parser.add_argument("--hands", default="auto", choices=KNOWN, help="what is known of the hands (default: auto)")
    parser.add_argument("--frames", help='which frames, for example "1-60" (default: all)')
    parser.add_argument("--step", type=int, default=1, help="use every n-th frame")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        report = measure(arguments)
    except Im2HandsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(report, indent=1) if arguments.json else table(report))
    return 0


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Find the hands of the clip with both programs.

    Parameters
    ----------
    arguments : argparse.Namespace
        Parsed options, see ``main``.

    Returns
    -------
    dict
        Figures of the phases, of both programs, and of the clip.
    """
    from im2hands.core.devices import granted_cores
    from im2hands.keypoints.sources import make_provider
    from im2hands.lab.bench.clip_figures import leaps, swaps
    from im2hands.lab.bench.clip_phases import find_in_clip
    from im2hands.media.source import Frame, open_source

    source, again = (
        open_source(arguments.clip, frames=arguments.frames, step=arguments.step, sequence="yes") for _ in range(2)
    )
    started, worked = time.perf_counter(), time.process_time()
    finder = make_provider(arguments.keypoints, hands=arguments.hands)
    first = next((frame for _, frame in again.read(again.entries[:1])), None)
    if isinstance(first, Frame):
        finder.detect(first)  # networks are slower the first time
    start_up, start_up_cpu = time.perf_counter() - started, time.process_time() - worked
    beside = VideoMode()
    try:
        run = find_in_clip(finder, source, beside.see)
    finally:
        finder.close()
        beside.close()
    for error in run.failed:
        print(error, file=sys.stderr)
    hands = run.hands()
    rates = {
        name: {"frames": phase.frames, "seconds": phase.seconds, "cpu_seconds": phase.cpu_seconds,
               "frames_a_second": phase.frames / phase.seconds if phase.seconds else None}
        for name, phase in run.phases.items()
    }  # fmt: skip
    return {
        "clip": arguments.clip[0].name,
        "keypoints": arguments.keypoints,
        "hands": arguments.hands,
        "cores": granted_cores(),
        "frames": len(run.entries),
        "start_up_s": start_up,
        "start_up_cpu_s": start_up_cpu,
        "phases": rates,
        "frames_a_second": run.rate(),
        "both": sum(len(found) == HANDS for found in hands),
        "swaps": len(swaps(hands)),
        "leaps": len(leaps(hands)),
        "mediapipe_frames_a_second": len(beside.seconds) / sum(beside.seconds) if beside.seconds else 0.0,
        "mediapipe_cpu_seconds": beside.cpu_seconds,
        "mediapipe_both": beside.both,
    }


def table(report: dict[str, Any]) -> str:
    """Return the figures as text.

    Parameters
    ----------
    report : dict
        Result of ``measure``.

    Returns
    -------
    str
        The table.
    """
    count = report["frames"]
    lines = [
        f"{report['clip']}, {count} frames, --keypoints {report['keypoints']} --hands {report['hands']}, "
        f"{report['cores']} cores; start-up with one photo {report['start_up_s']:.2f} s "
        f"({report['start_up_cpu_s']:.2f} s of the processor)",
        f"{'phase':<24}{'frames':>8}{'s':>9}{'frames/s':>10}{'CPU ms':>9}",
    ]
    for name, phase in report["phases"].items():
        rate = phase["frames_a_second"]
        shown = "-" if rate is None else f"{rate:.1f}" if rate < 1000 else f"{rate:.0f}"
        cpu = _milliseconds(phase["cpu_seconds"], phase["frames"])
        lines.append(f"{name:<24}{phase['frames']:>8}{phase['seconds']:>9.2f}{shown:>10}{cpu:>9}")
    cpu = sum(phase["cpu_seconds"] for name, phase in report["phases"].items() if name != "decode")
    both_cpu = _milliseconds(cpu, count), _milliseconds(report["mediapipe_cpu_seconds"], count)
    ours = f"{report['frames_a_second']:>10.1f}{both_cpu[0]:>9}"
    beside = f"{report['mediapipe_frames_a_second']:>10.1f}{both_cpu[1]:>9}"
    lines += [
        f"{'all but decode':<24}{count:>8}{'':>9}{ours}   both hands in {report['both']}, "
        f"swaps {report['swaps']}, leaps {report['leaps']}",
        f"{'MediaPipe, video mode':<24}{count:>8}{'':>9}{beside}   both hands in {report['mediapipe_both']}",
    ]
    return "\n".join(lines)


def _milliseconds(seconds: float, frames: int) -> str:
    """Return the milliseconds of a frame as text."""
    return f"{1000 * seconds / frames:.0f}" if frames else "-"


if __name__ == "__main__":
    raise SystemExit(main())
