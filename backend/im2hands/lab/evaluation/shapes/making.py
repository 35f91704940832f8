"""Meshes of this program's methods for the crops of a prepared split; they are scored like any other's files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError, InputError
from im2hands.core.farm import on_cluster
from im2hands.core.files import read_regular, sha256_of, write_atomically
from im2hands.core.hands import HandKeypoints, Side, TwoHands
from im2hands.core.unpacking import parse_json
from im2hands.geometry.mesh_file import write_off
from im2hands.keypoints.conversion.orders import in_file_order
from im2hands.lab.datasets.interhand.annotation import read_annotation
from im2hands.lab.datasets.interhand.layout import joints_path, read_joints, write_ply
from im2hands.lab.evaluation.methods import METHODS as METHOD_NAMES
from im2hands.lab.evaluation.methods import load_method, method_files
from im2hands.media.source import Frame
from im2hands.surfaces.from_keypoints import Reconstructor
from im2hands.surfaces.from_picture import PictureReconstructor
from im2hands.surfaces.hand_crop import CROP_SIZE

from .predictions import Method, View, hands_of
from .truth import TruthFolder, open_truth

METHODS = tuple(METHOD_NAMES)
"""Methods that can be run."""

MADE_FROM = "made_from.json"
"""Beside the meshes of a row: the split, the keypoints, the method and its weights."""


@dataclass(frozen=True)
class Recipe:
    """A method to run: the name of its row, the method, a key of ``METHODS``, and its weights folder."""

    name: str
    method: str
    weights: str


@dataclass(frozen=True)
class Making:
    """How meshes are made.

    Parameters
    ----------
    split : Path
        Folder of the split, with ``img`` and ``anno``.
    joints : str
        "gt" for the true keypoints, "pred" for those in ``pred_joints``.
    voxel_m : float
        Lattice spacing, metres.
    device : str
        Device, see ``core.devices.choose_device``.
    executor : str
        "local" or "ray", see ``core.farm``.
    """

    split: Path
    joints: str
    voxel_m: float
    device: str
    executor: str = "local"


def parse_recipe(text: str) -> Recipe:
    """Read the value of ``--reconstruct``: ``NAME=METHOD`` or ``NAME=METHOD,weights=FOLDER``.

    Raises
    ------
    InputError
        The text has another form, or there is no such method.
    """
    name, equals, rest = text.partition("=")
    method, _, weights = rest.partition(",weights=")
    if not equals or not name or method not in METHODS:
        raise InputError(
            f"--reconstruct {text} cannot be read.", f"Write NAME=METHOD,weights=DIR; methods: {', '.join(METHODS)}."
        )
    return Recipe(name, method, weights or "bundled")


def make_meshes(how: Making, recipe: Recipe, views: list[View], folder: Path) -> Method:
    """Make the meshes of one method; those that are there are kept, so an interrupted run goes on.

    Parameters
    ----------
    how : Making
        How they are made.
    recipe : Recipe
        The method.
    views : list of View
        The views.
    folder : Path
        Folder of the meshes and, in ``joints``, of the keypoints that they were made from.

    Returns
    -------
    Method
        The files, to be scored. A hand that could not be reconstructed has none: it is a miss.

    Raises
    ------
    InputError
        A crop, its annotation or its keypoints are missing or damaged, or the folder has meshes that were made
        otherwise.
    WeightsError
        The weights are missing or damaged.
    """
    from tqdm import tqdm

    (folder / "joints").mkdir(parents=True, exist_ok=True)
    _keep_made_from(how, recipe, folder)
    missing = [view for view in views if not (folder / f"{view.name}.done").exists()]
    with tqdm(total=len(missing), desc=recipe.name, unit="view", disable=not sys.stderr.isatty()) as bar:
        for _ in _made(how, recipe, missing, folder):
            bar.update()
    return Method(recipe.name, folder, "camera", "m", folder / "joints")


def folder_name(row: str) -> str:
    """Name of the folder of a row's meshes: what cannot stand in a file name is written as %XX."""
    return quote(row, safe=" ").replace(".", "%2E")


