"""Recipes: how a network is trained, and the TOML files that change them.

A file names what it starts from and what it changes::

    base = "compact"                 # or "published"
    [network]                        # compact only: side and channels of the image encoder
    side = 160
    [recipe]                         # fields of the recipe, for every network
    batch = 16
    [recipe.initial-occupancy]       # and for one of them
    points = 256
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from im2hands.core.errors import InputError
from im2hands.networks.configuration import Configuration, compact, configuration

CONFIGURATIONS = ("published", "compact")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What every training has; networks add their own fields.

    Args:
        steps: optimiser steps. batch: scenes a step. optimiser: "adam" or "adamw". learning_rate: at the start
            ("constant", "step") or the highest ("cosine"). schedule: "step" multiplies it by ``decay`` every
            ``decay_every`` steps, "cosine" falls to a hundredth at the end. warmup: steps to the full rate.
        betas, weight_decay: of the optimiser. clip: largest gradient norm, 0 for none. ema: decay of the averaged
            weights, which are those that are kept; 0 for none. precision: "float32", "bfloat16", or "auto": bfloat16 on
            CUDA, float32 elsewhere. seed: of everything random. log_every, checkpoint_every,
            validate_every: steps. held_out: scenes at the end of the set that are only validated on; 0 validates on the
            first scenes trained on.
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
    """The configuration and the recipe that ``--config`` stands for.

    Args:
        config: "published", "compact" or a TOML file. network: its name on the command line. recipes: of that network,
            for both configurations. options: fields given on the command line; None leaves them.

    Raises:
        InputError: no such configuration, or a file that cannot be used.
    """
    data: dict[str, Any] = {"base": config}
    if config not in CONFIGURATIONS:
        data = _read(Path(config))
    base = data.pop("base", None)
    if base not in CONFIGURATIONS:
        raise InputError(f'{config}: base is {base!r}, not "published" or "compact".', 'Write base = "compact".')
    sizes = _sizes(config, base, data.pop("network", {}))
    changes = dict(data.pop("recipe", {}))
    if data:
        raise InputError(f"{config}: {', '.join(data)} is not known.", "There are base, [network] and [recipe].")
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
        if isinstance(default, tuple):
            changes[name] = tuple(value)
        elif isinstance(default, float) and type(value) is int:
            changes[name] = float(value)
        elif type(value) is not type(default):
            raise InputError(f"{config}: {name} is {value!r}, not a {type(default).__name__}.", "Correct it.")
    recipe = replace(recipe, **changes)
    if min(recipe.steps, recipe.batch, recipe.log_every, recipe.checkpoint_every, recipe.validate_every) < 1:
        raise InputError(f"{config}: steps, batch and the intervals must be 1 or more.", "Correct it.")
    return sizes, recipe


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"There is no configuration {path}.", f"Give {', '.join(CONFIGURATIONS)}, or a TOML file."
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"Cannot read {path}: {error}.", "It must be a TOML file.") from error


def _sizes(config: str, base: str, network: dict[str, Any]) -> Configuration:
    if not network:
        return configuration(base)
    if base != "compact" or not set(network) <= {"side", "channels"}:
        raise InputError(f"{config}: [network] cannot be used so.", "A compact network takes side and channels.")
    try:
        return compact(**network)
    except (TypeError, ValueError) as error:
        raise InputError(f"{config}: [network] cannot be used: {error}.", "Correct it.") from error
