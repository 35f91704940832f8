"""``im2hands serve``: the server on stdin and stdout of this process."""

from __future__ import annotations

import argparse
import logging
import os
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Do nothing: the command has no arguments."""


def run(args: argparse.Namespace) -> int:
    """Serve until stdin ends. The process ends here, without waiting for abandoned calls."""
    from im2hands.app.server import Server
    from im2hands.app.terminal import claim_stdio

    requests, events = claim_stdio()
    Server(requests, events).run()
    logging.shutdown()
    sys.stderr.flush()
    os._exit(0)
