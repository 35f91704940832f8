"""The table of hand-set numbers in ``docs/models.md`` names every number of finding and placing, with its value."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from im2hands import keypoints

PAGE = Path(__file__).resolve().parents[3] / "docs" / "models.md"
PACKAGE = Path(keypoints.__file__).parent
MODULES = (
    "finder", "pauses", "other_people", "looking", "hand_geometry", "choosing/cluster", "choosing/features",
    "choosing/judge", "choosing/assignment", "choosing/expected", "choosing/path", "choosing/prior", "proposing/boxes",
    "proposing/mediapipe", "proposing/palms", "proposing/photo", "proposing/two_hand_network",
    "proposing/two_hand_pictures", "reading/consensus", "reading/crops", "reading/final", "reading/hypotheses",
    "reading/network", "reading/readings", "reading/mask", "placing/outline", "placing/observation", "placing/terms",
    "placing/motion", "placing/clip", "placing/thickness", "placing/solve",
    "placing/rigid", "placing/levenberg",
)  # fmt: skip
NOT_SET_BY_HAND = {
    ("hand_geometry", "_PALM"), ("choosing/features", "_PALM_OUTLINE"), ("choosing/features", "_BONES"),
    ("proposing/two_hand_pictures", "PALM"),
    ("proposing/two_hand_pictures", "_KNUCKLES"), ("reading/crops", "_BOX_KEYPOINTS"),  # indices of keypoints
    ("proposing/palms", "PIXELS"), ("proposing/palms", "_GRIDS"), ("proposing/palms", "_WRIST"),
    ("proposing/palms", "_MIDDLE"), ("proposing/palms", "_SCORES"), ("proposing/palms", "_BOXES"),
    ("reading/crops", "CROP_PIXELS"), ("reading/readings", "_LOG_SPREAD"),  # layouts of networks
    ("placing/solve", "_PALM_POINTS"), ("placing/motion", "_HANDS"), ("placing/motion", "_FRAME"),
    ("placing/motion", "_REACH"), ("placing/motion", "_BAND"),  # layouts of equations
    ("choosing/prior", "_NEVER"), ("looking", "THUMBNAIL"),
}  # fmt: skip


def listed() -> dict[tuple[str, str], object]:
    """The numbers of the table by module and name."""
    found = {}
    for row in re.findall(r"^\| `([\w/]+)` \| (.*?) \|", PAGE.read_text("utf-8"), re.MULTILINE):
        for name, value in re.findall(r"`(\w+) = ([^`]+)`", row[1]):
            assert (row[0], name) not in found, f"{row[0]}.{name} is there twice"
            found[row[0], name] = ast.literal_eval(value)
    return found


def constants(module: str) -> set[str]:
    """The names of a module's constants that are numbers, or tuples of numbers."""
    made = importlib.import_module(f"im2hands.keypoints.{module.replace('/', '.')}")
    names = set()
    for node in ast.parse((PACKAGE / f"{module}.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign):
            targets = [
                t for target in node.targets for t in (target.elts if isinstance(target, ast.Tuple) else [target])
            ]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in names if _is_number(getattr(made, name))}


def _is_number(value: object) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(_is_number(part) for part in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


@pytest.mark.parametrize("module", MODULES)
def test_the_table_names_every_number(module: str) -> None:
    found = {name: value for (where, name), value in listed().items() if where == module}
    assert set(found) == constants(module) - {name for where, name in NOT_SET_BY_HAND if where == module}
    made = importlib.import_module(f"im2hands.keypoints.{module.replace('/', '.')}")
    for name, value in found.items():
        assert np.array_equal(getattr(made, name), value), f"{module}.{name} is {getattr(made, name)}, not {value}"


def test_the_table_names_no_other_module() -> None:
    assert {where for where, _ in listed()} <= set(MODULES)
