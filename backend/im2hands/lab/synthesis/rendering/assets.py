"""Assets of the renderers: skins, environments and backgrounds, from folders or procedural."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from im2hands.core.errors import InputError

from .environments import Environment, procedural_environment, read_environment
from .hand_mesh import HandMesh
from .procedural_skin import procedural_skin
from .skin_atlas import SkinAtlas, SkinMap

PROCEDURAL_SKINS = 8
MADE_UP_ENVIRONMENTS = 12
_KEPT_PHOTOS = 64
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


class Assets:
    """Skins, environments and backgrounds that looks refer to by index. Files are read when first used, and kept.

    Parameters
    ----------
    skins : sequence of Path
        Skin textures. Empty means procedural ones.
    environments : sequence of Path
        OpenEXR panoramas. Procedural ones are always available too.
    backgrounds : sequence of Path
        Photos. Empty means procedural backgrounds only.
    """

    def __init__(
        self, skins: Sequence[Path] = (), environments: Sequence[Path] = (), backgrounds: Sequence[Path] = ()
    ) -> None:
        self.mesh = HandMesh()
        self.atlas = SkinAtlas(self.mesh)
        self.skin_files = tuple(skins)
        self.environment_files = tuple(environments)
        self.background_files = tuple(backgrounds)
        self._skins: dict[int, SkinMap] = {}
        self._environments: dict[int, Environment] = {}
        self._photo = lru_cache(maxsize=_KEPT_PHOTOS)(_read_photo)

    @classmethod
    def load(
        cls, skins: Path | None = None, environments: Path | None = None, backgrounds: Path | None = None
    ) -> Assets:
        """Find assets in folders.

        Parameters
        ----------
        skins : Path or None
            Folder of MakeHuman skin textures (only the islands of arm and hand are used). None means procedural ones.
        environments : Path or None
            Folder of OpenEXR panoramas. None means procedural ones.
        backgrounds : Path or None
            Folder of photos. None means procedural backgrounds.

        Returns
        -------
        Assets
            The assets.

        Raises
        ------
        InputError
            A folder that does not exist or holds no usable file.
        """
        return cls(
            _files(skins, _PICTURES, "skins"),
            _files(environments, (".exr",), "environments"),
            _files(backgrounds, _PICTURES, "backgrounds"),
        )

    @property
    def skin_count(self) -> int:
        """Number of skins."""
        return len(self.skin_files) or PROCEDURAL_SKINS

    @property
    def environment_count(self) -> int:
        """Number of environments: the files first, then the procedural ones."""
        return len(self.environment_files) + MADE_UP_ENVIRONMENTS

    def skin(self, index: int) -> SkinMap:
        """Return skin ``index``, from 0."""
        if index not in self._skins:
            if self.skin_files:
                self._skins[index] = self.atlas.from_file(self.skin_files[index])
            else:
                self._skins[index] = procedural_skin(self.mesh, self.atlas, index)
        return self._skins[index]

    def environment(self, index: int) -> Environment:
        """Return environment ``index``, from 0."""
        if index not in self._environments:
            files = self.environment_files
            self._environments[index] = (
                read_environment(files[index]) if index < len(files) else procedural_environment(index - len(files))
            )
        return self._environments[index]

    def photo(self, index: int) -> np.ndarray:
        """Return background photo ``index`` (H, W, 3) uint8 RGB, at most 512 pixels a side."""
        return self._photo(self.background_files[index])


def _files(folder: Path | None, endings: tuple[str, ...], what: str) -> tuple[Path, ...]:
    if folder is None:
        return ()
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"The folder of {what} {folder} is not there.", "Give a folder, or leave it out.")
    files = tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in endings))
    if not files:
        raise InputError(f"The folder of {what} {folder} holds no {' or '.join(endings)} file.", "Give another one.")
    return files


def _read_photo(path: Path) -> np.ndarray:
    import cv2

    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise InputError(f"Background {path} is not a picture that can be read.", "Take it out of the folder.")
    scale = 512 / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[..., ::-1])
