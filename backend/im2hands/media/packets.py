"""The list of a clip's frames, from its packets alone: nothing is decoded and no count of a header is trusted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO

# Headers often round the number of frames. A clip that lacks more frames than this is cut off.
COUNT_TOLERANCE = 2

_VP8_SHOWN = 0x10  # bit of the first byte of a VP8 frame; the others only serve as references


@dataclass(frozen=True)
class Packet:
    """One packet that is shown.

    Parameters
    ----------
    stamp : int or None
        Presentation time in the units of the stream.
    order : int or None
        Decoding time in the units of the stream.
    duration : int
        Time until the next frame, in the units of the stream; 0 if it is not known.
    key : bool
        Whether decoding can begin here.
    corrupt : bool
        Whether the packet is not complete.
    """

    stamp: int | None
    order: int | None
    duration: int
    key: bool
    corrupt: bool


@dataclass(frozen=True)
class PacketList:
    """The packets of a clip in decoding order, without those that an edit list cuts away.

    Parameters
    ----------
    packets : list of Packet
        The packets that are shown.
    missing : int
        Number of frames that the file should have after them; 0 if it was not cut off.
    """

    packets: list[Packet]
    missing: int

    @property
    def stamps(self) -> tuple[int, ...]:
        """Presentation times in ascending order; empty if they do not tell the frames apart."""
        stamps = [packet.stamp for packet in self.packets if packet.stamp is not None]
        orders = [packet.order for packet in self.packets if packet.order is not None]
        unique = len(set(stamps)) == len(self.packets)
        ascending = all(a <= b for a, b in pairwise(orders))  # else times begin again within it
        return tuple(sorted(stamps)) if unique and ascending else ()


def list_packets(container: Any, stream: Any, file: BinaryIO) -> PacketList:
    """Read through a clip and list its packets.

    Parameters
    ----------
    container : av.container.InputContainer
        The container, just opened.
    stream : av.VideoStream
        Its video stream.
    file : binary stream
        The file that the container reads.

    Returns
    -------
    PacketList
        The packets.
    """
    import av

    packets: list[Packet] = []
    total = 0
    vp8 = stream.codec_context.name.startswith(("vp8", "libvpx-vp8"))
    try:
        for packet in container.demux(stream):
            if not packet.size or (vp8 and not memoryview(packet)[0] & _VP8_SHOWN):
                continue
            total += 1
            if not packet.is_discard:
                packets.append(
                    Packet(packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe, packet.is_corrupt)
                )
    except av.error.FFmpegError:
        pass  # the file ends here; what is missing is counted below
    packets = _without_undecodable(packets)
    missing = _missing(container, stream, packets, total, file)
    if missing and packets and packets[-1].corrupt:  # only the beginning of this frame is there
        packets.pop()
        missing += 1
    return PacketList(packets, missing)


def _without_undecodable(packets: list[Packet]) -> list[Packet]:
    """Leave out the packets before the first key frame: a recording that began in the middle shows them nowhere."""
    first = next((number for number, packet in enumerate(packets) if packet.key), 0)
    return packets[first:]


def _missing(container: Any, stream: Any, packets: list[Packet], total: int, file: BinaryIO) -> int:
    """Estimate how many frames were cut off the end of the file."""
    if not packets or any(packet.stamp is None for packet in packets):
        return 0
    if container.format.name == "avi":  # its count is wrong in many files; only the length of the file tells
        missing = stream.frames - total if packets[-1].corrupt or _is_cut_riff(file) else 0
        return missing if missing >= COUNT_TOLERANCE else 0
    if "mov" in container.format.name:
        return _beyond_end(stream, file)
    stamps = [packet.stamp for packet in packets if packet.stamp is not None]
    last = max(packets, key=lambda packet: packet.stamp or 0)
    gap = (max(stamps) - min(stamps)) / (len(stamps) - 1) if len(stamps) > 1 else last.duration
    promised = _promised_end(container, stream)
    if promised is None or not gap:
        return 0
    missing = round((promised - max(stamps) - (last.duration or gap)) / gap)
    if stream.frames:
        missing = min(missing, stream.frames - total)
    return missing if missing >= COUNT_TOLERANCE else 0


def _promised_end(container: Any, stream: Any) -> float | None:
    """Return when the stream should end by its header, in its units; None if the header does not say."""
    if stream.frames and stream.duration:
        return float((stream.start_time or 0) + stream.duration)
    if "matroska" in container.format.name:
        try:
            hours, minutes, seconds = stream.metadata["DURATION"].split(":")
            return float((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) / stream.time_base)
        except (KeyError, ValueError, AttributeError):
            return None
    return None


def _beyond_end(stream: Any, file: BinaryIO) -> int:
    """Count the frames of an MP4 file whose data should lie after its end. Edit lists are applied to its index."""
    size = file.seek(0, os.SEEK_END)
    return sum(entry.pos >= size and not entry.is_discard for entry in stream.index_entries)


def _is_cut_riff(file: BinaryIO) -> bool:
    """Return whether the file is shorter than its RIFF header says."""
    size = file.seek(0, os.SEEK_END)
    file.seek(4)
    declared = int.from_bytes(file.read(4), "little")
    return 0 < declared < 2**32 - 1 and declared + 8 > size
