"""Background tasks made of consecutive commands: the check and the installation of the backend."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..errors import BackendError
from . import environment, installed
from .advice import advice
from .process import LineProcess
from .torch_build import ways

_KEPT_LINES = 200
_KILLED_SECONDS = 5.0
_SAID_LINES = 3
# "ERROR: No matching distribution", "error: subprocess-exited-with-error", "ImportError: libGL.so.1: cannot open ..."
_ERROR_LINE = re.compile(r"\s*(?:error|\w*(?:Error|Exception)|fatal):?\s", re.IGNORECASE)
_TORCH = "2.13.0"


@dataclass(frozen=True)
class Step:
    """One command of a task.

    Parameters
    ----------
    title : str
        What the command does, for the person.
    command : list of str
        Program and arguments.
    may_fail : bool
        Whether the task continues when the command fails.
    """

    title: str
    command: list[str]
    may_fail: bool = False


@dataclass
class Task:
    """A running or ended task; creating the object starts it.

    Call :meth:`poll` until ``has_ended`` is true. Then ``error`` holds the reason of a failure, ``output`` the output
    and ``exit_code`` the exit code of the last command. ``lines`` are the last lines of all commands.

    Parameters
    ----------
    name : str
        Name of the task, for the person.
    steps : list of Step
        The commands, in order.
    at_end : callable
        Called once after the last command has succeeded. If it raises an OSError the task fails.
    at_failure : callable
        Called once when the task fails or is stopped, after its command has ended.
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
        """The title of the current step."""
        return self.steps[min(self._number, len(self.steps) - 1)].title

    @property
    def stderr_tail(self) -> list[str]:
        """The last lines that the current command wrote to stderr."""
        return self._process.stderr_tail if self._process else []

    @property
    def fraction(self) -> float:
        """The part of the steps that is done, 0 to 1."""
        return 1.0 if self.has_ended else self._number / len(self.steps)

    def poll(self) -> None:
        """Read the output of the running command; start the next one when it has ended. Never waits."""
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
            heard = [*self.lines, *self._process.stderr_tail]
            said = last_words(self._process.stderr_tail or list(self.lines))
            last = f" Its last messages: {said}" if said else ""
            self._end(BackendError(f"{step.title} failed (exit code {return_code}).{last}", advice(heard)))
            return
        self._next()

    def cancel(self) -> None:
        """Stop the task at once."""
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


def last_words(lines: list[str]) -> str:
    """Return what a command said about its failure.

    Parameters
    ----------
    lines : list of str
        The last lines that it wrote.

    Returns
    -------
    str
        The lines that pip and Python mark as errors, at most the last three; without such lines, the last three lines.
    """
    marked = [line for line in lines if _ERROR_LINE.match(line)]
    return " ".join(line.strip() for line in (marked or lines)[-_SAID_LINES:])


def installation(
    base: Path,
    python: Path,
    package: Path,
    constraints: Path | None,
    compute: str,
    *,
    old: Path | None = None,
    wheels: Path | None = None,
) -> Task:
    """Start the installation of the backend in a new environment; Blender's Python stays unchanged.

    The present environment stays in use until the new one works. A task that fails or is stopped deletes the new one.

    Parameters
    ----------
    base : Path
        The path with which the names of the environments begin (see ``installed``).
    python : Path
        A Python 3.11 to 3.13.
    package : Path
        The backend's wheel or source folder.
    constraints : Path or None
        File of pinned versions for pip; None for none.
    compute : {"AUTO", "CPU", "GPU"}
        The build of PyTorch. "AUTO": the one that fits card and driver, else the CPU build.
    old : Path, optional
        As ``base``, for the place of older add-ons; its environments are deleted once the new one works. None for
        none.
    wheels : Path, optional
        Folder with the wheels of all packages, to install from without a network; None for the package index.

    Returns
    -------
    Task
        The running task.

    Raises
    ------
    BackendError
        The folder cannot be written, or the folder of wheels lacks PyTorch.
    """
    if wheels is not None and not any(wheels.glob("torch-*.whl")):
        raise BackendError(
            f"There is no wheel of PyTorch (torch-*.whl) in {wheels}.", "Fill the folder as the manual says."
        )
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
    limits = [] if constraints is None else ["-c", str(constraints)]
    if wheels is not None:
        pip += ["--no-index", "--find-links", str(wheels)]
    pip += limits
    steps = [Step("Creating a Python environment", [str(python), "-I", "-m", "venv", str(folder)])]
    build = environment.torch_build(compute)
    tried = ways(platform.system(), build.backend, _TORCH)
    if len(tried) > 1 and wheels is None:
        # If all of them fail, the default build that is installed with the backend works too: it is larger, or slower.
        what = "the CPU" if build.backend == "cpu" else f"NVIDIA cards ({build.backend})"
        name = f"Installing PyTorch for {what}" + (f": {build.why}" if build.why else "")
        steps.append(Step(name, [*pip, *tried[0][1]], may_fail=True))
        steps.append(Step("Fetching uv", [*pip, "uv"], may_fail=True))
        uv = [str(inner), "-I", "-m", "uv", "pip", "install", "--python", str(inner), *limits, *tried[1][1]]
        steps.append(Step(f"Installing PyTorch for {what} with uv", uv, may_fail=True))
    steps.append(Step("Installing the backend and its packages", [*pip, str(package)]))
    steps.append(Step("Testing the installation", [str(inner), "-I", "-c", "import im2hands, torch, mediapipe"]))

    def finish() -> None:
        installed.make_current(base, folder, str(package))
        installed.remove_others(base, kept=folder)
        if old is not None:
            installed.remove_others(old, kept=folder)

    return Task("Installation", steps, at_end=finish, at_failure=lambda: installed.remove(folder))


def check(backend: environment.Found) -> Task:
    """Start the check of a backend; :func:`check_findings` reads its result.

    Parameters
    ----------
    backend : Found
        The backend.

    Returns
    -------
    Task
        The running task.
    """
    return Task("Check", [Step("Checking the backend", backend.start("check", "--json"), may_fail=True)])


class Finding(NamedTuple):
    """One line of a check.

    Parameters
    ----------
    ok : bool
        Whether this part is in order.
    text : str
        What was found, for the person.
    """

    ok: bool
    text: str


def check_findings(task: Task) -> list[Finding]:
    """Read the result of an ended check.

    Parameters
    ----------
    task : Task
        The task from :func:`check`.

    Returns
    -------
    list of Finding
        The findings, problems first.

    Raises
    ------
    BackendError
        The backend did not answer.
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
            raise BackendError(
                "im2hands is not installed in that Python.", "Install it, or choose another Python."
            ) from error
        said = last_words(tail).rstrip(".") or f"exit code {task.exit_code}"
        hint = advice(tail) or "Install it, or choose another backend."
        raise BackendError(f"The backend does not answer: {said}.", hint) from error
    found.insert(0, Finding(bool(data.get("ok")), f"Im2Hands {data.get('version', '')}"))
    return sorted(found, key=lambda one: one.ok)
