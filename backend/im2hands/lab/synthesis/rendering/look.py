"""Everything random about a picture's appearance, as plain data. Colours are linear RGB albedo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Skin:
    """One person's skin; both hands share it.

    Args:
        index: which skin of the assets. tone: mean albedo. palm: factor on the palm side's albedo.
        detail: contrast of the texture (1: as it is). bump: metres from the deepest to the highest point.
        flush: redness of knuckles, finger tips and palm. roughness, specular: of the surface's reflection.
        subsurface: 0 hard, 1 waxy. nail, nail_polish: colour of the nails and how opaque it is (0: bare nails).
    """

    index: int
    tone: Vector
    palm: Vector = (1.0, 1.0, 1.0)
    detail: float = 1.0
    bump: float = 0.0006
    flush: float = 0.5
    roughness: float = 0.5
    specular: float = 0.028
    subsurface: float = 0.7
    nail: Vector = (0.62, 0.38, 0.31)
    nail_polish: float = 0.0


@dataclass(frozen=True)
class Light:
    """A distant light. direction: towards it, camera frame. colour: irradiance over pi, times the picture's mean."""

    direction: Vector
    colour: Vector


@dataclass(frozen=True)
class Lighting:
    """Lights (the first casts the shadows) and light from all around.

    Args:
        environment: which environment of the assets. axes: rows of the rotation camera frame to its frame.
        ambient: its strength, likewise times the picture's mean.
        shadow_softness: half width of the penumbra, shadow-map texels. occlusion: strength of ambient occlusion.
    """

    lights: tuple[Light, ...]
    environment: int
    axes: tuple[Vector, Vector, Vector]
    ambient: float
    shadow_softness: float = 2.0
    shadow_strength: float = 1.0
    occlusion: float = 1.0


@dataclass(frozen=True)
class Cloth:
    """Colour and pattern (0 soft, 1 knit, 2 stripes, 3 folds; -1 none) of cloth."""

    colour: Vector
    pattern: int
    strength: float
    scale: float


@dataclass(frozen=True)
class Sleeve:
    """A sleeve on both arms. end: where it ends, 0 elbow to 1 wrist. loose: metres off the skin. folds: metres."""

    cloth: Cloth
    end: float
    loose: float
    folds: float
    seed: int


@dataclass(frozen=True)
class Ring:
    """A ring. hand: which of the picture's hands. finger: 0 thumb to 4 little. width: metres."""

    hand: int
    finger: int
    colour: Vector
    width: float
    stone: Vector | None


@dataclass(frozen=True)
class Watch:
    """A watch or, without a face, a bracelet. width, face: metres."""

    hand: int
    place: float
    colour: Vector
    metal: bool
    width: float
    face: float
    dial: Vector


@dataclass(frozen=True)
class Thing:
    """An object of simple shape.

    Args:
        place: held in a hand, before the hands, or beside and behind them. hand: whose.
        size: (3,) full lengths, metres. turn: rotation vector, radians. offset: metres, camera frame.
        along: for things in front, share of the way from the camera.
    """

    shape: Literal["box", "stick", "ball"]
    place: Literal["held", "front", "behind"]
    hand: int
    size: Vector
    turn: Vector
    offset: Vector
    along: float
    cloth: Cloth
    gloss: float
    metal: bool


@dataclass(frozen=True)
class Person:
    """Somebody behind the hands: head, neck and trunk. seed: of the face. distance: metres beyond the hands."""

    distance: float
    offset: tuple[float, float]
    head: bool
    tilt: float
    hair: Vector
    shirt: Cloth
    bare: bool
    seed: int


@dataclass(frozen=True)
class Background:
    """What is seen where nothing else is.

    Args:
        kind: a made-up picture, a photo, or a view of the environment.
        index: the photo's number, or the seed of a made-up picture (a table before an environment has one).
        blur: level of the mip pyramid. brightness: factor. zoom: field of view's factor, or the picture's scale.
        map: (2 x 3) affine map of picture coordinates.
        plane: a table or wall: normal (camera frame) and distance beyond the hands' middle, metres; ``None``: none.
    """

    kind: Literal["made_up", "photo", "environment"]
    index: int
    blur: float
    brightness: float
    zoom: float
    map: tuple[Vector, Vector]
    plane: tuple[Vector, float] | None
    plane_scale: float
    plane_gloss: float


@dataclass(frozen=True)
class CameraEffects:
    """What lens, sensor and file do to the picture. Lengths are in pixels of a picture 256 pixels high.

    Args:
        exposure: factor. white_balance: factors. vignette: darkening in the corners. filmic: 0 soft shoulder, 1 film
            curve. contrast: about middle grey. saturation: 0 grey. infrared: share of the infra-red response.
        defocus: Gaussian sigma. motion: length and angle (radians) of the movement.
        shot, read: noise of the sensor (variance per value, and deviation), values 0 to 1; grain: its size.
        sharpen: strength. shrink: the picture is taken this many times smaller. jpeg: quality, 0 for none.
    """

    exposure: float = 1.0
    white_balance: Vector = (1.0, 1.0, 1.0)
    vignette: float = 0.0
    filmic: float = 0.5
    contrast: float = 1.0
    saturation: float = 1.0
    infrared: float = 0.0
    defocus: float = 0.0
    motion: tuple[float, float] = (0.0, 0.0)
    shot: float = 0.0
    read: float = 0.0
    grain: float = 0.0
    sharpen: float = 0.0
    shrink: float = 1.0
    jpeg: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Look:
    """How one picture looks; with the same hands, camera, assets and driver it gives the same picture."""

    skin: Skin
    lighting: Lighting
    background: Background
    camera: CameraEffects
    sleeve: Sleeve | None = None
    rings: tuple[Ring, ...] = ()
    watch: Watch | None = None
    things: tuple[Thing, ...] = ()
    people: tuple[Person, ...] = ()
    arm_bend: tuple[Vector, ...] = ((0.0, 0.0, 0.0),)
