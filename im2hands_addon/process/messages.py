"""The lines that go to and come from the backend (``docs/protocol.md``)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

PROTOCOL = 1


@dataclass(frozen=True)
class Options:
    """What a reconstruction is to do; the names and defaults are the protocol's. None means: not said.

    Args:
        frames: "1-100,120", "" for all. step: every how many frames. keypoints: "auto", "mediapipe", "network" or a
            file's path.
        hand_boxes: a file's path. crop_search: whether to search hands that touch. mirrored: the pictures are mirror
            images. camera: a file's path.
        focal_px: pixels. fov: degrees, across the longer side of the picture. weights: "bundled" or a folder.
        stage: "keypoints", "initial" or "refined". voxel_mm: size of the surface's grid. device: "auto", "cpu", "cuda"
            or "mps".
        resume: keep finished frames. palm_mm: length of the palm. fps: frames a second, for pictures.
        keypoint_refinement: correct the keypoints of two hands, if the weights have the network for it.
        clean: make template hands and clean motion at the end. smoothing: of the motion, 0 to 1. gap: frames at most
            that are filled in. template_density: of the template's mesh, 0 to 2.
    """

    frames: str | None = None
    step: int = 1
    keypoints: str = "auto"
    hand_boxes: str | None = None
    crop_search: bool = True
    mirrored: bool | None = None
    camera: str | None = None
    focal_px: float | None = None
    fov: float | None = None
    weights: str = "bundled"
    stage: str | None = None
    voxel_mm: float = 1.7
    device: str = "auto"
    resume: bool = True
    palm_mm: float | None = None
    fps: float | None = None
    keypoint_refinement: bool = True
    clean: bool = True
    smoothing: float = 0.5
    gap: int = 12
    template_density: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The options as they go over the wire: those that were said."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}


def encode(message: dict[str, Any]) -> bytes:
    """One message as a line."""
    return json.dumps(message, ensure_ascii=False).encode("utf-8") + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """The message in a line, or None when the line holds none (something else wrote to the pipe)."""
    try:
        message = json.loads(line.decode("utf-8"))
    except ValueError:
        return None
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None


def hello(client: str) -> dict[str, Any]:
    """The first request; answered by ``ready``."""
    return {"type": "hello", "id": "hello", "protocol": PROTOCOL, "client": client}


def reconstruct(job: str, inputs: list[str], output: str, options: Options) -> dict[str, Any]:
    """The request for a job; ``inputs`` and ``output`` are absolute paths."""
    return {"type": "reconstruct", "id": job, "inputs": inputs, "output": output, "options": options.to_dict()}


def cancel(job: str) -> dict[str, Any]:
    """The request to end a job and keep what is finished."""
    return {"type": "cancel", "id": f"cancel-{job}", "job": job}


def shutdown() -> dict[str, Any]:
    """The request to end the backend."""
    return {"type": "shutdown", "id": "shutdown"}
