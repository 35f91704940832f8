"""Template hands and clean motion against the truth: distances, folds, jitter, error, lag, peaks, seconds and memory.

    python benchmarks/motion.py [--frames 150] [--hands 12] [--held-out SET] [--long 2000] [--json]

Clips are made of the bundled hand's poses, moved smoothly and seen with the noise of keypoint networks (see
``im2hands.lab.simulated_clips``). Surfaces are those of the bundled network, made from true keypoints; SET
is a set of rendered scenes (``im2hands synthesize``).
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
from im2hands.animation.motion.smoothing import OneEuro
from im2hands.animation.motion.solve import solve
from im2hands.animation.motion.tracks import OBSERVED, RawTake, judge
from im2hands.animation.template.files import handed
from im2hands.animation.template.fit import Fitter
from im2hands.animation.template.rest import Rest, measure, rest_hand
from im2hands.animation.template.rig import forward, pose_from_keypoints, skin, stretched_matrices
from im2hands.animation.template.surface_target import SurfaceTarget
from im2hands.animation.template.topology import Topology, load_topology
from im2hands.core.hands import SIDES, HandKeypoints, Side, TwoHands
from im2hands.geometry.normals import vertex_normals
from im2hands.job.clean_phase import CleanPhase
from im2hands.lab.bench.motion_figures import error, jitter, lag, peak_kept
from im2hands.lab.bench.simulated_clips import Clip, Noise, simulate
from im2hands.lab.bench.template_figures import distances, self_intersections
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.evaluation.keypoints import camera_of
from im2hands.surfaces.from_keypoints import HandMesh
from im2hands.surfaces.load import load_reconstructor
from im2hands.take.take import FrameRecord, Take


def motion_figures(clip: Clip, gestures: list[tuple[int, int]]) -> dict[str, float]:
    """Raw, clean and live motion of both hands of a clip, means over the hands."""
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
    """Exact keypoints (21, 3) of the clip's right hand in every step-th frame, and the bundled network's surface."""
    reconstructor = load_reconstructor("bundled", device=torch.device("cpu"), voxel_m=0.0017, stage="keypoints")
    for points in clip.truth["right"][::step]:
        hand = HandKeypoints("right", points, clip.camera.project(points), np.ones(21), 1.0, "truth")
        meshes = reconstructor.reconstruct(None, clip.camera, TwoHands(right=hand))  # type: ignore[arg-type]
        yield points, meshes["right"]


def posed(points: np.ndarray, rest: Rest, weights: np.ndarray) -> np.ndarray:
    """The template (T, 3) as these keypoints (21, 3) pose it, before it is fitted."""
    pose = pose_from_keypoints(points[None], rest)
    return skin(weights, stretched_matrices(forward(pose, rest), rest, points[None])[0], rest.vertices)


def template_figures(hands: int, seed: int) -> dict[str, float]:
    """Templates on the bundled network's surfaces of random hands in random poses."""
    clip = simulate(hands * 20, seed=seed, noise=Noise(0, 0, 0, 0))
    topology = load_topology(1)
    rest = rest_hand(topology, measure(clip.truth["right"], topology))
    rows = [fitted_figures(topology, rest, points, mesh.vertices, mesh.faces) for points, mesh in surfaces_of(clip, 20)]
    return summary(rows)


def held_out_figures(folder: Path, scenes: int) -> dict[str, float]:
    """Templates on the bundled network's surfaces of both hands of rendered scenes, each hand measured by itself."""
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


def fitted_figures(
    topology: Topology, rest: Rest, points: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> dict[str, float]:
    """One template, posed by keypoints (21, 3) and fitted to a surface; all of a right hand."""
    fitter, weights = Fitter(topology, rest.vertices), topology.skin_weights()
    started = time.process_time()
    start = posed(points, rest, weights)
    target = SurfaceTarget(vertices, faces)
    fitted = fitter.fit(start, target).vertices
    seconds = time.process_time() - started
    mean, p95 = distances(fitted, target)
    cut_posed, cut = (float(self_intersections(v, topology.triangles)) for v in (start, fitted))
    return {
        "distance_before_mm": distances(start, target)[0] * 1000, "distance_mm": mean * 1000,
        "distance_p95_mm": p95 * 1000, "folds_posed": float(fitter.folds(start).sum()),
        "folds": float(fitter.folds(fitted).sum()), "cut_posed": cut_posed, "cut": cut,
        "cut_more_than_posed": float(cut > cut_posed), "cpu_seconds_a_hand": seconds,
    }  # fmt: skip


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    """Means over hands, and the worst of them."""
    found = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    found["distance_p95_worst_mm"] = max(row["distance_p95_mm"] for row in rows)
    return found


def steadiness_figures(folder: Path, frames: int) -> dict[str, float]:
    """Temporal noise of a take's templates beside that of the surfaces themselves, hands of exact keypoints in motion.

    The surface's own is that of the points of it which lie closest to the smoothly posed template's vertices, where the
    surface faces the same way; the template's is taken at the same vertices in the same frames, and at all.
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
    """A take of a clip, ``repeat`` times over, forth and back; surfaces by the bundled network."""
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
    """A whole take, cleaned: how far its hands are from the truth, and what it took."""
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
    """A long take: seconds, memory at its peak, and what it takes on disk."""
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
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--hands", type=int, default=12, help="hands whose templates are measured")
    parser.add_argument("--seed", type=int, default=77, help="of these hands and their poses")
    parser.add_argument("--held-out", type=Path, metavar="SET", help="templates of hands of rendered scenes, too")
    parser.add_argument("--scenes", type=int, default=30, help="of that set, evenly over it")
    parser.add_argument("--steady", type=int, default=40, help="frames in which templates' steadiness is measured")
    parser.add_argument("--take", type=int, default=40, help="frames of the whole take; 0: none")
    parser.add_argument("--long", type=int, default=0, help="frames of a long take (2000), at coarse voxels")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    frames = args.frames
    gestures = [(round(frames * share) - 13, round(frames * share) + 13) for share in (1 / 3, 2 / 3)]
    result: dict[str, Any] = {
        "motion: poses": motion_figures(simulate(frames, seed=3), []),
        "motion: fast gesture": motion_figures(simulate(frames, seed=3, gesture=True), gestures),
        "templates on surfaces": template_figures(args.hands, args.seed),
    }
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
