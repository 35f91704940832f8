"""What is known of a clip before its frames are decoded: number, times, rate, and how its pictures are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .upright import is_flipped, rotation

# Spacings of frames that differ by more than this are a variable rate. WebM and FLV round times to milliseconds.
VARIES_SECONDS = 0.004
_VARIES_PART = 0.25  # of the mean spacing, for clips of high rates

_WITHIN_FRAMES = 1.01  # rounding included

_LOWEST_FPS, _HIGHEST_FPS = 0.1, 1000.0


@dataclass(frozen=True)
class ClipInfo:
    """Header of a clip, the times of its frames, and the size of its pictures.

    Parameters
    ----------
    count : int
        Number of frames; of a clip that was cut off, the number that it should have.
    fps : float
        Average number of frames per second; 0.0 if it is not known.
    width : int
        Width of the upright picture with square pixels.
    height : int
        Height of the upright picture with square pixels.
    varies : bool
        Whether the time between frames varies.
    orientation : int
        EXIF number of the orientation of the stored pictures, 1 to 8; 1 is upright.
    pixel_aspect : float
        Width of a stored pixel divided by its height.
    interlaced : bool
        Whether each stored picture holds two moments in alternating lines. They are deinterlaced.
    times : tuple of float
        Time of each frame that the clip has, seconds from the first.
    stamps : tuple of int
        Presentation time of each frame in the units of the stream, by which decoded frames are told apart; empty if the
        file has none that can be trusted. Frames are then counted.
    length_known : bool
        Whether the header says how long the clip is; recordings of browsers often do not.
    hdr : bool
        Whether its colours are those of HDR or BT.2020. They are converted to sRGB.
    first_stream : bool
        Whether the pictures are those of the first video stream of the file.
    """

    count: int
    fps: float
    width: int
    height: int
    varies: bool = False
    orientation: int = 1
    pixel_aspect: float = 1.0
    interlaced: bool = False
    times: tuple[float, ...] = ()
    stamps: tuple[int, ...] = ()
    length_known: bool = True
    hdr: bool = False
    first_stream: bool = True

    @property
    def rotation(self) -> int:
        """Clockwise rotation that makes the stored pictures upright, degrees: 0, 90, 180 or 270."""
        return rotation(self.orientation)

    @property
    def flipped(self) -> bool:
        """Whether the stored pictures are mirrored in x before they are rotated."""
        return is_flipped(self.orientation)

    def facts(self) -> dict[str, Any]:
        """Return what a take says about its clip.

        Returns
        -------
        dict
            ``frame_rate_varies``, ``rotation``, ``flipped``, ``pixel_aspect`` and ``interlaced``.
        """
        return {
            "frame_rate_varies": self.varies,
            "rotation": self.rotation,
            "flipped": self.flipped,
            "pixel_aspect": round(self.pixel_aspect, 6),
            "interlaced": self.interlaced,
        }

    def time(self, number: int) -> float:
        """Return the time of a frame.

        Parameters
        ----------
        number : int
            Number of the frame, counted from 1.

        Returns
        -------
        float
            Seconds from the first frame. Of a frame that was cut off, the time by the average rate.
        """
        if number <= len(self.times):
            return self.times[number - 1]
        last = self.times[-1] if self.times else 0.0
        return last + (number - max(len(self.times), 1)) / (self.fps or 1.0)


def spacing(times: Sequence[float], rates: Sequence[float]) -> tuple[float, bool]:
    """Compute the frame rate from the times of the frames.

    Parameters
    ----------
    times : sequence of float
        Ascending times, seconds; the first is 0.
    rates : sequence of float
        Rates in the header, the best first. One that agrees with the times is taken, because times are often rounded.

    Returns
    -------
    fps : float
        Average frames per second; 0.0 if it is not known.
    varies : bool
        Whether the spacing varies by more than rounding.
    """
    possible = [rate for rate in rates if np.isfinite(rate) and _LOWEST_FPS <= rate <= _HIGHEST_FPS]
    if len(times) < 2:
        return (possible[0] if possible else 0.0), False
    gaps = np.diff(times)
    mean = times[-1] / len(gaps)
    steady = np.arange(len(times)) * mean
    varies = bool(
        gaps.max() - gaps.min() > min(VARIES_SECONDS, _VARIES_PART * mean)
        or np.abs(steady - times).max() > mean / 2  # the rate changes slowly
    )
    # The rate of a header may be that of a few frames only, so all frames together must agree with it within one frame.
    fps = next((rate for rate in possible if abs(times[-1] - len(gaps) / rate) < _WITHIN_FRAMES / rate), 1 / mean)
    return (float(fps) if _LOWEST_FPS <= fps <= _HIGHEST_FPS else 0.0), varies
