"""Renderer with Cycles: Blender computes the light; background, lens effects and file are the rasteriser's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import SetupError
from im2hands.core.hands import Side
from im2hands.lab.synthesis.rendering.accessories import posed_hands
from im2hands.lab.synthesis.rendering.assets import Assets
from im2hands.lab.synthesis.rendering.camera_effects import apply_effects
from im2hands.lab.synthesis.rendering.frame_block import FAR
from im2hands.lab.synthesis.rendering.look import Look
from im2hands.lab.synthesis.rendering.renderer import Rendered

from .backdrop import far_light, respond
from .description import describe
from .process import BlenderProcess


class CyclesRenderer:
    """Draws pictures one after the other; not thread-safe.

    Parameters
    ----------
    assets : Assets
        Skins, environments and backgrounds.
    blender : Path or None
        A Blender executable or a Python with bpy. None means ``blender`` on the search path.
    threads : int
        Threads of Blender, 0 for all.

    Raises
    ------
    SetupError
        Blender or OpenEXR is missing.
    """

    def __init__(self, assets: Assets, blender: Path | None = None, threads: int = 0) -> None:
        _exr()
        self.assets, self._threads = assets, threads
        self._blender = BlenderProcess(blender)

    @property
    def driver(self) -> str:
        """Name of the renderer."""
        return f"Blender {self._blender.version}, Cycles"

    def close(self) -> None:
        """End Blender."""
        self._blender.close()

    def render(self, hands: Sequence[tuple[Side, np.ndarray]], camera: Camera, look: Look) -> Rendered:
        """Draw a finished picture.

        Parameters
        ----------
        hands : sequence of (Side, (1843, 3) float64)
            Up to two hands: side, and vertices in metres, camera frame.
        camera : Camera
            Camera of the picture, with its size.
        look : Look
            Look of the picture.

        Returns
        -------
        Rendered
            Picture, labels and depth.

        Raises
        ------
        InputError
            More than two hands, or vertices of another shape.
        SetupError
            Blender failed.
        """
        drawn = self.draw(hands, camera, look)
        return Rendered(apply_effects(drawn.image, look.camera, drawn.depth), drawn.labels, drawn.depth)

    def draw(self, hands: Sequence[tuple[Side, np.ndarray]], camera: Camera, look: Look) -> Rendered:
        """Draw a picture without lens blur, noise and compression; arguments and errors as for ``render``."""
        scene = describe(posed_hands(hands, look), camera, look, self.assets, self._threads)
        folder = self._blender.folder
        np.savez(folder / "scene.npz", **scene)  # type: ignore[arg-type]
        self._blender.render(folder / "scene.npz")
        light, alpha = _light(folder / "light.exr")
        light = light + (1 - alpha) * far_light(camera, look, self.assets)
        labels, depth = _facts(folder / "facts.exr")
        return Rendered(respond(light, look.camera), labels, depth)


def _exr():  # type: ignore[no-untyped-def]
    """Import the OpenEXR package."""
    try:
        import OpenEXR
    except ImportError as error:
        raise SetupError("Rendering by Cycles needs OpenEXR.", "pip install 'im2hands[train]'") from error
    return OpenEXR


def _light(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Light (H, W, 3) that reaches the camera, and (H, W, 1) the share of the background that it hides."""
    with _exr().File(str(path)) as file:
        pixels = file.channels()["RGBA"].pixels.astype(np.float32)
    return np.nan_to_num(np.maximum(pixels[..., :3], 0), posinf=0), np.clip(pixels[..., 3:], 0, 1)


def _facts(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels (H, W) uint8 and depth (H, W) float32 in metres, 0 where there is nothing."""
    found = {}
    with _exr().File(str(path), separate_channels=True) as file:
        # The passes are in one part or in one part each. The index is called IndexOB, or Object Index since Blender 5.
        for part in range(len(file.parts)):
            for name, channel in file.channels(part).items():
                for fact in ("index", "depth"):
                    if fact in name.lower():
                        found[fact] = channel.pixels.astype(np.float32)
    labels = np.round(found["index"]).astype(np.uint8)
    return labels, np.where(found["depth"] < FAR, found["depth"], 0).astype(np.float32)
