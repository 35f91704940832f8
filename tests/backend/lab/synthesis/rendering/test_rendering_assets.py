"""Skins, environments, random looks, camera effects, and errors where rendering is impossible."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from im2hands.core.errors import InputError, SetupError
from im2hands.lab.synthesis.rendering import Assets, random_look
from im2hands.lab.synthesis.rendering.backgrounds import procedural_background
from im2hands.lab.synthesis.rendering.camera_effects import apply_effects
from im2hands.lab.synthesis.rendering.context import make_context
from im2hands.lab.synthesis.rendering.environments import directions, from_panorama
from im2hands.lab.synthesis.rendering.look import CameraEffects, Copy


def test_without_moderngl_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moderngl", None)
    with pytest.raises(SetupError, match=r"im2hands\[train\]"):
        make_context()


def test_without_a_driver_the_error_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**settings: Any) -> None:
        raise Exception("eglInitialize failed (0x3001)")

    monkeypatch.setattr("moderngl.create_standalone_context", fails)
    with pytest.raises(SetupError, match="libgl1-mesa-dri") as caught:
        make_context(3)
    assert "EGL device 3" in caught.value.message and "0x3001" in caught.value.message


def test_nails_lie_at_the_tips_of_the_back_of_the_fingers(assets: Assets) -> None:
    mesh, atlas = assets.mesh, assets.atlas
    nail = atlas.parts[..., 0] > 128
    position, normal = atlas.positions[nail & atlas.covered], atlas.normals[nail & atlas.covered]
    to_tip = np.linalg.norm(position[:, None] - mesh.template[mesh.tips], axis=-1)
    assert to_tip.min(axis=1).max() < 0.022
    assert set(to_tip.argmin(axis=1)) == set(range(5)), "every finger has one"
    dorsal = np.array([nail_frame.axes[2] for nail_frame in mesh.nails])[to_tip.argmin(axis=1)]
    assert ((normal * dorsal).sum(axis=1) > 0).all()


def test_a_skin_file_gives_its_colours_to_the_hand(tmp_path: Path) -> None:
    image = np.full((2048, 2048, 3), (90, 120, 200), np.uint8)  # BGR
    image[:1024] = (200, 120, 90)  # the forearm's island lies in the upper half
    cv2.imwrite(str(tmp_path / "skin.png"), image)
    assets = Assets.load(skins=tmp_path)
    skin = assets.skin(0)
    at = np.round(assets.atlas.uv * skin.pixels.shape[1::-1] - 0.5).astype(int)
    colours = skin.pixels[at[:, 1], at[:, 0], :3].astype(int)
    bone = assets.mesh.weights.argmax(axis=1)
    of = assets.mesh.drawn_vertex
    skin_points = (of >= 0) & (of < len(bone))
    colours, of = colours[skin_points], of[skin_points]
    fingers, arm = colours[bone[of] > 2], colours[bone[of] == 0]
    assert (fingers[:, 0] > fingers[:, 2] * 0.9).all() and (arm[:, 2] > arm[:, 0] + 40).all()


def test_folders_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not there"):
        Assets.load(skins=tmp_path / "none")
    with pytest.raises(InputError, match=r"no \.exr file"):
        Assets.load(environments=tmp_path)
    (tmp_path / "broken.exr").write_bytes(b"no panorama")
    with pytest.raises(InputError, match=r"broken\.exr"):
        Assets.load(environments=tmp_path).environment(0)


def test_environment_light_from_a_file(tmp_path: Path) -> None:
    import OpenEXR

    facing = directions(64, 32)
    panorama = (3.0 * (1 + facing[..., 1:2] * np.ones(3))).astype(np.float32)  # bright above, black below
    OpenEXR.File({}, {name: panorama[..., k].copy() for k, name in enumerate("RGB")}).write(str(tmp_path / "a.exr"))
    light = Assets.load(environments=tmp_path).environment(0)
    up, down = (light.irradiance[0] + sign * light.irradiance[1] for sign in (1, -1))
    # Radiance 1 + cos gives irradiance over pi of 1 + 2/3 cos.
    np.testing.assert_allclose(up, 5 / 3, rtol=0.02)
    np.testing.assert_allclose(down, 1 / 3, rtol=0.06)
    assert light.brightest[1] > 0.9


def test_uniform_light_has_no_direction() -> None:
    light = from_panorama(np.full((32, 64, 3), 7.0))
    np.testing.assert_allclose(light.irradiance[0], 1.0, rtol=0.01)
    np.testing.assert_allclose(light.irradiance[1:], 0.0, atol=0.01)


def test_random_looks_cover_what_pictures_vary_in(assets: Assets) -> None:
    looks = [random_look(np.random.default_rng(k), assets) for k in range(200)]
    for share in (
        np.mean([look.sleeve is not None for look in looks]),
        np.mean([bool(look.rings) for look in looks]),
        np.mean([look.watch is not None for look in looks]),
        np.mean([bool(look.things) for look in looks]),
        np.mean([bool(look.people) for look in looks]),
        np.mean([look.skin.nail_polish > 0 for look in looks]),
        np.mean([look.camera.saturation == 0 for look in looks]),
        np.mean([look.background.plane is not None for look in looks]),
    ):
        assert 0.02 < share < 0.8
    tones = np.array([look.skin.tone for look in looks])
    assert tones.min() > 0 and tones.max() < 0.9 and tones[:, 0].max() > 6 * tones[:, 0].min()
    assert {len(look.lighting.lights) for look in looks} == {1, 2, 3, 4}


def test_effects_change_the_picture_as_they_say() -> None:
    image = procedural_background(3)
    assert (apply_effects(image, CameraEffects()) == image).all()
    noisy = apply_effects(np.full((64, 64, 3), 128, np.uint8), CameraEffects(read=0.05, seed=1))
    assert noisy.std() == pytest.approx(0.05 * 255, rel=0.05)
    detail = np.abs(np.diff(image.astype(int), axis=1)).mean()
    for effects in (
        CameraEffects(defocus=2.0),
        CameraEffects(motion=(9.0, 0.0)),
        CameraEffects(copies=(Copy(shrink=3.0),)),
    ):
        blurred = apply_effects(image, effects)
        assert blurred.shape == image.shape
        assert np.abs(np.diff(blurred.astype(int), axis=1)).mean() < 0.8 * detail
    coarse, fine = (
        np.abs(apply_effects(image, CameraEffects(copies=(Copy(jpeg=q),))).astype(int) - image).mean() for q in (20, 95)
    )
    assert coarse > fine > 0
    grey = apply_effects(image, CameraEffects(saturation=0.0, read=0.02))
    assert (grey[..., :1] == grey).all()
    depth = np.where(np.arange(image.shape[1]) < image.shape[1] // 2, 0.5, 0.0) * np.ones(image.shape[:2])
    focused = apply_effects(image, CameraEffects(aperture=6.0), depth.astype(np.float32)).astype(int)
    left, right = np.abs(focused - image)[:, :100].mean(), np.abs(focused - image)[:, -100:].mean()
    assert left < 0.3 * right, "what has the depth of the hands stays sharp"


def test_no_module_of_the_renderer_needs_moderngl_to_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def guarded(name: str, *args: Any, **kwargs: Any) -> Any:
        assert name.split(".")[0] not in ("moderngl", "OpenEXR")
        return real(name, *args, **kwargs)

    for name in [n for n in sys.modules if n.startswith("im2hands.lab.synthesis.rendering")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", guarded)
    import im2hands.lab.synthesis.rendering  # noqa: F401
