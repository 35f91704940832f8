"""Look of a picture: everything random about its appearance, as plain data. Colours are linear RGB albedo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .look_surroundings import Cloth as Cloth
from .look_surroundings import Clothes as Clothes
from .look_surroundings import Person as Person
from .look_surroundings import Thing as Thing
from .look_surroundings import Vector as Vector


@dataclass(frozen=True)
class Skin:
    """One person's skin; both hands share it.

    Parameters
    ----------
    index : int
        Number of the skin in the assets.
    tone : (3,) float
        Mean albedo.
    palm : (3,) float
        Factor on the albedo of the palm side.
    detail : float
        Contrast of the texture; 1 leaves it as it is.
    bump : float
        Height of the relief from its deepest to its highest point, metres.
    flush : float
        Redness of knuckles, finger tips and palm, 0 to 1.
    roughness : float
        Roughness of the surface, 0 to 1.
    specular : float
        Reflectance at normal incidence.
    subsurface : float
        Strength of subsurface scattering: 0 is hard, 1 is waxy.
    nail : (3,) float
        Colour of the nails.
    nail_polish : float
        Opacity of that colour; 0 is a bare nail.
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
    """A distant light.

    Parameters
    ----------
    direction : (3,) float
        Direction towards the light, camera frame.
    colour : (3,) float
        Irradiance divided by pi, in units of the picture's mean light.
    """

    direction: Vector
    colour: Vector


@dataclass(frozen=True)
class Lighting:
    """Distant lights and environment light.

    Parameters
    ----------
    lights : tuple of Light
        Distant lights; the first one casts shadows.
    environment : int
        Number of the environment in the assets.
    axes : (3, 3) float
        Rotation from the camera frame to the environment's frame, as rows.
    ambient : float
        Strength of the environment light, in units of the picture's mean light.
    shadow_softness : float
        Half width of the penumbra, texels of the shadow map.
    shadow_strength : float
        Share of the first light that a shadow removes.
    occlusion : float
        Strength of ambient occlusion, 0 to 1.
    """

    lights: tuple[Light, ...]
    environment: int
    axes: tuple[Vector, Vector, Vector]
    ambient: float
    shadow_softness: float = 2.0
    shadow_strength: float = 1.0
    occlusion: float = 1.0


@dataclass(frozen=True)
class Sleeve:
    """A sleeve on both arms.

    Parameters
    ----------
    cloth : Cloth
        Its cloth.
    end : float
        Position of its end on the forearm, 0 elbow to 1 wrist; negative on the upper arm, to -1 at the shoulder.
    loose : float
        Distance from the skin, metres.
    folds : float
        Height of the folds, metres.
    seed : int
        Seed of the folds.
    cuff : float
        Length of a tight cuff at the end, metres; 0 for none.
    """

    cloth: Cloth
    end: float
    loose: float
    folds: float
    seed: int
    cuff: float = 0.0


@dataclass(frozen=True)
class Ring:
    """A ring on a finger.

    Parameters
    ----------
    hand : int
        Number of the hand in the picture.
    finger : int
        0 thumb to 4 little finger.
    colour : (3,) float
        Colour of the metal.
    width : float
        Width, metres.
    stone : (3,) float or None
        Colour of a stone. None means no stone.
    """

    hand: int
    finger: int
    colour: Vector
    width: float
    stone: Vector | None


@dataclass(frozen=True)
class Watch:
    """A watch, or a bracelet if it has no face.

    Parameters
    ----------
    hand : int
        Number of the hand in the picture.
    place : float
        Position on the forearm, 0 elbow to 1 wrist.
    colour : (3,) float
        Colour of the band.
    metal : bool
        Whether the band is metal.
    width : float
        Width of the band, metres.
    face : float
        Diameter of the face, metres; 0 is a bracelet.
    dial : (3,) float
        Colour of the dial.
    """

    hand: int
    place: float
    colour: Vector
    metal: bool
    width: float
    face: float
    dial: Vector