def _keep_made_from(how: Making, recipe: Recipe, folder: Path) -> None:
    """Record what the meshes of a folder are made from; refuse a folder with meshes that were made otherwise."""
    weights = method_files(recipe.method, recipe.weights)
    now = {
        "data": str(how.split), "joints": how.joints, "voxel_mm": how.voxel_m * 1000, "method": recipe.method,
        "weights": {name: sha256_of(path) for name, path in weights.items()},
    }  # fmt: skip
    path = folder / MADE_FROM
    advice = "Give another name, or another --output."
    if path.exists():
        try:
            there = parse_json(read_regular(path))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read: {error}.", advice) from error
        differing = [name for name in now if not isinstance(there, dict) or there.get(name) != now[name]]
        if differing:
            raise InputError(f"The meshes in {folder} have another {', another '.join(differing)}.", advice)
    elif any(folder.glob("*.done")):
        raise InputError(f"{folder} has meshes, but not what they were made from ({MADE_FROM}).", advice)
    else:
        write_atomically(path, (json.dumps(now, indent=1) + "\n").encode("utf-8"))


def _made(how: Making, recipe: Recipe, views: list[View], folder: Path) -> Iterator[None]:
    """Make the meshes of views, here or on a Ray cluster."""
    import torch

    from im2hands.core.devices import choose_device

    if not views:
        return
    device = choose_device(how.device)
    if how.executor != "ray":
        yield from map(partial(_make_view, replace(how, device=str(device)), recipe, folder), views)
        return
    # Ray shows a worker the cards that it lends to it, from number 0.
    there = replace(how, device=device.type)
    weights = recipe.weights if recipe.weights == "bundled" else str(Path(recipe.weights).absolute())
    make = partial(_make_view, there, replace(recipe, weights=weights), folder)
    advice = "Run the same command again: finished views stay."
    yield from on_cluster(make, views, advice, threads=torch.get_num_threads(), gpu=device.type == "cuda")


@lru_cache(maxsize=1)
def _surfaces(how: Making, recipe: Recipe) -> Reconstructor | PictureReconstructor:
    """The networks of a method, which a process loads once."""
    import torch

    return load_method(recipe.method, recipe.weights, device=torch.device(how.device), voxel_m=how.voxel_m)


def _make_view(how: Making, recipe: Recipe, folder: Path, view: View) -> None:
    """Make and write the meshes of one view."""
    surfaces = _surfaces(how, recipe)
    frame, camera = _picture(how.split, view)
    hands = _hands(how, open_truth(how.split), view, camera)
    try:
        made = surfaces.reconstruct(frame, camera, hands) if hands.present() else {}
    except FrameError:
        made = {}
    for side, mesh in made.items():
        hand = hands.get(side)
        assert hand is not None
        write_atomically(folder / "joints" / f"{view.name}_{side}.ply", write_ply(hand.positions))
        write_off(folder / f"{view.name}_{side}.off", mesh.vertices, mesh.faces)
    write_atomically(folder / f"{view.name}.done", b"")


def _picture(split: Path, view: View) -> tuple[Frame, Camera]:
    """The crop of a view and its camera."""
    number = int(view.name)
    annotation = read_annotation(split / "anno" / f"{number}.pkl")
    path = split / "img" / f"{number}.jpg"
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path} is missing or no picture.", "Prepare the split again.")
    if image.shape[:2] != (CROP_SIZE, CROP_SIZE):
        raise InputError(f"{path} is no crop of {CROP_SIZE} pixels.", "Prepare the split again.")
    k = annotation.camera.matrix
    camera = Camera(k[0, 0], k[1, 1], k[0, 2], k[1, 2], CROP_SIZE, CROP_SIZE, "file")
    return Frame(number, 0.0, np.ascontiguousarray(image[..., ::-1]), path.name), camera


def _hands(how: Making, truth: TruthFolder, view: View, camera: Camera) -> TwoHands:
    """The keypoints of a view in its camera frame."""
    assert view.rotation is not None and view.translation is not None
    found: dict[Side, HandKeypoints] = {}
    for side, name in hands_of(view, truth.known):
        shape = truth.shape(name)
        world = shape.to_world(shape.keypoints)
        if how.joints == "pred":
            path = joints_path(how.split, int(view.name), side, "pred_joints")
            if not path.exists():
                continue  # the method has no keypoints, so this hand is a miss
            joints = in_file_order(read_joints(path), "file", f"{side} hand in {path}")
            # The networks take the true wrist also at test time; files about their own wrist have no other place.
            world = joints - joints[0] + world[0]
        points = world @ view.rotation.T + view.translation
        found[side] = HandKeypoints(side, points, camera.project(points), np.ones(len(points)), 1.0, "file")
    return TwoHands(**{str(side): hand for side, hand in found.items()})
