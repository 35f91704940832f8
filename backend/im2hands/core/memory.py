"""The memory that this process may use, and the check that a job has enough."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from .errors import SetupError

NEEDED_MB = 1000
"""Memory for a job: a photo with the bundled networks takes 916 MB (``VmHWM``)."""
NEEDED_ADDRESSES_MB = 3200
"""Address space for a job: that photo takes 2 931 MB (``VmPeak``) on two cores, and more on more cores."""

_MB = 2**20
_UNLIMITED = 2**60  # control groups write such numbers for "no limit"


def require_memory() -> None:
    """Refuse to begin a job that is going to hang or to be killed for lack of memory.

    Raises
    ------
    SetupError
        A limit on the process, or the free memory of the machine, is too small.
    """
    for name, size, needed in _limits():
        if size < needed * _MB:
            raise SetupError(
                f"There is too little memory: {size // _MB} MB ({name}), and about {needed} MB are needed.",
                "Close other programs, or raise the limit (ulimit -v, the container's memory).",
            )


def _limits() -> Iterator[tuple[str, int, int]]:
    """Yield name, bytes and need (MB) of every limit that can be read."""
    if sys.platform != "win32":
        import resource

        address = resource.getrlimit(resource.RLIMIT_AS)[0]
        if address != resource.RLIM_INFINITY:
            yield "the limit on the address space of a process", address, NEEDED_ADDRESSES_MB
    if sys.platform == "linux":
        for path in _group_files():
            size = _number(path)
            if size is not None and size < _UNLIMITED:
                yield f"the limit in {path}", size, NEEDED_MB
        free = _available()
        if free is not None:
            yield "free on this machine", free, NEEDED_MB


def _group_files() -> Iterator[Path]:
    """Yield the files with the memory limits of this process's control group and of those around it."""
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers == "":
            root, name = Path("/sys/fs/cgroup"), "memory.max"
        elif "memory" in controllers.split(","):
            root, name = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"
        else:
            continue
        inside = root / group.lstrip("/")
        for folder in (inside, *inside.parents):
            if folder == root.parent:
                break
            yield folder / name


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):  # there is no such file, or it says "max"
        return None


def _available() -> int | None:
    """Return the memory that programs can still get, with swap, bytes; None if it is not known."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        found = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return 1024 * (found["MemAvailable"] + found.get("SwapFree", 0))
    except (OSError, ValueError, KeyError, IndexError):
        return None
