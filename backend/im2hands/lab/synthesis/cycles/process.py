"""Blender as a separate process: found, started once, and asked for one picture after the other."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from im2hands.core.errors import SetupError

SCRIPT = Path(__file__).with_name("blender_script.py")
SECONDS = 1800.0
"""Time limit for one picture in seconds. A picture takes seconds; the limit allows for a busy machine."""

_WORD = "IM2HANDS "
_HINT = "Give --blender a Blender executable (4.2 or later), or the Python of an environment with the bpy package."


class BlenderProcess:
    """A Blender process that renders; not thread-safe. It ends when it is closed or when this program ends.

    Parameters
    ----------
    program : Path or None
        A Blender executable or a Python with bpy. None means ``blender`` on the search path.

    Attributes
    ----------
    version : str
        Version of Blender.

    Raises
    ------
    SetupError
        There is no such program, it is neither of the two, or it does not start.
    """

    def __init__(self, program: Path | None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="im2hands-cycles-")
        try:
            self._process = self._started(_command(program))
            self.version = str(self._answer("It did not start").get("ready", ""))
        except BaseException:
            self.close()
            raise

    @property
    def folder(self) -> Path:
        """Temporary folder for the files of the pictures; it is removed when the process is closed."""
        return Path(self._folder.name)

    def render(self, scene: Path) -> None:
        """Render a scene file into ``folder``.

        Parameters
        ----------
        scene : Path
            The scene file.

        Raises
        ------
        SetupError
            Blender failed or ended.
        """
        request = json.dumps({"scene": str(scene), "folder": str(self.folder)}) + "\n"
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(request)
            stdin.flush()
        except OSError:
            pass  # the process has ended: _answer reports it with the last line of its log
        answer = self._answer("It ended while it rendered")
        if "error" in answer:
            raise SetupError(f"Blender cannot render the scene: {answer['error']}.", _HINT)

    def close(self) -> None:
        """End Blender and remove its files."""
        process = getattr(self, "_process", None)
        if process is not None:
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.close()
                process.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                process.kill()
                process.wait()
            self._reader.join(5)
            process.stdout.close()
        self._folder.cleanup()

    def _started(self, command: list[str]) -> subprocess.Popen[str]:
        """Start the process and the thread that reads its answers."""
        resources = self.folder / "user"
        resources.mkdir()
        # Keep the person's own Blender and Python settings out, so that they do not change the pictures.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        with open(self.folder / "log.txt", "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8",
                errors="replace", env=kept | {"BLENDER_USER_RESOURCES": str(resources)},
            )  # fmt: skip
        assert process.stdout is not None
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=_read, args=(process.stdout, self._answers), daemon=True)
        self._reader.start()
        return process

    def _answer(self, trouble: str) -> dict[str, Any]:
        """The next answer. Raises SetupError with ``trouble`` if the process has ended."""
        try:
            line = self._answers.get(timeout=SECONDS)
        except queue.Empty:
            raise SetupError(f"Blender has not answered for {SECONDS:.0f} s.", _HINT) from None
        if line is None:
            raise SetupError(f"Blender cannot be used. {trouble}{self._last_words()}", _HINT)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        """Last line of the process's log."""
        log = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f": {log[-1]}." if log else "."


def _read(stdout: IO[str], answers: queue.Queue[str | None]) -> None:
    """Put the script's answers into the queue, without Blender's own lines; None at the end."""
    for line in stdout:
        if line.startswith(_WORD):
            answers.put(line.removeprefix(_WORD))
    answers.put(None)


def _command(program: Path | None) -> list[str]:
    """Command line that runs the script with the program."""
    found = shutil.which(str(program or "blender"))
    if found is None:
        what = "There is no Blender on the search path" if program is None else f"There is no program {program}"
        raise SetupError(f"{what}; --renderer cycles needs one.", _HINT)
    try:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=300, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{found} cannot be started: {error}.", _HINT) from error
    for line in said.splitlines():
        if line.startswith("Blender "):
            options = ["-b", "--factory-startup", "--python-exit-code", "3", "--python"]
            return [found, *options, str(SCRIPT)]
        if line.startswith("Python "):
            return [found, "-I", str(SCRIPT)]
    raise SetupError(f"{found} is neither Blender nor Python.", _HINT)
