"""Settings of a scene set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from im2hands import __version__
from im2hands.core.errors import InputError
from im2hands.lab.datasets.scene import SetInfo

from .choices import KINDS, RENDERERS, Kind
from .clips import CLIP
from .interaction_modes import SINGLE_MODES, TWO_HAND_MODES
from .painters import listing_digest
from .pairs import BLOCK
from .scene import NO_HANDS

MODES = (*TWO_HAND_MODES, *SINGLE_MODES, NO_HANDS)
"""Names of a set's modes; a scene stores the index."""

_BLOCKS_IN_SHARD = 2


@dataclass(frozen=True)
class Settings:
    """Settings of a scene set.

    Parameters
    ----------
    kind : {"crop", "whole", "clip"}
        "crop" for square pictures by the crop convention, "whole" for pictures with small hands anywhere, "clip" for
        whole pictures of moving hands.
    seed : int
        Seed from 0 to 2**32 - 1.
    points : int
        Labelled points for each hand.
    size : int
        Side of crops, or the longest side of the largest whole pictures, pixels.
    renderer : str
        A name in ``choices.RENDERERS``.
    skins : Path or None
        Folder of skin textures. None uses procedural skins.
    environments : Path or None
        Folder of panoramas. None uses procedural ones.
    backgrounds : Path or None
        Folder of background photos. None uses procedural backgrounds.
    blender : Path or None
        Blender executable or Python with bpy, for Cycles; see ``painters.make_painter``.
    threads : int
        Threads of Blender, 0 for all.
    together : int
        Scenes that are posed in one batch, 0 for ``pairs.BLOCK``. Fewer need less memory. Another number gives other
        scenes, like another seed.
    """

    kind: Kind = "crop"
    seed: int = 0
    points: int = 2048
    size: int = 256
    renderer: str = "raster"
    skins: Path | None = None
    environments: Path | None = None
    backgrounds: Path | None = None
    blender: Path | None = None
    threads: int = 0
    together: int = 0

    def checked(self) -> Settings:
        """Return these settings if they can be used.

        Raises
        ------
        InputError
            A value that cannot be used.
        """
        if self.kind not in KINDS:
            raise InputError(f"There is no kind of set {self.kind}.", f"Use {', '.join(KINDS)}.")
        if self.renderer not in RENDERERS:
            raise InputError(f"There is no renderer {self.renderer}.", f"Use {', '.join(RENDERERS)}.")
        if not 32 <= self.size <= 2048:
            raise InputError(f"Pictures of {self.size} pixels cannot be made.", "Give a size of 32 to 2048.")
        if not 0 <= self.points <= 100_000 or not 0 <= self.seed < 2**32:
            raise InputError(
                f"{self.points} points and seed {self.seed} are not possible.",
                "Give 0 to 100000 points, and a seed from 0 to 4294967295.",
            )
        return self

    @property
    def block(self) -> int:
        """Number of scenes that are posed in one batch."""
        return CLIP if self.kind == "clip" else self.together or BLOCK

    def info(self) -> SetInfo:
        """Build the content of the set's ``set.json``."""
        generator: dict[str, Any] = {
            "program": f"im2hands {__version__}",
            "kind": self.kind,
            "renderer": self.renderer,
            **{name: listing_digest(getattr(self, name)) for name in ("skins", "environments", "backgrounds")},
        }
        if self.kind == "clip":
            generator["frames"] = CLIP
        return SetInfo(self.seed, _BLOCKS_IN_SHARD * self.block, self.size, self.points, MODES, generator)
