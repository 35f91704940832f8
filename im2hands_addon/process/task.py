"""Commands that run one after the other in the background: the check of the backend and its installation."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..errors import BackendError
from . import environment, installed
from .process import LineProcess

_KEPT_LINES = 200
_KILLED_SECONDS = 5.0
_TORCH = "torch==2.13.0"


@dataclass(frozen=True)
class Step:
    """One command of a task.

    Args:
        title: for a person, what is going on. command: program and arguments.
        may_fail: whether the task goes on without it.
    """

    title: str
    command: list[str]
    may_fail: bool = False


@dataclass
class Task:
    """Steps in the background. Make one, call :meth:`poll` until it ``has_ended``.

    Args:
        name: for a person. steps: what to run.
        at_end: called once after the last step succeeded; an OSError of it makes the task fail.
        at_failure: called once when the task fails or is stopped, after its command has ended.
    """

    name: str
    steps: list[Step]
    at_end: Callable[[], None] = lambda: None
    at_failure: Callable[[], None] = lambda: None

    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES), init=False)
    error: BackendError | None = field(default=None, init=False)
    has_ended: bool = field(default=False, init=False)
    output: str = field(default="", init=False)
    exit_code: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._number = -1
        self._process: LineProcess | None = None
        self._next()

    @property
    def title(self) -> str:
        """What is going on now, for a person."""
        return self.steps[min(self._number, len(self.steps) - 1)].title

    @property
    def stderr_tail(self) -> list[str]:
        """The last lines that the last command wrote to stderr."""
        return self._process.stderr_tail if self._process else []

    @property
    def fraction(self) -> float:
        """Steps done of all steps, 0 to 1."""
        return 1.0 if self.has_ended else self._number / len(self.steps)

    def poll(self) -> None:
        """Take what the running command has said and go on to the next one when it has ended. Never waits."""
        if self.has_ended or self._process is None:
            return
        return_code = self._process.return_code
        for line in self._process.receive():
            text = line.decode("utf-8", errors="replace").rstrip()
            self.output += text + "\n"
            if text:
                self.lines.append(text)
        if return_code is None:
            return
        self._process.stop()
        self.exit_code = return_code
        step = self.steps[self._number]
        if return_code != 0 and not step.may_fail:
            said = self._process.stderr_tail or list(self.lines)
            last = f" Its last words: {said[-1]}" if said else ""
            self._end(BackendError(f"{step.title} failed (exit code {return_code}).{last}"))
            return
        self._next()

    def cancel(self) -> None:
        """Stop at once."""
        if not self.has_ended:
            if self._process is not None:
                self._process.kill()
                self._process.wait(_KILLED_SECONDS)
                self._process.stop()
            self._end(BackendError(f"{self.name} was stopped."))

    def _next(self) -> None:
        self._number += 1
        if self._number >= len(self.steps):
            try:
                self.at_end()
            except OSError as error:
                self._end(BackendError(f"{self.name}: {error}."))
                return
            self._end(None)
            return
        self.output = ""
        try:
            self._process = LineProcess(self.steps[self._number].command)
        except BackendError as error:
            self._end(error)

    def _end(self, error: BackendError | None) -> None:
        self.error = error
        self.has_ended = True
        if error is not None:
            self.at_failure()


def installation(base: Path, python: Path, package: Path, constraints: Path | None, compute: str) -> Task:
    """The task that makes the backend's own environment; Blender's Python is not touched.

    The environment that is there stays in use until the new one works. A task that fails or is stopped removes what it
    made.

    Args:
        base: the path that the environments' names begin with (see :mod:`.installed`). python: a Python 3.11 to 3.13.
        package: the backend's wheel or source folder. constraints: pinned versions for pip, or None.
        compute: "CPU", "GPU", or "AUTO" for what the machine has.

    Raises:
        BackendError: a folder that cannot be written.
    """
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
        folder = installed.next_folder(base)
        installed.remove_unfinished(base)
    except OSError as error:
        raise BackendError(
            f"Cannot write {base.parent}: {error.strerror or error}.", "Make sure that you may write there."
        ) from error
    inner = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    pip = [str(inner), "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if constraints is not None:
        pip += ["-c", str(constraints)]
    steps = [Step("Making a Python environment", [str(python), "-I", "-m", "venv", str(folder)])]
    wants_cpu = compute == "CPU" or (compute == "AUTO" and not environment.has_nvidia_gpu())
    if wants_cpu and sys.platform != "darwin":
        # The person's own pip settings may offer the CPU build; else uv knows where it is. Where neither does, the
        # ordinary build that comes with the backend works as well: it is only larger.
        uv = [str(inner), "-I", "-m", "uv", "pip", "install", "--python", str(inner), "--torch-backend", "cpu", _TORCH]
        steps += [
            Step("Installing PyTorch for the CPU", [*pip, f"{_TORCH}+cpu"], may_fail=True),
            Step("Fetching uv", [*pip, "uv"], may_fail=True),
            Step("Making sure of PyTorch for the CPU", uv, may_fail=True),
        ]
    steps.append(Step("Installing the backend and what it needs", [*pip, str(package)]))
    steps.append(Step("Trying it", [str(inner), "-I", "-c", "import im2hands, torch, mediapipe"]))

    def finish() -> None:
        installed.make_current(base, folder, str(package))
        installed.remove_others(base, kept=folder)

    return Task("Installation", steps, at_end=finish, at_failure=lambda: installed.remove(folder))


def check(python: Path) -> Task:
    """The task that asks the backend what is there; :func:`check_findings` reads it when it has ended."""
    command = [str(python), "-I", "-m", "im2hands", "check", "--json"]
    return Task("Check", [Step("Checking the backend", command, may_fail=True)])


class Finding(NamedTuple):
    """One line of a check: whether it is all right, and what was found, for a person."""

    ok: bool
    text: str


def check_findings(task: Task) -> list[Finding]:
    """What an ended check found, what is wrong first.

    Raises:
        BackendError: the backend did not answer.
    """
    if task.error is not None:
        raise task.error
    start = task.output.find("{")
    try:
        data = json.loads(task.output[start:]) if start >= 0 else {}
        found = [
            Finding(bool(one["ok"]), f"{one['name']}: {one['message']} {one.get('hint', '')}".strip())
            for one in data["findings"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        tail = task.stderr_tail
        if any("No module named im2hands" in line for line in tail):
            raise BackendError("That Python has no im2hands in it.", "Install it, or choose another one.") from error
        said = tail[-1] if tail else f"exit code {task.exit_code}"
        raise BackendError(f"The backend does not answer: {said}.", "Install it, or choose another one.") from error
    found.insert(0, Finding(bool(data.get("ok")), f"Im2Hands {data.get('version', '')}"))
    return sorted(found, key=lambda one: one.ok)
