"""Uniform data of one picture for all shaders, packed as the ``Frame`` block of ``shaders/common.glsl``."""

from __future__ import annotations

import numpy as np

from im2hands.core.camera import Camera

from .accessories import MAX_HANDS
from .environments import Environment
from .hand_mesh import SPHERES_PER_HAND
from .look import Background, Look

MAX_LIGHTS = 4
NEAR, FAR = 0.03, 60.0
"""Clipping distances, metres."""
_NORMAL_OFFSET = 0.0018
"""Offset along the normal before a shadow look-up, metres; it prevents self-shadowing."""


def projection(camera: Camera) -> np.ndarray:
    """Compute the matrix (4, 4) from camera frame to clip space; row 0 of the picture is row 0 of the framebuffer."""
    out = np.zeros((4, 4))
    out[0] = (2 * camera.fx / camera.width, 0, 2 * (camera.cx + 0.5) / camera.width - 1, 0)
    out[1] = (0, 2 * camera.fy / camera.height, 2 * (camera.cy + 0.5) / camera.height - 1, 0)
    out[2] = (0, 0, (FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR))
    out[3] = (0, 0, 1, 0)
    return out


def shadow_projection(direction: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Compute the parallel projection along a light.

    Parameters
    ----------
    direction : (3,) float64
        Direction towards the light, camera frame.
    points : (N, 3) float64
        Points that the projection must contain, camera frame, metres.

    Returns
    -------
    (4, 4) float64
        Camera frame to the clip space of the shadow map.
    """
    forward = -direction / np.linalg.norm(direction)
    helper = np.array([1.0, 0, 0]) if abs(forward[0]) < 0.8 else np.array([0, 1.0, 0])
    right = np.cross(forward, helper)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward])
    local = points @ axes.T
    low, high = local.min(axis=0), local.max(axis=0)
    margin = np.array([0.03, 0.03, 0.3])
    scale = 2 / (high - low + 2 * margin)
    out = np.eye(4)
    out[:3, :3] = axes * scale[:, None]
    out[:3, 3] = -(low + high) / 2 * scale
    return out


def pack_frame(
    camera: Camera,
    look: Look,
    environment: Environment,
    shadow: np.ndarray,
    spheres: np.ndarray,
    middle: np.ndarray,
) -> bytes:
    """Pack the data of the block.

    Parameters
    ----------
    camera : Camera
        Camera of the picture.
    look : Look
        Look of the picture.
    environment : Environment
        Environment of the look.
    shadow : (4, 4) float64
        Matrix from ``shadow_projection``.
    spheres : (N, 4) float64
        Centres and radii of the occluding spheres, metres; at most 96.
    middle : (3,) float64
        Middle of the hands, camera frame, metres.

    Returns
    -------
    bytes
        The block.
    """
    lighting, skin, effects, background = look.lighting, look.skin, look.camera, look.background
    lights = lighting.lights[:MAX_LIGHTS]
    directions, colours = np.zeros((MAX_LIGHTS, 4)), np.zeros((MAX_LIGHTS, 4))
    for k, light in enumerate(lights):
        directions[k, :3], colours[k, :3] = light.direction, light.colour
    irradiance = np.zeros((9, 4))
    irradiance[:, :3] = environment.irradiance * lighting.ambient
    axes = np.zeros((3, 4))
    axes[:, :3] = lighting.axes
    axes[0, 3] = lighting.ambient
    exposure = effects.exposure * np.array(effects.white_balance)
    balls = np.zeros((MAX_HANDS * SPHERES_PER_HAND, 4))
    balls[: len(spheres)] = spheres
    rows = [
        projection(camera).T,
        shadow.T,
        directions,
        colours,
        irradiance,
        axes,
        (*exposure, effects.vignette),
        (effects.filmic, effects.contrast, effects.saturation, effects.infrared),
        (camera.width, camera.height, camera.cx, camera.cy),
        (camera.fx, camera.fy, len(lights), len(spheres)),
        (*skin.tone, skin.bump),
        (*skin.palm, skin.flush),
        (*skin.nail, skin.nail_polish),
        (skin.roughness, skin.specular, skin.subsurface, skin.detail),
        (lighting.shadow_softness, lighting.shadow_strength, _NORMAL_OFFSET, lighting.occlusion),
        plane_of(background, middle),
        (background.plane_scale, background.plane_gloss, 0, 0),
        (0, background.blur, background.brightness, background.zoom * camera.fx / camera.width),
        (*background.map[0], 0),
        (*background.map[1], 0),
        balls,
    ]
    return np.concatenate([np.asarray(row, np.float32).reshape(-1, 4) for row in rows]).tobytes()


def plane_of(background: Background, middle: np.ndarray) -> np.ndarray:
    """Compute the plane of the table or wall.

    Parameters
    ----------
    background : Background
        Background of the look.
    middle : (3,) float64
        Middle of the hands, camera frame, metres.

    Returns
    -------
    (4,) float64
        Unit normal, and signed distance from the camera along it in metres. Zero if there is no plane, or the distance
        alone is zero if the plane is not in front of the camera.
    """
    if background.plane is None:
        return np.zeros(4)
    normal, beyond = np.array(background.plane[0]), background.plane[1]
    distance = float(normal @ middle) - beyond  # the normal points to the camera
    return np.append(normal, distance if distance < -1e-3 else 0.0)
