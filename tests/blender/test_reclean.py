"""Re-clean: the motion of a take solved again by the backend, and brought in below a person's keys."""

from __future__ import annotations

import json
from pathlib import Path

import animated
import bpy
import pytest
from test_edits import BONE, key_by_hand, rig_of


@pytest.fixture
def api(addon):
    return addon("api")


@pytest.fixture
def collection(api, tmp_path: Path) -> bpy.types.Collection:
    return api.import_take(animated.write(tmp_path / "take", animated.make(4), surfaces=False))[0]


def settings(collection: bpy.types.Collection) -> dict:
    return json.loads(collection["im2hands_clean"])["settings"]


def test_the_motion_is_solved_again_below_the_keys(api, addon, collection, fake_backend) -> None:
    """What is not given stays as it was; a person's keys stay above."""
    api.edit_above_clean(collection)
    key_by_hand(collection, 3)
    action = rig_of(collection).animation_data.action
    result = api.reclean(collection, backend=fake_backend("good"), gap=3)
    assert settings(collection) == {"smoothing": 1.0, "gap": 3, "template_density": 1}
    assert rig_of(collection).animation_data.action == action
    assert any(BONE in one for one in result.warnings) and result.exit_code == 0
    bpy.context.preferences.addons[addon("errors").__package__].preferences.backend = fake_backend("good")
    assert bpy.ops.im2hands.reclean(smoothing=0.2, template_density="0") == {"FINISHED"}
    assert settings(collection) == {"smoothing": 0.2, "gap": 3, "template_density": 0}


def test_what_cannot_be_recleaned(api, addon, collection, fake_backend, tmp_path: Path) -> None:
    errors = addon("errors")
    with pytest.raises(errors.InputError, match="no option of the clean motion"):
        api.reclean(collection, backend=fake_backend("good"), voxel_mm=1.0)
    with pytest.raises(errors.BackendError, match="Re-clean continues"):
        api.reclean(collection, backend=fake_backend("dies"))
    bare, _ = api.import_take(animated.write(tmp_path / "bare", animated.make(2, ())))
    with pytest.raises(errors.InputError, match="no rigged hands"):
        api.reclean(bare, backend=fake_backend("good"))
