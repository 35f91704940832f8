"""What the lane ``window`` does in a Blender with a window: a person's way from the zip to corrected hands, by clicks.

Runs as ``blender --python session.py -- FOLDER ZIP``. Each step appends a line to FOLDER/steps.jsonl; pictures of the
screen are written beside it. A step waits for what it does to be seen, and never for a fixed time.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path

import bpy
from bpy_extras.view3d_utils import location_3d_to_region_2d

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blender"))
import animated
import synthetic
from characters import generated, metarig
from person import (
    FAKE_PYTHON,
    FOLDER,
    FRAMES,
    MODULE,
    ZIP,
    LeftOut,
    Steps,
    addon,
    click,
    count,
    drawn,
    find,
    judge_redraws,
    key,
    move,
    orbit,
    picture,
    region,
    screen,
    timeline_shows,
    until,
    view,
    window,
)


def job() -> object:
    return addon("running").reconstruction()


def take() -> bpy.types.Collection:
    return next(one for one in bpy.data.collections if "im2hands_take" in one)


# --- the steps, in their order


def installs_the_zip() -> Steps:
    bpy.context.preferences.view.show_splash = False
    bpy.ops.extensions.package_install_files(repo="user_default", filepath=str(ZIP), enable_on_install=True)
    assert MODULE in bpy.context.preferences.addons
    python = FOLDER / "python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    bpy.context.preferences.system.use_online_access = True
    own = bpy.context.preferences.addons[MODULE].preferences
    own.python, own.environments, own.takes = str(python), str(FOLDER / "own"), str(FOLDER / "takes")
    yield 0.1


def opens_the_sidebar() -> Steps:
    for kind in drawn:
        bpy.types.SpaceView3D.draw_handler_add(count, (kind,), kind, "POST_PIXEL")
    place = view()
    x, y = place.x + place.width / 2, place.y + place.height / 2
    move(x, y)
    yield 0.2
    key("ESC", x, y)
    yield 0.2
    if region("UI").width <= 1:
        key("N", x, y)
    yield from until(lambda: region("UI").width > 1 and drawn["UI"], "the sidebar opens")
    yield 0.2
    region("UI").active_panel_category = "Im2Hands"
    yield 0.3
    yield from find("im2hands.reconstruct")
    picture("sidebar")


rates: dict[str, list[tuple[float, float, float]]] = {}
"""Redraws, seconds, and seconds of Blender's processor time, half second by half second."""


def an_idle_view_orbits() -> Steps:
    rates["idle"] = yield from orbit(5.0)


def a_dropped_file_is_reconstructed() -> Steps:
    """A file is dragged from a file browser, which takes the place of the properties, into the 3D view.

    Two keys lead from the drop to the running job: our entry in the menu, and the button of its dialog.
    """
    place = next(one for one in window().screen.areas if one.type == "PROPERTIES")
    place.type = "FILE_BROWSER"
    (FOLDER / "dropped").mkdir()
    synthetic.write_png(FOLDER / "dropped" / "shot.png", synthetic.picture(640, 480))
    yield from until(lambda: place.spaces.active.params is not None, "the file browser opens")
    params = place.spaces.active.params
    place.spaces.active.show_region_toolbar = False
    params.directory, params.display_type = str(FOLDER / "dropped").encode(), "THUMBNAIL"
    yield 1.0
    files = next(one for one in place.regions if one.type == "WINDOW")
    x, y = files.x + 50, files.y + files.height - 50
    to = view().x + view().width * 0.4, view().y + view().height * 0.5
    for near in (6, 3, 0):
        move(x + near, y)
        yield 0.2
    window().event_simulate(type="LEFTMOUSE", value="PRESS", x=x, y=y)
    yield 0.2
    for near in (3, 6, 12, 20):
        move(x - near, y + near)
        yield 0.1
    for part in range(1, 9):
        move(x + (to[0] - x) * part / 8, y + (to[1] - y) * part / 8)
        yield 0.1
    window().event_simulate(type="LEFTMOUSE", value="RELEASE", x=int(to[0]), y=int(to[1]))
    yield 0.5
    picture("drop_menu")
    assert not addon("running").backend().is_found, "this person has only the zip"
    key("R", *to)  # the letter of our entry; above it stands what Blender itself does with a picture
    yield from until(lambda: bpy.context.scene.im2hands.source, "the dropped file is the source")
    yield 0.5
    picture("dropped")
    assert bpy.context.scene.im2hands.source == str(FOLDER / "dropped" / "shot.png")
    key("RET", *to)
    place.type = "PROPERTIES"
    yield from until(addon("running").is_installing, "the backend is installed")
    yield 0.3
    picture("installing")
    yield from until(lambda: job() is not None and job().job.state == "running", "the job runs by itself")


