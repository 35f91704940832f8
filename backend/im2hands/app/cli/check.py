"""``im2hands check``: check of the installation, with a self-test on a photo."""

from __future__ import annotations

import argparse
import json

from im2hands.app.terminal import quiet
from im2hands.core.errors import SetupError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--no-self-test", action="store_true", help="check only what is installed")


def run(args: argparse.Namespace) -> int:
    """Print the report; return the exit code, 3 if anything is missing."""
    with quiet(args):
        from im2hands.app.check import check, stage_words

        report = check(self_test=not args.no_self_test)
    if args.json:
        print(json.dumps({**report.to_dict(), "log": str(args.log_file)}, indent=1))
    else:
        for finding in report.findings:
            print(f"{'OK     ' if finding.ok else 'PROBLEM'}  {finding.name}: {finding.message}")
            if not finding.ok:
                print(f"         -> {finding.hint}")
        if report.timing is not None:
            print(f"         {stage_words(report.timing)}")
        missing = [finding.name for finding in report.findings if not finding.ok]
        print(f"Not ready: see {', '.join(missing)}." if missing else "Everything is installed and works.")
        print(f"The log is {args.log_file}")
    return 0 if report.ok else SetupError.exit_code
