"""``im2hands weights list`` and ``import``: what a weights folder holds, and the published checkpoints into one."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from im2hands.app.terminal import quiet
from im2hands.core.errors import SetupError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="what stands in a weights folder, and whether it is whole")
    listing.add_argument("--folder", default="bundled", metavar="DIR", help="weights elsewhere (default: bundled)")
    listing.set_defaults(action=run_list)
    taking = actions.add_parser("import", help="the authors' checkpoints as weights for this program")
    taking.add_argument("files", nargs="+", metavar="FILE", help="init_occ.pt, ref_occ.pt, …, under any name")
    taking.add_argument("--to", required=True, metavar="DIR", help="folder for the weights; made if it is not there")
    taking.add_argument("--overwrite", action="store_true", help="replace networks that are there")
    taking.set_defaults(action=run_import)
    for action in (listing, taking):
        action.add_argument("--json", action="store_true", help="for programs")
        action.add_argument("--debug", action="store_true", help="tracebacks and a full log")


def run(args: argparse.Namespace) -> int:
    """Do what the action says; the exit code."""
    code: int = args.action(args)
    return code


def run_list(args: argparse.Namespace) -> int:
    """Print what stands in a weights folder; 3 if anything is missing or damaged."""
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
    """Import published checkpoints and print what they were."""
    with quiet(args):
        from im2hands.weights.importer import import_checkpoints

        imported = import_checkpoints(args.files, args.to, args.overwrite)
    if args.json:
        print(json.dumps([{"path": str(done.path), **done.card} for done in imported], indent=1))
        return 0
    for done in imported:
        said = [f"{word} {done.card[word]}" for word in ("iteration", "epoch") if done.card[word] is not None]
        said += (
            [f"best validation {done.card['best_validation']:g}"] if done.card["best_validation"] is not None else []
        )
        said += [done.card["note"]] if done.card["note"] else []
        print(f"{done.source} -> {done.path}" + (f"\n  {', '.join(said)}" if said else ""))
    print(f"Licence: {imported[0].card['licence']}.")
    return 0
