"""The steps of the training of the part occupancy network; they resume exactly."""

from __future__ import annotations

import io
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from im2hands.core.errors import InputError
from im2hands.core.files import write_atomically
from im2hands.core.hands import Side
from im2hands.geometry.bone_reach import BoneReach, HandsReach
from im2hands.geometry.bones import BONE_COUNT, QUERY_SCALE, THICKNESS_COUNT, Bones, bones_from_keypoints
from im2hands.lab.datasets.inexact_hands import forget_thickness, jitter_keypoints, other_skeletons
from im2hands.lab.datasets.part_occupancy import HandPoints, cut_distance
from im2hands.networks.part_decoder import PartDecoder, bone_local
from im2hands.networks.shape_encoder import skeleton_of

from .part_loss import part_loss
from .whitening import WhitenedPartDecoder, Whitening


@dataclass(frozen=True)
class TrainingSettings:
    """The recipe; the defaults are those of the first of the runs that made the bundled weights.

    Parameters
    ----------
    steps : int
        Optimiser steps.
    hands : int
        Hands in a step.
    points : int
        Points of each hand in a step.
    pool : int
        Hands in the data set.
    pool_points : int
        Labelled points of each hand in the data set.
    learning_rate : float
        Highest learning rate.
    softness : float
        Width of the soft target of the loss, metres.
    noise : float
        Largest standard deviation of the keypoint noise, metres.
    definition : float
        Strength of the jitter of joint definitions.
    skeletons : float
        Share of the hands whose joints lie where another skeleton has them.
    wide : float
        Share of the hands in the data set with shapes beyond the usual ones.
    shape : bool
        Whether the network has a shape encoder. The published ones have none.
    part_weight : float
        Weight of the part loss at the first step; it falls to 0 at half of the steps.
    claim_weight : float
        Weight of the claim loss at the first step; it falls to 0 at 40 % of the steps.
    seed : int
        Seed of the data set, the first weights and the batches.
    data : str
        Folder of the scene set or prepared split whose hands make up the data set; empty for synthetic hands, made at
        the start.
    """

    steps: int = 200_000
    hands: int = 8
    points: int = 256
    pool: int = 8000
    pool_points: int = 4096
    learning_rate: float = 3e-3
    softness: float = 0.001
    noise: float = 0.004
    definition: float = 1.0
    skeletons: float = 0.0
    wide: float = 0.0
    shape: bool = True
    part_weight: float = 0.2
    claim_weight: float = 0.3
    seed: int = 1
    data: str = ""


_BLOCK_STEPS = 64  # steps whose batches are drawn together
STREAM = 1_000_003
"""Keeps the random streams of different seeds apart."""


