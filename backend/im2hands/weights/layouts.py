"""The published checkpoints: names and shapes of their tensors, and which network a file holds, by its contents.

The tables in ``tables/`` list every tensor of the authors' files (specification 12): float32, but int64 for
``num_batches_tracked``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from im2hands.core.errors import InputError
from im2hands.networks.part_decoder import IMAGE_FEATURES

HALO_BASELINE = "halo_baseline"
INITIAL_OCCUPANCY = "initial_occupancy"
REFINED_OCCUPANCY = "refined_occupancy"
KEYPOINT_REFINEMENT = "keypoint_refinement"
INTAGHAND_ENCODER = "intaghand_encoder"

TABLES = Path(__file__).parent / "tables"
_PARALLEL = "module."  # put before every name when a network was trained on several GPUs
_THIRD_LAYER = "_2.weight"  # of HALO's part networks: the layer that reads the image in Im2Hands
_SHOWN = 3
_NEAR = 0.1  # a file that shares fewer names than this with every layout is of no known network
_SPARE_BYTES = 256 << 20  # for what files hold besides: other networks, losses
_COPIES = 4  # the weights, two moments of the optimiser for each, and one to spare


@dataclass(frozen=True)
class Layout:
    """The tensors of one published file.

    Args:
        name: of the network here. origin: the authors' file name. prefix: what the names of the tensors that are used
            begin with in the file; the names in use are without it. table: shape by name, without the prefix.
        note: what is particular about this variant; may be empty.
    """

    name: str
    origin: str
    prefix: str
    table: Mapping[str, tuple[int, ...]]
    note: str = ""

    @property
    def limit(self) -> int:
        """Bytes that a file with these weights and its optimiser can have at most."""
        return _COPIES * sum(4 * math.prod(shape) for shape in self.table.values()) + _SPARE_BYTES

    def used(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file that belong to this network, without the prefix (and without ``module.``)."""
        plain = without_parallel(state)
        return {name.removeprefix(self.prefix): value for name, value in plain.items() if name.startswith(self.prefix)}

    def likeness(self, state: Mapping[str, Tensor]) -> tuple[float, int]:
        """How well a file fits: share of names in common (0 to 1), then how many of them have the right shape."""
        used = self.used(state)
        common = used.keys() & self.table.keys()
        fitting = sum(tuple(used[name].shape) == self.table[name] for name in common)
        return len(common) / max(len(used.keys() | self.table.keys()), 1), fitting

    def problems(self, used: Mapping[str, Tensor]) -> list[str]:
        """What keeps tensors from being this network's, in words; empty if all names, shapes and types fit.

        Args:
            used: names as in ``table``.
        """
        found = []
        for words, names in (
            ("missing", [name for name in self.table if name not in used]),
            ("unexpected", [name for name in used if name not in self.table]),
        ):
            if names:
                found.append(f"{len(names)} {words} ({some(names)})")
        wrong = []
        for name, shape in self.table.items():
            if name not in used:
                continue
            value = used[name]
            if tuple(value.shape) != shape:
                wrong.append(f"{name} is {list(value.shape)}, expected {list(shape)}")
            elif value.dtype != dtype_of(name):
                wrong.append(f"{name} is {value.dtype}, expected {dtype_of(name)}")
        if wrong:
            found.append(f"{len(wrong)} of another shape or type ({some(wrong)})")
        return found


def dtype_of(name: str) -> torch.dtype:
    """The number type of a tensor in the published files."""
    return torch.int64 if name.endswith("num_batches_tracked") else torch.float32


def some(names: Sequence[str]) -> str:
    """The first few of many, in words."""
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def without_parallel(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the ``module.`` that training on several GPUs puts before every one of them."""
    if state and all(name.startswith(_PARALLEL) for name in state):
        return {name.removeprefix(_PARALLEL): value for name, value in state.items()}
    return dict(state)


@cache
def published_layouts() -> tuple[Layout, ...]:
    """All layouts that are known; HALO's in the three variants that its third layer comes in."""
    halo = _table("halo_baseline", "decoder.")
    wide = {
        name: (shape[0], shape[1] + IMAGE_FEATURES) if name.endswith(_THIRD_LAYER) else shape
        for name, shape in halo.items()
    }
    without = {name: shape for name, shape in halo.items() if not name.endswith(_THIRD_LAYER)}
    return (
        Layout(HALO_BASELINE, "halo_baseline.pt", "decoder.", wide),
        Layout(HALO_BASELINE, "halo_baseline.pt", "decoder.", halo, f"{IMAGE_FEATURES} image columns of zeros added"),
        Layout(HALO_BASELINE, "halo_baseline.pt", "decoder.", without, "without third layer: only a start of training"),
        Layout(INITIAL_OCCUPANCY, "init_occ.pt", "", _table("init_occ", "")),
        Layout(REFINED_OCCUPANCY, "ref_occ.pt", "", _table("ref_occ", "")),
        Layout(KEYPOINT_REFINEMENT, "kpts_ref.pt", "", _table("kpts_ref", "")),
        Layout(INTAGHAND_ENCODER, "intaghand_baseline.pth", "encoder.", _table("intaghand_baseline", "encoder.")),
    )


def _table(file: str, prefix: str) -> dict[str, tuple[int, ...]]:
    data = json.loads((TABLES / f"{file}.json").read_text(encoding="utf-8"))
    return {name.removeprefix(_PARALLEL).removeprefix(prefix): tuple(shape) for name, shape in data.items()}


def recognise(state: Mapping[str, Tensor], layouts: Sequence[Layout] | None = None) -> tuple[Layout, dict[str, Tensor]]:
    """Which network a file holds, by names and shapes alone.

    Args:
        state: the tensors of the file. layouts: the known ones, default :func:`published_layouts`.

    Returns:
        The layout and the tensors it uses, names as in its table.

    Raises:
        InputError: no known network, or one whose tensors are not as they should be. The message begins with a verb
            and lacks the file.
    """
    layouts = published_layouts() if layouts is None else layouts
    best = max(layouts, key=lambda layout: layout.likeness(state))
    if best.likeness(state)[0] < _NEAR:
        known = ", ".join(dict.fromkeys(layout.origin for layout in layouts))
        raise InputError(
            f"holds {len(state)} tensors of a network that is not known here ({some(list(state))}).",
            f"Expected the contents of one of {known}.",
        )
    used = best.used(state)
    if problems := best.problems(used):
        raise InputError(
            f"resembles {best.origin} ({best.name}), but its tensors differ: {'; '.join(problems)}.",
            f"Expected the {len(best.table)} tensors of the published {best.origin}; download it again.",
        )
    return best, used


def stored_layouts(name: str) -> list[Layout]:
    """The layouts that an imported network can have on disk; empty for a name that is not known."""
    return [layout for layout in published_layouts() if layout.name == name and not needs_padding(layout)]


def needs_padding(layout: Layout) -> bool:
    """Whether HALO's third layer lacks the image columns (specification 12)."""
    return any(shape == (64, 64) for name, shape in layout.table.items() if _is_third(layout, name))


def padded(layout: Layout, used: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """HALO's third layer with image columns of zeros at the end, which ignore the image; all else as it is."""
    return {
        name: torch.nn.functional.pad(value, (0, IMAGE_FEATURES))
        if _is_third(layout, name) and tuple(value.shape) == (64, 64)
        else value
        for name, value in used.items()
    }


def _is_third(layout: Layout, name: str) -> bool:
    return layout.name == HALO_BASELINE and name.endswith(_THIRD_LAYER)
