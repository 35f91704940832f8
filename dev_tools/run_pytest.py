"""Run pytest and end the process at once with its exit code.

The bpy 4.2 module crashes when Python exits after any class was registered, even one empty property group. The crash
comes after the last test and does not concern the tests, so the normal exit is skipped. A crash during a test still
fails the lane.
"""

import os
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":  # processes that tests start import this file again
    sys.path[0] = str(Path.cwd())
    code = int(pytest.main(sys.argv[1:]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
