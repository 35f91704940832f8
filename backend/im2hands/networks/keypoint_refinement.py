"""Keypoint refinement: the keypoints of two hands, corrected by what the image shows (specification section 8).

Both hands go together: tensors have an axis of two hands, left then right, and keypoints are in halo order inside the
network. ``prepare_keypoints`` brings keypoints to the network's frame, ``place_keypoints`` its output back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from im2hands.core.devices import exact_dtype
from im2hands.core.hands import FILE_TO_HALO, HALO_TO_FILE, KEYPOINT_COUNT, SIDES, WRIST

from .attention import DROPOUT, ImageTokens, QueryImageAttention
from .image_encoder import EncoderMaps, ImageEncoder, PictureEncoder
from .keypoint_graph import GraphLayer

HALO_MIDDLE_MCP = 4
_MILLIMETRES = 1000.0


@dataclass(frozen=True)
class PreparedKeypoints:
    """Keypoints in the network's frame, float64 (see :func:`~im2hands.core.devices.exact_dtype`).

    Args:
        relative: (B, 2, 21, 3), halo order, camera axes, relative to the left hand's middle MCP, millimetres.
        middle: (B, 3), that joint, camera frame, metres.
    """

    relative: Tensor
    middle: Tensor


def prepare_keypoints(keypoints: Tensor, wrists: Tensor, rotation: Tensor, translation: Tensor) -> PreparedKeypoints:
    """Keypoints to the network's frame.

    Args:
        keypoints: (B, 2, 21, 3), left and right hand, file order, world axes, metres; each hand's position is free.
        wrists: (B, 2, 3), where the wrists are, world frame, metres. rotation, translation: (B, 3, 3) and (B, 3)
            metres, world to camera.

    Raises:
        ValueError: shapes that do not fit.

    Source: specification section 8, input preparation.
    """
    if keypoints.ndim != 4 or keypoints.shape[1:] != (2, KEYPOINT_COUNT, 3):
        raise ValueError(f"keypoints {tuple(keypoints.shape)} are not (B, 2, 21, 3)")
    points = keypoints.to(exact_dtype(keypoints.device))
    wrists, rotation, translation = wrists.to(points), rotation.to(points), translation.to(points)
    world = points - points[:, :, WRIST, None] + wrists[:, :, None]
    camera = world[:, :, list(FILE_TO_HALO)] @ rotation[:, None].mT + translation[:, None, None]
    middle = camera[:, 0, HALO_MIDDLE_MCP]
    return PreparedKeypoints((camera - middle[:, None, None]) * _MILLIMETRES, middle)


def place_keypoints(
    output: Tensor, prepared: PreparedKeypoints, rotation: Tensor, translation: Tensor, *,
    published_wrists: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The network's output in the world.

    The output knows a hand's shape but not its place: the loss compares each hand relative to its own middle MCP. So
    each hand is moved, as a whole, to where its keypoints are on average nearest to the network's input.

    Args:
        output: (B, 2, 21, 3) of the network, millimetres. prepared: what it was made from. rotation, translation:
            (B, 3, 3) and (B, 3) metres, world to camera.
        published_wrists: compatibility. Given the wrists (B, 2, 3), world frame, metres, the result is what the
            published generator writes: halo order, the camera's translation not undone, the wrist added once more.
            Only shapes relative to the wrist can be used of it.

    Returns:
        (B, 2, 21, 3) float64, file order (with ``published_wrists`` halo order), world frame, metres.
    """
    exact = prepared.relative
    turn = rotation.to(exact)[:, None]
    if published_wrists is not None:
        camera = (output / _MILLIMETRES).to(exact) + prepared.middle[:, None, None]
        return camera @ turn + published_wrists.to(exact)[:, :, None]
    placed = output.to(exact)
    placed = placed + (prepared.relative - placed).mean(2, keepdim=True)
    camera = placed / _MILLIMETRES + prepared.middle[:, None, None]
    return ((camera - translation.to(exact)[:, None, None]) @ turn)[:, :, list(HALO_TO_FILE)]


