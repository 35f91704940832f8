"""Pictures as numpy arrays, read and written by Blender."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
import numpy as np

from ..errors import InputError
from ..take.photo_orientation import Turn
from .blender_versions import sequencer_strips


def load_picture(path: str | Path, turn: Turn | None = None) -> np.ndarray:
    """Read a picture.

    Parameters
    ----------
    path : str or Path
        The picture.
    turn : Turn, optional
        The operation that makes the picture upright; None for none.

    Returns
    -------
    (H, W, 4) float32
        sRGB values and straight alpha, 0 to 1; the first row is the top.

    Raises
    ------
    InputError
        The picture cannot be read.
    """
    try:
        image = bpy.data.images.load(str(path), check_existing=False)
    except RuntimeError as error:
        raise InputError(f"Cannot read the picture {path}.") from error
    try:
        width, height = image.size
        values = np.empty(width * height * 4, dtype=np.float32)
        image.pixels.foreach_get(values)
    finally:
        bpy.data.images.remove(image)
    if values.size == 0:
        raise InputError(f"Cannot read the picture {path}.")
    return _turned(values.reshape(height, width, 4)[::-1], turn)


def load_clip_frame(path: str | Path, frame: int, size: tuple[int, int], turn: Turn | None = None) -> np.ndarray:
    """Read one frame of a clip through Blender's sequencer.

    Parameters
    ----------
    path : str or Path
        The clip.
    frame : int
        Frame number; the first frame is 1.
    size : tuple of int
        Width and height of the clip, pixels.
    turn : Turn, optional
        The operation that makes the picture upright; None for none.

    Returns
    -------
    (H, W, 4) float32
        sRGB values and straight alpha, 0 to 1; the first row is the top.

    Raises
    ------
    InputError
        The clip cannot be read.
    """
    if not Path(path).is_file():
        raise InputError(f"There is no clip {path}.")
    reel = bpy.data.scenes.new("Im2Hands Clip")
    try:
        strips = sequencer_strips(reel.sequence_editor_create())
        strips.new_movie("clip", str(path), channel=1, frame_start=1)
        reel.render.resolution_x, reel.render.resolution_y = size
        reel.render.resolution_percentage = 100
        return _turned(render_still(reel, frame), turn)
    except RuntimeError as error:
        raise InputError(f"Cannot read the clip {path}.") from error
    finally:
        bpy.data.scenes.remove(reel)


def _turned(picture: np.ndarray, turn: Turn | None) -> np.ndarray:
    if turn is not None:
        picture = picture[:, ::-1] if turn.mirror else picture
        picture = np.rot90(picture, -turn.quarters)
    return np.ascontiguousarray(picture)


@contextmanager
def at_frame(frame: int, *scenes: bpy.types.Scene) -> Iterator[None]:
    """Set the current frame of the context's scene and of other scenes for a while.

    Blender renders every scene at the frame of the window's scene, and updates the visibility of objects only when that
    frame changes.

    Parameters
    ----------
    frame : int
        The frame.
    *scenes : bpy.types.Scene
        The other scenes.
    """
    all_scenes = {scene.name: scene for scene in (*scenes, bpy.context.scene)}.values()
    before = [(scene, scene.frame_current) for scene in all_scenes]
    for scene in all_scenes:
        scene.frame_set(frame)
    try:
        yield
    finally:
        for scene, own in before:
            scene.frame_set(own)


def render_still(scene: bpy.types.Scene, frame: int) -> np.ndarray:
    """Render one frame of a scene with the standard view transform; the scene's output settings are changed.

    Parameters
    ----------
    scene : bpy.types.Scene
        The scene.
    frame : int
        The frame.

    Returns
    -------
    (H, W, 4) float32
        sRGB values and straight alpha, 0 to 1; the first row is the top.
    """
    scene.render.use_file_extension = False
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.image_settings.color_depth = "8"
    scene.view_settings.view_transform = "Standard"
    with tempfile.TemporaryDirectory(prefix="im2hands-") as folder, at_frame(frame, scene):
        scene.render.filepath = str(Path(folder) / "still.png")
        bpy.ops.render.render(write_still=True, scene=scene.name)
        return load_picture(scene.render.filepath)


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture as a PNG.

    Parameters
    ----------
    path : Path
        The PNG; missing folders are made.
    picture : (H, W, 3) float32
        sRGB values; the first row is the top. Values outside 0 to 1 are clamped.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    height, width = picture.shape[:2]
    values = np.ones((height, width, 4), dtype=np.float32)
    values[..., :3] = np.clip(picture, 0.0, 1.0)[::-1]
    image = bpy.data.images.new("Im2Hands Picture", width, height, alpha=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.pixels.foreach_set(values.ravel())
        image.filepath_raw = str(path)
        image.file_format = "PNG"
        image.save()
    except (OSError, RuntimeError) as error:
        raise InputError(f"Cannot write {path}: {error}.", "Choose a folder you may write to.") from error
    finally:
        bpy.data.images.remove(image)


def fit(picture: np.ndarray, size: tuple[int, int], ground: np.ndarray) -> np.ndarray:
    """Scale a picture into a frame, centred and as large as fits.

    Parameters
    ----------
    picture : (h, w, 3) array
        The picture.
    size : tuple of int
        Width W and height H of the frame, pixels.
    ground : (H, W, 3) array
        What the frame shows outside the picture.

    Returns
    -------
    (H, W, 3) array
        The frame.
    """
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    scale = min(size[0] / width, size[1] / height)
    left, top = (size[0] - width * scale) / 2, (size[1] - height * scale) / 2
    x = (np.arange(size[0]) + 0.5 - left) / scale
    y = (np.arange(size[1]) + 0.5 - top) / scale
    inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None, :]
    columns, rows = np.clip(x.astype(int), 0, width - 1), np.clip(y.astype(int), 0, height - 1)
    return np.where(inside[..., None], picture[rows][:, columns], ground)
