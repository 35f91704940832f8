"""The bones of a rig are found in every bundled map, however the rig's program spells their names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

MAPS = ("auto_rig_pro", "mixamo", "rigify_human", "rigify_metarig", "unreal_mannequin")
SIDES = ("left", "right")


@pytest.fixture
def maps(addon):
    return addon("bone_maps")


def named(maps, identifier: str) -> dict[str, dict[str, str]]:
    """Side -> our name -> name in a bundled map as the map spells it."""
    (one,) = [found for found in maps.bundled_maps() if found.identifier == identifier]
    return {
        side: {ours: pattern.replace("{side}", one.sides[side]) for ours, pattern in one.bones.items()}
        for side in SIDES
    }


def long_sides(name: str) -> str:
    """The name with "Left" and "Right" for a side that is one letter at the end."""
    name = re.sub(r"([._])[lL]$", r"\1Left", name)
    return re.sub(r"([._])[rR]$", r"\1Right", name)


def sides_first(name: str) -> str:
    """The name with a side at the end moved to the front."""
    return re.sub(r"^(.*)[._]([lLrR])$", r"\2_\1", name)


def snake(name: str) -> str:
    """The name in lower case, with underscores between its words."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[0-9])(?=[A-Za-z])", "_", name)
    return re.sub(r"[._]+", "_", apart).lower()


SPELLINGS = {
    "as in the map": lambda name: name,
    "namespace": lambda name: f"hero:{name}",
    "two namespaces": lambda name: f"Armature|hero:{name}",
    "path": lambda name: f"root/{name}",
    "prefix with an underscore": lambda name: f"Character1_{name}",
    "dots lost by a file format": lambda name: name.replace(".", "_"),
    "hyphens": lambda name: re.sub("[._]", "-", name),
    "spaces": lambda name: re.sub("[._]", " ", name),
    "capitals": lambda name: re.sub(r"[._][lr]$", lambda end: end[0].upper(), name[0].upper() + name[1:]),
    "lower case, words apart": snake,
    "long sides": long_sides,
    "sides first": sides_first,
    "copied in Blender": lambda name: f"{name}.001",
    "copied, in a namespace": lambda name: f"hero:{name}.014",
}
MIXAMO = (
    "mixamorig:", "mixamorig1:", "mixamorig5:", "mixamorig12:", "mixamorig_", "mixamorig12_", "mixamorig", "",
    "mixamorig7", "Armature|mixamorig:", "Armature|mixamorig5:", "char:mixamorig:", "Mixamo Rig ", "Model_",
)  # fmt: skip


