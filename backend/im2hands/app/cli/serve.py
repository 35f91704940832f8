"""``im2hands serve``: the server on this process's stdin and stdout."""

from __future__ import annotations

import argparse
import logging
import os
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments of its own."""


def run(args: argparse.Namespace) -> int:
    """Serve until stdin ends; the process ends here, without waiting for a call that was left behind."""
    from im2hands.app.server import Server
    from im2hands.app.terminal import claim_stdio

    requests, events = claim_stdio()
    Server(requests, events).run()
    logging.shutdown()
    sys.stderr.flush()
    os._exit(0)
