"""OpenGL rasteriser: draws hands and their surroundings into a picture with labels and depth (OpenGL 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import Side

from .accessories import PosedHand, add_accessories, posed_hands
from .assets import Assets
from .backgrounds import patterns, procedural_background
from .camera_effects import apply_effects
from .context import make_context
from .frame_block import MAX_HANDS, pack_frame, shadow_projection
from .look import Background, Look
from .people import pose_people
from .solids import COLUMNS, SolidBatch
from .surroundings import add_surroundings

if TYPE_CHECKING:
    import moderngl

SHADOW_SIZE = 512
"""Side of the shadow map, texels."""
_KEPT_SIZES = 16
"""Number of picture sizes whose framebuffers are kept."""
_BACKDROPS: tuple[tuple[str, ...], ...] = ((), ("VIEW",), ("PLANE",), ("VIEW", "PLANE"))
"""Variants of the backdrop shader, as the switches that are defined."""
_HAND_COLUMNS = 7  # position, normal, label
_UNITS = {
    "skin_map": 0,
    "part_map": 1,
    "environment_map": 2,
    "shadow_map": 3,
    "pattern_map": 4,
    "backdrop_picture": 5,
    "view_map": 6,
}
"""Texture unit of each sampler."""


@dataclass(frozen=True)
class Rendered:
    """A drawn picture.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB picture.
    labels : (H, W) uint8
        0 background (including people and things beside the hands), 1 left hand, 2 right hand (with bare arm, nails and
        rings), 3 anything else: sleeves, watches, objects.
    depth : (H, W) float32
        Depth along z of hands, objects and people, metres; 0 elsewhere.
    """

    image: np.ndarray
    labels: np.ndarray
    depth: np.ndarray


class Renderer:
    """Draws pictures one after the other; not thread-safe.

    Parameters
    ----------
    assets : Assets
        Skins, environments and backgrounds.
    samples : int
        Samples a pixel of the picture: 1, or more (4) for smooth outlines.
    device : int or None
        Number of the EGL device. None takes the first.
    context : moderngl.Context or None
        An existing context. None makes a new one, which the renderer owns.

    Raises
    ------
    SetupError
        moderngl or an OpenGL driver is missing.
    """

    def __init__(
        self, assets: Assets, samples: int = 1, device: int | None = None, context: moderngl.Context | None = None
    ) -> None:
        self.assets = assets
        self._own = context is None
        self._gl: Any = context or make_context(device)
        self._samples = max(int(samples), 1)
        gl = self._gl
        self._frame = gl.buffer(reserve=16 * 256, dynamic=True)
        self._programs = {
            "hand": self._program("hand", "occlusion", "shading"),
            "solid": self._program("solid", "occlusion", "shading"),
            "label": self._program("label"),
            "shadow": self._program("shadow"),
        }
        self._hand_buffers()
        self._solid_size = 0
        self._solid_buffers(4096, 8192)
        self._backdrops = {
            kind: gl.vertex_array(self._program("backdrop", "", "shading", kind), []) for kind in _BACKDROPS
        }
        self._shadow_map = gl.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        self._shadow_map.compare_func = "<="
        self._shadow_map.filter = (gl.LINEAR, gl.LINEAR)
        self._shadow_target = gl.framebuffer(depth_attachment=self._shadow_map)
        self._parts = self._texture(assets.atlas.parts)
        self._patterns = self._texture(patterns())
        self._picture = gl.texture((1, 1), 3)
        self._skins: dict[int, Any] = {}
        self._reflections: dict[int, Any] = {}
        self._views: dict[int, Any] = {}
        self._targets: dict[tuple[int, int], tuple[Any, Any, Any]] = {}

    @property
    def context(self) -> moderngl.Context:
        """The OpenGL context, for another renderer on the same driver."""
        return self._gl

    @property
    def driver(self) -> str:
        """Name of the driver's renderer."""
        return str(self._gl.info["GL_RENDERER"])

    def close(self) -> None:
        """Release the context if the renderer owns it."""
        if self._own:
            self._gl.release()

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
        """
        drawn = self.draw(hands, camera, look)
        return Rendered(apply_effects(drawn.image, look.camera, drawn.depth), drawn.labels, drawn.depth)

    def draw(self, hands: Sequence[tuple[Side, np.ndarray]], camera: Camera, look: Look) -> Rendered:
        """Draw a picture without lens blur, noise and compression; arguments and errors as for ``render``."""
        mesh = self.assets.mesh
        posed, people = pose_people(mesh, posed_hands(hands, look), look)
        batch = SolidBatch()
        add_accessories(batch, mesh, posed, look)
        add_surroundings(batch, mesh, posed, people, look)
        solids, faces = batch.arrays()
        self._upload_hands(posed)
        self._upload_solids(solids, faces)
        self._upload_frame(posed, camera, look)
        self._bind_textures(look)
        background = look.background
        kind = ("VIEW",) * (background.kind == "environment") + ("PLANE",) * (background.plane is not None)
        return self._draw_passes(camera, [hand.side for hand in posed], 3 * len(faces), self._backdrops[kind])

    # -- uploads of one picture

    def _upload_hands(self, posed: Sequence[PosedHand]) -> None:
        mesh = self.assets.mesh
        rows = np.zeros((len(posed), mesh.drawn_count, _HAND_COLUMNS), np.float32)
        for k, hand in enumerate(posed):
            rows[k, :, :6] = mesh.drawn(hand.vertices, hand.side == "left", hand.bend, hand.reach)
            rows[k, :, 6] = hand.label
        if len(posed):
            self._hand_vertices.write(rows.tobytes())

    def _upload_solids(self, solids: np.ndarray, faces: np.ndarray) -> None:
        if len(solids) > self._solid_rows or len(faces) > self._solid_size:
            self._solid_buffers(2 * len(solids), 2 * len(faces))
        if len(solids):
            self._solid_vertices.write(solids.tobytes())
            self._solid_faces.write(faces.tobytes())

    def _upload_frame(self, posed: Sequence[PosedHand], camera: Camera, look: Look) -> None:
        mesh = self.assets.mesh
        points = np.concatenate([hand.vertices for hand in posed]) if posed else np.array([[0, 0, 0.5]])
        hand_points = np.concatenate([h.vertices[mesh.hand_vertices] for h in posed]) if posed else points
        spheres = np.concatenate([mesh.spheres(hand.vertices) for hand in posed]) if posed else np.zeros((0, 4))
        direction = np.array(look.lighting.lights[0].direction if look.lighting.lights else (0, -1, 0))
        environment = self.assets.environment(look.lighting.environment)
        shadow = shadow_projection(direction, points)
        self._frame.write(pack_frame(camera, look, environment, shadow, spheres, hand_points.mean(axis=0)))

    def _bind_textures(self, look: Look) -> None:
        assets, background = self.assets, look.background
        index, environment = look.skin.index, look.lighting.environment
        if index not in self._skins:
            self._skins[index] = self._texture(assets.skin(index).pixels)
        if environment not in self._reflections:
            panorama = assets.environment(environment)
            self._reflections[environment] = self._texture(panorama.reflection)
            view = panorama.reflection if panorama.view is None else panorama.view
            self._views[environment] = self._texture(view)
        if background.kind != "environment" or background.plane is not None:
            self._upload_picture(background)
        bound = {
            "skin_map": self._skins[index],
            "part_map": self._parts,
            "environment_map": self._reflections[environment],
            "shadow_map": self._shadow_map,
            "pattern_map": self._patterns,
            "backdrop_picture": self._picture,
            "view_map": self._views[environment],
        }
        for name, texture in bound.items():
            texture.use(_UNITS[name])

    def _upload_picture(self, background: Background) -> None:
        photo = background.kind == "photo"
        picture = self.assets.photo(background.index) if photo else procedural_background(background.index)
        size = (picture.shape[1], picture.shape[0])
        if self._picture.size != size:
            self._picture.release()
            self._picture = self._gl.texture(size, 3)
            self._picture.repeat_x = self._picture.repeat_y = False
        self._picture.write(np.ascontiguousarray(picture).tobytes(), alignment=1)
        self._picture.build_mipmaps()

    # -- passes

    def _draw_passes(self, camera: Camera, sides: Sequence[Side], solid_indices: int, backdrop: Any) -> Rendered:
        gl = self._gl
        size = (camera.width, camera.height)
        if size not in self._targets:
            if len(self._targets) >= _KEPT_SIZES:
                self._release_targets()
            self._targets[size] = self._make_targets(size)
        labels, colour, resolved = self._targets[size]
        self._frame.bind_to_uniform_block(0)
        gl.enable_only(gl.DEPTH_TEST)
        gl.depth_func = "<="
        count = self._indices_per_hand

        def draw(hand: Any, solid: Any, hidden: str) -> None:
            gl.enable(gl.CULL_FACE)
            gl.cull_face = hidden
            for k, side in enumerate(sides):
                # Rows run down, so the front faces of a right hand are clockwise; a left hand is mirrored.
                gl.front_face = "cw" if side == "right" else "ccw"
                hand.render(vertices=count, first=k * count)
            gl.disable(gl.CULL_FACE)
            if solid_indices:
                solid.render(vertices=solid_indices)

        self._shadow_target.use()
        self._shadow_target.clear(depth=1.0)
        gl.polygon_offset = (2.0, 4.0)
        draw(self._hand_shadow, self._solid_shadow, "front")
        gl.polygon_offset = (0.0, 0.0)
        labels.use()
        labels.clear(depth=1.0)
        draw(self._hand_label, self._solid_label, "back")
        # With one sample a pixel, the colour pass uses the depths of the label pass and shades each pixel once.
        colour.use()
        if self._samples > 1:
            colour.clear(depth=1.0)
        draw(self._hand_colour, self._solid_colour, "back")
        backdrop.render(vertices=3)
        if self._samples > 1:
            gl.copy_framebuffer(resolved, colour)
        height, width = camera.height, camera.width
        # Four components are copied as they are stored; three would be converted pixel by pixel.
        image = np.frombuffer(resolved.read(components=4, alignment=1), np.uint8).reshape(height, width, 4)
        both = np.frombuffer(labels.read(components=2, dtype="f4", alignment=1), np.float32).reshape(height, width, 2)
        return Rendered(
            np.ascontiguousarray(image[..., :3]), both[..., 0].astype(np.uint8), np.ascontiguousarray(both[..., 1])
        )

    # -- programs, buffers, textures and framebuffers

    def _program(
        self, name: str, vertex_part: str = "", fragment_part: str = "", switches: tuple[str, ...] = ()
    ) -> Any:
        """Compile a program; ``switches`` are defined in its fragment shader."""
        define = "".join(f"#define {switch}\n" for switch in switches)
        program = self._gl.program(
            vertex_shader="\n".join(_source(n) for n in ("common", vertex_part) if n) + "\n" + _source(name, "vert"),
            fragment_shader="\n".join(_source(n) for n in ("common", fragment_part) if n)
            + "\n"
            + define
            + _source(name, "frag"),
        )
        for sampler, unit in _UNITS.items():
            if sampler in program:
                program[sampler].value = unit
        if "Frame" in program:
            program["Frame"].binding = 0
        return program

    def _hand_buffers(self) -> None:
        gl, mesh = self._gl, self.assets.mesh
        self._hand_vertices = gl.buffer(reserve=MAX_HANDS * mesh.drawn_count * _HAND_COLUMNS * 4, dynamic=True)
        uv = gl.buffer(np.tile(self.assets.atlas.uv, (MAX_HANDS, 1)).tobytes())
        indices = np.concatenate([mesh.faces + k * mesh.drawn_count for k in range(MAX_HANDS)]).astype(np.int32)
        faces = gl.buffer(indices.tobytes())
        self._indices_per_hand = 3 * len(mesh.faces)
        programs = self._programs
        self._hand_colour = gl.vertex_array(
            programs["hand"],
            [(self._hand_vertices, "3f 3f 1x4", "in_position", "in_normal"), (uv, "2f", "in_uv")],
            faces,
        )
        self._hand_label = gl.vertex_array(
            programs["label"], [(self._hand_vertices, "3f 3x4 1f", "in_position", "in_label")], faces
        )
        self._hand_shadow = gl.vertex_array(programs["shadow"], [(self._hand_vertices, "3f 4x4", "in_position")], faces)

    def _solid_buffers(self, rows: int, faces: int) -> None:
        gl, programs = self._gl, self._programs
        self._solid_rows, self._solid_size = rows, faces
        self._solid_vertices = gl.buffer(reserve=rows * COLUMNS * 4, dynamic=True)
        self._solid_faces = gl.buffer(reserve=faces * 12, dynamic=True)
        names = ("in_position", "in_normal", "in_uv", "in_colour", "in_material")
        self._solid_colour = gl.vertex_array(
            programs["solid"], [(self._solid_vertices, "3f 3f 2f 3f 4f 1x4", *names)], self._solid_faces
        )
        self._solid_label = gl.vertex_array(
            programs["label"], [(self._solid_vertices, "3f 12x4 1f", "in_position", "in_label")], self._solid_faces
        )
        self._solid_shadow = gl.vertex_array(
            programs["shadow"], [(self._solid_vertices, "3f 13x4", "in_position")], self._solid_faces
        )

    def _texture(self, pixels: np.ndarray) -> Any:
        """Make a texture with a mip pyramid from (H, W, C) uint8 or float32 (stored as half; repeats only in x)."""
        floating = pixels.dtype != np.uint8
        data = pixels.astype(np.float16) if floating else pixels
        texture = self._gl.texture(
            (pixels.shape[1], pixels.shape[0]),
            pixels.shape[2],
            np.ascontiguousarray(data).tobytes(),
            alignment=1,
            dtype="f2" if floating else "f1",
        )
        texture.build_mipmaps()
        texture.repeat_y = not floating
        return texture

    def _release_targets(self) -> None:
        for targets in self._targets.values():
            for framebuffer in dict.fromkeys(targets):
                for attachment in framebuffer.color_attachments:
                    attachment.release()
                framebuffer.release()
        self._targets.clear()

    def _make_targets(self, size: tuple[int, int]) -> tuple[Any, Any, Any]:
        """Make the framebuffers of a size: labels with depth, colour, and the colour after the samples are resolved."""
        gl = self._gl
        depth = gl.depth_renderbuffer(size)
        labels = gl.framebuffer([gl.renderbuffer(size, 2, dtype="f4")], depth)
        if self._samples == 1:
            colour = gl.framebuffer([gl.renderbuffer(size, 4)], depth)
            return labels, colour, colour
        several = gl.framebuffer(
            [gl.renderbuffer(size, 4, samples=self._samples)], gl.depth_renderbuffer(size, samples=self._samples)
        )
        return labels, several, gl.framebuffer([gl.renderbuffer(size, 4)])


@lru_cache(maxsize=32)
def _source(name: str, kind: str = "glsl") -> str:
    """Text of a shader file."""
    return (resources.files(__package__) / "shaders" / f"{name}.{kind}").read_text("utf-8")
