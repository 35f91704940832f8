"""Layouts of the published checkpoints: names and shapes of their tensors, and recognition of a file by its contents.

The tables in ``tables/`` list every tensor of the authors' files. All are float32, except ``num_batches_tracked``,
which is int64.
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
_SHOWN = 3  # names in a message
_NEAR = 0.1  # share of names in common below which a file holds no known network
_SPARE_BYTES = 256 << 20  # for further contents of a file: other networks, losses
_COPIES = 4  # the weights, two moments of the optimiser for each, and one to spare


@dataclass(frozen=True)
class Layout:
    """The tensors of one published file.

    Parameters
    ----------
    name : str
        Name of the network in this program.
    origin : str
        The authors' file name.
    prefix : str
        Prefix of the names in the file of all tensors that are used. This program uses the names without it.
    table : mapping of str to tuple of int
        Shapes by name, without the prefix.
    note : str
        What is special about this variant; may be empty.
    """

    name: str
    origin: str
    prefix: str
    table: Mapping[str, tuple[int, ...]]
    note: str = ""

    @property
    def limit(self) -> int:
        """Largest size in bytes of a file with these weights and the state of their optimiser."""
        return _COPIES * sum(4 * math.prod(shape) for shape in self.table.values()) + _SPARE_BYTES

    def used(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of a file that belong to this network.

        Parameters
        ----------
        state : mapping of str to Tensor
            The tensors of the file.

        Returns
        -------
        dict of str to Tensor
            Tensors by name, without the prefix and without ``module.``.
        """
        plain = without_parallel(state)
        return {name.removeprefix(self.prefix): value for name, value in plain.items() if name.startswith(self.prefix)}

    def likeness(self, state: Mapping[str, Tensor]) -> tuple[float, int]:
        """Return how well a file fits this layout.

        Parameters
        ----------
        state : mapping of str to Tensor
            The tensors of the file.

        Returns
        -------
        share : float
            Share of names in common, 0 to 1.
        fitting : int
            How many of these have the right shape.
        """
        used = self.used(state)
        common = used.keys() & self.table.keys()
        fitting = sum(tuple(used[name].shape) == self.table[name] for name in common)
        return len(common) / max(len(used.keys() | self.table.keys()), 1), fitting

    def problems(self, used: Mapping[str, Tensor]) -> list[str]:
        """Describe the differences between tensors and this layout.

        Parameters
        ----------
        used : mapping of str to Tensor
            Tensors by the names of ``table``.

        Returns
        -------
        list of str
            The problems, in words; empty if all names, shapes and types fit.
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
    """Return the dtype of a tensor in the published files.

    Parameters
    ----------
    name : str
        Name of the tensor.
    """
    return torch.int64 if name.endswith("num_batches_tracked") else torch.float32


def some(names: Sequence[str]) -> str:
    """Return the first few names as text, with an ellipsis if there are more.

    Parameters
    ----------
    names : sequence of str
        The names.
    """
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def without_parallel(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefix ``module.``, which training on several GPUs puts before every name.

    Parameters
    ----------
    state : mapping of str to Tensor
        Tensors by name. They are returned unchanged if any name lacks the prefix.
    """
    if state and all(name.startswith(_PARALLEL) for name in state):
        return {name.removeprefix(_PARALLEL): value for name, value in state.items()}
    return dict(state)


@cache
def published_layouts() -> tuple[Layout, ...]:
    """Return all known layouts; HALO's in the three variants of its third layer."""
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
    """Shapes by name from a file in ``tables/``, without the prefixes."""
    data = json.loads((TABLES / f"{file}.json").read_text(encoding="utf-8"))
    return {name.removeprefix(_PARALLEL).removeprefix(prefix): tuple(shape) for name, shape in data.items()}


def recognise(state: Mapping[str, Tensor], layouts: Sequence[Layout] | None = None) -> tuple[Layout, dict[str, Tensor]]:
    """Recognise which network a file holds, by names and shapes alone.

    Parameters
    ----------
    state : mapping of str to Tensor
        The tensors of the file.
    layouts : sequence of Layout or None
        The known layouts; None for ``published_layouts``.

    Returns
    -------
    layout : Layout
        The layout of the file.
    used : dict of str to Tensor
        The tensors that it uses, by the names of its table.

    Raises
    ------
    InputError
        The network is not known, or its tensors are not as they should be. The message begins with a verb; the caller
        puts the file name before it.
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
    """Return the layouts that an imported network can have on disk.

    Parameters
    ----------
    name : str
        Name of the network.

    Returns
    -------
    list of Layout
        The layouts; empty if the name is not known.
    """
    return [layout for layout in published_layouts() if layout.name == name and not needs_padding(layout)]


def needs_padding(layout: Layout) -> bool:
    """Return whether HALO's third layer lacks the image columns of Im2Hands.

    HALO's own third layer is (64, 64), that of Im2Hands (64, 83).

    Parameters
    ----------
    layout : Layout
        The layout.
    """
    return any(shape == (64, 64) for name, shape in layout.table.items() if _is_third(layout, name))


def padded(layout: Layout, used: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add image columns of zeros, which ignore the image, at the end of HALO's third layer.

    Parameters
    ----------
    layout : Layout
        The layout of the tensors.
    used : mapping of str to Tensor
        Tensors by the names of its table.

    Returns
    -------
    dict of str to Tensor
        The tensors; all but the third layers are unchanged.
    """
    return {
        name: torch.nn.functional.pad(value, (0, IMAGE_FEATURES))
        if _is_third(layout, name) and tuple(value.shape) == (64, 64)
        else value
        for name, value in used.items()
    }


def _is_third(layout: Layout, name: str) -> bool:
    """Whether a tensor is a third layer of HALO's part networks."""
    return layout.name == HALO_BASELINE and name.endswith(_THIRD_LAYER)