@dataclass(frozen=True)
class KeypointSizes:
    """Sizes of the network; the defaults are the published ones.

    Args:
        identity, point: channels of the two parts of a keypoint's first feature. graph: channels a layer adds.
        tokens: per layer, channels of an image token. image: channels of the image features. heads: of the attention.
        grid: tokens a side. map_size: pixels a side of the image features. hidden: channels inside the head.
        unit: millimetres that count as 1 inside the network. residual: the head's output is added to the input, where
            the published network replaces it. spare: hold the layers that belong to the checkpoints but are not used.
    """

    identity: int = 16
    point: int = 32
    graph: int = 16
    tokens: Sequence[int] = (64, 82, 96, 112)
    image: int = 256
    heads: int = 4
    grid: int = 8
    map_size: int = 64
    hidden: int = 32
    unit: float = 1.0
    residual: bool = False
    spare: bool = True


@dataclass(frozen=True)
class KeypointLayerResult:
    """What one layer makes of both hands, left then right.

    Args:
        graph: (B, 21, graph) each. tokens: (B, grid², tokens) each. features: (B, 21, width) each.
    """

    graph: tuple[Tensor, Tensor]
    tokens: tuple[Tensor, Tensor]
    features: tuple[Tensor, Tensor]


class KeypointLayer(nn.Module):
    """A graph layer, then attention of each keypoint to the image; separate weights for left and right."""

    def __init__(self, sizes: KeypointSizes, layer: int) -> None:
        super().__init__()
        width = sizes.identity + sizes.point + layer * sizes.graph
        for side in SIDES:
            attention = QueryImageAttention(
                sizes.image, sizes.tokens[layer], width + sizes.graph,
                grid=sizes.grid, heads=sizes.heads, map_size=sizes.map_size,
            )  # fmt: skip
            self.add_module(f"graph_{side}", GraphLayer(width, sizes.graph))
            self.add_module(f"img_ex_{side}", attention)

    def forward(self, features: Sequence[Tensor], image: Tensor) -> KeypointLayerResult:
        """Features (B, 21, width) of the left and right hand, and the image features (B, image, H, H)."""
        graphs, tokens, results = [], [], []
        for side, x in zip(SIDES, features, strict=True):
            attention = getattr(self, f"img_ex_{side}")
            encoded: ImageTokens = attention.encode(image)
            graphs.append(getattr(self, f"graph_{side}")(x))
            tokens.append(encoded.tokens)
            results.append(attention(torch.cat([x, graphs[-1]], dim=-1), encoded))
        return KeypointLayerResult((graphs[0], graphs[1]), (tokens[0], tokens[1]), (results[0], results[1]))