def the_bar_moves_and_the_view_orbits() -> Steps:
    """The view is drawn nearly as often as without a job, while frames arrive."""
    running, seen, blocked, before = addon("running"), set(), [], dict(drawn)
    tick = running._tick

    def timed() -> float | None:
        start = time.monotonic()
        try:
            return tick()
        finally:
            blocked.append(time.monotonic() - start)

    def frames_arrive() -> bool:
        seen.add(round(job().job.progress.fraction, 3))
        return len(job().job.frames) < FRAMES // 2

    bpy.app.timers.unregister(tick)
    running._tick = timed
    bpy.app.timers.register(timed)
    rates["busy"] = yield from orbit(8.0, frames_arrive)
    assert len(seen) >= 4 and drawn["UI"] - before["UI"] >= 4, f"the bar: {seen}, drawn {drawn}"
    assert running.is_reconstructing()
    picture("running")
    judge_redraws(rates["idle"], rates["busy"], sum(blocked))


def a_click_cancels_it() -> Steps:
    yield from click("im2hands.cancel_reconstruction", 0.84, "im2hands.reconstruct")
    yield from until(lambda: not addon("running").is_reconstructing(), "the job ends")
    assert job().result.cancelled and 0 < len(job().job.frames) < FRAMES
    assert len(take().all_objects) > 2, "what is done is in the scene"


def a_click_goes_on_with_it() -> Steps:
    done = len(job().job.frames)
    yield from click("im2hands.reconstruct", below="im2hands.reconstruct")
    yield from until(lambda: job().job.state == "finished" and job().has_ended, "the rest is made")
    assert job().job.summary["reused"] == done and len(job().job.frames) == FRAMES
    yield 0.3
    assert view().spaces.active.region_3d.view_perspective == "CAMERA"
    assert {one.type for one in take().all_objects if one.name[:4] in ("Rig.", "Hand")} == {"ARMATURE", "MESH"}
    assert timeline_shows(1, FRAMES)
    picture("done")


def a_keypoint_is_dragged() -> Steps:
    override = {"window": window(), "area": view(), "region": region("WINDOW")}
    with bpy.context.temp_override(**override):
        assert bpy.ops.im2hands.edit_keypoints(take=take().name) == {"FINISHED"}
    yield 0.5
    sticks = bpy.context.view_layer.objects.active
    assert sticks.mode == "EDIT"
    place, space = region("WINDOW"), view().spaces.active
    tip = sticks.matrix_world @ sticks.data.vertices[8].co
    start = location_3d_to_region_2d(place, space.region_3d, tip)
    x, y = place.x + start.x, place.y + start.y
    move(x, y)
    yield 0.1
    key("LEFTMOUSE", x, y)
    yield 0.2
    key("G", x, y)
    yield 0.1
    for part in range(1, 6):
        move(x + 8 * part, y + 4 * part)
        yield 0.05
    picture("dragging")
    key("LEFTMOUSE", x + 40, y + 20)
    yield 0.2
    sticks.update_from_editmode()
    dragged = sticks.matrix_world @ sticks.data.vertices[8].co
    assert (dragged - tip).length > 0.003, f"the tip of the index finger moved from {tip} to {dragged}"
    with bpy.context.temp_override(window=window(), area=view(), region=place):
        bpy.ops.im2hands.move_in_depth("INVOKE_DEFAULT", take=take().name)
    for _ in range(5):
        window().event_simulate(type="WHEELUPMOUSE", value="PRESS", x=int(x + 40), y=int(y + 20))
        yield 0.1
    key("LEFTMOUSE", x + 40, y + 20)
    yield 0.2
    sticks.update_from_editmode()
    moved = ((sticks.matrix_world @ sticks.data.vertices[8].co) - dragged).length
    assert 0.004 < moved < 0.008, f"five steps of the wheel moved it by {moved} m"


