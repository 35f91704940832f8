"""Description of a scene and its look as plain arrays for Blender: meshes, textures, lamps, wall and camera.

All random choices are made before.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from im2hands.core.camera import Camera
from im2hands.lab.synthesis.rendering.accessories import PosedHand, add_accessories
from im2hands.lab.synthesis.rendering.assets import Assets
from im2hands.lab.synthesis.rendering.backgrounds import patterns
from im2hands.lab.synthesis.rendering.frame_block import plane_of
from im2hands.lab.synthesis.rendering.look import Lighting, Look, Skin
from im2hands.lab.synthesis.rendering.people import pose_people
from im2hands.lab.synthesis.rendering.solids import SolidBatch
from im2hands.lab.synthesis.rendering.surroundings import add_surroundings

from .backdrop import backdrop_picture, blurred

SAMPLES = 16
_PLANE_REACH = 20.0  # metres
_PANORAMA = (256, 128)
_USUAL_REFLECTANCE = 0.08  # reflectance at Blender's specular level of 1
_SKIN_GLOSS = 0.35
_SCATTERED = 0.8  # Blender's subsurface weight for a look's subsurface of 1
# Lamp angle in radians for a shadow softness of 1 texel: a texel is 0.8 mm, the shadow falls 80 mm away.
_ANGLE_OF_TEXEL = 2 * 0.8 / 80
_ANGLES = (0.01, 0.8)  # least and largest lamp angle, radians


def describe(
    posed: Sequence[PosedHand], camera: Camera, look: Look, assets: Assets, threads: int
) -> dict[str, np.ndarray]:  # fmt: skip
    """Build the arrays that ``blender_script.py`` reads, in the camera frame, metres and linear light.

    Parameters
    ----------
    posed : sequence of PosedHand
        The hands.
    camera : Camera
        Camera of the picture.
    look : Look
        Look of the picture.
    assets : Assets
        Skins, environments and backgrounds.
    threads : int
        Threads of Blender, 0 for all.

    Returns
    -------
    dict of str to ndarray
        The arrays.
    """
    mesh = assets.mesh
    posed, people = pose_people(mesh, posed, look)
    batch = SolidBatch()
    add_accessories(batch, mesh, posed, look)
    add_surroundings(batch, mesh, posed, people, look)
    solids, faces = batch.arrays()
    faces = outward(solids, faces)
    drawn = [mesh.drawn(hand.vertices, hand.side == "left", hand.bend, hand.reach) for hand in posed]
    colour, surface = skin_maps(look.skin, assets)
    points = [hand.vertices[mesh.hand_vertices] for hand in posed]
    middle = np.concatenate(points).mean(axis=0) if points else np.array([0, 0, 0.5])
    lights = look.lighting.lights
    size = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    return {
        "hand_vertices": np.array(drawn, np.float32).reshape(len(drawn), -1, 6),
        "hand_faces": mesh.faces.astype(np.int32),
        "hand_uv": assets.atlas.uv,
        "hand_labels": np.array([hand.label for hand in posed], np.int32),
        "skin_colour": colour,
        "skin_surface": surface,
        "bump": np.array(look.skin.bump),
        "solid_vertices": solids,
        "solid_faces": faces,
        "solid_labels": solids[faces[:, 0], 15].astype(np.int32),
        **_solid_looks(solids),
        "patterns": patterns().astype(np.float32) / 255,
        "light_directions": np.array([light.direction for light in lights], np.float32).reshape(-1, 3),
        "light_colours": np.array([light.colour for light in lights], np.float32).reshape(-1, 3),
        "light_angles": np.clip(
            np.full(len(lights), look.lighting.shadow_softness * _ANGLE_OF_TEXEL, np.float32), *_ANGLES
        ),
        "panorama": panorama(look.lighting, assets),
        **_plane(look, middle, assets),
        "camera": np.array(size, np.float64),
        "quality": np.array([SAMPLES, look.camera.seed % 2**31, threads], np.int64),
    }


def skin_maps(skin: Skin, assets: Assets) -> tuple[np.ndarray, np.ndarray]:
    """Compute the skin's textures, with the same formulas as the rasteriser's ``hand.frag``.

    Parameters
    ----------
    skin : Skin
        The skin of a look.
    assets : Assets
        Skin textures.

    Returns
    -------
    albedo : (H, W, 3) float16
        Linear colour.
    surface : (H, W, 4) float16
        Roughness, height, specular level and subsurface weight.
    """
    texture = assets.skin(skin.index).pixels.astype(np.float32) / 255
    part = assets.atlas.parts.astype(np.float32) / 255
    nail, palm, blood, edge = (part[..., k : k + 1] for k in range(4))
    detail, height = texture[..., :3] ** 2 / 0.35, texture[..., 3:]
    colour = np.array(skin.tone) * np.maximum(1 + skin.detail * (detail - 1), 0.05)
    colour = colour * (1 + palm * (np.array(skin.palm) - 1))
    colour = colour * (1 + blood * skin.flush * (np.array([1.10, 0.86, 0.86]) - 1))
    bed = np.array(skin.nail) + edge * (1 - skin.nail_polish) * 0.7 * (np.array([0.72, 0.66, 0.58]) - skin.nail)
    colour = colour + nail * (0.7 + 0.3 * skin.nail_polish) * (bed - colour)
    roughness = np.clip(skin.roughness + 0.35 * (0.5 - height), 0.22, 0.9)
    roughness = roughness + nail * (0.34 - 0.18 * skin.nail_polish - roughness)
    level = (skin.specular + nail * (0.045 - skin.specular)) / _USUAL_REFLECTANCE
    scattered = np.clip(_SCATTERED * skin.subsurface * (1 - 0.6 * nail), 0, 1)
    surface = [roughness, 0.5 + (height - 0.5) * (1 - 0.85 * nail), level, scattered]
    return np.minimum(colour, 0.92).astype(np.float16), np.concatenate(surface, axis=-1).astype(np.float16)


def panorama(lighting: Lighting, assets: Assets) -> np.ndarray:
    """Compute the radiance from each direction of Blender's world frame, which is the camera frame.

    A panorama of Blender turns about z. Its first row looks along +z and its middle column along +x; +y is to the left
    of that column.

    Parameters
    ----------
    lighting : Lighting
        Environment, its orientation and strength.
    assets : Assets
        Environments.

    Returns
    -------
    (128, 256, 3) float32
        Radiance.
    """
    source = assets.environment(lighting.environment).reflection
    width, height = _PANORAMA
    around = (0.5 - (np.arange(width) + 0.5) / width) * 2 * np.pi
    up = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    level = np.cos(up)[:, None]
    facing = np.stack(
        [level * np.cos(around), level * np.sin(around), np.repeat(np.sin(up)[:, None], width, axis=1)], axis=-1
    )
    there = facing @ np.array(lighting.axes, np.float64).T
    u = np.arctan2(there[..., 0], there[..., 2]) / (2 * np.pi) + 0.5
    v = np.arccos(np.clip(there[..., 1], -1, 1)) / np.pi
    x, y = u * source.shape[1] - 0.5, np.clip(v * source.shape[0] - 0.5, 0, source.shape[0] - 1)
    seen = cv2.remap(source, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return seen * np.float32(lighting.ambient)


def outward(solids: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Turn faces to the side that their vertices' normals point to; Cycles renders other faces black.

    Parameters
    ----------
    solids : (N, 16) float32
        Vertices of ``rendering.solids.SolidBatch``.
    faces : (F, 3) int
        Triangles.

    Returns
    -------
    (F, 3) int
        The triangles, some with reversed order.
    """
    corners, normals = solids[faces, :3], solids[faces, 3:6].sum(axis=1)
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    turned = (facing * normals).sum(axis=1) < 0
    return np.where(turned[:, None], faces[:, ::-1], faces)


