"""``im2hands check``, ``weights``, ``benchmark`` and ``export``: short commands that print what they find."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from im2hands.app.logs import native_noise_to
from im2hands.core.errors import EnvironmentError_, InputError


def run_check(args: argparse.Namespace) -> int:
    """Print the report; 3 if anything is missing."""
    with _quiet(args):
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
        print(f"Not ready: see {', '.join(missing)}." if missing else "Everything is there and works.")
        print(f"The log is {args.log_file}")
    return 0 if report.ok else EnvironmentError_.exit_code


def run_weights(args: argparse.Namespace) -> int:
    """Print what stands in a weights folder; 3 if anything is missing or damaged."""
    from im2hands.weights.folder import list_weights

    found = list_weights(args.folder)
    if args.json:
        print(json.dumps([{**asdict(info), "path": str(info.path)} for info in found], indent=1))
    else:
        for info in found:
            state = info.problem or f"sha256 {info.sha256}"
            print(f"{'OK     ' if not info.problem else 'PROBLEM'}  {info.name}: {info.path}\n         {state}")
    return 0 if all(info.found and not info.problem for info in found) else EnvironmentError_.exit_code


def run_import(args: argparse.Namespace) -> int:
    """Import published checkpoints and print what they were."""
    with _quiet(args):
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


def run_benchmark(args: argparse.Namespace) -> int:
    """Print seconds per stage for one photo."""
    if args.repeat < 1:
        raise InputError(f"--repeat is {args.repeat}, it must be 1 or more.")
    with _quiet(args):
        from im2hands.app.selftest import PER_FRAME, START_UP, bundled_photo, time_photo
        from im2hands.core.devices import usable_cores

        photo = Path(args.photo) if args.photo else bundled_photo()
        timing = time_photo(photo, repeat=args.repeat, device=args.device, voxel_mm=args.voxel_mm)
    if args.json:
        data = asdict(timing)
        print(json.dumps({**data, "per_frame": timing.per_frame, "cores": usable_cores()}, indent=1))
        return 0
    print(f"{timing.photo} on {timing.device}, {usable_cores()} cores, {args.voxel_mm:g} mm, best of {args.repeat}")
    for title, stages in (("once", START_UP), ("a frame", PER_FRAME)):
        print(f"{title}: {sum(timing.seconds[stage] for stage in stages):.3f} s")
        for stage in stages:
            print(f"  {stage:18} {timing.seconds[stage]:8.3f} s")
    for side, (vertices, triangles) in timing.hands.items():
        print(f"{side} hand: {vertices} vertices, {triangles} triangles")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Export a take and print what was written."""
    from im2hands.export.write import export_take

    files = export_take(args.take, args.to, args.output, args.frames, args.overwrite, args.mesh)
    if len(files) == 1:
        print(files[0])
    else:
        print(f"{len(files)} files in {files[0].parent}")
    return 0


@contextlib.contextmanager
def _quiet(args: argparse.Namespace) -> Iterator[None]:
    """Native libraries' chatter goes to the log, unless --debug."""
    if args.debug:
        yield
        return
    sys.stdout.flush()
    with native_noise_to(args.log_file):
        yield
