"""Run pytest, record every test in a progress file, and end the process at once with pytest's exit code.

The bpy 4.2 module crashes when Python exits after any class was registered, even one empty property group. The crash
comes after the last test and does not concern the tests, so the normal exit is skipped. A crash during a test still
fails the lane.

The first argument is the progress file, the others are pytest's. Each line of the file is a word and a test: ``start``,
``passed``, ``failed``, ``skipped``, ``errors`` or ``end``.
"""

import os
import sys
from pathlib import Path

import pytest


class ProgressFile:
    """A pytest plugin that appends a line for each test as it starts, has an outcome, and ends."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._failed: set[str] = set()

    def _write(self, word: str, test: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{word}\t{test}\n")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Record that a test starts."""
        self._write("start", nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the outcome of a test; set-up and tear-down count only where they fail or skip."""
        if report.when == "call":
            self._write(report.outcome, report.nodeid)
        elif report.outcome == "failed":
            self._write("errors", report.nodeid)
        elif report.outcome == "skipped":
            self._write("skipped", report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Record that a test ends."""
        self._write("end", nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a file that cannot be collected."""
        if report.outcome == "failed":
            self._write("errors", report.nodeid)


if __name__ == "__main__":  # processes that tests start import this file again
    sys.path[0] = str(Path.cwd())
    progress, *arguments = sys.argv[1:]
    code = int(pytest.main(arguments, plugins=[ProgressFile(progress)]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
