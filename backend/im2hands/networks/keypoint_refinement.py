"""The keypoint refinement network: corrects the keypoints of both hands by the image.

This is the keypoint refinement of Im2Hands (Lee et al., CVPR 2023). Both hands are processed together: tensors have an
axis of two hands, left then right. Inside the network keypoints are in halo order. ``prepare_keypoints`` brings
keypoints to the network's frame, ``place_keypoints`` brings its output back to the world.
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
"""Index of the middle MCP in halo order."""

_MILLIMETRES = 1000.0


@dataclass(frozen=True)
class PreparedKeypoints:
    """Keypoints in the network's frame, float64 (float32 on Metal).

    Parameters
    ----------
    relative : (B, 2, 21, 3) float64
        Keypoints in halo order, camera axes, relative to the left hand's middle MCP, millimetres.
    middle : (B, 3) float64
        The left hand's middle MCP, camera frame, metres.
    """

    relative: Tensor
    middle: Tensor


def prepare_keypoints(keypoints: Tensor, wrists: Tensor, rotation: Tensor, translation: Tensor) -> PreparedKeypoints:
    """Bring keypoints to the network's frame.

    Parameters
    ----------
    keypoints : (B, 2, 21, 3) float
        Left and right hand, file order, world axes, metres. Only the shape of each hand is used, not its position.
    wrists : (B, 2, 3) float
        Positions of the wrists, world frame, metres.
    rotation : (B, 3, 3) float
        World to camera.
    translation : (B, 3) float
        World to camera, metres.

    Raises
    ------
    ValueError
        ``keypoints`` has the wrong shape.
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
    """Bring the network's output back to the world.

    The output gives a hand's shape but not its position, because the loss compares each hand relative to its own middle
    MCP. So each hand is shifted as a whole, such that the mean offset from the network's input is zero.

    Parameters
    ----------
    output : (B, 2, 21, 3) float
        Output of the network, millimetres.
    prepared : PreparedKeypoints
        The input that it was computed from.
    rotation : (B, 3, 3) float
        World to camera.
    translation : (B, 3) float
        World to camera, metres.
    published_wrists : (B, 2, 3) float or None
        Wrists, world frame, metres. If given, the result is what the published generator writes: halo order, the
        camera's translation not undone, the wrist added once more. Only shapes relative to the wrist can be used of it.

    Returns
    -------
    (B, 2, 21, 3) float64
        Keypoints in file order (halo order with ``published_wrists``), world frame, metres.
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
    """Sizes and variants of the keypoint refinement network; the defaults are the published ones.

    Parameters
    ----------
    identity : int
        Channels of the learned embedding of a keypoint's number.
    point : int
        Channels of the embedding of its position.
    graph : int
        Channels that each layer adds.
    tokens : sequence of int
        Channels of an image token, for each layer.
    image : int
        Channels of the image features.
    heads : int
        Attention heads.
    grid : int
        Image tokens along each side.
    map_size : int
        Pixels along each side of the image features.
    hidden : int
        Channels inside the output head.
    unit : float
        Millimetres that count as 1 inside the network.
    residual : bool
        Whether the head's output is added to the input; in the published network it replaces the input.
    spare : bool
        Whether to hold the layers that the published checkpoints contain but that are not used.
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
    """Result of one layer for the left and the right hand.

    Parameters
    ----------
    graph : pair of (B, 21, graph) float
        Output of the graph layer.
    tokens : pair of (B, grid * grid, tokens) float
        Image tokens.
    features : pair of (B, 21, width) float
        Keypoint features after the layer.
    """

    graph: tuple[Tensor, Tensor]
    tokens: tuple[Tensor, Tensor]
    features: tuple[Tensor, Tensor]


class KeypointLayer(nn.Module):
    """A graph layer, then attention of each keypoint to the image; separate weights for left and right.

    Parameters
    ----------
    sizes : KeypointSizes
        Sizes of the network.
    layer : int
        Number of the layer, from 0.
    """

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
        """Apply the layer to both hands.

        Parameters
        ----------
        features : two (B, 21, width) float
            Keypoint features of the left and the right hand.
        image : (B, image, H, H) float
            Image features.
        """
        graphs, tokens, results = [], [], []
        for side, x in zip(SIDES, features, strict=True):
            attention = getattr(self, f"img_ex_{side}")
            encoded: ImageTokens = attention.encode(image)
            graphs.append(getattr(self, f"graph_{side}")(x))
            tokens.append(encoded.tokens)
            results.append(attention(torch.cat([x, graphs[-1]], dim=-1), encoded))
        return KeypointLayerResult((graphs[0], graphs[1]), (tokens[0], tokens[1]), (results[0], results[1]))


