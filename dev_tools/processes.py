"""Progress messages, and running other programs so that none of their child processes survives them."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from dev_tools.choices import DevError

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
Command = Sequence[str | Path]
"""A program and its arguments."""


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Print the name of a step before the block, and its duration after it."""
    say(f"-- {text}")
    start = time.monotonic()
    yield
    say(f"   {text}: {time.monotonic() - start:.1f} s")


def clean_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment variables, without those that would make another Python load our packages.

    Parameters
    ----------
    extra : dict of str to str or None
        Variables to add.

    Returns
    -------
    dict of str to str
    """
    dropped = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUTF8": "1"} | (extra or {})


def stop_tree(process: subprocess.Popen) -> None:
    """Kill a process and its child processes."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
    process.wait()


def run(
    command: Command,
    timeout: float | None = None,
    extra: dict[str, str] | None = None,
    *,
    output: IO[bytes] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Run a command in the repository's root.

    Parameters
    ----------
    command : Command
        Program and arguments.
    timeout : float or None
        Time limit, seconds; None for none.
    extra : dict of str to str or None
        Environment variables to add.
    output : binary file or None
        Where standard output and error go; None passes them through.
    should_stop : callable
        Asked once a second; True kills the command and its child processes.

    Returns
    -------
    int
        Exit code; 124 if the command was killed.
    """
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env=clean_environment(extra),
        start_new_session=os.name == "posix",
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
    )
    end = math.inf if timeout is None else time.monotonic() + timeout
    try:
        while True:
            try:
                return process.wait(1.0)
            except subprocess.TimeoutExpired:
                if time.monotonic() > end or should_stop():
                    stop_tree(process)
                    return 124
    except BaseException:
        stop_tree(process)
        raise


def must(command: Command, hint: str, extra: dict[str, str] | None = None) -> None:
    """Run a command that must succeed.

    Parameters
    ----------
    command : Command
        Program and arguments.
    hint : str
        What to do if it fails; part of the error message.
    extra : dict of str to str or None
        Environment variables to add.

    Raises
    ------
    DevError
        The exit code is not 0.
    """
    code = run(command, extra=extra)
    if code:
        raise DevError(f"`{' '.join(str(part) for part in command)}` ended with exit code {code}. {hint}")


def ask(command: Command, timeout: float = 60) -> subprocess.CompletedProcess | None:
    """Run a command and capture its output.

    Parameters
    ----------
    command : Command
        Program and arguments.
    timeout : float
        Time limit, seconds.

    Returns
    -------
    subprocess.CompletedProcess or None
        None if the command cannot be started or exceeds the time limit.
    """
    try:
        return subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=clean_environment(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
