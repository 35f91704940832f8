"""``im2hands keypoints convert``: each source's fixture gives back the hands, and the command writes readable files."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
from pathlib import Path

import foreign_files as foreign
import numpy as np
import pytest

from im2hands.app.cli import keypoints as command
from im2hands.app.cli.main import main
from im2hands.core.errors import InputError
from im2hands.core.hands import KEYPOINT_NAMES, MIDDLE_MCP, SIDES, TO_FILE_ORDER, WRIST
from im2hands.keypoints.conversion.hands import Given, curl_sign
from im2hands.keypoints.conversion.orders import (
    ORDERS,
    UNITS,
    fitting_order,
    in_file_order,
    index_of_name,
    regressed,
)
from im2hands.keypoints.conversion.sources import SOURCES, convert
from im2hands.keypoints.conversion.write import keypoint_content
from im2hands.keypoints.file import KeypointFile

HANDS = foreign.two_hands()


def positions(name: str, paths: list[Path], given: Given | None = None) -> dict[tuple[int, str], np.ndarray]:
    made = convert(name, paths, given or Given())
    return {(hand.frame, hand.side): hand.positions for hand in made.hands}


def close(found: dict[tuple[int, str], np.ndarray], frame: int, atol: float = 1e-6) -> None:
    assert set(found) == {(frame, side) for side in SIDES}
    for side in SIDES:
        assert np.allclose(found[frame, side], HANDS[side], atol=atol), side


def test_the_choices_of_the_command_are_the_tables() -> None:
    assert tuple(SOURCES) == command.SOURCE_NAMES
    assert set(command.ORDER_NAMES) == set(ORDERS)
    assert set(command.UNIT_NAMES) == set(UNITS)


@pytest.mark.parametrize("order", list(TO_FILE_ORDER))
def test_orders_are_found_by_bone_lengths(order: str) -> None:
    for seed in range(20):
        hand = foreign.two_hands(seed)["right"]
        given = hand[foreign.inverse(ORDERS[order])]
        assert fitting_order(given) == ("file" if order == "mediapipe" else order)
        assert np.array_equal(in_file_order(given, order, "hand"), hand)


@pytest.mark.parametrize(("stored", "said"), [("interhand", "file"), ("halo", "file"), ("file", "interhand")])
def test_the_other_order_is_refused(tmp_path: Path, stored: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    points = HANDS["left"][foreign.inverse(ORDERS[stored])]
    path = foreign.ply(tmp_path / "0000003_left.ply", points)
    arguments = [
        "keypoints",
        "convert",
        str(path),
        "--from",
        "file",
        "-o",
        str(tmp_path / "out.json"),
        "--space",
        "camera",
    ]
    assert main([*arguments, "--order", said]) == 2
    assert f"Give --order {stored}" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()
    assert main([*arguments, "--order", stored]) == 0


def test_pred_joints_are_moved_into_each_views_camera(tmp_path: Path) -> None:
    turn = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    shift = np.array([0.1, 0.2, 0.3])
    (tmp_path / "joints").mkdir()
    (tmp_path / "anno").mkdir()
    for side, joints in HANDS.items():
        foreign.ply(tmp_path / "joints" / f"0000012_{side}.ply", (joints - shift) @ turn)
    anno = {"camera": {"R": turn.astype(np.float32), "t": shift.astype(np.float32)}}
    (tmp_path / "anno" / "12.pkl").write_bytes(pickle.dumps(anno, protocol=2))
    close(positions("file", [tmp_path / "joints"], Given(annotations=tmp_path / "anno")), 12, 1e-5)
    assert convert("file", [tmp_path / "joints"], Given()).space == "world"
    anno["camera"]["R"] *= 0
    (tmp_path / "anno" / "12.pkl").write_bytes(pickle.dumps(anno, protocol=2))
    with pytest.raises(InputError, match=r"12\.pkl is no annotation of a view: its camera is damaged"):
        convert("file", [tmp_path / "joints"], Given(annotations=tmp_path / "anno"))


@pytest.mark.parametrize("suffix", ["json", "npz"])
def test_files_of_points(tmp_path: Path, suffix: str) -> None:
    millimetres = {side: joints * 1000 for side, joints in HANDS.items()}
    content = {"order": "file", "unit": "mm", "space": "camera"}
    if suffix == "json":
        content |= {"frames": {"000007": millimetres}}
    else:
        content |= {f"000007_{side}": joints for side, joints in millimetres.items()}
    close(positions("file", [foreign.write(tmp_path / f"a.{suffix}", content)]), 7)


def test_named_joints(tmp_path: Path) -> None:
    names = {side: {f"{side}_{n}": p for n, p in zip(KEYPOINT_NAMES, HANDS[side], strict=True)} for side in SIDES}
    path = foreign.write(tmp_path / "a.json", {"frames": {"1": names}})
    close(positions("file", [path]), 1)
    del names["left"]["left_ring_tip"]
    with pytest.raises(InputError, match="lacks ring_tip"):
        positions("file", [foreign.write(tmp_path / "b.json", {"frames": {"1": names}})])


@pytest.mark.parametrize(
    ("name", "keypoint"),
    [
        ("right_thumb4", "thumb_tip"), ("right_thumb_third_joint", "thumb_cmc"), ("left_forefinger3", "index_dip"),
        ("left_pinky_finger_third_joint", "little_mcp"), ("LeftHandIndex1", "index_mcp"), ("l_ring2", "ring_pip"),
        ("right_wrist", "wrist"), ("middle_first_joint", "middle_dip"), ("f_pinky.03.L", "little_dip"),
        ("nose", None), ("left_elbow", None),
    ],
)  # fmt: skip
def test_names_of_joints(name: str, keypoint: str | None) -> None:
    index = index_of_name(name)
    assert (None if index is None else KEYPOINT_NAMES[index]) == keypoint


@pytest.mark.parametrize("suffix", ["npz", "pkl", "json"])
def test_intaghand(tmp_path: Path, suffix: str) -> None:
    """The exact place of the root; the normalised scale is lost and comes from the palm length."""
    path = foreign.write(tmp_path / f"out.{suffix}", foreign.intaghand(HANDS, foreign.CROP_CAMERA))
    close(positions("intaghand", [path], Given(foreign.CROP_CAMERA, foreign.PALM)), 0)
    with pytest.raises(InputError, match="camera"):
        positions("intaghand", [path])


def test_intaghand_vertices_need_a_regressor(tmp_path: Path) -> None:
    content = foreign.intaghand(HANDS, foreign.CROP_CAMERA)
    regressor = np.zeros((21, 778))
    regressor[np.arange(21), np.arange(21)] = 1
    for side in SIDES:
        vertices = np.zeros((1, 778, 3))
        vertices[0, :21] = content.pop(f"joints3d_{side}")[0][foreign.TO_INTERHAND]
        content[f"verts3d_{side}"] = vertices
    path = foreign.write(tmp_path / "out.npz", content)
    with pytest.raises(InputError, match="vertices of MANO"):
        positions("intaghand", [path], Given(foreign.CROP_CAMERA, foreign.PALM))
    close(positions("intaghand", [path], Given(foreign.CROP_CAMERA, foreign.PALM, regressor=regressor)), 0)


def test_a_regressor_of_16_joints_takes_the_tips_of_the_mesh() -> None:
    vertices = np.random.default_rng(0).normal(size=(778, 3))
    regressor = np.zeros((16, 778))
    regressor[np.arange(16), 100 + np.arange(16)] = 1
    joints = regressed(vertices, regressor)
    assert np.array_equal(joints[[0, 5, 17, 13, 1]], vertices[[100, 101, 107, 110, 113]])
    assert np.array_equal(joints[[4, 8, 12, 16, 20]], vertices[[745, 317, 444, 556, 673]])


@pytest.mark.parametrize("absolute", [True, False])
def test_digit(tmp_path: Path, absolute: bool) -> None:
    affine = np.array([[0.9, 0.1, 100.0], [-0.1, 0.9, 80.0]])
    content = foreign.digit(HANDS, foreign.CAMERA, affine)
    if not absolute:
        del content["root_depth"]
    path = foreign.write(tmp_path / "out.npz", content)
    made = convert("digit", [path], Given(foreign.CAMERA, foreign.PALM))
    assert bool(made.notes) != absolute
    close({(hand.frame, hand.side): hand.positions for hand in made.hands}, 0, 1e-5)


@pytest.mark.parametrize("weak", [False, True])
@pytest.mark.parametrize(("source", "mirrored"), [("hamer", True), ("wilor", False)])
@pytest.mark.parametrize("suffix", ["pkl", "json"])
def test_regressors_of_single_hands(tmp_path: Path, source: str, mirrored: bool, weak: bool, suffix: str) -> None:
    records = foreign.hamer(HANDS, 21, mirrored=mirrored)
    path = foreign.write(tmp_path / f"out.{suffix}", foreign.weak(records) if weak else records)
    close(positions(source, [path]), 21)
    camera = convert(source, [path], Given()).camera
    assert (camera.fx, camera.width, camera.height) == (900.0, 640, 480)


@pytest.mark.parametrize("suffix", ["pkl", "json"])
def test_records_of_wilor_mini(tmp_path: Path, suffix: str) -> None:
    path = foreign.write(tmp_path / f"out.{suffix}", foreign.nested(foreign.hamer(HANDS, 21, mirrored=False)))
    close(positions("wilor", [path], Given(camera=foreign.CAMERA)), 21)


def test_bent_fingers_show_a_hand_that_is_mirrored_already(tmp_path: Path) -> None:
    assert curl_sign(HANDS["right"]) < -0.6 and curl_sign(HANDS["left"]) > 0.6
    path = foreign.write(tmp_path / "out.json", foreign.hamer(HANDS, 2, mirrored=False))
    made = convert("hamer", [path], Given())
    close({(hand.frame, hand.side): hand.positions for hand in made.hands}, 2)
    assert any("mirrored otherwise" in note for note in made.notes)


def test_the_palm_length_scales_about_the_camera(tmp_path: Path) -> None:
    path = foreign.write(tmp_path / "out.json", foreign.hamer(HANDS, 0, mirrored=True))
    found = positions("hamer", [path], Given(palm_m=foreign.PALM * 0.8))
    for side in SIDES:
        assert np.allclose(found[0, side], HANDS[side] * 0.8, atol=1e-6)
        assert np.allclose(foreign.CAMERA.project(found[0, side]), foreign.CAMERA.project(HANDS[side]), atol=1e-3)


def test_dynhamr(tmp_path: Path) -> None:
    turn = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    shift = np.array([0.0, 0.1, 0.2])
    world = np.stack([np.stack([(HANDS[side] - shift) @ turn] * 2) for side in SIDES])
    content = {
        "joints": world, "is_right": np.array([[0, 0], [1, 1]]), "cam_R": np.stack([turn] * 2),
        "cam_t": np.stack([shift] * 2), "intrins": np.array([900.0, 900, 320, 240]),
    }  # fmt: skip
    found = positions("dynhamr", [foreign.write(tmp_path / "out.npz", content)])
    assert len(found) == 4
    close({key: value for key, value in found.items() if key[0] == 1}, 1)
    with pytest.raises(InputError, match="MANO parameters alone"):
        positions("dynhamr", [foreign.write(tmp_path / "b.npz", {"pose_body": np.zeros(3)})])


@pytest.mark.parametrize("suffix", ["pkl", "json"])
def test_sam_3d_body(tmp_path: Path, suffix: str) -> None:
    people = [foreign.mhr(HANDS, 5), foreign.mhr(HANDS, 5)]
    path = foreign.write(tmp_path / f"out.{suffix}", people)
    made = convert("sam3dbody", [path], Given())
    close({(hand.frame, hand.side): hand.positions for hand in made.hands}, 5)
    assert any("1 further persons" in note for note in made.notes) and made.camera.fx == 900


def test_mediapipe(tmp_path: Path) -> None:
    """Place and size come back by the palm length and the pixels."""
    path = foreign.write(tmp_path / "out.json", [foreign.mediapipe(HANDS, 9)])
    found = positions("mediapipe", [path], Given(foreign.CAMERA, foreign.PALM))
    for side in SIDES:
        assert np.allclose(found[9, side], HANDS[side], atol=1e-3)
    swapped = positions("mediapipe", [path], Given(foreign.CAMERA, foreign.PALM, swap_sides=True))
    assert np.array_equal(swapped[9, "left"], found[9, "right"])


def test_openpose_in_the_picture(tmp_path: Path) -> None:
    """The bent resting hand projects to the points; its depth is a guess."""
    path = foreign.write(tmp_path / "clip_000000000014_keypoints.json", foreign.openpose(HANDS))
    made = convert("openpose", [path], Given(foreign.CAMERA, foreign.PALM))
    assert {(hand.frame, hand.side) for hand in made.hands} == {(14, side) for side in SIDES}
    for hand in made.hands:
        off = foreign.CAMERA.project(hand.positions) - foreign.CAMERA.project(HANDS[hand.side])
        assert np.linalg.norm(off, axis=1).mean() < 6
        assert abs(np.linalg.norm(hand.positions[MIDDLE_MCP] - hand.positions[WRIST]) - foreign.PALM) < 0.01
    assert any("no depth" in note for note in made.notes)


def test_openpose_of_a_calibrated_rig(tmp_path: Path) -> None:
    path = foreign.write(tmp_path / "000014_keypoints.json", foreign.openpose(HANDS, solid=True))
    close(positions("openpose", [path]), 14)


def test_the_command_writes_files_that_reconstruct_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = foreign.write(tmp_path / "out.pkl", foreign.hamer(HANDS, 3, mirrored=True))
    out, camera = tmp_path / "keypoints.json", tmp_path / "camera.json"
    arguments = ["keypoints", "convert", str(path), "--from", "hamer", "-o", str(out), "--camera-output", str(camera)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "2 hands in 1 frames" in said and "relative depth" in said and "MANO" in said
    hands = KeypointFile.read(out).hands(3, foreign.CAMERA)
    assert np.allclose(hands.left.positions, HANDS["left"], atol=1e-5)
    assert json.loads(camera.read_text("utf-8"))["fx"] == 900
    assert json.loads(out.read_text("utf-8"))["converted_from"]["source"] == "hamer"


def test_a_pickle_that_asks_for_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "out.pkl"
    path.write_bytes(pickle.dumps([{"pred_keypoints_3d": Evil()}]))
    assert main(["keypoints", "convert", str(path), "--from", "hamer", "-o", str(tmp_path / "o.json")]) == 2
    assert "nothing was run" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"is_right": 3}, "no side"), ({"pred_keypoints_3d": [[1, 2]]}, "21 keypoints"),
        ({"pred_keypoints_3d": "many"}, "not numbers"), ({"pred_cam_t_full": [0, 0, float("nan")]}, "no camera"),
        ({"pred_cam_t_full": [0, 0, -3]}, "behind the camera"),
        ({"pred_keypoints_3d": (HANDS["right"] * 1000).tolist()}, "--unit mm"),
    ],
)  # fmt: skip
def test_bad_records_are_named(tmp_path: Path, change: dict, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    record = {**foreign.hamer({"right": HANDS["right"]}, 3, mirrored=True)[0], **change}
    path = foreign.write(tmp_path / "out.json", [record])
    assert main(["keypoints", "convert", str(path), "--from", "hamer", "-o", str(tmp_path / "o.json")]) == 2
    assert words in capsys.readouterr().err


def test_of_two_hands_of_one_side_the_surer_is_kept(tmp_path: Path) -> None:
    records = foreign.hamer(HANDS, 0, mirrored=True)
    unsure = {**records[0], "pred_cam_t_full": np.array([0.5, 0, 1.0]), "score": 0.3}
    made = convert("hamer", [foreign.write(tmp_path / "out.pkl", [*records, unsure])], Given())
    close({(hand.frame, hand.side): hand.positions for hand in made.hands}, 0)
    assert any("1 hands were left out" in note for note in made.notes)


def test_every_source_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[4] / "docs" / "keypoint-sources.md").read_text("utf-8")
    for name, source in SOURCES.items():
        assert f"| `{name}` | {source.title} |" in page
        assert source.loses in page and source.terms in page


ODD = (None, "x", -1, 0, [], {}, [[]], float("nan"), [1, 2], True, "left", {"a": 1}, 1e30, [[1, 2, 3]] * 21, [None] * 3)


def places(value: object, so_far: tuple = ()) -> list[tuple]:
    """Places in nested JSON: of lists only the first three entries."""
    found = [so_far]
    if isinstance(value, dict):
        found += [place for key in value for place in places(value[key], (*so_far, key))]
    elif isinstance(value, list):
        found += [place for key in range(min(len(value), 3)) for place in places(value[key], (*so_far, key))]
    return found


@pytest.mark.parametrize("name", list(SOURCES))
def test_odd_values_anywhere_are_named(tmp_path: Path, name: str) -> None:
    eye = np.eye(3)
    contents = {
        "intaghand": foreign.intaghand(HANDS, foreign.CROP_CAMERA), "hamer": foreign.hamer(HANDS, 3, mirrored=True),
        "digit": foreign.digit(HANDS, foreign.CAMERA, np.array([[0.9, 0.1, 100.0], [-0.1, 0.9, 80.0]])),
        "wilor": foreign.weak(foreign.hamer(HANDS, 3, mirrored=False)), "sam3dbody": [foreign.mhr(HANDS, 3)],
        "mediapipe": [foreign.mediapipe(HANDS, 3)], "openpose": foreign.openpose(HANDS),
        "file": {"frames": {"1": HANDS}},
        "dynhamr": {
            "joints": np.stack([HANDS[side][None] for side in SIDES]), "is_right": [[0], [1]], "cam_R": [eye],
            "cam_t": np.zeros((1, 3)), "intrins": [900, 900, 320, 240],
        },
    }  # fmt: skip
    path = foreign.write(tmp_path / "3_keypoints.json", contents[name])
    whole = json.loads(path.read_text("utf-8"))
    given = Given(foreign.CAMERA, foreign.PALM)
    keypoint_content(name, convert(name, [path], given))
    chance = random.Random(name)
    for _ in range(60):
        content, place = json.loads(json.dumps(whole)), chance.choice(places(whole))
        inner = content
        for key in place[:-1]:
            inner = inner[key]
        if place:
            inner[place[-1]] = chance.choice(ODD)
        else:
            content = chance.choice(ODD)
        path.write_text(json.dumps(content), "utf-8")
        with contextlib.suppress(InputError):  # many changes do no harm; no other error may come
            keypoint_content(name, convert(name, [path], given))
