"""Test lanes: each runs pytest in a process of its own, several side by side; a summary adds up their results.

A single test has a time limit. A lane has none, because on a loaded machine it takes longer. A test that exceeds the
limit is named.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from dev_tools.processes import Command, run, say

RUNNER = Path(__file__).with_name("run_pytest.py")
OUTCOMES = ("failed", "passed", "skipped", "errors")
REPORT_EVERY_SECONDS = 60.0


@dataclass
class Lane:
    """A test lane: one pytest process and its result.

    Parameters
    ----------
    name : str
        Name of the lane.
    python : Path
        Python that runs pytest.
    tests : tuple of str
        Test files and folders, and other arguments of pytest.
    extra : dict of str to str
        Additional environment variables.
    code : int
        Exit code; 124 if a test exceeded its time limit, -1 before the run.
    seconds : float
        Duration.
    counts : dict of str to int
        Number of tests by outcome, see ``OUTCOMES``.
    stuck : str
        The test that exceeded its time limit; "" for none.
    """

    name: str
    python: Path
    tests: tuple[str, ...]
    extra: dict[str, str] = field(default_factory=dict)
    code: int = -1
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    stuck: str = ""

    @property
    def failed(self) -> bool:
        """Whether the lane has failures or errors."""
        return self.code != 0


class Progress:
    """The progress file of a lane, as ``run_pytest.py`` writes it.

    Parameters
    ----------
    path : Path
        The file; it need not exist yet.
    limit : float
        Time limit of a single test, seconds.
    """

    def __init__(self, path: Path, limit: float) -> None:
        self._path, self._limit = path, limit
        self._read = 0
        self._since = time.monotonic()
        self.running = ""
        self.counts: Counter[str] = Counter()

    def update(self) -> None:
        """Read the lines that were added since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                added = file.read()
        except FileNotFoundError:
            return
        added = added[: added.rfind(b"\n") + 1]
        self._read += len(added)
        for line in added.decode("utf-8").splitlines():
            word, _, test = line.partition("\t")
            if word in OUTCOMES:
                self.counts[word] += 1
            elif word in ("start", "end"):
                self.running = test if word == "start" else ""
                self._since = time.monotonic()

    @property
    def is_stuck(self) -> bool:
        """Whether the running test has exceeded the limit."""
        return bool(self.running) and time.monotonic() - self._since > self._limit


def run_lane(
    lane: Lane, limit: float, arguments: Sequence[str], stop: threading.Event, *, pass_through: bool = True
) -> None:
    """Run a lane with a separate Blender user folder, and store its result in the lane.

    Parameters
    ----------
    lane : Lane
        The lane.
    limit : float
        Time limit of a single test, seconds.
    arguments : sequence of str
        Additional arguments of pytest.
    stop : threading.Event
        Ends the lane when it is set.
    pass_through : bool
        Whether pytest's output appears at once; else when the lane ends, with a line a minute meanwhile.
    """
    start = time.monotonic()
    say(f"-- lane {lane.name}")
    with tempfile.TemporaryDirectory(prefix="im2hands-lane-") as folder:
        progress_file = Path(folder) / "progress.txt"
        progress = Progress(progress_file, limit)
        reported = start
        # Threads that spin while waiting slow down every other process that shares the cores.
        extra = lane.extra | {
            "BLENDER_USER_RESOURCES": str(Path(folder) / "blender"),
            "OMP_WAIT_POLICY": "PASSIVE",
            "OPENBLAS_NUM_THREADS": "1",
        }

        def should_stop() -> bool:
            nonlocal reported
            progress.update()
            if not pass_through and time.monotonic() - reported > REPORT_EVERY_SECONDS:
                reported = time.monotonic()
                say(f"   {lane.name}: {counted(progress.counts)}; running {progress.running or 'nothing'}")
            if progress.is_stuck:
                lane.stuck = progress.running
            return bool(lane.stuck) or stop.is_set()

        command: Command = [lane.python, RUNNER, progress_file, "-q", *lane.tests, *arguments]
        if pass_through:
            lane.code = run(command, None, extra, should_stop=should_stop)
        else:
            with (Path(folder) / "output.txt").open("w+b") as output:
                lane.code = run(command, None, extra, output=output, should_stop=should_stop)
                output.seek(0)
                say(f"-- output of lane {lane.name}\n{output.read().decode('utf-8', 'replace')}")
        progress.update()
        lane.counts = {outcome: progress.counts[outcome] for outcome in OUTCOMES}
    lane.seconds = time.monotonic() - start
    say(f"   lane {lane.name}: {lane.seconds:.1f} s")
    if lane.stuck:
        say(f"   {lane.stuck} ran longer than {limit:g} s; the lane was ended there")
    if lane.failed and not lane.counts["failed"] + lane.counts["errors"]:
        lane.counts["errors"] = 1


def run_lanes(lanes: Sequence[Lane], limit: float, arguments: Sequence[str], side_by_side: int) -> None:
    """Run all lanes, several at the same time; Ctrl-C ends them.

    Parameters
    ----------
    lanes : sequence of Lane
        The lanes, in the order in which they start.
    limit : float
        Time limit of a single test, seconds.
    arguments : sequence of str
        Additional arguments of pytest.
    side_by_side : int
        How many run at the same time.
    """
    stop = threading.Event()
    several = min(side_by_side, len(lanes)) > 1
    with ThreadPoolExecutor(max(side_by_side, 1)) as pool:
        running = [pool.submit(run_lane, lane, limit, arguments, stop, pass_through=not several) for lane in lanes]
        try:
            for one in running:
                one.result()
        except BaseException:
            stop.set()
            for one in running:
                one.cancel()
            raise


def counted(counts: dict[str, int]) -> str:
    """Format the number of tests by outcome, for example "2 failed, 310 passed, 4 skipped, 1 error"."""
    parts = []
    for outcome in OUTCOMES:
        count = counts.get(outcome, 0)
        if count or outcome == "passed":
            parts.append(f"{count} {'error' if outcome == 'errors' and count == 1 else outcome}")
    return ", ".join(parts)


def summary(lanes: Sequence[Lane], left_out: Sequence[str], seconds: float) -> list[str]:
    """Format the results of all lanes.

    Parameters
    ----------
    lanes : sequence of Lane
        Lanes that were run.
    left_out : sequence of str
        Lanes that were not run, each with the reason.
    seconds : float
        Total duration.

    Returns
    -------
    list of str
        A line for each lane, and a last line in the format of pytest.
    """
    lines = [f"left out: {reason}" for reason in left_out]
    for lane in lanes:
        outcome = "timeout" if lane.stuck else "FAILED" if lane.failed else "ok"
        lines.append(f"{lane.name:<12} {outcome:<8} {counted(lane.counts)} in {lane.seconds:.1f}s")
    total = {outcome: sum(lane.counts.get(outcome, 0) for lane in lanes) for outcome in OUTCOMES}
    return [*lines, f" {counted(total)} in {seconds:.2f}s ".center(80, "=")]
