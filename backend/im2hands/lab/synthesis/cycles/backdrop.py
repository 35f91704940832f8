"""Background and camera response for Cycles pictures, with the same formulas as the rasteriser's shaders."""

from __future__ import annotations

import cv2
import numpy as np

from im2hands.core.camera import Camera
from im2hands.lab.synthesis.rendering.assets import Assets
from im2hands.lab.synthesis.rendering.backgrounds import procedural_background
from im2hands.lab.synthesis.rendering.look import Background, CameraEffects, Look


def backdrop_picture(background: Background, assets: Assets) -> np.ndarray:
    """Return the background's picture (H, W, 3) uint8 RGB, a photo or a procedural one; a wall or table has it too."""
    photo = background.kind == "photo"
    return assets.photo(background.index) if photo else procedural_background(background.index)


def blurred(picture: np.ndarray, level: float) -> np.ndarray:
    """Reduce a picture's size by the factor 2 ** ``level``, like a level of a mip pyramid."""
    if level <= 0:
        return picture
    size = tuple(max(round(length / 2**level), 1) for length in (picture.shape[1], picture.shape[0]))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def far_light(camera: Camera, look: Look, assets: Assets) -> np.ndarray:
    """Compute the light of the background at each pixel, without its wall (the same as ``backdrop.frag``).

    Parameters
    ----------
    camera : Camera
        Camera of the picture.
    look : Look
        Look of the picture.
    assets : Assets
        Environments and backgrounds.

    Returns
    -------
    (H, W, 3) float32
        Linear light.
    """
    background = look.background
    v, u = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float64)
    if background.kind == "environment":
        environment = assets.environment(look.lighting.environment)
        view = environment.reflection if environment.view is None else environment.view
        wide = background.zoom * camera.fx / camera.width
        ray = np.stack(
            [(u - camera.cx) / camera.fx * wide, (v - camera.cy) / camera.fy * wide, np.ones_like(u)], axis=-1
        )
        ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
        ray = ray @ np.array(look.lighting.axes, np.float64).T
        x = np.arctan2(ray[..., 0], ray[..., 2]) / (2 * np.pi) + 0.5
        y = np.arccos(np.clip(ray[..., 1], -1, 1)) / np.pi
        return _sampled(blurred(view, background.blur), x, y, cv2.BORDER_WRAP) * background.brightness
    middle = np.array([camera.width, camera.height]) / 2
    place = (np.stack([u, v], axis=-1) + 0.5 - middle) / max(camera.width, camera.height)
    at = place @ np.array([row[:2] for row in background.map]).T + np.array([row[2] for row in background.map])
    at = 1 - np.abs(at % 2 - 1)
    picture = blurred(backdrop_picture(background, assets), background.blur).astype(np.float32) / 255
    return _sampled(picture, at[..., 0], at[..., 1], cv2.BORDER_REPLICATE) ** 2 * background.brightness


def _sampled(picture: np.ndarray, x: np.ndarray, y: np.ndarray, border: int) -> np.ndarray:
    """Sample the picture's colours at positions (H, W), from 0 at its first to 1 at its last edge."""
    columns = (x * picture.shape[1] - 0.5).astype(np.float32)
    rows = np.clip(y * picture.shape[0] - 0.5, 0, picture.shape[0] - 1).astype(np.float32)
    return np.asarray(cv2.remap(picture.astype(np.float32), columns, rows, cv2.INTER_LINEAR, borderMode=border))


def respond(light: np.ndarray, effects: CameraEffects) -> np.ndarray:
    """Convert scene light to picture values by the camera's response (the same as ``respond`` in ``shading.glsl``).

    Parameters
    ----------
    light : (H, W, 3) float
        Linear light.
    effects : CameraEffects
        Exposure, white balance, vignette, saturation, curve and contrast.

    Returns
    -------
    (H, W, 3) uint8
        RGB picture.
    """
    height, width = light.shape[:2]
    v, u = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
    off = ((u - width / 2) ** 2 + (v - height / 2) ** 2) / (0.25 * (width**2 + height**2))
    gain = effects.exposure * np.array(effects.white_balance)
    x = light * gain * (1 - effects.vignette * off)[..., None]
    colour, dark = x @ np.array([0.2126, 0.7152, 0.0722]), x @ np.array([0.75, 0.2, 0.05])
    grey = (colour + effects.infrared * (dark - colour))[..., None]
    x = np.maximum(grey + effects.saturation * (x - grey), 0)
    f = 0.75 * x
    filmic = np.clip(f * (2.51 * f + 0.03) / (f * (2.43 * f + 0.59) + 0.14), 0, 1)
    shoulder = x * (1 + x / 6.25) / (1 + 0.45 * x)
    x = np.clip(shoulder + effects.filmic * (filmic - shoulder), 0, 1)
    root = np.sqrt(x)
    fourth = np.sqrt(root)
    encoded = 0.662002687 * root + 0.684122060 * fourth - 0.323583601 * np.sqrt(fourth) - 0.0225411470 * x
    values = np.clip(0.45 + effects.contrast * (encoded - 0.45), 0, 1)
    return np.asarray(np.round(values * 255), np.uint8)
