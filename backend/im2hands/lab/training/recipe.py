"""Training recipes (steps, batch size, optimiser, losses) and the TOML files that change them.

A file names a configuration to start from and the values that it changes::

    base = "compact"                 # or "published"
    [network]                        # compact only: side and channels of the image encoder
    side = 160
    [recipe]                         # fields of the recipes of all networks
    batch = 16
    [recipe.initial-occupancy]       # fields of the recipe of one network
    points = 256
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.networks.configuration import Configuration, compact, configuration

CONFIGURATIONS = ("published", "compact")

_LARGEST = 2**53  # of the numbers of a recipe


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The fields that the recipes of all networks share.

    Parameters
    ----------
    steps : int
        Optimiser steps.
    batch : int
        Scenes (or crops, or hands) in a step.
    optimiser : {"adam", "adamw"}
        The optimiser.
    learning_rate : float
        The first ("constant", "step") or highest ("cosine") learning rate.
    schedule : {"constant", "step", "cosine"}
        "step" multiplies the learning rate by ``decay`` every ``decay_every`` steps. "cosine" decays it to a hundredth
        at the last step.
    warmup : int
        Steps of linear increase to the full learning rate; 0 for none.
    decay : float
        Factor of the "step" schedule.
    decay_every : int
        Interval of the "step" schedule, steps.
    betas : (float, float)
        Decay rates of the optimiser's moments.
    weight_decay : float
        Weight decay of the optimiser.
    clip : float
        Largest gradient norm; 0 for no limit.
    ema : float
        Decay of the averaged weights, which are validated and saved instead of the last weights; 0 for no averaging.
    precision : {"auto", "float32", "bfloat16"}
        Arithmetic of the network. "auto" is bfloat16 on CUDA cards that have it (from Ampere on) and
        float32 elsewhere.
    seed : int
        Seed of all random numbers.
    log_every : int
        Steps between rows of the log.
    checkpoint_every : int
        Steps between checkpoints.
    validate_every : int
        Steps between validations.
    held_out : int
        Scenes at the end of each set that are only validated on. With 0, the trainings that allow it validate on the
        first scenes they train on.
    """

    steps: int = 100_000
    batch: int = 8
    optimiser: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 1e-4
    schedule: Literal["constant", "step", "cosine"] = "constant"
    warmup: int = 0
    decay: float = 1.0
    decay_every: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float = 0.0
    ema: float = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    seed: int = 1
    log_every: int = 50
    checkpoint_every: int = 500
    validate_every: int = 1000
    held_out: int = 32


AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def load_recipe(
    config: str, network: str, recipes: dict[str, AnyRecipe], **options: Any
) -> tuple[Configuration, AnyRecipe]:
    """Load the configuration and the recipe that the option ``--config`` names.

    Parameters
    ----------
    config : str
        "published", "compact" or the path of a TOML file.
    network : str
        Name of the network on the command line.
    recipes : dict of str to AnyRecipe
        The network's recipe in each configuration.
    **options : Any
        Fields of the recipe from the command line, which take precedence; None leaves a field unchanged.

    Returns
    -------
    Configuration
        Sizes of the networks.
    AnyRecipe
        The recipe.

    Raises
    ------
    InputError
        The file does not exist, cannot be read, or has an entry or value that is not allowed.
    """
    data: dict[str, Any] = {"base": config}
    if config not in CONFIGURATIONS:
        data = _read(Path(config))
    base = data.pop("base", None)
    if base not in CONFIGURATIONS:
        raise InputError(f'{config}: base is {base!r}, not "published" or "compact".', 'Write base = "compact".')
    network_sizes, changes = data.pop("network", {}), data.pop("recipe", {})
    if not isinstance(network_sizes, dict) or not isinstance(changes, dict):
        raise InputError(f"{config}: network and recipe are tables.", "Write [network] and [recipe].")
    sizes = _sizes(config, base, network_sizes)
    if data:
        raise InputError(f"{config}: {', '.join(data)} is not known.", "Only base, [network] and [recipe] are.")
    own = {name: changes.pop(name) for name in list(changes) if isinstance(changes[name], dict)}
    changes.update(own.get(network, {}))
    recipe = recipes[base]
    known = {field.name for field in fields(recipe)}
    unknown = [name for name in changes if name not in known]
    if unknown:
        raise InputError(
            f"{config}: the recipe of {network} has no {', '.join(unknown)}.", f"It has {', '.join(sorted(known))}."
        )
    changes.update({name: value for name, value in options.items() if value is not None})
    for name, value in changes.items():
        default = getattr(recipe, name)
        numbers = [number for number in (value if isinstance(value, list) else [value]) if type(number) in (int, float)]
        if not all(abs(number) < _LARGEST for number in numbers):  # NaN is not less
            raise InputError(f"{config}: {name} is a number that no recipe has.", "Correct it.")
        if isinstance(default, tuple) and isinstance(value, list):
            changes[name] = tuple(value)
        elif isinstance(default, float) and type(value) is int:
            changes[name] = float(value)
        elif type(value) is not type(default):
            raise InputError(f"{config}: {name} is {value!r}, not a {type(default).__name__}.", "Correct it.")
    recipe = replace(recipe, **changes)
    if min(recipe.batch, recipe.log_every, recipe.checkpoint_every, recipe.validate_every) < 1 or recipe.steps < 0:
        raise InputError(f"{config}: batch and the intervals must be 1 or more, steps 0 or more.", "Correct it.")
    return sizes, recipe


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_regular(path).decode("utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"There is no configuration {path}.", f"Give {', '.join(CONFIGURATIONS)}, or a TOML file."
        ) from error
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.", "Give a TOML file.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"Cannot read {path}: {error}.", "It must be a TOML file.") from error


def _sizes(config: str, base: str, network: dict[str, Any]) -> Configuration:
    """The configuration ``base`` with the sizes in ``[network]`` of the file ``config``."""
    if not network:
        return configuration(base)
    if base != "compact" or not set(network) <= {"side", "channels"}:
        raise InputError(
            f'{config}: [network] has entries that base = "{base}" does not take.',
            "Only compact networks take entries: side and channels.",
        )
    try:
        return compact(**network)
    except (TypeError, ValueError) as error:
        raise InputError(f"{config}: [network] cannot be used: {error}.", "Correct it.") from error
