"""Accuracy and cost of template hands and clean motion, measured against known truth.

    python benchmarks/motion.py [--frames 150] [--hands 12] [--held-out SET] [--long 2000] [--json]
    OMP_NUM_THREADS=1 python benchmarks/motion.py --frames 0 --steady 0 --take 0 --hands 3 --seed 77 78 --fit-take TAKE

Measures surface distance, folds, jitter, error, lag, preserved amplitude, time and memory. The clips are simulated:
smooth motions of the bundled hand, with the noise of keypoint networks (``im2hands.lab.bench.simulated_clips``). The
surfaces are made by the bundled network from true keypoints. SET is a set of rendered scenes (``im2hands synthesize``).
TAKE is a take with surfaces, such as the demo's ``build/demo/clip_take``. The second line measures the fit alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from im2hands.animation.clean_options import CleanOptions
from im2hands.animation.cleaned_take import CleanTake
from im2hands.animation.motion.solve import solve
from im2hands.animation.motion.tracks import OBSERVED, RawTake, judge
from im2hands.animation.template.files import handed
from im2hands.animation.template.fit import Fitter
from im2hands.animation.template.rest import Rest, measure, rest_hand
from im2hands.animation.template.rig import forward, pose_from_keypoints, skin, stretched_matrices
from im2hands.animation.template.topology import Topology, load_topology
from im2hands.core.hands import SIDES, HandKeypoints, Side, TwoHands
from im2hands.geometry.normals import vertex_normals
from im2hands.geometry.surface_target import SurfaceTarget
from im2hands.job.clean_phase import CleanPhase
from im2hands.lab.bench.motion_figures import error, jitter, lag, peak_kept
from im2hands.lab.bench.one_euro import OneEuro
from im2hands.lab.bench.simulated_clips import Clip, Noise, simulate
from im2hands.lab.bench.template_figures import distances, self_intersections
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.evaluation.keypoints import camera_of
from im2hands.surfaces.from_keypoints import HandMesh
from im2hands.surfaces.load import load_reconstructor
from im2hands.take.record import FrameRecord
from im2hands.take.take import Take


def motion_figures(clip: Clip, gestures: list[tuple[int, int]]) -> dict[str, float]:
    """Measure the raw, the clean and the live (one-euro filtered) motion of a clip.

    Parameters
    ----------
    clip : Clip
        Simulated clip.
    gestures : list of (int, int)
        First and last frame of each gesture whose preserved amplitude is measured.

    Returns
    -------
    dict of str to float
        Means over both hands: jitter in mm/frame³, error in millimetres, lag in frames, amplitude as a share.
    """
    topology = load_topology(0)
    rows = []
    count = len(clip.truth["left"])
    raw = RawTake(np.arange(count), clip.seen, {side: np.zeros(count) for side in SIDES})
    for side, track in judge(raw, over_time=True).items():
        track.keypoints = handed(track.keypoints, side)
        rest = rest_hand(topology, measure(track.keypoints[track.status == OBSERVED], topology))
        clean = solve(track, rest).keypoints
        euro = OneEuro(clip.fps)
        seen, truth = track.keypoints, handed(clip.truth[side], side)
        live = np.array([euro(points) for points in seen])
        row = {}
        for name, values in (("raw", seen), ("clean", clean), ("live", live)):
            row[f"jitter_{name}"], row[f"error_{name}"] = jitter(values), error(values, truth)
            if name != "raw":
                row[f"lag_{name}"] = lag(values, truth)
                if gestures:
                    row[f"peak_{name}"] = float(np.mean([peak_kept(values, truth, *part) for part in gestures]))
        rows.append(row)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def surfaces_of(clip: Clip, step: int = 1) -> Iterator[tuple[np.ndarray, HandMesh]]:
    """Reconstruct the right hand of a clip from its true keypoints, with the bundled network.

    Parameters
    ----------
    clip : Clip
        Simulated clip.
    step : int
        Use every n-th frame.

    Yields
    ------
    points : (21, 3) float
        True keypoints, camera frame, metres.
    mesh : HandMesh
        Reconstructed surface, same frame.
    """
    reconstructor = load_reconstructor("bundled", device=torch.device("cpu"), voxel_m=0.0017, stage="keypoints")
    for points in clip.truth["right"][::step]:
        hand = HandKeypoints("right", points, clip.camera.project(points), np.ones(21), 1.0, "truth")
        meshes = reconstructor.reconstruct(None, clip.camera, TwoHands(right=hand))  # type: ignore[arg-type]
        yield points, meshes["right"]


def posed(points: np.ndarray, rest: Rest, weights: np.ndarray) -> np.ndarray:
    """Pose the template by keypoints, before it is fitted to a surface.

    Parameters
    ----------
    points : (21, 3) float
        Keypoints of a right hand, metres.
    rest : Rest
        Rest shape of the template.
    weights : array
        Skinning weights of the template.

    Returns
    -------
    (T, 3) float
        Vertices of the template, metres.
    """
    pose = pose_from_keypoints(points[None], rest)
    return skin(weights, stretched_matrices(forward(pose, rest), rest, points[None])[0], rest.vertices)


def template_figures(hands: int, seed: int) -> dict[str, float]:
    """Measure templates fitted to surfaces of simulated hands in random poses, made by the bundled network.

    Parameters
    ----------
    hands : int
        Number of poses.
    seed : int
        Seed of the shape and the poses.

    Returns
    -------
    dict of str to float
        See ``fitted_figures`` and ``summary``.
    """
    clip = simulate(hands * 20, seed=seed, noise=Noise(0, 0, 0, 0))
    topology = load_topology(1)
    rest = rest_hand(topology, measure(clip.truth["right"], topology))
    rows = [fitted_figures(topology, rest, points, mesh.vertices, mesh.faces) for points, mesh in surfaces_of(clip, 20)]
    return summary(rows)


def held_out_figures(folder: Path, scenes: int) -> dict[str, float]:
    """Measure templates fitted to surfaces of rendered hands, made by the bundled network.

    The rest shape of each template is measured on that hand alone.

    Parameters
    ----------
    folder : Path
        Scene set.
    scenes : int
        Number of scenes with two hands, evenly spaced in the set.

    Returns
    -------
    dict of str to float
        Number of hands, and the measures of ``fitted_figures`` and ``summary``.
    """
    data, topology = SceneSet(folder), load_topology(1)
    reconstructor = load_reconstructor("bundled", device=torch.device("cpu"), voxel_m=0.0017, stage="keypoints")
    both = [row for row in range(len(data)) if all(data.scene(row).present)]
    rows = []
    for row in both[:: max(1, len(both) // scenes)][:scenes]:
        scene = data.scene(row)
        camera = camera_of(scene)
        hands: dict[Side, HandKeypoints] = {}
        for side, points in zip(SIDES, scene.keypoints.astype(np.float64), strict=True):
            hands[side] = HandKeypoints(side, points, camera.project(points), np.ones(21), 1.0, "truth")
        for side, mesh in reconstructor.reconstruct(None, camera, TwoHands(**hands)).items():
            points = handed(hands[side].positions, side)
            rest = rest_hand(topology, measure(points[None], topology))
            faces = mesh.faces[:, ::-1] if side == "left" else mesh.faces
            rows.append(fitted_figures(topology, rest, points, handed(np.float64(mesh.vertices), side), faces))
    return {"hands": float(len(rows)), **summary(rows)}


def take_figures(folder: Path, frames: int) -> dict[str, float]:
    """Measure templates fitted to the surfaces of a take.

    The rest shape of each side's template is measured on these frames.

    Parameters
    ----------
    folder : Path
        Folder of the take.
    frames : int
        Number of frames, evenly spaced in the take.

    Returns
    -------
    dict of str to float
        As ``held_out_figures``.
    """
    take, topology = Take.open(folder), load_topology(1)
    numbers = list(take.records)
    chosen = [
        take.read_arrays(number, ("keypoints", "vertices", "faces"))
        for number in numbers[:: max(1, len(numbers) // frames)][:frames]
    ]
    rows = []
    for side in SIDES:
        hands = [arrays[side] for arrays in chosen if "vertices" in arrays.get(side, {})]
        if not hands:
            continue
        seen = np.array([handed(np.float64(hand["keypoints"]), side) for hand in hands])
        rest = rest_hand(topology, measure(seen, topology))
        for points, hand in zip(seen, hands, strict=True):
            faces = hand["faces"][:, ::-1] if side == "left" else hand["faces"]
            rows.append(fitted_figures(topology, rest, points, handed(np.float64(hand["vertices"]), side), faces))
    return {"hands": float(len(rows)), **summary(rows)}


def fitted_figures(
    topology: Topology, rest: Rest, points: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> dict[str, float]:
    """Pose a template by keypoints, fit it to a surface and measure it; everything is a right hand.

    Parameters
    ----------
    topology : Topology
        Topology of the template.
    rest : Rest
        Rest shape of the template.
    points : (21, 3) float
        Keypoints, metres.
    vertices : (V, 3) float
        Vertices of the surface, metres.
    faces : (F, 3) int
        Faces of the surface, oriented outward.

    Returns
    -------
    dict of str to float
        Distances before and after the fit, number of folds and of self-intersections, CPU seconds of the better of two
        fits.
    """
    fitter, weights = Fitter(topology, rest.vertices), topology.skin_weights()
    costs = []
    for _ in range(2):  # the first run also fills the processor's caches
        started = time.process_time()
        start = posed(points, rest, weights)
        target = SurfaceTarget(vertices, faces)
        fitted = fitter.fit(start, target).vertices
        costs.append(time.process_time() - started)
    mean, p95 = distances(fitted, target)
    cut_posed, cut = (float(self_intersections(v, topology.triangles)) for v in (start, fitted))
    return {
        "distance_before_mm": distances(start, target)[0] * 1000, "distance_mm": mean * 1000,
        "distance_p95_mm": p95 * 1000, "folds_posed": float(fitter.folds(start).sum()),
        "folds": float(fitter.folds(fitted).sum()), "cut_posed": cut_posed, "cut": cut,
        "cut_more_than_posed": float(cut > cut_posed), "cpu_seconds_a_hand": min(costs),
    }  # fmt: skip


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    """Average the measures of hands.

    Parameters
    ----------
    rows : list of dict
        Measures of each hand, see ``fitted_figures``.

    Returns
    -------
    dict of str to float
        Means, and the largest 95th percentile of the distances.
    """
    found = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    found["distance_p95_worst_mm"] = max(row["distance_p95_mm"] for row in rows)
    return found


def steadiness_figures(folder: Path, frames: int) -> dict[str, float]:
    """Compare the jitter of fitted templates with that of the surfaces they are fitted to, for a moving hand.

    Keypoints are exact. The jitter of the surface is measured at the surface points that are closest to the vertices of
    the posed (not fitted) template, where surface and template face the same way. The jitter of the fitted template is
    measured at the same vertices in the same frames, and at all vertices.

    Parameters
    ----------
    folder : Path
        Folder for the take.
    frames : int
        Number of frames.

    Returns
    -------
    dict of str to float
        Jitter in mm/frame³, distances in millimetres.
    """
    clip = simulate(frames, seed=77, noise=Noise(0, 0, 0, 0))
    take = write_take(folder, clip)
    CleanPhase(take, CleanOptions(), lambda work: work(), lambda done, total: None).run()
    topology = load_topology(1)
    rest, weights = rest_hand(topology, measure(clip.truth["right"], topology)), topology.skin_weights()
    starts, own, fitted, away = [], [], [], []
    for index, points in enumerate(clip.truth["right"], start=1):
        arrays = take.read_arrays(index, ("vertices", "faces", "template_vertices"))["right"]
        start = posed(points, rest, weights)
        target = SurfaceTarget(arrays["vertices"].astype(np.float64), arrays["faces"])
        nearest, facing = target.closest(start)
        alike = (facing * vertex_normals(start, topology.triangles)).sum(axis=1) > 0.35
        starts.append(start)
        own.append(np.where(alike[:, None], nearest, np.nan))
        fitted.append(arrays["template_vertices"].astype(np.float64))
        away.append(distances(fitted[-1], target))
    known = np.isfinite(np.diff(own, n=3, axis=0)).all(axis=-1)
    template = np.linalg.norm(np.diff(fitted, n=3, axis=0), axis=-1) * 1000
    mean, p95 = np.mean(away, axis=0) * 1000
    return {
        "posed_jitter_mm": jitter(np.array(starts)), "surface_jitter_mm": jitter(np.array(own)),
        "template_jitter_mm": float(template[known].mean()), "template_jitter_all_mm": float(template.mean()),
        "distance_mm": float(mean), "distance_p95_mm": float(p95),
    }  # fmt: skip


def write_take(folder: Path, clip: Clip, repeat: int = 1, voxel_m: float = 0.0017) -> Take:
    """Write a take of a clip, with surfaces of the bundled network.

    Parameters
    ----------
    folder : Path
        Folder for the take.
    clip : Clip
        Simulated clip; its noisy keypoints are used.
    repeat : int
        How many times the clip is played forward and backward.
    voxel_m : float
        Lattice spacing of the surfaces, metres.

    Returns
    -------
    Take
    """
    take = Take.create(
        folder,
        {
            "source": {"kind": "video", "inputs": ["clip"], "files": ["clip"], "first": 1, "step": 1}, "fps": clip.fps,
            "image_size": [clip.camera.width, clip.camera.height], "camera": clip.camera.to_dict(), "settings": {},
            "provenance": {},
        },
    )  # fmt: skip
    reconstructor = load_reconstructor("bundled", device=torch.device("cpu"), voxel_m=voxel_m, stage="keypoints")
    arrays: list[dict[str, np.ndarray]] = []
    for k in range(len(clip.truth["left"])):
        hands = {
            side: HandKeypoints(side, clip.seen[side][k], clip.camera.project(clip.seen[side][k]), np.ones(21), 1.0, "")
            for side in SIDES
        }
        meshes = reconstructor.reconstruct(None, clip.camera, TwoHands(hands["left"], hands["right"]))  # type: ignore[arg-type]
        arrays.append({})
        for side, mesh in meshes.items():
            own = {"vertices": mesh.vertices, "faces": mesh.faces, "bone_lengths": mesh.bone_lengths}
            own |= {"keypoints": hands[side].positions, "keypoints_2d": hands[side].pixels}
            own["confidence"] = hands[side].confidence
            arrays[-1] |= {f"{side}_{n}": v.astype(v.dtype if n == "faces" else np.float32) for n, v in own.items()}
    loop = list(range(len(arrays)))
    loop = (loop + loop[-2:0:-1]) * repeat
    facts = {side: {"confidence": 1.0, "source": "simulated"} for side in SIDES}
    for number, k in enumerate(loop, start=1):
        record = FrameRecord(number, "ok", "", {side: dict(fact) for side, fact in facts.items()}, "", str(number))
        take.write_frame(record, arrays[k])
    take.finish()
    return take


def clean_figures(folder: Path, clip: Clip) -> dict[str, float]:
    """Clean a whole take, and measure its distance from the truth and the time.

    Parameters
    ----------
    folder : Path
        Folder for the take.
    clip : Clip
        Simulated clip.

    Returns
    -------
    dict of str to float
        Seconds a frame, distances to the true surfaces in millimetres, jitter in mm/frame³, truncation error.
    """
    take = write_take(folder, clip)
    count = len(take.records)
    started, cpu = time.monotonic(), time.process_time()
    entry = CleanPhase(take, CleanOptions(), lambda work: work(), lambda done, total: None).run()
    found = {"seconds_a_frame": (time.monotonic() - started) / count}
    found["cpu_seconds_a_frame"] = (time.process_time() - cpu) / count
    clean = CleanTake.read(take)
    surface, template, cleaned = [], [], []
    for index in range(1, len(clip.truth["left"]) + 1, 5):
        for side, arrays in take.read_arrays(index, ("vertices", "template_vertices")).items():
            true = SurfaceTarget(clip.vertices[side][index - 1], clip.faces[side])
            for found_by, values in (
                (surface, arrays["vertices"]), (template, arrays["template_vertices"]),
                (cleaned, clean.hands[side].posed(clean.row(index))),
            ):  # fmt: skip
                found_by.append(distances(values.astype(np.float64), true)[0] * 1000)
    found["truth_surface_mm"], found["truth_template_mm"] = float(np.mean(surface)), float(np.mean(template))
    found["truth_clean_mm"] = float(np.mean(cleaned))
    moved, still = [], []
    for side, hand in clean.hands.items():
        raw = [take.read_arrays(index, ("template_vertices",))[side]["template_vertices"] for index in take.records]
        moved.append(jitter(np.array(raw)))
        still.append(jitter(np.array([hand.posed(row) for row in range(len(clean.frames))])))
    found["jitter_template"], found["jitter_clean_mesh"] = float(np.mean(moved)), float(np.mean(still))
    found["truncation_mm"] = float(np.mean([part["mean"] for part in entry["truncation_mm"].values()]))
    return found


def long_figures(folder: Path, frames: int) -> dict[str, float]:
    """Clean a long take, and measure time, growth of the peak memory and size on disk.

    Parameters
    ----------
    folder : Path
        Folder for the take.
    frames : int
        Approximate number of frames.

    Returns
    -------
    dict of str to float
        Seconds a frame; sizes in MiB.
    """
    clip = simulate(21, seed=5, noise=Noise(white=0.0005, slow=0.0, depth=0.0))
    take = write_take(folder, clip, repeat=max(frames // 40, 1), voxel_m=0.004)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    CleanPhase(take, CleanOptions(), lambda work: work(), lambda done, total: None).run()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sizes = {name: (take.folder / name).stat().st_size / 2**20 for name in ("motion.npz", "template.npz")}
    return {
        "frames": len(take.records), "seconds_a_frame": (time.monotonic() - started) / len(take.records),
        "peak_grew_mb": (after - before) / 1024, "motion_mb": sizes["motion.npz"], "template_mb": sizes["template.npz"],
    }  # fmt: skip


def main() -> None:
    """Run the benchmark and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=150, help="frames of the motion clips; 0: none")
    parser.add_argument("--hands", type=int, default=12, help="number of hands to which templates are fitted")
    parser.add_argument("--seed", type=int, nargs="+", default=[77], help="seeds of these hands and their poses")
    parser.add_argument("--fit-take", type=Path, metavar="TAKE", help="also fit templates to as many frames of a take")
    parser.add_argument("--held-out", type=Path, metavar="SET", help="also fit templates to hands of rendered scenes")
    parser.add_argument("--scenes", type=int, default=30, help="number of scenes of that set, evenly spaced")
    parser.add_argument("--steady", type=int, default=40, help="frames for the jitter of fitted templates; 0: none")
    parser.add_argument("--take", type=int, default=40, help="frames of the whole take; 0: none")
    parser.add_argument("--long", type=int, default=0, help="frames of a long take with coarse voxels; 0: none")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    frames = args.frames
    gestures = [(round(frames * share) - 13, round(frames * share) + 13) for share in (1 / 3, 2 / 3)]
    result: dict[str, Any] = {}
    if frames:
        result["motion: poses"] = motion_figures(simulate(frames, seed=3), [])
        result["motion: fast gesture"] = motion_figures(simulate(frames, seed=3, gesture=True), gestures)
    for seed in args.seed:
        result[f"templates on surfaces, seed {seed}"] = template_figures(args.hands, seed)
    if args.fit_take:
        result[f"templates on surfaces of {args.fit_take.name}"] = take_figures(args.fit_take, args.hands)
    if args.held_out:
        result["templates on surfaces of held-out scenes"] = held_out_figures(args.held_out, args.scenes)
    with tempfile.TemporaryDirectory() as folder:
        if args.steady:
            result["templates and surfaces in motion"] = steadiness_figures(Path(folder) / "steady", args.steady)
        if args.take:
            result["a take"] = clean_figures(Path(folder) / "take", simulate(args.take, seed=5))
        if args.long:
            result["a long take"] = long_figures(Path(folder) / "long", args.long)
    if args.json:
        print(json.dumps(result, indent=1))
        return
    for title, figures in result.items():
        print(title)
        for name, value in figures.items():
            print(f"  {name:26} {value:9.3f}")


if __name__ == "__main__":
    main()
