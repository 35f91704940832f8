"""Test lanes: each runs pytest in a separate process with a time limit; a summary adds up their results."""

from __future__ import annotations

import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dev_tools.processes import Command, run, step

RUNNER = Path(__file__).with_name("run_pytest.py")
OUTCOMES = ("failed", "passed", "skipped", "errors")


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
        Test files and folders.
    extra : dict of str to str
        Additional environment variables.
    code : int
        Exit code; 124 if the time limit was exceeded, -1 before the run.
    seconds : float
        Duration.
    counts : dict of str to int
        Number of tests by outcome, see ``OUTCOMES``.
    """

    name: str
    python: Path
    tests: tuple[str, ...]
    extra: dict[str, str] = field(default_factory=dict)
    code: int = -1
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether the lane has failures or errors."""
        return self.code != 0


def read_counts(report: Path) -> dict[str, int]:
    """Read the number of tests by outcome from pytest's JUnit report.

    Parameters
    ----------
    report : Path
        The report.

    Returns
    -------
    dict of str to int
        One error if the report is missing or unreadable.
    """
    try:
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return {"failed": 0, "passed": 0, "skipped": 0, "errors": 1}
    total, failed, errors, skipped = (
        sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "failures", "errors", "skipped")
    )
    return {"failed": failed, "passed": total - failed - errors - skipped, "skipped": skipped, "errors": errors}


def run_lane(lane: Lane, timeout: float, arguments: Sequence[str]) -> None:
    """Run a lane with a separate Blender user folder, and store its result in the lane.

    Parameters
    ----------
    lane : Lane
        The lane.
    timeout : float
        Time limit, seconds.
    arguments : sequence of str
        Additional arguments of pytest.
    """
    start = time.monotonic()
    with step(f"lane {lane.name}"), tempfile.TemporaryDirectory(prefix="im2hands-lane-") as folder:
        report = Path(folder) / "report.xml"
        # Threads that spin while waiting slow down every other process that shares the cores.
        extra = lane.extra | {"BLENDER_USER_RESOURCES": str(Path(folder) / "blender"), "OMP_WAIT_POLICY": "PASSIVE"}
        command: Command = [lane.python, RUNNER, "-q", *lane.tests, f"--junitxml={report}", *arguments]
        lane.code = run(command, timeout, extra)
        lane.counts = read_counts(report)
    lane.seconds = time.monotonic() - start
    if lane.failed and not lane.counts["failed"] + lane.counts["errors"]:
        lane.counts["errors"] = 1


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
        outcome = "timeout" if lane.code == 124 else "FAILED" if lane.failed else "ok"
        lines.append(f"{lane.name:<12} {outcome:<8} {counted(lane.counts)} in {lane.seconds:.1f}s")
    total = {outcome: sum(lane.counts.get(outcome, 0) for lane in lanes) for outcome in OUTCOMES}
    return [*lines, f" {counted(total)} in {seconds:.2f}s ".center(80, "=")]
