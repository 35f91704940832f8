"""Options and steps that the ``im2hands train`` commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from im2hands.lab.datasets.open_set import open_scenes
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.networks.configuration import Configuration

from .recipe import CONFIGURATIONS, AnyRecipe, Recipe, load_recipe
from .runner import Runner, Task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the trainings that use one scene set and named recipes; see :func:`run`."""
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="SET", help="folder of a scene set")
    add("--output", type=Path, required=True, metavar="DIR", help="folder for checkpoints, logs and the weights")
    add("--config", default="compact", help=f"{', '.join(CONFIGURATIONS)}, or a TOML file (default: compact)")
    add("--resume", action="store_true", help="continue the run in the output folder")
    add("--start-from", type=Path, metavar="DIR", help="folder of weights to begin with")
    add("--steps", type=int, metavar="N", help="default: the recipe's")
    add("--batch", type=int, metavar="N", help="scenes a step")
    add("--learning-rate", type=float, metavar="R", help="first or highest learning rate (default: the recipe's)")
    add("--seed", type=int, metavar="N")
    add("--precision", choices=("auto", "float32", "bfloat16"), help="number format of the network's arithmetic")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads; 0: at most the granted cores")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")


def add_run_arguments(parser: argparse.ArgumentParser, recipe: Recipe, counted: str) -> None:
    """Add the options of the trainings that use several scene sets and one recipe; see :func:`run_on_sets`.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Gets the options.
    recipe : Recipe
        Gives the default values.
    counted : str
        What a batch consists of, for the help text: "crops", "pictures", "hands".
    """
    add = parser.add_argument
    add("--data", type=Path, nargs="+", required=True, metavar="SET", help="scene sets: whole pictures and crops")
    add("--output", type=Path, required=True, metavar="DIR", help="folder for checkpoints, logs and the weights")
    add("--resume", action="store_true", help="continue the run in the output folder")
    add("--start-from", type=Path, metavar="DIR", help="folder of weights to begin with")
    add("--steps", type=int, default=recipe.steps, metavar="N")
    add("--batch", type=int, default=recipe.batch, metavar="N", help=f"{counted} a step")
    add("--learning-rate", type=float, default=recipe.learning_rate)
    add("--held-out", type=int, default=recipe.held_out, metavar="N", help="last scenes of each set, only validated on")
    add("--seed", type=int, default=recipe.seed, metavar="N")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads; 0: at most the granted cores")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")


def changed(recipe: AnyRecipe, arguments: argparse.Namespace) -> AnyRecipe:
    """Return the recipe with the values of the command line in all fields that are also options."""
    given = {field.name: getattr(arguments, field.name) for field in fields(recipe) if field.name in arguments}
    return replace(recipe, **given)


def run_on_sets(
    arguments: argparse.Namespace, recipe: AnyRecipe,
    make: Callable[[AnyRecipe, Sequence[SceneSet], Path | None, torch.device], Task[Any]],
) -> int:  # fmt: skip
    """Train on several scene sets with the options of :func:`add_run_arguments`.

    Parameters
    ----------
    arguments : argparse.Namespace
        The parsed command line.
    recipe : AnyRecipe
        Defaults of the recipe.
    make : callable
        Builds the task from the recipe, the scene sets, the folder of ``--start-from`` (or None) and the device.

    Returns
    -------
    int
        The exit code, 0.

    Raises
    ------
    InputError
        A set, an option or the output folder cannot be used.
    SetupError
        A package of the training is not installed, or weights are missing or damaged.
    """
    from im2hands.core.devices import choose_device, limit_threads

    limit_threads(arguments.threads)
    recipe = changed(recipe, arguments)
    device = choose_device(arguments.device)
    sets = [open_scenes(folder) for folder in arguments.data]
    torch.manual_seed(recipe.seed)
    Runner(make(recipe, sets, arguments.start_from, device), recipe, arguments.output, device).run(
        resume=arguments.resume
    )
    return 0


MakeTask = Callable[[Configuration, AnyRecipe, SceneSet, Path | None, torch.device], Task[Any]]
"""Builds a task from configuration, recipe, scene set, folder of ``--start-from`` (or None) and device."""


def run(
    arguments: argparse.Namespace, network: str, recipes: dict[str, AnyRecipe], make: MakeTask[AnyRecipe],
    *, labelled: bool = True,
) -> int:  # fmt: skip
    """Train on one scene set with the options of :func:`add_arguments`.

    Parameters
    ----------
    arguments : argparse.Namespace
        The parsed command line.
    network : str
        Name of the network on the command line.
    recipes : dict of str to AnyRecipe
        The recipe of each configuration, "published" and "compact".
    make : MakeTask
        Builds the task.
    labelled : bool
        Whether the scene set must have labelled points.

    Returns
    -------
    int
        The exit code, 0.

    Raises
    ------
    InputError
        The set, an option, the recipe file or the output folder cannot be used.
    SetupError
        A package of the training is not installed, or weights are missing or damaged.
    """
    from im2hands.core.devices import choose_device, limit_threads

    from .scene_batches import training_set

    limit_threads(arguments.threads)
    configuration, recipe = load_recipe(
        arguments.config, network, recipes, steps=arguments.steps, batch=arguments.batch, seed=arguments.seed,
        precision=arguments.precision, learning_rate=arguments.learning_rate,
    )  # fmt: skip
    device = choose_device(arguments.device)
    scenes = training_set(arguments.data, labelled=labelled)
    torch.manual_seed(recipe.seed)
    task = make(configuration, recipe, scenes, arguments.start_from, device)
    Runner(task, recipe, arguments.output, device).run(resume=arguments.resume)
    return 0
