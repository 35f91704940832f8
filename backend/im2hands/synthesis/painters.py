"""What turns scenes into pictures: the rasteriser with its random looks, or plain shading that needs no driver."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import InputError
from ..hands import SIDES
from .choices import RENDERERS
from .hand_model import HandModel
from .plain import Drawn, paint
from .scene import Scene, hand_faces


class Painter(Protocol):
    """Draws scenes."""

    def draw(self, scene: Scene, rng: np.random.Generator) -> Drawn:
        """The picture of a scene; everything random about its looks comes from ``rng``."""

    def close(self) -> None:
        """Give back what it holds."""


class PlainPainter:
    """Flat shading on grey."""

    def __init__(self, model: HandModel) -> None:
        self._faces = (hand_faces(model, 0), hand_faces(model, 1))

    def draw(self, scene: Scene, rng: np.random.Generator) -> Drawn:
        """See :class:`Painter`."""
        return paint(scene, self._faces)

    def close(self) -> None:
        """See :class:`Painter`."""


class RasterPainter:
    """The rasteriser of :mod:`.rendering`.

    Args:
        skins, environments, backgrounds: folders of pictures, None for made-up ones.

    Raises:
        EnvironmentError_: no graphics driver. InputError: a folder that cannot be used.
    """

    def __init__(self, skins: Path | None, environments: Path | None, backgrounds: Path | None) -> None:
        from .rendering import Assets, Renderer

        self._assets = Assets.load(skins, environments, backgrounds)
        self._renderer = Renderer(self._assets)

    def draw(self, scene: Scene, rng: np.random.Generator) -> Drawn:
        """See :class:`Painter`."""
        from .rendering import random_look

        hands = [(SIDES[k], scene.vertices[k]) for k in (0, 1) if scene.present[k]]
        look = random_look(rng, self._assets, len(hands))
        drawn = self._renderer.render(hands, scene.camera, look)
        return Drawn(drawn.image, drawn.labels, drawn.depth)

    def close(self) -> None:
        """See :class:`Painter`."""
        self._renderer.close()


def make_painter(
    name: str, model: HandModel, skins: Path | None, environments: Path | None, backgrounds: Path | None
) -> Painter:
    """The painter ``name``, one of :data:`.choices.RENDERERS`.

    Raises:
        InputError: another name, or folders that cannot be used. EnvironmentError_: no graphics driver.
    """
    if name == "raster":
        return RasterPainter(skins, environments, backgrounds)
    if name == "none":
        return PlainPainter(model)
    raise InputError(f"There is no renderer {name}.", f"Use {' or '.join(RENDERERS)}.")


def folder_digest(folder: Path | None) -> str:
    """A short name for the files of a folder, to tell whether a set is gone on with from the same ones."""
    if folder is None:
        return ""
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Give a folder, or leave it out.")
    names = "\n".join(f"{p.name} {p.stat().st_size}" for p in sorted(folder.iterdir()) if p.is_file())
    return hashlib.sha256(names.encode()).hexdigest()[:12]
