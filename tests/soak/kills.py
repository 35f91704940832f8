"""Kills jobs at random moments, and prints what later runs made of the take: ``python tests/soak/kills.py --kills N``.

It runs in the backend's environment, from the root of a checkout, on Linux or macOS. Processes are killed (SIGKILL) in
one take again and again:

* a job that continues the take, or begins it anew;
* ``im2hands clean`` with other options, so that the template and the motion of the take are replaced;
* two at once in the same take: one is refused, or takes over the lock of the other when that is killed.

After each kill, every frame that a job reported must be readable in the take. After several kills a job may end, and
the take must have the same bytes as an undisturbed one, without temporary files. The process ends with 1 if not.

Importing PyTorch takes longer than the job itself. So most jobs are forked from this process, which has imported
everything and run nothing. Each is a process of its own with its own files and locks. A few start a new Python.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "backend"), str(ROOT / "tests" / "backend")]
os.environ["OMP_NUM_THREADS"] = "1"  # threads do not survive a fork

import torch  # noqa: E402, F401 (imported once, for all jobs)

import im2hands.job.clean_phase  # noqa: E402
import im2hands.job.reconstruct  # noqa: E402, F401
from fakes import keypoint_rows, picture, write_picture  # noqa: E402
from im2hands.app.cli.main import main as im2hands_main  # noqa: E402
from im2hands.core.errors import Im2HandsError, InputError  # noqa: E402
from im2hands.take.take import Take  # noqa: E402

FRAMES = 6
KILLS_EACH = 10
"""Kills of one take before it may end."""
LONGEST_SECONDS = 120.0
SHARE_OF_NEW_PYTHONS = 0.04
EVENTS = "events.jsonl"

CONTINUE = (
    "reconstruct", "shots", "-o", "TAKE", "--keypoints", "keypoints.json", "--stage", "keypoints", "--voxel-mm", "8",
    "--device", "cpu", "--footage", "always", "--template-density", "0", "--json",
)  # fmt: skip
ANEW = (*CONTINUE, "--overwrite")
CLEAN_OTHERWISE = (
    ("clean", "TAKE", "--template-density", "0", "--smoothing", "0.9", "--json"),
    ("clean", "TAKE", "--template-density", "1", "--json"),
)
KINDS = {"continued": 5, "begun anew": 3, "cleaned otherwise": 3, "two at once": 3}
"""What is killed, with the share of each."""


class Job(Protocol):
    """A process that runs one command of the program."""

    def end(self, seconds: float) -> int | None:
        """Wait some seconds for the end; return the exit code, or None after killing the process."""
        ...


class ForkedJob:
    """A job in a process forked from this one."""

    def __init__(self, folder: Path, arguments: Sequence[str], events: Path) -> None:
        self._process = multiprocessing.get_context("fork").Process(target=_forked, args=(folder, arguments, events))
        self._process.start()

    def end(self, seconds: float) -> int | None:
        """See ``Job``."""
        self._process.join(seconds)
        if self._process.exitcode is not None:
            return self._process.exitcode
        self._process.kill()
        self._process.join()
        return None


class NewPython:
    """A job in a Python of its own, as a person starts it."""

    def __init__(self, folder: Path, arguments: Sequence[str], events: Path) -> None:
        command, own = [sys.executable, "-m", "im2hands", *arguments], dict(os.environ)
        own["PYTHONPATH"] = str(ROOT / "backend")
        with open(events, "wb") as output:
            quiet = subprocess.DEVNULL
            self._process = subprocess.Popen(command, cwd=folder, env=own, stdin=quiet, stdout=output, stderr=quiet)

    def end(self, seconds: float) -> int | None:
        """See ``Job``."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None


def _forked(folder: Path, arguments: Sequence[str], events: Path) -> None:
    """Be the process of a forked job."""
    os.chdir(folder)
    output, quiet = os.open(events, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), os.open(os.devnull, os.O_RDWR)
    for handle, place in ((quiet, 0), (output, 1), (quiet, 2)):
        os.dup2(handle, place)
    os._exit(im2hands_main(list(arguments)))


