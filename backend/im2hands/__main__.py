"""Starts the command line: the program ``im2hands``, and ``python -m im2hands``."""

import sys

_INTERRUPTED = 130


def entry() -> int:
    """Run the command line with the arguments of the process; Ctrl-C ends it in words also while modules are loaded.

    Returns
    -------
    int
        Exit code, see ``app.cli.main.main``.
    """
    try:
        from im2hands.app.cli.main import main

        return main()
    except KeyboardInterrupt:
        sys.stderr.write("im2hands: stopped.\n")
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(entry())
