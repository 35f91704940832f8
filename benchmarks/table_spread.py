"""Distribution of the results of a table: ``python benchmarks/table_spread.py FOLDER [--after N]``.

FOLDER is the ``--output`` of ``im2hands evaluate table``. Prints for each row, and for each interaction mode of each
row, the means and medians, and the share of scenes in which both hands have the right sides.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from im2hands.lab.evaluation.table.rows import Result, by_row, read_results


def figures(results: Sequence[Result]) -> str:
    """Format the means and medians of some scenes as one line.

    Parameters
    ----------
    results : sequence of Result
        Results of one row.

    Returns
    -------
    str
    """
    parts = [f"{len(results):4} scenes", f"both {100 * np.mean([r.both for r in results]):3.0f} %"]
    for name, scale, unit in (("iou", 100, "%"), ("chamfer_mm", 1, "mm"), ("mpjpe_mm", 1, "mm")):
        parts.append(_spread(name, np.array([v for r in results for v in getattr(r, name)]) * scale, unit))
    parts.append(_spread("gap_mm", np.array([r.gap_mm for r in results]), "mm"))
    parts.append(_spread("penetration_ml", np.array([r.penetration_ml for r in results]), "ml"))
    return "  ".join(parts)


def _spread(name: str, values: np.ndarray, unit: str) -> str:
    known = values[np.isfinite(values)]
    label = name.split("_")[0]
    return f"{label} {known.mean():.1f} ({np.median(known):.1f}) {unit}" if len(known) else f"{label} -"


def main() -> None:
    """Print the distribution of every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--after", type=int, default=0, metavar="N", help="leave out the set's first N scenes")
    args = parser.parse_args()
    results = [r for r in read_results(args.folder, Result) if r.scene >= args.after]
    print("means (medians)")
    for key, group in by_row(results).items():
        print(f"{key.name}\n  {'all':<11}{figures(group)}")
        for mode in sorted({r.mode for r in group}):
            print(f"  {mode:<11}{figures([r for r in group if r.mode == mode])}")


if __name__ == "__main__":
    main()
