"""Blender as another program: found, started once, asked for one picture after the other."""

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
"""For one picture, which takes seconds, on a machine that has much else to do; then Blender hangs."""

_WORD = "IM2HANDS "
_HINT = "Give --blender a Blender executable (4.2 or later), or the Python of an environment with the bpy package."


class BlenderProcess:
    """A Blender that renders; not for several threads. It ends when it is closed, and when this program ends.

    Args:
        program: a Blender executable, or a Python with bpy. None: ``blender`` of the search path.

    Attributes:
        version: of Blender.

    Raises:
        SetupError: there is no such program, it is neither of the two, or it does not start.
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
        """For files of the pictures; it goes when the process is closed."""
        return Path(self._folder.name)

    def render(self, scene: Path) -> None:
        """Render a scene file into :attr:`folder`.

        Raises:
            SetupError: Blender failed or ended.
        """
        request = json.dumps({"scene": str(scene), "folder": str(self.folder)}) + "\n"
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(request)
            stdin.flush()
        except OSError:
            pass  # it has ended; the answer says so, with its last words
        answer = self._answer("It ended while it rendered")
        if "error" in answer:
            raise SetupError(f"Blender cannot render the scene: {answer['error']}.", _HINT)

    def close(self) -> None:
        """End Blender and take its files away."""
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
        resources = self.folder / "user"
        resources.mkdir()
        # Nothing of the person's own Blender or Python changes the pictures.
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
        try:
            line = self._answers.get(timeout=SECONDS)
        except queue.Empty:
            raise SetupError(f"Blender has not answered for {SECONDS:.0f} s.", _HINT) from None
        if line is None:
            raise SetupError(f"Blender cannot be used. {trouble}{self._last_words()}", _HINT)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        log = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f": {log[-1]}." if log else "."


def _read(stdout: IO[str], answers: queue.Queue[str | None]) -> None:
    """Pass on the script's lines and leave out Blender's own; None at the end."""
    for line in stdout:
        if line.startswith(_WORD):
            answers.put(line.removeprefix(_WORD))
    answers.put(None)


def _command(program: Path | None) -> list[str]:
    """How the script is started with a program."""
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