@pytest.mark.parametrize("identifier", MAPS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_map_in_every_spelling(maps, identifier: str, spelling: str) -> None:
    wanted = {
        side: {ours: SPELLINGS[spelling](name) for ours, name in bones.items()}
        for side, bones in named(maps, identifier).items()
    }
    rig = ["root", "Spine", "upper_arm.L", *(name for bones in wanted.values() for name in bones.values())]
    chosen, found = maps.find_map("AUTO", rig)
    assert (chosen.identifier, found) == (identifier, wanted)


@pytest.mark.parametrize("change", [str.upper, str.lower])
@pytest.mark.parametrize("prefix", ["mixamorig:", "Armature|mixamorig5:", "", "rig_"])
def test_names_that_lost_their_capitals(maps, prefix: str, change) -> None:
    """Some converters write all names in capitals, or in small letters."""
    wanted = {
        side: {ours: change(prefix + name) for ours, name in bones.items()}
        for side, bones in named(maps, "mixamo").items()
    }
    rig = [change(f"{prefix}hips"), *(name for bones in wanted.values() for name in bones.values())]
    chosen, found = maps.find_map("AUTO", rig)
    assert (chosen.identifier, found) == ("mixamo", wanted)


@pytest.mark.parametrize(
    "hand, finger, names",
    [
        ("CC_Base_{}_Hand", "CC_Base_{}_{}{}", ("Thumb", "Index", "Mid", "Ring", "Pinky")),  # Character Creator
        ("J_Bip_{}_Hand", "J_Bip_{}_{}{}", ("Thumb", "Index", "Middle", "Ring", "Little")),  # VRoid
        ("{}Hand", "{}{}{}", ("Thumb", "Index", "Mid", "Ring", "Pinky")),  # Daz
        ("{}_hand", "{}_{}{}", ("thumb", "index", "mid", "ring", "pinky")),  # Daz Genesis 9
    ],
)
def test_all_fingers_of_other_programs(maps, hand: str, finger: str, names: tuple[str, ...]) -> None:
    small = hand.startswith("{}")
    ours = ("thumb", "f_index", "f_middle", "f_ring", "f_pinky")
    for side, letter in (("left", "L"), ("right", "R")):
        letter = letter.lower() if small else letter
        wanted = {"hand": hand.format(letter)} | {
            f"{one}.0{k}": finger.format(letter, name, k)
            for one, name in zip(ours, names, strict=True)
            for k in (1, 2, 3)
        }
        assert maps.find_map("AUTO", [*wanted.values(), "Spine"])[1][side] == wanted


@pytest.mark.parametrize("prefix", MIXAMO)
def test_what_stands_before_mixamos_names(maps, prefix: str) -> None:
    wanted = {
        side: {ours: prefix + name for ours, name in bones.items()} for side, bones in named(maps, "mixamo").items()
    }
    arm = [f"{prefix}{side}{one}" for side in ("Left", "Right") for one in ("Arm", "ForeArm", "HandThumb4")]
    rig = [*arm, f"{prefix}Hips", *(name for bones in wanted.values() for name in bones.values())]
    chosen, found = maps.find_map("AUTO", rig)
    assert (chosen.identifier, found) == ("mixamo", wanted)


def test_of_two_sets_of_bones_the_plain_one_is_found(maps) -> None:
    """A rig may hold a second set: helpers, a second character, copies, or spellings with another capital."""
    names = named(maps, "mixamo")
    plain = [name for bones in names.values() for name in bones.values()]
    for other in ("CTRL_{}", "other:{}", "{}.001", "{}_"):
        rig = [*(other.format(name) for name in plain), *plain]
        assert maps.find_map("mixamo", rig)[1] == names, other
    assert maps.find_map("rigify_metarig", ["Hand_L", "hand.L", "HAND.L"])[1]["left"] == {"hand": "hand.L"}


def test_bones_are_not_mixed_between_sets(maps) -> None:
    names = named(maps, "mixamo")
    one = [f"a:{name}" for bones in names.values() for name in bones.values()]
    two = [f"b:{name}" for ours, name in names["left"].items() if ours != "hand"]
    found = maps.find_map("mixamo", [*two, *one])[1]
    assert {name.split(":")[0] for bones in found.values() for name in bones.values()} == {"a"}


def test_helpers_of_rigify_are_no_controls(maps) -> None:
    """Its deform bones are found only in a rig that was exported without the helpers and the controls."""
    meta, human = named(maps, "rigify_metarig"), named(maps, "rigify_human")
    deform = [f"DEF-{name}" for bones in meta.values() for name in bones.values()]
    helpers = [one.replace("DEF-", kind) for one in deform for kind in ("ORG-", "MCH-")]
    controls = [name for bones in human.values() for name in bones.values()]
    chosen, found = maps.find_map("AUTO", [*deform, *helpers, *controls])
    assert (chosen.identifier, found) == ("rigify_human", human)
    chosen, found = maps.find_map("AUTO", deform)
    assert chosen.identifier == "rigify_metarig"
    assert found["left"]["f_index.01"] == "DEF-f_index.01.L"


def test_the_switches_of_rigs_with_inverse_kinematics(maps) -> None:
    (human,) = [one for one in maps.bundled_maps() if one.identifier == "rigify_human"]
    bones = [name for side in named(maps, "rigify_human").values() for name in side.values()]
    assert human.arms(bones) == {}
    arms = human.arms([*bones, "hand_ik.L", "upper_arm_parent.L"])
    assert arms["left"].control == "hand_ik.L"
    assert ("upper_arm_parent.L", "IK_FK") in arms["left"].switches and set(arms) == {"left"}
    arms = human.arms([f"hero:{one}".replace(".", "_") for one in (*bones, "hand_ik.R", "upper_arm_parent.R")])
    assert arms["right"].control == "hero:hand_ik_R"


def test_own_maps_may_name_anything(maps, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    for sides, pattern, prefixes, name in (
        (("左", "右"), "{side}手首", [], "左手首"),
        (("Links", "Rechts"), "{side} hand", [], "links_hand"),
        (("sx", "dx"), "hand{side}", [""], "handsx"),
        (("L", "R"), "ns:{side}_hand.001", [], "ns:L_hand.001"),
        (("L", "R"), "hand.{side}", ["rig:", "x"], "xhand.L"),
        (("L", "R"), "hand.{side}", ["rig:"], "rig:hand.L"),
    ):
        data = {"sides": dict(zip(SIDES, sides, strict=True)), "bones": {"hand": pattern}, "prefixes": prefixes}
        path.write_text(json.dumps(data), "utf-8")
        assert maps.find_map(path, ["root", name])[1]["left"] == {"hand": name}
        assert maps.find_map(path, ["root", name])[1]["right"] == {}
    path.write_text(json.dumps(data | {"ik": {"switches": [3]}}), "utf-8")
    with pytest.raises(maps.InputError, match="not a bone map"):
        maps.find_map(path, ["hand.L"])


def test_other_bones_are_not_taken_for_hands(maps) -> None:
    """Nothing may follow the words of the map: ends, tweaks and targets are other bones."""
    rig = ["hand.L_end", "hand_tweak.L", "hand_ik_target.L", "handle", "leftover", "thumb.01.L.extra", "Lhand2", "🙂"]
    for one in maps.bundled_maps():
        with pytest.raises(maps.InputError, match="no bones named as in"):
            maps.find_map(one.identifier, rig)