class KeypointRefinement(nn.Module):
    """The keypoint refinement network; with the default sizes its state_dict is the published one (882 entries).

    Parameters
    ----------
    sizes : KeypointSizes or None
        Sizes of the network; None for the published ones.
    encoder : PictureEncoder or None
        Image encoder, which other networks may share. None makes the published encoder.
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
        # img_final_layer and right_reg are part of the published checkpoints but unused: left_reg serves both hands.
        if sizes.spare:
            self.img_final_layer = nn.Conv2d(256, 32, 1)
        for side in SIDES:
            self.add_module(f"{side}_id_emb", nn.Embedding(KEYPOINT_COUNT, sizes.identity))
            self.add_module(f"{side}_pt_emb", _two_convolutions(3, sizes.point, sizes.point))
            if sizes.spare or side == "left":
                self.add_module(f"{side}_reg", _two_convolutions(width, sizes.hidden, 3))

    def image_features(self, maps: EncoderMaps) -> Tensor:
        """Compute the image features that the layers attend to.

        Parameters
        ----------
        maps : EncoderMaps
            Maps of the image encoder.

        Returns
        -------
        (B, image, H, H) float
            Image features; H is 64 in the published network.
        """
        return self.img_proj_layer(torch.cat([maps.image[-1], maps.heatmap[-1], maps.dense[-1]], dim=1))

    def embed(self, relative: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the first features of the keypoints.

        Parameters
        ----------
        relative : (B, 2, 21, 3) float
            Keypoints; see ``PreparedKeypoints``.

        Returns
        -------
        pair of (B, 21, identity + point) float
            Features of the left and the right hand.
        """
        relative = relative.to(self.img_proj_layer.weight.dtype) / self.sizes.unit
        results = []
        for hand, side in enumerate(SIDES):
            points = getattr(self, f"{side}_pt_emb")(relative[:, hand].mT).mT
            identity = getattr(self, f"{side}_id_emb").weight.expand(len(points), -1, -1)
            results.append(torch.cat([identity, points], dim=-1))
        return results[0], results[1]

    def refine(self, relative: Tensor, image: Tensor) -> tuple[Tensor, list[KeypointLayerResult]]:
        """Refine keypoints, given the image features.

        Parameters
        ----------
        relative : (B, 2, 21, 3) float
            Keypoints; see ``PreparedKeypoints``.
        image : (B, image, H, H) float
            Image features, from ``image_features``.

        Returns
        -------
        output : (B, 2, 21, 3) float
            Refined keypoints, millimetres; see ``forward``.
        results : list of KeypointLayerResult
            Results of the layers.
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

        Parameters
        ----------
        image : (B, 3, 256, 256) float
            Crops, RGB, ImageNet-normalised.
        relative : (B, 2, 21, 3) float
            Keypoints; see ``PreparedKeypoints``.

        Returns
        -------
        (B, 2, 21, 3) float
            Keypoints in halo order, camera axes, millimetres. The position of each hand is undefined; see
            ``place_keypoints``.
        """
        return self.refine(relative, self.image_features(self.image_encoder(image)))[0]


def keypoint_loss(output: Tensor, target: Tensor) -> Tensor:
    """Compute the mean squared error of each hand relative to its own middle MCP, summed over the two hands.

    Parameters
    ----------
    output : (B, 2, 21, 3) float
        Output of the network, millimetres.
    target : (B, 2, 21, 3) float64
        True keypoints, millimetres.

    Returns
    -------
    () float64
        Loss, square millimetres.
    """
    return (_rooted(output).to(target.dtype) - _rooted(target)).square().mean(dim=(0, 2, 3)).sum()


def keypoint_distances(output: Tensor, target: Tensor) -> Tensor:
    """Compute the mean distance of the keypoints for each side, every hand relative to its own middle MCP.

    Parameters
    ----------
    output : (B, 2, 21, 3) float
        Estimated keypoints, millimetres.
    target : (B, 2, 21, 3) float
        True keypoints, millimetres. The result has their dtype.

    Returns
    -------
    (2,) float
        Mean distances of left and right hands, millimetres.
    """
    return torch.linalg.vector_norm(_rooted(output).to(target.dtype) - _rooted(target), dim=-1).mean(dim=(0, 2))


def keypoint_error(output: Tensor, target: Tensor) -> Tensor:
    """Compute the mean distance of the keypoints, every hand relative to its own middle MCP.

    Parameters
    ----------
    output : (B, 2, 21, 3) float
        Estimated keypoints, millimetres.
    target : (B, 2, 21, 3) float
        True keypoints, millimetres. The result has their dtype.

    Returns
    -------
    () float
        Mean distance over both sides, millimetres.
    """
    return keypoint_distances(output, target).mean()


def _rooted(keypoints: Tensor) -> Tensor:
    """Keypoints in halo order relative to the middle MCP."""
    return keypoints - keypoints[..., HALO_MIDDLE_MCP, None, :]


def _two_convolutions(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Linear, ReLU, dropout, linear, for each point on its own."""
    return nn.Sequential(
        nn.Conv1d(inputs, hidden, 1), nn.ReLU(), nn.Dropout(DROPOUT), nn.Conv1d(hidden, outputs, 1)
    )  # fmt: skip
