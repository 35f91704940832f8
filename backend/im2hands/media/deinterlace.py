"""One picture from the two moments that an interlaced frame holds in its alternating lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

Tag = TypeVar("Tag")


class Deinterlacer(Generic[Tag]):
    """Deinterlaces the interlaced frames of a clip and passes the others on, in order.

    Frames before the first interlaced one come back at once. After it, each comes back when the next is given, because
    the filter looks at both neighbours.

    Parameters
    ----------
    stream : av.VideoStream
        The stream that the frames come from.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._graph: Any = None
        self._shape: tuple[int, int, str] | None = None
        self._waiting: deque[Tag] = deque()

    def push(self, frame: Any, tag: Tag) -> Iterator[tuple[Any, Tag]]:
        """Give one frame.

        Parameters
        ----------
        frame : av.VideoFrame
            The next frame in the order of presentation.
        tag : object
            Comes back with the frame.

        Yields
        ------
        av.VideoFrame
            A frame that is ready.
        object
            Its tag.
        """
        shape = (frame.width, frame.height, frame.format.name)
        if self._graph is not None and shape != self._shape:
            yield from self.flush()
        if self._graph is None:
            if not frame.interlaced_frame:
                yield frame, tag
                return
            self._graph, self._shape = _make_graph(frame, self._stream), shape
        self._waiting.append(tag)
        self._graph.push(frame)
        yield from self._ready()

    def flush(self) -> Iterator[tuple[Any, Tag]]:
        """Give what is still waiting, after the last frame.

        Yields
        ------
        av.VideoFrame
            A frame.
        object
            Its tag.
        """
        if self._graph is not None:
            self._graph.push(None)
            yield from self._ready()
        self._graph = None
        self._waiting.clear()

    def _ready(self) -> Iterator[tuple[Any, Tag]]:
        import av

        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield frame, self._waiting.popleft()


def _make_graph(frame: Any, stream: Any) -> Any:
    import av.filter

    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format.name, time_base=stream.time_base
    )
    # One picture a frame; the order of the fields, and whether a frame is interlaced, as the frame says.
    filtered = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(filtered)
    filtered.link_to(sink)
    graph.configure()
    return graph
