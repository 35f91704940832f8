"""Make the demo inside Blender: reconstruct the bundled photos and clip, and save .blend files and pictures.

`python dev.py demo` runs this. To run it by hand, set IM2HANDS_BACKEND to the backend's Python, then:
`.venv/blender-4.2/bin/python demo/make_demo.py --output build/demo`, or
`blender -b --python demo/make_demo.py -- --output build/demo`. The .blend files open in that Blender and newer ones.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "demo")]

import bpy  # noqa: E402
from clip_scenes import make_clip_scenes  # noqa: E402
from contact_sheet import write_contact_sheet  # noqa: E402

from im2hands_addon import api  # noqa: E402

PHOTOS = ROOT / "backend" / "im2hands" / "assets" / "photos"


class ProgressPrinter:
    """Prints the phase and the progress of a job whenever they change."""

    def __init__(self) -> None:
        self.last = ""

    def __call__(self, running) -> None:
        progress = running.job.progress
        text = f"{progress.phase} {progress.done} of {progress.total}" if progress.total else progress.phase
        if text != self.last:
            print(f"   {text}", flush=True)
            self.last = text


def empty_scene() -> bpy.types.Scene:
    """Start with an empty scene and factory settings."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    return bpy.context.scene


def overlays(scene: bpy.types.Scene, folder: Path, name: str) -> list[Path]:
    """Render each frame of a scene through the take's camera, over the photo.

    Parameters
    ----------
    scene : bpy.types.Scene
        Scene of the take.
    folder : Path
        Folder for the pictures.
    name : str
        Beginning of their file names.

    Returns
    -------
    list of Path
        One picture for each frame.
    """
    paths = []
    for frame in range(scene.frame_start, scene.frame_end + 1):
        path = folder / f"{name}_{frame:03d}.png"
        paths.append(api.render_overlay(path, scene=scene, frame=frame, beside=False))
    return paths


def write_scenes(
    scene: bpy.types.Scene, collection: bpy.types.Collection, output: Path, folder: Path
) -> list[list[Path]]:
    """Save hands.blend, and hands_clean.blend if the take has clean hands.

    Parameters
    ----------
    scene : bpy.types.Scene
        Scene of the take.
    collection : bpy.types.Collection
        Collection of the take.
    output : Path
        Folder for the .blend files; it holds the take.
    folder : Path
        Folder for temporary pictures.

    Returns
    -------
    list of list of Path
        For each .blend file, pictures of all frames.
    """
    rigged = api.has_clean_hands(collection)
    if rigged:
        api.show_hands(collection, False)
    bpy.ops.wm.save_as_mainfile(filepath=str(output / "hands.blend"), compress=True)
    rows = [overlays(scene, folder, "surfaces")]
    if rigged:
        api.show_hands(collection)
        api.import_take(output / "take", scene=scene, surfaces="NONE")
        bpy.ops.wm.save_as_mainfile(filepath=str(output / "hands_clean.blend"), compress=True)
        rows.append(overlays(scene, folder, "clean"))
    return rows


def make_demo(photos: list[Path], output: Path) -> int:
    """Write take/, hands.blend and hands.png.

    If the take has clean hands, hands.blend shows only the implicit surfaces, hands_clean.blend shows the rigged
    meshes, and hands.png shows both.

    Parameters
    ----------
    photos : list of Path
        Photos to reconstruct.
    output : Path
        Folder to write to.

    Returns
    -------
    int
        0 if both hands were found in every photo, else 1.
    """
    start = time.monotonic()
    scene = empty_scene()
    result = api.reconstruct(photos, output / "take", scene=scene, surfaces="SHOW", on_poll=ProgressPrinter())
    for warning in result.warnings:
        print(f"   note: {warning}")
    with tempfile.TemporaryDirectory(prefix="im2hands-overlay-") as folder:
        rows = write_scenes(scene, result.collection, output, Path(folder))
        write_contact_sheet(output / "hands.png", photos, *rows)
    found, total = result.summary.get("ok", 0), result.summary.get("total", 0)
    print(f"   both hands in {found} of {total} photos, {time.monotonic() - start:.1f} s in all", flush=True)
    return 0 if found == total == len(photos) else 1


def make_clip_demo(output: Path) -> int:
    """Write clip_take/, clip.blend, clip_clean.blend and clip.png.

    Parameters
    ----------
    output : Path
        Folder to write to.

    Returns
    -------
    int
        0 if both hands were found in every frame, else 1.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="im2hands-overlay-") as folder:
        summary, figures = make_clip_scenes(output, Path(folder), ProgressPrinter())
    for line in figures:
        print(f"   {line}")
    found, total = summary.get("ok", 0), summary.get("total", 0)
    seconds = time.monotonic() - start
    print(f"   both hands in {found} of {total} frames of the clip, {seconds:.1f} s in all", flush=True)
    return 0 if found == total > 0 else 1


def main(arguments: list[str]) -> int:
    """Make the demo; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("photos", nargs="*", type=Path, help="photos instead of the bundled photos and clip")
    options = parser.parse_args(arguments)
    photos = options.photos or sorted(PHOTOS.glob("hands_*.jpg"))
    options.output.mkdir(parents=True, exist_ok=True)
    output = options.output.resolve()
    code = make_demo([photo.resolve() for photo in photos], output)
    if not options.photos:
        code = make_clip_demo(output) or code
    print(f"   the .blend files open in Blender {bpy.app.version_string} and newer", flush=True)
    return code


if __name__ == "__main__":
    own = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    sys.exit(main(own))
