"""Runs the command line: ``python -m im2hands``."""

import sys

from im2hands.app.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
