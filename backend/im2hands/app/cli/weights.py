"""``im2hands weights list`` and ``import``: content of a weights folder, and import of the published checkpoints."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from im2hands.app.terminal import quiet
from im2hands.core.errors import SetupError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list the content of a weights folder and check it")
    listing.add_argument("--folder", default="bundled", metavar="DIR", help="folder of weights (default: bundled)")
    listing.set_defaults(action=run_list)
    taking = actions.add_parser("import", help="convert the authors' checkpoints to weights for this program")
    taking.add_argument("files", nargs="+", metavar="FILE", help="init_occ.pt, ref_occ.pt, …, under any name")
    taking.add_argument("--to", required=True, metavar="DIR", help="folder for the weights; created if needed")
    taking.add_argument("--overwrite", action="store_true", help="replace existing networks")
    taking.set_defaults(action=run_import)
    for action in (listing, taking):
        action.add_argument("--json", action="store_true", help="print JSON, for programs")
        action.add_argument("--debug", action="store_true", help="tracebacks and a full log")


def run(args: argparse.Namespace) -> int:
    """Run the chosen action; return the exit code."""
    code: int = args.action(args)
    return code


def run_list(args: argparse.Namespace) -> int:
    """Print the content of a weights folder; return the exit code, 3 if anything is missing or damaged."""
    from im2hands.weights.folder import list_weights

    found = list_weights(args.folder)
    if args.json:
        print(json.dumps([{**asdict(info), "path": str(info.path)} for info in found], indent=1))
    else:
        for info in found:
            state = info.problem or f"sha256 {info.sha256}"
            print(f"{'OK     ' if not info.problem else 'PROBLEM'}  {info.name}: {info.path}\n         {state}")
    return 0 if all(info.found and not info.problem for info in found) else SetupError.exit_code


def run_import(args: argparse.Namespace) -> int:
    """Import published checkpoints and print their facts; return the exit code."""
    with quiet(args):
        from im2hands.weights.importer import import_checkpoints

        imported = import_checkpoints(args.files, args.to, args.overwrite)
    if args.json:
        print(json.dumps([{"path": str(done.path), **done.card} for done in imported], indent=1))
        return 0
    for done in imported:
        facts = [f"{word} {done.card[word]}" for word in ("iteration", "epoch") if done.card[word] is not None]
        facts += (
            [f"best validation {done.card['best_validation']:g}"] if done.card["best_validation"] is not None else []
        )
        facts += [done.card["note"]] if done.card["note"] else []
        print(f"{done.source} -> {done.path}" + (f"\n  {', '.join(facts)}" if facts else ""))
    print(f"Licence: {imported[0].card['licence']}.")
    return 0
