"""Painters: they turn scenes into pictures, by rasteriser or Cycles with random looks, or by plain shading."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, Side
from im2hands.geometry.hand_model import HandModel

from .choices import RENDERERS
from .plain import Drawn, paint
from .scene import Scene, hand_faces

if TYPE_CHECKING:
    from .rendering import Assets, Look, Rendered


class Painter(Protocol):
    """Draws scenes."""

    def draw(self, scene: Scene, rng: np.random.Generator) -> Drawn:
        """Draw a scene; all randomness of its look comes from ``rng``."""

    def close(self) -> None:
        """Release resources."""


class PlainPainter:
    """Draws hands with flat shading on grey; needs no graphics driver.

    Parameters
    ----------
    model : HandModel
        The hand model.
    """

    def __init__(self, model: HandModel) -> None:
        self._faces = (hand_faces(model, 0), hand_faces(model, 1))

    def draw(self, scene: Scene, rng: np.random.Generator) -> Drawn:
        """Draw a scene; see ``Painter``."""
        return paint(scene, self._faces)

    def close(self) -> None:
        """Do nothing; see ``Painter``."""


class LooksRenderer(Protocol):
    """Draws hands with a look: the rasteriser or Cycles."""

    def render(self, hands: Sequence[tuple[Side, np.ndarray]], camera: Camera, look: Look) -> Rendered:
        """Draw a picture; see ``rendering.Renderer``."""

    def close(self) -> None:
        """Release resources."""


class LookPainter:
    """Draws each scene with a random look.

    Parameters
    ----------
    assets : Assets
        Skins, environments and backgrounds.
    renderer : LooksRenderer
        The renderer; the painter closes it.
    """

    def __init__(self, assets: Assets, renderer: LooksRenderer) -> None:
        self._assets, self._renderer = assets, renderer

    def draw(self, scene: Scene, rng: np.random.Generator) -> Drawn:
        """Draw a scene; see ``Painter``."""
        from .rendering import random_look

        hands = [(SIDES[k], scene.vertices[k]) for k in (0, 1) if scene.present[k]]
        look = random_look(rng, self._assets, len(hands))
        drawn = self._renderer.render(hands, scene.camera, look)
        return Drawn(drawn.image, drawn.labels, drawn.depth)

    def close(self) -> None:
        """Close the renderer."""
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
    """Make a painter.

    Parameters
    ----------
    name : str
        A name in ``choices.RENDERERS``.
    model : HandModel
        The hand model.
    skins : Path or None
        Folder of skin textures. None uses procedural skins.
    environments : Path or None
        Folder of panoramas. None uses procedural ones.
    backgrounds : Path or None
        Folder of background photos. None uses procedural backgrounds.
    blender : Path or None
        For Cycles: a Blender executable or a Python with bpy. None means ``blender`` on the search path.
    threads : int
        Threads of Blender, 0 for all.

    Returns
    -------
    Painter
        The painter.

    Raises
    ------
    InputError
        An unknown name, or folders that cannot be used.
    SetupError
        There is no graphics driver or no Blender, or a package is missing.
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


def listing_digest(folder: Path | None) -> str:
    """Compute a short digest of the names and sizes of a folder's files.

    A set is only resumed if its folders have the same digests.

    Parameters
    ----------
    folder : Path or None
        The folder.

    Returns
    -------
    str
        12 hexadecimal digits, empty for None.

    Raises
    ------
    InputError
        There is no such folder.
    """
    if folder is None:
        return ""
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Give a folder, or leave it out.")
    names = "\n".join(f"{p.name} {p.stat().st_size}" for p in sorted(folder.iterdir()) if p.is_file())
    return hashlib.sha256(names.encode()).hexdigest()[:12]
