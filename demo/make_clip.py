"""Renders the demo's moving clip: two hands come together, frame something with their finger tips, and part.

Run with the backend's Python (extra `train`): `.venv/backend/bin/python demo/make_clip.py [folder]`. It writes
`hands_clip.avi`, and beside it `hands_clip_truth.npz`, the exact keypoints in the format of `--keypoints`, and
`hands_clip_camera.json`, the camera in that of `--camera`. Skin, light, sleeves and wall are made up by the renderer;
the hand is the bundled one.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from im2hands.core.hands import SIDES, Camera
from im2hands.geometry.hand_model import HandModel, HandShape
from im2hands.geometry.signed_distance import ClosedMesh
from im2hands.lab.synthesis.blocks import in_camera
from im2hands.lab.synthesis.clips import frame_start, smooth_path
from im2hands.lab.synthesis.contact import measure_contact
from im2hands.lab.synthesis.interaction import PosedPairs, PoseSolver
from im2hands.lab.synthesis.joint_angles import BEND, COUNT, finger_angle
from im2hands.lab.synthesis.modes.placement import Start
from im2hands.lab.synthesis.pairs import Pair, PairMaker, pair_of
from im2hands.lab.synthesis.poses import mean_shape
from im2hands.lab.synthesis.rendering import Assets, Renderer, random_look
from im2hands.lab.synthesis.scene import hand_faces

FOLDER = Path(__file__).resolve().parent / "clip"
FRAMES = 60
FPS = 25.0
SIZE = 640, 360
FIELD_OF_VIEW = 50.0
DISTANCE_M = 0.46
OPPOSITE = np.array([[-1.0, 0, 0], [0, -1.0, 0], [0, 0, 1.0]])
"""Body frame to the axes of a camera that faces the person."""
TILT = cv2.Rodrigues(np.array([np.radians(25.0), 0, 0]))[0]
"""The camera looks up a little, so that fingers come towards it: palms that are seen flat on tell no depth."""
LOOK_SEED = 10
JPEG_QUALITY = 80

LEFT, RIGHT = 0, 1
_UP, _AWAY = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0])
"""Body frame: x to the person's right, y up, z to the person; the camera stands opposite."""


def angles(curl: tuple[float, float, float, float, float], fan: float, bend: float = 0.0) -> np.ndarray:
    """(24,) radians of a hand.

    Args:
        curl: of each finger, 0 straight, 1 closed. fan: degrees between the fingers. bend: of the wrist, degrees.
    """
    found = np.zeros(COUNT)
    for finger in range(1, 5):
        for joint, most in enumerate((80, 95, 60)):
            found[finger_angle(finger, joint)] = np.radians(most * curl[finger] + 4)
        found[finger_angle(finger, 3)] = np.radians(fan * (2.5 - finger) / 1.5) * (1 - 0.8 * curl[finger])
    for joint, (least, most) in enumerate(((0, 30), (0, 35), (8, 45))):
        found[finger_angle(0, joint)] = np.radians(least + (most - least) * curl[0])
    found[finger_angle(0, 3)] = np.radians(8 * (1 - curl[0]))
    found[BEND] = np.radians(bend)
    return found


def key(
    half: float, up: float, away: float, lean: float, palm_in: float, hands: tuple[np.ndarray, np.ndarray]
) -> Start:
    """Both hands, mirror images but for their fingers: palm centres ``half`` metres from the middle, leaning ``lean``
    degrees towards each other, palms turned in by ``palm_in`` degrees from facing the camera."""
    along, palm, place = [], [], []
    for side in (LEFT, RIGHT):
        inward = np.array([1.0 if side == LEFT else -1.0, 0, 0])
        a, b = np.radians(lean), np.radians(palm_in)
        along.append(np.cos(a) * _UP + np.sin(a) * inward)
        palm.append(np.cos(b) * _AWAY + np.sin(b) * inward)
        palm[-1] = palm[-1] - (palm[-1] @ along[-1]) * along[-1]
        palm[-1] /= np.linalg.norm(palm[-1])
        place.append(-half * inward + up * _UP + away * _AWAY)
    return Start("touching", np.stack(along), np.stack(palm), np.stack(place), np.stack(hands))