def a_box_is_drawn_and_taken_back() -> Steps:
    place, before = region("WINDOW"), addon("api").edits(take())
    with bpy.context.temp_override(window=window(), area=view(), region=place):
        bpy.ops.im2hands.apply_keypoints(take=take().name)
        bpy.ops.im2hands.draw_box("INVOKE_DEFAULT", take=take().name, side="left")
    x, y = place.x + place.width * 0.4, place.y + place.height * 0.4
    move(x, y)
    yield 0.1
    window().event_simulate(type="LEFTMOUSE", value="PRESS", x=int(x), y=int(y))
    for part in range(1, 6):
        move(x + 20 * part, y + 16 * part)
        yield 0.1
    picture("box")
    window().event_simulate(type="LEFTMOUSE", value="RELEASE", x=int(x + 100), y=int(y + 80))
    edits = addon("api").edits
    yield from until(lambda: edits(take())[-1:] and edits(take())[-1]["kind"] == "box", "the box is a correction")
    left, top, right, bottom = edits(take())[-1]["box"]
    assert right - left > 10 and bottom - top > 10, edits(take())[-1]
    with bpy.context.temp_override(window=window(), area=view(), region=place):
        bpy.ops.im2hands.remove_edit("EXEC_DEFAULT", True, take=take().name, edit=edits(take())[-1]["id"])
    assert len(edits(take())) == len(before) + 1, "the dragged keypoint"


def its_frame_is_rebuilt() -> Steps:
    last = job()
    with bpy.context.temp_override(window=window(), area=view(), region=region("WINDOW")):
        assert bpy.ops.im2hands.rebuild_frames(take=take().name) == {"FINISHED"}
    yield from until(lambda: job() is not last and job().has_ended, "the frame is rebuilt")
    assert job().error is None and len(job().job.frames) == 1, job().error
    assert not addon("scene.corrections").read(take()).unsent
    picture("rebuilt")


def an_undo_takes_it_back() -> Steps:
    name = take().name
    assert addon("scene.corrections").read(take()).edits
    place = region("WINDOW")
    x, y = place.x + place.width / 2, place.y + place.height / 2
    move(x, y)
    yield 0.1

    def is_back() -> bool:
        return name not in bpy.data.collections or not addon("scene.corrections").read(take()).edits

    for _ in range(7):  # the rebuild, the box, the correction, the wheel, the drag, edit mode
        key("Z", x, y, ctrl=True)
        yield 0.3
        if is_back():
            break
    assert is_back()
    assert name in bpy.data.collections, "the take itself is an earlier step"
    key("Z", x, y, ctrl=True, shift=True)
    yield 0.3


