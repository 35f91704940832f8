"""Timing of one photo through every stage, for the self-test of ``check`` and for ``benchmark``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from im2hands.core.errors import SetupError
from im2hands.core.memory import require_memory
from im2hands.job.components import Components, ProviderNeeds
from im2hands.job.options import ReconstructOptions
from im2hands.media.camera_choice import CameraChoice
from im2hands.media.images import PictureInfo, read_picture
from im2hands.media.source import Frame

if TYPE_CHECKING:
    from im2hands.core.hands import Side
    from im2hands.surfaces.from_keypoints import HandMesh

Result = TypeVar("Result")

START_UP = ("networks", "keypoint provider")
PER_FRAME = ("picture", "keypoints", "placement", "surfaces")


@dataclass(frozen=True)
class Timing:
    """Result and times of one photo.

    Parameters
    ----------
    photo : str
        Name of the photo.
    device : str
        Device that computed the networks.
    seconds : dict of str to float
        Time of each stage in :data:`START_UP` and :data:`PER_FRAME`, seconds.
    hands : dict of str to (int, int)
        Numbers of vertices and triangles by side.
    """

    photo: str
    device: str
    seconds: dict[str, float]
    hands: dict[str, tuple[int, int]]

    @property
    def start_up(self) -> float:
        """Time that is spent once per job, seconds."""
        return sum(self.seconds[stage] for stage in START_UP)

    @property
    def per_frame(self) -> float:
        """Time from photo to meshes after start-up, seconds."""
        return sum(self.seconds[stage] for stage in PER_FRAME)


def bundled_photo() -> Path:
    """Return the first of the photos that ship with the package.

    Returns
    -------
    Path
        The photo.

    Raises
    ------
    SetupError
        There is no photo.
    """
    folder = Path(str(resources.files("im2hands") / "assets" / "photos"))
    photos = sorted(folder.glob("*.jpg"))
    if not photos:
        raise SetupError(f"The photos in {folder} are missing.", "Install im2hands again.")
    return photos[0]


def time_photo(
    photo: Path, *, repeat: int = 1, device: str = "auto", voxel_mm: float = 1.7, parts: Components | None = None
) -> Timing:
    """Reconstruct one photo without writing a take, and time each stage.

    Parameters
    ----------
    photo : Path
        The photo.
    repeat : int
        Number of runs after start-up. The fastest time of each stage counts.
    device : str
        Device, as on the command line.
    voxel_mm : float
        Size of the cells of the surface, mm.
    parts : Components, optional
        Components of the job; None for the real ones.

    Returns
    -------
    Timing
        Result and times.

    Raises
    ------
    Im2HandsError
        Any error of a stage.
    """
    require_memory()
    parts = parts or Components()
    clock = _Clock()
    options = ReconstructOptions((str(photo),), ".", device=device, voxel_mm=voxel_mm)
    used = parts.device_name(options)
    reconstructor = clock.time("networks", lambda: parts.reconstructor(options, used))
    needs = ProviderNeeds(options, lambda: False, used)
    provider = clock.time("keypoint provider", lambda: parts.provider(needs))
    palm_m = options.palm_mm / 1000
    meshes: dict[Side, HandMesh] = {}

    def once() -> dict[Side, HandMesh]:
        image = clock.time("picture", lambda: read_picture(photo))
        frame = Frame(1, 0.0, image, photo.name, photo)
        camera = CameraChoice().for_picture(PictureInfo(image.shape[1], image.shape[0]))
        seen = clock.time("keypoints", lambda: provider.detect(frame))
        hands = clock.time("placement", lambda: parts.lift(seen, camera, palm_m))
        return clock.time("surfaces", lambda: reconstructor.reconstruct(frame, camera, hands))

    try:
        for _ in range(max(1, repeat)):
            meshes = once()
    finally:
        provider.close()
    sizes: dict[str, tuple[int, int]] = {side: (len(mesh.vertices), len(mesh.faces)) for side, mesh in meshes.items()}
    return Timing(photo.name, used, clock.seconds, sizes)


class _Clock:
    """Keeps the shortest time of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, stage: str, work: Callable[[], Result]) -> Result:
        began = time.perf_counter()
        result = work()
        took = time.perf_counter() - began
        self.seconds[stage] = min(took, self.seconds.get(stage, took))
        return result