@dataclass(frozen=True)
class Background:
    """Background of the picture.

    Parameters
    ----------
    kind : {"made_up", "photo", "environment"}
        A procedural picture, a photo, or a view of the environment.
    index : int
        Number of the photo, or seed of the procedural picture. A table or wall before an environment has a procedural
        picture too.
    blur : float
        Level of the mip pyramid.
    brightness : float
        Factor on the brightness.
    zoom : float
        Width of the view of an environment at unit distance, which is 2 tan(field of view / 2).
    map : (2, 3) float
        Affine map from pixel positions to the texture coordinates of the background's picture. Pixel positions are
        relative to the middle of the drawn picture, in units of its longer side.
    plane : ((3,) float, float) or None
        Table or wall: unit normal in the camera frame, and distance behind the middle of the hands in metres. None
        means no plane.
    plane_scale : float
        Repetitions of the plane's picture per metre.
    plane_gloss : float
        Strength of the plane's reflection.
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
class Copy:
    """One time that the picture was scaled and saved again, as by a phone, a messenger or a web site.

    Parameters
    ----------
    shrink : float
        Factor by which the picture is reduced before it is saved.
    cubic : bool
        Whether it is enlarged again by cubic interpolation, which gives halos; otherwise linear.
    sharpen : float
        Strength of the sharpening before it is saved.
    radius : float
        Standard deviation of the sharpening's blur, pixels of the reduced picture.
    jpeg : int
        JPEG quality, 0 for none.
    """

    shrink: float = 1.0
    cubic: bool = False
    sharpen: float = 0.0
    radius: float = 1.2
    jpeg: int = 0


@dataclass(frozen=True)
class CameraEffects:
    """Effects of lens, sensor and file. Lengths are in pixels of a picture 256 pixels high.

    Parameters
    ----------
    exposure : float
        Factor on the light.
    white_balance : (3,) float
        Factors on the channels.
    vignette : float
        Darkening of the corners, 0 to 1.
    filmic : float
        Share of the film curve, 0 to 1; the rest is a soft shoulder.
    contrast : float
        Contrast about middle grey.
    saturation : float
        Saturation of the colours; 0 is grey.
    infrared : float
        Share of the infra-red response, 0 to 1.
    defocus : float
        Standard deviation of the Gaussian blur.
    aperture : float
        Depth of field: standard deviation of the blur of what is infinitely far.
    focus : float
        Depth of sharp focus, as a factor on the hands' mean depth.
    motion : (float, float)
        Motion blur: length, and angle in radians.
    shot : float
        Variance of the shot noise per value; values are 0 to 1.
    read : float
        Standard deviation of the read noise.
    grain : float
        Standard deviation of the blur of the noise, pixels of the picture as it is.
    smooth : float
        Strength of the noise reduction, which keeps edges and removes texture: difference of values that it smooths.
    copies : tuple of Copy
        Each time that the picture was scaled and saved.
    seed : int
        Seed of the noise.
    """

    exposure: float = 1.0
    white_balance: Vector = (1.0, 1.0, 1.0)
    vignette: float = 0.0
    filmic: float = 0.5
    contrast: float = 1.0
    saturation: float = 1.0
    infrared: float = 0.0
    defocus: float = 0.0
    aperture: float = 0.0
    focus: float = 1.0
    motion: tuple[float, float] = (0.0, 0.0)
    shot: float = 0.0
    read: float = 0.0
    grain: float = 0.0
    smooth: float = 0.0
    copies: tuple[Copy, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Look:
    """Look of one picture. With the same hands, camera, assets and driver it gives the same picture.

    Parameters
    ----------
    skin : Skin
        Skin of all hands.
    lighting : Lighting
        Light.
    background : Background
        Background.
    camera : CameraEffects
        Effects of lens, sensor and file.
    sleeve : Sleeve or None
        Sleeve of both arms.
    rings : tuple of Ring
        Rings.
    watch : Watch or None
        Watch or bracelet.
    things : tuple of Thing
        Objects.
    people : tuple of Person
        People behind the hands.
    arm_bend : tuple of (3,) float
        Displacement in metres of the far end of each hand's arm, camera frame.
    """

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
