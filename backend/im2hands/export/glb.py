"""Builder of glTF binary files: nodes, accessors and animations over one buffer."""

from __future__ import annotations

from typing import Any

import numpy as np

from .surfaces_glb import join_glb

_COMPONENTS = {"f": 5126, "B": 5121, "H": 5123, "I": 5125}
_SHAPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}


class GlbBuilder:
    """A glTF tree under construction; its methods return the indices of the new entries.

    Attributes
    ----------
    tree : dict
        The glTF JSON so far.
    """

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "im2hands"}, "scene": 0, "scenes": [{"nodes": []}],
            "nodes": [], "accessors": [], "bufferViews": [],
        }  # fmt: skip
        self._data = bytearray()

    def add(self, kind: str, entry: dict[str, Any]) -> int:
        """Append an entry to one of the tree's lists.

        Parameters
        ----------
        kind : str
            Name of the list, for example "nodes".
        entry : dict
            The entry.

        Returns
        -------
        int
            Index of the entry in the list.
        """
        entries = self.tree.setdefault(kind, [])
        entries.append(entry)
        return len(entries) - 1

    def accessor(self, values: np.ndarray, *, bounds: bool = False) -> int:
        """Append an array to the buffer.

        Parameters
        ----------
        values : (N, ...) float32, uint8, uint16 or uint32
            Scalars, vectors or matrices (N, 4, 4). Matrices are row-major here and stored column-major.
        bounds : bool
            Store minimum and maximum, as glTF requires for positions and for the times of animations.

        Returns
        -------
        int
            Index of the accessor.
        """
        if values.ndim == 3:
            values = values.transpose(0, 2, 1)
        raw = np.ascontiguousarray(values).tobytes()
        self._data += b"\0" * (-len(self._data) % 4)
        view = self.add("bufferViews", {"buffer": 0, "byteOffset": len(self._data), "byteLength": len(raw)})
        self._data += raw
        entry: dict[str, Any] = {
            "bufferView": view, "componentType": _COMPONENTS[values.dtype.char if values.dtype.char != "L" else "I"],
            "count": len(values), "type": _SHAPES[values.shape[1:]],
        }  # fmt: skip
        if bounds:
            entry["min"] = np.atleast_1d(values.min(axis=0)).tolist()
            entry["max"] = np.atleast_1d(values.max(axis=0)).tolist()
        return self.add("accessors", entry)

    def animate(self, animation: dict[str, Any], node: int, path: str, keys: tuple[int, int], how: str) -> None:
        """Add a channel to an animation.

        Parameters
        ----------
        animation : dict
            The animation.
        node : int
            Index of the animated node.
        path : str
            The animated property: "translation", "rotation", "scale" or "weights".
        keys : (int, int)
            Indices of the accessors of times (seconds) and values.
        how : str
            Interpolation: "LINEAR" or "STEP".
        """
        animation["samplers"].append({"input": keys[0], "output": keys[1], "interpolation": how})
        target = {"node": node, "path": path}
        animation["channels"].append({"sampler": len(animation["samplers"]) - 1, "target": target})

    def bytes(self) -> bytes:
        """The file.

        Returns
        -------
        bytes
            Content of the glb file.

        Raises
        ------
        InputError
            The file would be larger than 4 GB.
        """
        return join_glb(self.tree, bytes(self._data))
