"""Saying what happens, and running other programs so that nothing of theirs is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from dev_tools.choices import DevError

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
Command = Sequence[str | Path]


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Prints what begins, and how long it took."""
    say(f"-- {text}")
    start = time.monotonic()
    yield
    say(f"   {text}: {time.monotonic() - start:.1f} s")


def clean_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Our environment variables without those that would mix another Python in."""
    dropped = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUTF8": "1"} | (extra or {})


def stop_tree(process: subprocess.Popen) -> None:
    """Ends a process and what it started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
    process.wait()


def run(command: Command, timeout: float | None = None, extra: dict[str, str] | None = None) -> int:
    """Runs a command in the repository, output straight through; its exit code, or 124 when it ran out of time."""
    process = subprocess.Popen(
        [str(part) for part in command], cwd=ROOT, env=clean_environment(extra), start_new_session=os.name == "posix"
    )
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        stop_tree(process)
        return 124
    except BaseException:
        stop_tree(process)
        raise


def must(command: Command, hint: str, extra: dict[str, str] | None = None) -> None:
    """Runs a command; what to do when it fails is `hint`."""
    code = run(command, extra=extra)
    if code:
        raise DevError(f"`{' '.join(str(part) for part in command)}` ended with exit code {code}. {hint}")


def ask(command: Command, timeout: float = 60) -> subprocess.CompletedProcess | None:
    """What a command says, or None if it cannot be started or hangs."""
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
