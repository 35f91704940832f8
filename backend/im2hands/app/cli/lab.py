"""``im2hands train`` and ``im2hands evaluate``: tasks of the lab, one module each."""

from __future__ import annotations

import argparse
import importlib

# Tasks of each command. A task is a module with ``add_arguments(parser)`` and ``run(args) -> int``.
TASKS = {
    "train": {
        "part-occupancy": "im2hands.lab.training.part_occupancy",
        "initial-occupancy": "im2hands.lab.training.initial_occupancy",
        "aligned-occupancy": "im2hands.lab.training.aligned_occupancy",
        "keypoint-refinement": "im2hands.lab.training.keypoint_refinement",
        "two-hand-network": "im2hands.lab.training.two_hand_network",
        "pair-judge": "im2hands.lab.training.pair_judge",
        "lifting-network": "im2hands.lab.training.lifting_network",
        "reading-network": "im2hands.lab.training.reading_network",
        "skin-points": "im2hands.lab.training.skin_points",
        "detected-keypoints": "im2hands.lab.training.detected_keypoints",
        "refined-occupancy": "im2hands.lab.training.refined_occupancy",
    },
    "evaluate": {
        "part-occupancy": "im2hands.lab.evaluation.part_occupancy",
        "keypoints": "im2hands.lab.evaluation.keypoints",
        "skin-points": "im2hands.lab.evaluation.skin_points",
        "table": "im2hands.lab.evaluation.table.run",
        "shapes": "im2hands.lab.evaluation.shapes.run",
        "video": "im2hands.lab.evaluation.video",
        "marked-photos": "im2hands.lab.evaluation.marked_photos",
    },
}
TASK_HELP = {"train": "train a network", "evaluate": "measure a network against its targets"}


def task_parser(command: str) -> argparse.ArgumentParser:
    """Make the parser of ``im2hands train`` or ``im2hands evaluate``.

    Parameters
    ----------
    command : str
        "train" or "evaluate". The modules of its tasks are heavy, so they are imported only for this command.

    Returns
    -------
    argparse.ArgumentParser
        The parser, with one sub-command per task.
    """
    parser = argparse.ArgumentParser(prog=f"im2hands {command}", description=TASK_HELP[command].capitalize() + ".")
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    for name, module_name in TASKS[command].items():
        module = importlib.import_module(module_name)
        task = tasks.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        task.add_argument("--debug", action="store_true", help="tracebacks and a full log")
        module.add_arguments(task)
        task.set_defaults(run=module.run, command=command)
    return parser
