"""A start of the backend runs no other program: no compiler, no linker, none that happens to be on the PATH."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from im2hands.app.selftest import bundled_photo

PROGRAMS = ("gcc", "cc", "g++", "c++", "clang", "ld", "ldconfig", "objdump", "uname", "lscpu", "nvcc", "git", "gs")

COMMAND = """
import os, sys
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.spawn")
def note(event, arguments):
    if event in STARTS:
        with open(os.environ["MARKS"], "a") as marks:
            marks.write(f"{event} {arguments}\\n")
sys.addaudithook(note)
from im2hands.app.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", ["check", "reconstruct", "serve"])
def test_nothing_is_run(tmp_path: Path, command: str) -> None:
    marks, programs = tmp_path / "marks.txt", tmp_path / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {marks}\n')
        (programs / name).chmod(0o755)
    photo = ["--keypoints", "auto", "--voxel-mm", "8", "--no-clean"]
    arguments = {
        "check": ["check"],
        "reconstruct": ["reconstruct", str(bundled_photo()), "-o", str(tmp_path / "take"), *photo],
        "serve": ["serve"],
    }[command]
    request = json.dumps({"type": "hello", "id": "1", "protocol": 1}).encode() + b"\n"
    own = {"PATH": f"{programs}:/usr/bin:/bin", "MARKS": str(marks), "IM2HANDS_STATE": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments], env={**os.environ, **own}, input=request, capture_output=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert not marks.exists(), marks.read_text()
    if command == "serve":
        assert json.loads(done.stdout.splitlines()[0])["type"] == "ready"
