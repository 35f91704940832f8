"""What turns scenes into pictures: rasteriser or Cycles with random looks, or plain shading that needs no driver."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, Camera, Side
from im2hands.geometry.hand_model import HandModel

from .choices import RENDERERS
from .plain import Drawn, paint
from .scene import Scene, hand_faces

if TYPE_CHECKING:
    from .rendering import Assets, Look, Rendered


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


class LooksRenderer(Protocol):
    """What draws hands with a look: the rasteriser, or Cycles."""

    def render(self, hands: Sequence[tuple[Side, np.ndarray]], camera: Camera, look: Look) -> Rendered:
        """See :class:`.rendering.Renderer`."""

    def close(self) -> None:
        """Give back what it holds."""


class LookPainter:
    """Draws each scene with a look of its own.

    Args:
        assets: what looks are made of. renderer: draws them.
    """

    def __init__(self, assets: Assets, renderer: LooksRenderer) -> None:
        self._assets, self._renderer = assets, renderer

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
    name: str,
    model: HandModel,
    skins: Path | None,
    environments: Path | None,
    backgrounds: Path | None,
    blender: Path | None = None,
    threads: int = 0,
) -> Painter:
    """The painter ``name``, one of :data:`.choices.RENDERERS`.

    Args:
        skins, environments, backgrounds: folders of pictures, None for made-up ones. blender: for Cycles, a Blender
            executable or a Python with bpy, None for ``blender`` of the search path. threads: of Blender, 0 for all.

    Raises:
        InputError: another name, or folders that cannot be used. SetupError: no graphics driver, or no Blender.
    """
    if name == "none":
        return PlainPainter(model)
    if name not in RENDERERS:
        raise InputError(f"There is no renderer {name}.", f"Use {', '.join(RENDERERS)}.")
    from .rendering import Assets, Renderer

    assets = Assets.load(skins, environments, backgrounds)
    if name == "raster":
        return LookPainter(assets, Renderer(assets))
    from .cycles import CyclesRenderer

    return LookPainter(assets, CyclesRenderer(assets, blender, threads))


def folder_digest(folder: Path | None) -> str:
    """A short name for the files of a folder, to tell whether a set is gone on with from the same ones."""
    if folder is None:
        return ""
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Give a folder, or leave it out.")
    names = "\n".join(f"{p.name} {p.stat().st_size}" for p in sorted(folder.iterdir()) if p.is_file())
    return hashlib.sha256(names.encode()).hexdigest()[:12]
