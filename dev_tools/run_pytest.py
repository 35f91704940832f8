"""Runs pytest and ends the process at once with its exit code.

The bpy 4.2 module crashes when Python ends after anything was registered, be it one empty property group. That happens
after the last test and says nothing about the tests; a crash during a test still ends the lane.
"""

import os
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":  # processes that tests start load this file once more
    sys.path[0] = str(Path.cwd())
    code = int(pytest.main(sys.argv[1:]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