def _solid_looks(solids: np.ndarray) -> dict[str, np.ndarray]:
    """Surface (roughness, metal, specular level) and weights of the four patterns of each vertex."""
    gloss, metal, pattern, strength = solids[:, 11:15].T
    gloss = np.where(gloss < 0, _SKIN_GLOSS, gloss)
    level = np.where(gloss > 0, 0.5 * gloss, 0.0)
    weights = np.zeros((len(solids), 4), np.float32)
    weights[np.arange(len(solids)), np.clip(np.round(pattern), 0, 3).astype(int)] = 2 * strength
    surface = np.stack([np.clip(1 - gloss, 0.12, 0.95), metal, level, np.ones_like(metal)], axis=1)
    return {"solid_surface": surface.astype(np.float32), "solid_pattern": weights}


def _plane(look: Look, middle: np.ndarray, assets: Assets) -> dict[str, np.ndarray]:
    """A table or wall as four corners with texture coordinates, and its picture; without corners if there is none."""
    background = look.background
    plane = plane_of(background, middle)
    if background.plane is None or plane[3] == 0:
        nothing = np.zeros((0, 3), np.float32)
        return {"plane_corners": nothing, "plane_uv": nothing[:, :2], "plane_normal": np.zeros(3, np.float32),
                "plane_picture": np.zeros((1, 1, 3), np.float32), "plane_gloss": np.array(0.0)}  # fmt: skip
    normal = plane[:3]
    helper = np.array([1.0, 0.0, 0.0]) if abs(normal[0]) < 0.7 else np.array([0.0, 0.0, 1.0])
    a = np.cross(normal, helper)
    a /= np.linalg.norm(a)
    b = np.cross(normal, a)
    places = _PLANE_REACH * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    corners = plane[3] * normal + places @ np.stack([a, b])
    picture = blurred(backdrop_picture(background, assets), background.blur)
    return {
        "plane_corners": corners.astype(np.float32),
        "plane_uv": (places * background.plane_scale + 0.5).astype(np.float32),
        "plane_normal": normal.astype(np.float32),
        "plane_picture": (0.85 * (picture.astype(np.float32) / 255) ** 2),
        "plane_gloss": np.array(np.clip(background.plane_gloss, 0, 1)),
    }
