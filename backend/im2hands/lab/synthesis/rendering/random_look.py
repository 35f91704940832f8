"""Random looks: skin, light, clothes, objects, people, background and camera effects, drawn from one generator."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.transform import Rotation

from .assets import Assets
from .look import (
    Background,
    CameraEffects,
    Copy,
    Light,
    Lighting,
    Look,
    Ring,
    Skin,
    Sleeve,
    Watch,
)
from .random_surroundings import random_cloth, random_people, random_seed, random_things, vector

# Skin tones from light to dark, encoded sRGB.
_TONES = (
    np.array([[232, 190, 168], [224, 175, 147], [205, 150, 118], [168, 114, 82], [122, 78, 56], [84, 54, 42]]) / 255
)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
INFRARED_SHARE = 0.05
"""Share of pictures by an infra-red camera."""
GREY_SHARE = 0.05
"""Share of other pictures that are grey."""


def random_look(rng: np.random.Generator, assets: Assets, hands: int = 2) -> Look:
    """Draw a look.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random numbers; the same state and assets give the same look.
    assets : Assets
        Skins, environments and backgrounds.
    hands : int
        Number of hands in the picture.

    Returns
    -------
    Look
        The look.
    """
    infrared = rng.random() < INFRARED_SHARE
    skin = _skin(rng, assets, infrared)
    lighting = _lighting(rng, assets, infrared)
    sleeve = _sleeve(rng) if rng.random() < 0.6 else None
    rings = [_ring(rng, hand) for hand in range(hands) for _ in range(2) if rng.random() < 0.09]
    watch = (
        _watch(rng, hands) if hands and rng.random() < (0.12 if sleeve is None or sleeve.end < 0.7 else 0.02) else None
    )
    # Pictures without hands show people and objects more often: a network learns that these are no hands.
    things = random_things(rng, hands, skin.tone)
    people = random_people(rng, hands, sleeve.cloth if sleeve else None, sleeve.end if sleeve else -1.0)
    bends = tuple(vector(rng.normal((0, 0.12, 0), 0.18)) for _ in range(max(hands, 1)))
    return Look(
        skin=skin,
        lighting=lighting,
        background=_background(rng, assets, infrared, bool(people)),
        camera=_camera(rng, assets, skin, lighting, infrared),
        sleeve=sleeve,
        rings=tuple(rings),
        watch=watch,
        things=things,
        people=people,
        arm_bend=bends,
    )


def _linear(srgb: np.ndarray) -> np.ndarray:
    return np.asarray(srgb) ** 2.2


def _skin(rng: np.random.Generator, assets: Assets, infrared: bool) -> Skin:
    index = int(rng.integers(assets.skin_count))
    if not assets.skin_files:
        place = rng.random() * (len(_TONES) - 1)
        low = min(int(place), len(_TONES) - 2)
        tone = _linear(_TONES[low] + (place - low) * (_TONES[low + 1] - _TONES[low]))
        dark = place / (len(_TONES) - 1)
        palm = 1 + dark**1.5 * np.array([0.9, 1.0, 1.1])
    else:
        # Tones of texture files are redder and lighter than skin measured under white light.
        tone = 0.8 * assets.skin(index).tone ** np.array([1.15, 1.0, 0.95])
        tone = 0.9 * tone + 0.1 * float(tone @ _LUMINANCE)
        palm = np.ones(3)
    tone = tone * math.exp(rng.normal(0, 0.14)) * np.exp(rng.normal(0, 0.05, 3))
    if infrared:  # skin of any tone reflects near infra-red about equally
        tone, palm = np.full(3, rng.uniform(0.42, 0.6)), np.ones(3)
    polish = rng.random() < 0.12
    bare = np.clip(tone * np.array([1.02, 0.93, 0.93]) + 0.03, 0, 0.85)
    nail = _loud(rng) if polish else bare
    return Skin(
        index=index,
        tone=vector(np.maximum(tone * min(1.0, 0.68 / float(tone.max())), 0.012)),
        palm=vector(palm),
        detail=float(rng.uniform(0.8, 1.25)) * (0.5 if infrared else 1.0),
        bump=float(rng.uniform(0.0001, 0.0007)),
        flush=float(rng.uniform(0.1, 1.0)),
        roughness=float(rng.uniform(0.48, 0.75)),
        specular=float(rng.uniform(0.012, 0.030)),
        subsurface=float(rng.uniform(0.45, 1.0)),
        nail=vector(nail),
        nail_polish=float(rng.uniform(0.85, 1.0)) if polish else 0.0,
    )


def _loud(rng: np.random.Generator) -> np.ndarray:
    """Draw a saturated colour (3,), as of nail polish."""
    if rng.random() < 0.4:
        return np.array([rng.uniform(0.25, 0.6), rng.uniform(0.01, 0.12), rng.uniform(0.02, 0.15)])
    return rng.uniform(0.02, 0.7, 3)


def _direction(rng: np.random.Generator) -> np.ndarray:
    """Draw a unit direction towards a light: mostly from above, and seldom from behind the hands."""
    while True:
        d = rng.normal(size=3)
        d /= np.linalg.norm(d)
        if rng.random() < (1.0 if d[1] < 0.1 else 0.25) * (1.0 if d[2] < 0.2 else 0.35):
            return d


def _lighting(rng: np.random.Generator, assets: Assets, infrared: bool) -> Lighting:
    environment = int(rng.integers(assets.environment_count))
    if assets.environment_files and rng.random() < 0.75:
        environment = int(rng.integers(len(assets.environment_files)))
    # The environment's up is the camera's up, rotated by how the camera is held: it often looks down on a table.
    tilt = rng.uniform(-25, 75) if rng.random() < 0.7 else rng.uniform(-90, 90)
    camera_up = Rotation.from_euler("x", 180, degrees=True)
    turn = Rotation.from_euler("yxz", [rng.uniform(0, 360), tilt, rng.normal(0, 15)], degrees=True) * camera_up
    axes = turn.as_matrix()
    share = float(rng.beta(1.5, 2.0))  # share of the light that comes from distant lights
    if infrared:
        share = float(rng.uniform(0.75, 0.95))
    directions = [_direction(rng) for _ in range(int(rng.choice([1, 2, 3, 4], p=[0.4, 0.3, 0.2, 0.1])))]
    if rng.random() < 0.5:
        directions[0] = axes.T @ assets.environment(environment).brightest
    if infrared:
        directions = [np.array([*rng.normal(0, 0.15, 2), -1.0])]
    strengths = np.array([1.0, *rng.uniform(0.05, 0.5, len(directions) - 1)])
    strengths *= 2.0 * share / strengths.sum()
    lights = []
    for direction, strength in zip(directions, strengths, strict=True):
        warm = rng.normal(0, 0.13)
        colour = strength * np.exp(np.array([warm, 0.1 * warm, -warm]) + rng.normal(0, 0.03, 3))
        lights.append(Light(vector(direction / np.linalg.norm(direction)), vector(colour)))
    return Lighting(
        lights=tuple(lights),
        environment=environment,
        axes=(vector(axes[0]), vector(axes[1]), vector(axes[2])),
        ambient=1.0 - share,
        shadow_softness=float(np.exp(rng.uniform(np.log(1.2), np.log(14)))),
        shadow_strength=float(rng.uniform(0.75, 1.0)),
        occlusion=float(rng.uniform(0.7, 1.0)),
    )


# Ends of sleeves: at the wrist, before it, rolled up on the forearm, on the upper arm.
_SLEEVE_ENDS = ((0.88, 1.09), (0.7, 0.88), (0.1, 0.7), (-0.8, -0.1))
_SLEEVE_SHARES = (0.55, 0.15, 0.15, 0.15)


def _sleeve(rng: np.random.Generator) -> Sleeve:
    """Draw a sleeve: long or rolled up, from tight to wide; some end in a cuff, some on the upper arm."""
    low, high = _SLEEVE_ENDS[int(rng.choice(len(_SLEEVE_ENDS), p=_SLEEVE_SHARES))]
    end = rng.uniform(low, high)
    loose = float(np.exp(rng.uniform(np.log(0.003), np.log(0.03))))
    cuff = float(rng.uniform(0.015, 0.07)) if rng.random() < 0.35 and end > 0 else 0.0
    return Sleeve(random_cloth(rng), float(end), loose, float(rng.uniform(0.15, 0.6)) * loose, random_seed(rng), cuff)


_METALS = ((0.85, 0.62, 0.28), (0.75, 0.74, 0.72), (0.8, 0.55, 0.45), (0.3, 0.3, 0.32))


def _ring(rng: np.random.Generator, hand: int) -> Ring:
    stone = vector(rng.uniform(0.05, 0.9, 3)) if rng.random() < 0.25 else None
    finger = int(rng.choice(5, p=[0.08, 0.22, 0.25, 0.35, 0.10]))
    return Ring(hand, finger, _METALS[rng.integers(len(_METALS))], float(rng.uniform(0.002, 0.006)), stone)


def _watch(rng: np.random.Generator, hands: int) -> Watch:
    metal = rng.random() < 0.5
    colour = _METALS[rng.integers(len(_METALS))] if metal else random_cloth(rng).colour
    face = float(rng.uniform(0.026, 0.042)) if rng.random() < 0.7 else 0.0
    width = float(rng.uniform(0.014, 0.024)) if face else float(rng.uniform(0.003, 0.014))
    dial = float(rng.choice([0.01, 0.03, 0.8]))
    return Watch(
        int(rng.integers(hands)), float(rng.uniform(0.86, 0.97)), colour, metal, width, face, (dial, dial, dial)
    )


def _background(rng: np.random.Generator, assets: Assets, infrared: bool, person: bool) -> Background:
    kinds = ["made_up"]
    if assets.background_files:
        kinds += ["photo"] * 3
    if assets.environment_files:
        kinds += ["environment"]
    kind = str(rng.choice(kinds))
    index = int(rng.integers(len(assets.background_files))) if kind == "photo" else random_seed(rng)
    angle, zoom = rng.normal(0, 0.25) + rng.choice([0, math.pi]) * (rng.random() < 0.2), rng.uniform(0.35, 1.0)
    c, s = math.cos(angle) * zoom, math.sin(angle) * zoom
    place = rng.uniform(0.3, 0.7, 2)
    plane = None
    if not person and rng.random() < 0.4:
        # A wall that nearly faces the camera, or a table that is tilted towards it.
        normal = np.array([rng.normal(0, 0.25), -abs(rng.normal(0, 0.6)), -1.0])
        plane = (vector(normal / np.linalg.norm(normal)), float(rng.uniform(0.04, 0.45)))
    brightness = float(np.exp(rng.normal(-0.15, 0.35)))
    return Background(
        kind=kind,  # type: ignore[arg-type]
        index=index,
        blur=float(rng.uniform(0.0, 1.5)) if rng.random() < 0.65 else float(rng.uniform(1.5, 4.0)),
        brightness=brightness * (0.08 if infrared else 0.7 if kind == "environment" else 1.0),
        zoom=float(rng.uniform(0.5, 1.3)),
        map=((c, -s, float(place[0])), (s, c, float(place[1]))),
        plane=plane,
        plane_scale=float(rng.uniform(1.0, 5.0)),
        plane_gloss=float(rng.uniform(0, 0.12)) if rng.random() < 0.4 else 0.0,
    )


def _illuminant(assets: Assets, lighting: Lighting) -> np.ndarray:
    """Colour (3,) of all light together, with luminance 1."""
    around = assets.environment(lighting.environment).irradiance[0] * lighting.ambient
    total = around + 0.5 * np.sum([light.colour for light in lighting.lights], axis=0)
    return total / float(total @ _LUMINANCE)


def _camera(rng: np.random.Generator, assets: Assets, skin: Skin, lighting: Lighting, infrared: bool) -> CameraEffects:
    # Automatic exposure corrects dark scenes only in part.
    luminance = float(np.array(skin.tone) @ _LUMINANCE)
    exposure = 1.05 * (0.33 / luminance) ** 0.4 * math.exp(rng.normal(0, 0.25))
    warm, green = rng.normal(0, 0.06), rng.normal(0, 0.02)
    # Automatic white balance also corrects the colour of the light only in part.
    balance = _illuminant(assets, lighting) ** -rng.uniform(0.5, 1.0)
    grey = infrared or rng.random() < GREY_SHARE
    noisy = rng.random()
    shot = float(10 ** rng.uniform(-4.6, -3.0)) if noisy < 0.75 else 0.0
    read = float(10 ** rng.uniform(-3.0, -1.75)) if noisy < 0.75 else 0.0
    return CameraEffects(
        exposure=exposure,
        white_balance=vector(balance * np.exp(np.array([warm, green, -warm]))),
        vignette=float(rng.uniform(0, 0.45)) if rng.random() < 0.4 or infrared else 0.0,
        filmic=float(rng.random()),
        contrast=float(rng.uniform(0.85, 1.15)),
        saturation=0.0 if grey else float(rng.uniform(0.7, 1.15)),
        infrared=1.0 if infrared else 0.0,
        defocus=float(rng.uniform(0.5, 1.5)) if rng.random() < 0.3 else float(rng.uniform(0.25, 0.5)),
        aperture=float(np.exp(rng.uniform(np.log(1.5), np.log(9)))) if rng.random() < 0.25 else 0.0,
        focus=float(rng.normal(1, 0.05)),
        motion=(float(rng.uniform(2, 9)), float(rng.uniform(0, math.pi))) if rng.random() < 0.15 else (0.0, 0.0),
        shot=shot,
        read=read,
        grain=float(rng.uniform(0.3, 0.9)) if rng.random() < 0.5 else 0.0,
        smooth=float(10 ** rng.uniform(-1.8, -1.0)) if rng.random() < 0.2 else 0.0,
        copies=tuple(_copy(rng, first=k == 0) for k in range(int(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15])))),
        seed=random_seed(rng),
    )


def _copy(rng: np.random.Generator, first: bool) -> Copy:
    """Draw how a picture is scaled and saved: the first time by the camera, later by programs that pass it on."""
    sharpens = rng.random() < (0.6 if first else 0.3)
    return Copy(
        shrink=float(rng.uniform(1.1, 2.2)) if rng.random() < (0.1 if first else 0.3) else 1.0,
        cubic=bool(rng.random() < 0.6),
        sharpen=float(np.exp(rng.uniform(np.log(0.1), np.log(1.1)))) if sharpens else 0.0,
        radius=float(rng.uniform(0.6, 1.6)),
        jpeg=int(rng.integers(35, 97)) if rng.random() < 0.85 else 0,
    )