class Trainer:
    """One training run, in blocks of steps; it resumes exactly.

    Parameters
    ----------
    settings : TrainingSettings
        The recipe.
    folder : Path
        Folder of the checkpoint and the log.
    data : HandPoints
        The pool of labelled hands.
    device : torch.device
        Device of the model.

    Attributes
    ----------
    step : int
        Optimiser steps done.

    Raises
    ------
    InputError
        The pool is too small: some bone has no point inside it.
    """

    def __init__(self, settings: TrainingSettings, folder: Path, data: HandPoints, device: torch.device) -> None:
        self.settings, self.folder, self.data, self.device = settings, folder, data, device
        self.reach = BoneReach.default()
        self.step = 0
        torch.manual_seed(settings.seed)
        self.model = _whitened(data, settings).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint file."""
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        """Write the checkpoint atomically."""
        state = {
            "step": self.step,
            "settings": asdict(self.settings),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(self.checkpoint, buffer.getvalue())

    def start_from(self, decoder: PartDecoder) -> None:
        """Take the weights of a trained network instead of random ones."""
        self.model.take(decoder)

    def load(self) -> None:
        """Continue from the checkpoint in the folder.

        Raises
        ------
        InputError
            The checkpoint was made with other settings or cannot be read.
        """
        state = _read_checkpoint(self.checkpoint, self.device)
        if state["settings"] != asdict(self.settings):
            raise InputError(
                f"{self.checkpoint} was made with other settings.", "Give the same options, or start in another folder."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step: 200 steps of linear warm-up; cosine decay to a hundredth of the recipe's rate."""
        warm = min(1.0, (step + 1) / 200)
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.settings.steps))
        return self.settings.learning_rate * warm * (0.01 + 0.99 * cosine)

    def run_block(self) -> float:
        """Train up to the next multiple of 64 steps, or to the last step, and return the mean loss."""
        settings = self.settings
        block = self.step // _BLOCK_STEPS
        generator = torch.Generator().manual_seed(settings.seed * STREAM + block)
        count = _BLOCK_STEPS * settings.hands
        chosen = torch.randint(len(self.data.points), (count,), generator=generator)
        bones = _seen(self.data.keypoints[chosen], generator, settings)
        assert bones.joints is not None
        skeletons, true = skeleton_of(bones).float(), self.data.thickness[chosen].log().float()
        canonical = bones.joints.float()
        transforms, lengths = bones.transforms.float(), bones.lengths.float()
        turn, wrist = bones.rotation.float(), bones.wrist.float()
        rows = torch.randint(self.data.points.shape[1], (count, settings.points), generator=generator)
        points = self.data.points[chosen[:, None], rows]
        distance = self.data.distance[chosen[:, None], rows]
        part = self.data.part[chosen[:, None], rows].long()
        metres = (points - wrist[:, None]) @ turn.mT
        distance = cut_distance(distance, metres[..., 0], self.reach.stump)
        total = 0.0
        first = self.step % _BLOCK_STEPS
        for k in range(first, _BLOCK_STEPS):
            rows_of_step = slice(k * settings.hands, (k + 1) * settings.hands)
            batch = (metres, canonical, transforms, lengths, skeletons, true, distance, part)
            total += self._train_step(*(tensor[rows_of_step].to(self.device) for tensor in batch))
            self.step += 1
            if self.step >= settings.steps:
                break
        return total / (k + 1 - first)

    def _train_step(
        self, metres: Tensor, keypoints: Tensor, transforms: Tensor, lengths: Tensor, skeletons: Tensor,
        thickness: Tensor, distance: Tensor, part: Tensor,
    ) -> float:  # fmt: skip
        """One optimiser step on a batch of B hands; returns the loss.

        ``metres`` (B, N, 3) and ``keypoints`` (B, 21, 3) are in the canonical frame, metres; ``thickness`` (B, 17)
        has natural logarithms of metres.
        """
        progress = self.step / self.settings.steps
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        encoder, code, known, wrong = self.model.shape_encoder, None, None, metres.new_zeros(())
        turn, shift = transforms[:, :, :3, :3] / QUERY_SCALE, transforms[:, :, :3, 3]
        if encoder is not None:
            beyond = thickness - encoder.usual_thickness(skeletons)
            wrong = (beyond[~beyond.isnan()] ** 2).sum() / max(1, len(beyond))
            generator = torch.Generator().manual_seed((self.settings.seed * STREAM + self.step) * STREAM)
            known = forget_thickness(beyond.detach().cpu(), generator).to(metres)
            code = encoder(skeletons, known)
            turn, shift = code.fitted(turn, shift)
        folded = self.model.fold(transforms, lengths, code)
        near = HandsReach(keypoints, self.reach, None if known is None else known.exp()).near(metres)
        local = torch.einsum("bkij,bnj->bnki", turn, metres / QUERY_SCALE) + shift[:, None]
        loss = part_loss(
            folded, local, near, distance, part, self.settings.softness,
            part_weight=self.settings.part_weight * max(0.0, 1 - 2 * progress),
            claim_weight=self.settings.claim_weight * max(0.0, 1 - 2.5 * progress),
        )  # fmt: skip
        self.optimizer.zero_grad(set_to_none=True)
        (loss + wrong).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        return float(loss.detach())


def _read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise InputError(f"Cannot read {path}: {error}", "Start in another folder.") from error


def _seen(keypoints: Tensor, generator: torch.Generator, settings: TrainingSettings) -> Bones:
    """Bones of hands whose exact canonical ``keypoints`` (B, 21, 3) are seen as inexactly as the recipe says."""
    sides: list[Side] = ["right"] * len(keypoints)
    if settings.skeletons > 0:
        exact = bones_from_keypoints(keypoints, sides)
        keypoints = other_skeletons(keypoints, exact.transforms, generator, settings.skeletons)
    return bones_from_keypoints(
        jitter_keypoints(keypoints, generator, settings.noise, settings.definition), sides
    )  # fmt: skip


def _whitened(data: HandPoints, settings: TrainingSettings) -> WhitenedPartDecoder:
    """A new network, whitened for a few hundred hands with the recipe's keypoint jitter."""
    generator = torch.Generator().manual_seed(settings.seed * STREAM - 1)
    count = min(512, len(data.points))
    bones = _seen(data.keypoints[:count], generator, settings)
    stride = max(1, data.points.shape[1] * count // 200_000)  # enough for every bone
    points = bones.to_query_space(data.points[:count, ::stride].double())
    local = bone_local(bones.transforms, points)
    part = data.part[:count, ::stride].long()
    inside = data.distance[:count, ::stride] < 0
    own = local.gather(2, part[..., None, None].expand(-1, -1, 1, 3))[:, :, 0]
    mean = torch.stack([own[inside & (part == bone)].mean(0) for bone in range(BONE_COUNT)])
    if not torch.isfinite(mean).all():
        raise InputError("The pool is too small: some bone has no point inside.", "Use more hands or points a hand.")
    model = WhitenedPartDecoder(Whitening.measure(mean, bones.lengths, bones.transforms), shape=settings.shape)
    if model.shape_encoder is not None:
        thickness = data.thickness[:count].log()
        thickness = thickness[~thickness.isnan().any(dim=1)]
        usual = thickness if len(thickness) else data.thickness.new_zeros(1, THICKNESS_COUNT)
        model.shape_encoder.measure(skeleton_of(bones), usual, model.local_mean, model.local_scale)
    return model
