"""``python -m im2hands`` is the command line."""

import sys

from im2hands.app.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