class Attack:
    """Kills jobs in takes of one folder, and counts what came of them.

    Parameters
    ----------
    folder : Path
        Folder of the sources and the takes.
    seed : int
        Seed of the moments and kinds.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._random = folder, random.Random(seed)
        self.killed: Counter[str] = Counter()
        self.done: list[str] = []  # to the take at hand
        self.ended_first = self.refused = self.reported = 0
        self.faults: list[str] = []
        for number in range(1, FRAMES + 1):
            write_picture(folder / "shots" / f"s{number:03}.png", picture(160, 120, number=number))
        rows = json.dumps(keypoint_rows(range(1, FRAMES + 1)))
        (folder / "keypoints.json").write_text(rows, encoding="utf-8")
        began = time.monotonic()
        self.finish("whole")
        self._seconds = time.monotonic() - began
        self._whole = contents(folder / "whole")

    def strike(self, take: str, kind: str) -> None:
        """Start what is to be killed in a take, kill it after a random time, and look at what it reported."""
        if kind == "two at once":
            commands = [CONTINUE, self._random.choice((CONTINUE, ANEW, *CLEAN_OTHERWISE))]
        else:
            commands = [{"continued": CONTINUE, "begun anew": ANEW}.get(kind) or self._random.choice(CLEAN_OTHERWISE)]
        is_new = self._random.random() < SHARE_OF_NEW_PYTHONS
        jobs = []
        for number, command in enumerate(commands):
            jobs.append(self._start(take, command, self._folder / f"{number}{EVENTS}", new_python=is_new))
            if len(commands) > 1:
                time.sleep(self._random.uniform(0.0, self._seconds / 4))
        # A new Python needs a while before its job begins. A short wait is likely, since continued jobs end soon.
        longest = self._seconds + (self._python_seconds if is_new else 0.0)
        for number, job in enumerate(jobs):
            seconds = longest * self._random.random() ** 1.5
            code = job.end(seconds)
            self.done.append(
                f"{' '.join(commands[number])}: {'killed' if code is None else code} after {seconds:.2f} s"
            )
            self._count(kind, code)
            if len(commands) == 1:  # of two jobs, one may begin the take anew and delete what the other reported
                self._look(take, self._folder / f"{number}{EVENTS}")

    def finish(self, take: str) -> None:
        """Let a job end."""
        code = self._start(take, CONTINUE, self._folder / EVENTS).end(LONGEST_SECONDS)
        if code != 0:
            self.faults.append(f"{take}: a job ended with {code}")

    def compare(self, take: str) -> None:
        """Let a job in a take end, and compare its bytes with those of an undisturbed take."""
        self.finish(take)
        found = contents(self._folder / take)
        differing = sorted({*found, *self._whole} - {name for name in found if found[name] == self._whole.get(name)})
        left = [path.name for path in (self._folder / take).rglob("*.tmp")]
        if differing or left:
            self.faults.append(f"{take}: other bytes in {differing}, left behind {left}; after {self.done}")
        self.done = []

    @property
    def _python_seconds(self) -> float:
        """Time that a new Python needs for the imports."""
        return 4 * self._seconds

    def _start(self, take: str, command: Sequence[str], events: Path, new_python: bool = False) -> Job:
        arguments = [take if word == "TAKE" else word for word in command]
        return (NewPython if new_python else ForkedJob)(self._folder, arguments, events)

    def _count(self, kind: str, code: int | None) -> None:
        if code is None:
            self.killed[kind] += 1
        elif code == 0:
            self.ended_first += 1
        elif code == InputError.exit_code:  # in use, or nothing to clean yet
            self.refused += 1
        else:
            self.faults.append(f"{kind}: ended with {code}")

    def _look(self, take: str, events: Path) -> None:
        """Check that every frame which a job reported is in the take and readable."""
        lines = [json.loads(line) for line in events.read_bytes().split(b"\n")[:-1]]
        indices = [line["index"] for line in lines if line["type"] == "frame"]
        self.reported += len(indices)
        try:
            opened = Take.open(self._folder / take) if indices else None
            lost = [index for index in indices if opened is None or len(opened.read_frame(index)) < 2]
        except Im2HandsError as error:
            lost = [str(error)]
        if lost:
            self.faults.append(f"{take}: lost {lost}")


def main() -> int:
    """Run the attack and print a summary; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="number of kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder that gets the takes with faults, and an undisturbed one")
    arguments = parser.parse_args()
    takes, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        os.environ |= {"IM2HANDS_STATE": str(Path(name, "state")), "SOURCE_DATE_EPOCH": "1700000000"}
        attack, chosen = Attack(Path(name), arguments.seed), random.Random(arguments.seed)
        while (killed := attack.killed.total()) < arguments.kills and not attack.faults:
            takes += 1
            while attack.killed.total() < min(killed + KILLS_EACH, arguments.kills):
                attack.strike(f"take{takes}", *chosen.choices([*KINDS], [*KINDS.values()]))
            attack.compare(f"take{takes}")
            say(f"{attack.killed.total()} killed in {takes} takes, {time.monotonic() - began:.0f} s")
        if attack.faults and arguments.keep:
            for kept in ("whole", f"take{takes}"):
                shutil.copytree(Path(name, kept), arguments.keep / kept)
    kinds = ", ".join(f"{count} {kind}" for kind, count in attack.killed.items())
    say(f"{attack.killed.total()} processes killed ({kinds})")
    say(f"{attack.ended_first} ended before, {attack.refused} refused")
    say(f"{takes} takes; {attack.reported} frames that killed jobs had reported; faults: {attack.faults or 'none'}")
    return 1 if attack.faults else 0


def contents(take: Path) -> dict[str, bytes]:
    """The bytes of every file of a take but those of its cache, by path."""
    files = [path for path in take.rglob("*") if path.is_file() and "cache" not in path.relative_to(take).parts]
    return {path.relative_to(take).as_posix(): path.read_bytes() for path in files}


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