def hands_are_baked_to_a_rigify_in_ik() -> Steps:
    """A rig that Rigify generates stands in IK: its hand comes where the hand of the take is."""
    folder = animated.write(FOLDER / "near", animated.make(6, ("left",)))
    bpy.ops.im2hands.import_take(filepath=str(folder))
    near = next(one for one in bpy.data.collections if one.get("im2hands_take") == str(folder))
    next(one for one in near.objects if one.name.endswith("Origin")).location = (0.4, -0.7, 1.3)
    with bpy.context.temp_override(window=window(), area=view(), region=region("WINDOW")):
        rig = generated(metarig())
        bpy.context.scene.im2hands_bake.target = rig
        bpy.ops.ed.undo_push(message="Rig")  # as it is there when a person makes it
        assert bpy.ops.im2hands.bake_to_rig("EXEC_DEFAULT", True, take=near.name, target=rig.name) == {"FINISHED"}
        for frame in (2, 5):
            bpy.context.scene.frame_set(frame)
            ours = next(one for one in near.all_objects if one.name.startswith("Rig.L"))
            places = [
                one.matrix_world @ one.pose.bones[name].head for one, name in ((ours, "hand.L"), (rig, "DEF-hand.L"))
            ]
            assert (places[0] - places[1]).length < 5e-4, f"frame {frame}: {places}"
        bpy.ops.object.select_all(action="DESELECT")
        rig.select_set(True)
        bpy.ops.view3d.localview(frame_selected=True)
    yield 0.5
    picture("baked")


def an_undo_takes_the_bake_away() -> Steps:
    name = bpy.context.scene.im2hands_bake.target.name
    place = region("WINDOW")
    x, y = place.x + place.width / 2, place.y + place.height / 2
    move(x, y)
    yield 0.1

    def is_baked() -> bool:
        rig = bpy.data.objects.get(name)
        return rig is not None and rig.animation_data is not None and rig.animation_data.action is not None

    assert is_baked()
    steps = 0
    while is_baked() and steps < 4:
        key("Z", x, y, ctrl=True)
        steps += 1
        yield 0.3
    assert name in bpy.data.objects and not is_baked()
    for _ in range(steps):
        key("Z", x, y, ctrl=True, shift=True)
        yield 0.3
    assert is_baked()


def it_is_saved_and_opened_again() -> Steps:
    path = str(FOLDER / "shot.blend")
    count_of_objects = len(take().all_objects)
    with bpy.context.temp_override(window=window()):
        bpy.ops.wm.save_as_mainfile(filepath=path)
        assert Path(path).is_file()
        bpy.ops.wm.open_mainfile(filepath=path)
    yield 0.5
    assert len(take().all_objects) == count_of_objects
    assert bpy.context.scene.im2hands_bake.target.animation_data.action is not None, "the bake"
    yield from until(lambda: region("UI").width > 1, "the sidebar is there again")
    picture("opened_again")


STEPS = (
    installs_the_zip,
    opens_the_sidebar,
    an_idle_view_orbits,
    a_dropped_file_is_reconstructed,
    the_bar_moves_and_the_view_orbits,
    a_click_cancels_it,
    a_click_goes_on_with_it,
    a_keypoint_is_dragged,
    a_box_is_drawn_and_taken_back,
    its_frame_is_rebuilt,
    an_undo_takes_it_back,
    hands_are_baked_to_a_rigify_in_ik,
    an_undo_takes_the_bake_away,
    it_is_saved_and_opened_again,
)


def session() -> Steps:
    """Do all steps and write their results; what comes after a failure is not reached."""
    with (FOLDER / "steps.jsonl").open("w") as file:
        for step in STEPS:
            start, problem = time.monotonic(), ""
            try:
                yield from step()
            except LeftOut as reason:
                problem = f"left out: {reason}"
            except Exception:
                problem = traceback.format_exc()
                synthetic.write_png(FOLDER / "failed.png", screen())
            took = time.monotonic() - start
            file.write(json.dumps({"step": step.__name__, "problem": problem, "seconds": took}) + "\n")
            file.flush()
            if problem and not problem.startswith("left out"):
                break
    os._exit(0)


running = session()
bpy.app.timers.register(lambda: next(running, None), first_interval=0.5, persistent=True)