def key_poses(solver: PoseSolver, shape: HandShape) -> tuple[PosedPairs, list[float], Start]:
    """The poses the clip goes through, their times from 0 to 1, and the one whose finger tips meet."""
    relaxed, wide = angles((0.2, 0.12, 0.15, 0.2, 0.28), 5), angles((0.0, 0.0, 0.0, 0.0, 0.0), 13)
    frame = angles((0.0, 0.1, 0.45, 0.7, 0.8), 0)
    ripple = angles((0.1, 0.1, 0.3, 0.6, 0.85), 3)
    closed = angles((0.4, 0.6, 0.65, 0.7, 0.75), 0)
    meet = key(0.088, 0.0, 0.0, 24, 8, (frame, frame))
    meet.pulls = [(LEFT, tip, tip, 2.0) for tip in ("index_tip", "thumb_tip")]
    starts = [
        key(0.125, -0.005, 0.00, 5, 10, (relaxed, relaxed)),
        key(0.115, 0.00, 0.01, 9, 5, (ripple, wide)),
        meet,
        meet,
        key(0.112, 0.005, 0.02, 8, 5, (wide, wide)),
        key(0.115, 0.00, 0.02, 5, 5, (relaxed, closed)),
    ]
    times = [0.0, 0.2, 0.45, 0.6, 0.8, 1.0]
    return solver.solve(starts, repeated(shape, len(starts)), 120), times, meet


def repeated(shape: HandShape, count: int) -> HandShape:
    return HandShape(*(getattr(shape, name).repeat(count, 1) for name in ("components", "length", "thickness")))


def posed_frames() -> list[Pair]:
    """Both hands in every frame, body frame; penetration is resolved smoothly over the frames."""
    pairs = PairMaker(HandModel())
    shape = mean_shape(2)
    keys, times, meet = key_poses(pairs.solver, shape)
    bent, turned, where = smooth_path(np.array(times), keys.angles, keys.frame, keys.place, FRAMES)
    held = np.interp(np.linspace(0, 1, FRAMES), times, [float(k in (2, 3)) for k in range(len(times))]) ** 4
    starts = [frame_start(meet, bent[t], turned[t], where[t], float(held[t])) for t in range(FRAMES)]
    posed = pairs.solver.solve(starts, repeated(shape, FRAMES), 60, smooth=True)
    return [pair_of(posed, t, starts[t]) for t in range(FRAMES)]


def deepest(frames: list[Pair]) -> tuple[float, float]:
    """The deepest penetration and the smallest gap of both hands over the clip, metres."""
    model = HandModel()
    found = []
    for pair in frames:
        meshes = (ClosedMesh(v, hand_faces(model, k)) for k, v in enumerate(pair.vertices))
        found.append(measure_contact(*meshes, 0.05))
    return max(c.depth for c in found), min(c.gap for c in found)


def write_clip(folder: Path) -> None:
    """Write the clip, its truth and its camera into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    camera = Camera.from_fov(FIELD_OF_VIEW, *SIZE)
    frames = posed_frames()
    depth, gap = deepest(frames)
    print(f"deepest {1000 * depth:.2f} mm, nearest {1000 * gap:.2f} mm")
    rotation = TILT @ OPPOSITE
    middle = np.mean([pair.keypoints.reshape(-1, 3).mean(axis=0) for pair in frames], axis=0)
    translation = np.array([0.0, 0.0, DISTANCE_M]) - rotation @ middle
    assets = Assets()
    renderer = Renderer(assets, samples=4)
    look = random_look(np.random.default_rng(LOOK_SEED), assets, 2)
    look = replace(look, things=(), people=(), rings=(), watch=None, camera=replace(
        look.camera, motion=(0.0, 0.0), shot=0.0, read=0.0, grain=0.0, shrink=1.0, jpeg=0, vignette=0.15, defocus=0.35,
        infrared=0.0, saturation=1.0))  # fmt: skip
    path = folder / "hands_clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter_fourcc(*"MJPG"), FPS, SIZE)
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, JPEG_QUALITY)
    truth: dict[str, np.ndarray] = {}
    for number, pair in enumerate(frames, start=1):
        scene = in_camera(pair, rotation, translation, camera)
        drawn = renderer.render([(SIDES[k], scene.vertices[k]) for k in (0, 1)], camera, look)
        writer.write(drawn.image[..., ::-1])
        for k, side in enumerate(SIDES):
            truth[f"{number:06d}_{side}"] = scene.keypoints[k].astype(np.float32)
    writer.release()
    renderer.close()
    np.savez_compressed(folder / "hands_clip_truth.npz", order="file", unit="m", space="camera", **truth)
    text = json.dumps({name: getattr(camera, name) for name in ("fx", "fy", "cx", "cy", "width", "height")}, indent=1)
    (folder / "hands_clip_camera.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    torch.manual_seed(0)
    write_clip(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