class KeypointRefinement(nn.Module):
    """The keypoint refinement network (section 8).

    Args:
        sizes: of the network. encoder: of the image, which other networks may share; None makes the published one.
    """

    left_reg: nn.Sequential

    def __init__(self, sizes: KeypointSizes | None = None, encoder: PictureEncoder | None = None) -> None:
        super().__init__()
        self.sizes = sizes = sizes or KeypointSizes()
        layers = len(sizes.tokens)
        width = sizes.identity + sizes.point + layers * sizes.graph
        self.image_encoder = encoder or ImageEncoder()
        maps = self.image_encoder.sizes
        self.img_proj_layer = nn.Conv2d(maps.image + 2 * maps.channels, sizes.image, 1)
        self.gcn_layers = nn.ModuleList(KeypointLayer(sizes, layer) for layer in range(layers))
        # img_final_layer and right_reg belong to the checkpoints; both hands' outputs come from left_reg.
        if sizes.spare:
            self.img_final_layer = nn.Conv2d(256, 32, 1)
        for side in SIDES:
            self.add_module(f"{side}_id_emb", nn.Embedding(KEYPOINT_COUNT, sizes.identity))
            self.add_module(f"{side}_pt_emb", _two_convolutions(3, sizes.point, sizes.point))
            if sizes.spare or side == "left":
                self.add_module(f"{side}_reg", _two_convolutions(width, sizes.hidden, 3))

    def image_features(self, maps: EncoderMaps) -> Tensor:
        """The image features I, (B, image, 64, 64), of the encoder's maps (step 1)."""
        return self.img_proj_layer(torch.cat([maps.image[-1], maps.heatmap[-1], maps.dense[-1]], dim=1))

    def embed(self, relative: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints (B, 2, 21, 3), see :class:`PreparedKeypoints`, to first features (B, 21, 48) a hand (step 2)."""
        relative = relative.to(self.img_proj_layer.weight.dtype) / self.sizes.unit
        results = []
        for hand, side in enumerate(SIDES):
            points = getattr(self, f"{side}_pt_emb")(relative[:, hand].mT).mT
            identity = getattr(self, f"{side}_id_emb").weight.expand(len(points), -1, -1)
            results.append(torch.cat([identity, points], dim=-1))
        return results[0], results[1]

    def refine(self, relative: Tensor, image: Tensor) -> tuple[Tensor, list[KeypointLayerResult]]:
        """Steps 2 to 4, for image features that are known.

        Args:
            relative: (B, 2, 21, 3) millimetres. image: (B, image, 64, 64), of :meth:`image_features`.

        Returns:
            (B, 2, 21, 3) millimetres and what the layers made.
        """
        features: Sequence[Tensor] = self.embed(relative)
        results = []
        for layer in self.gcn_layers:
            results.append(layer(features, image))
            features = results[-1].features
        output = torch.stack([self.left_reg(x.mT).mT for x in features], dim=1) * self.sizes.unit
        if self.sizes.residual:
            output = output + relative.to(output)
        return output, results

    def forward(self, image: Tensor, relative: Tensor) -> Tensor:
        """Refine the keypoints of both hands.

        Args:
            image: (B, 3, 256, 256), RGB, ImageNet-normalised (2.3). relative: (B, 2, 21, 3) millimetres, see
                :class:`PreparedKeypoints`.

        Returns:
            (B, 2, 21, 3), halo order, camera axes, millimetres; each hand up to a translation (see
            :func:`place_keypoints`).
        """
        return self.refine(relative, self.image_features(self.image_encoder(image)))[0]


def keypoint_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each hand relative to its own middle MCP, summed over the hands (section 10).

    Args:
        output: (B, 2, 21, 3) millimetres. target: the same, float64.

    Returns:
        () float64, square millimetres.
    """
    return (_rooted(output).to(target.dtype) - _rooted(target)).square().mean(dim=(0, 2, 3)).sum()


def keypoint_distances(output: Tensor, target: Tensor) -> Tensor:
    """Mean distance of the keypoints of each side's hands, relative to their own middle MCPs; (2,) millimetres.

    Args:
        output: (B, 2, 21, 3) millimetres. target: the same; its type is the result's.
    """
    return torch.linalg.vector_norm(_rooted(output).to(target.dtype) - _rooted(target), dim=-1).mean(dim=(0, 2))


def keypoint_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean distance of the keypoints, each hand relative to its own middle MCP, () float64 millimetres (section 11)."""
    return keypoint_distances(output, target).mean()


def _rooted(keypoints: Tensor) -> Tensor:
    return keypoints - keypoints[..., HALO_MIDDLE_MCP, None, :]


def _two_convolutions(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Linear, ReLU, dropout, linear, per point."""
    return nn.Sequential(
        nn.Conv1d(inputs, hidden, 1), nn.ReLU(), nn.Dropout(DROPOUT), nn.Conv1d(hidden, outputs, 1)
    )  # fmt: skip
