"""The reading network from MediaPipe's landmark network, and back into MediaPipe's TFLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from im2hands.core.errors import WeightsError

from .tflite_layers import Layer, layers, show_input

if TYPE_CHECKING:
    from im2hands.networks.reading_network import ReadingNetwork

_HINT = "Install im2hands again."
_FIRST_SPREAD = -2.0  # logarithm of all spreads before training, palm lengths


def mediapipe_start() -> ReadingNetwork:
    """Return a reading network with the weights of MediaPipe's hand landmark network, which gives the same readings.

    All spreads are the same, instead of MediaPipe's depths.

    Raises
    ------
    SetupError
        The hand bundle is missing or damaged.
    WeightsError
        The hand bundle holds another network.
    """
    import torch

    from im2hands.networks.reading_network import ReadingNetwork

    from .mediapipe_bundle import read_bundle

    model, file = ReadingNetwork(), read_bundle(None).landmark_network
    with torch.no_grad():
        for module, layer in _matched(model, file):
            values = layer.weight.read(file)
            if values.ndim == 4:
                values = values.transpose((3, 0, 1, 2) if layer.depthwise else (0, 3, 1, 2))
            if values.shape != tuple(module.weight.shape):
                raise WeightsError("MediaPipe's landmark network has other sizes than expected.", _HINT)
            module.weight.copy_(torch.from_numpy(values))
            module.bias.copy_(torch.from_numpy(layer.bias.read(file)))
        model.pixels.weight[2::3] = 0
        model.pixels.bias[2::3] = _FIRST_SPREAD
    return model


def as_tflite(model: ReadingNetwork) -> bytes:
    """Return the network as a TFLite model that can replace MediaPipe's landmark network.

    The names of the outputs are the same. The third coordinate of a keypoint is the logarithm of its spread.

    Parameters
    ----------
    model : ReadingNetwork
        The network.

    Returns
    -------
    bytes
        The TFLite file. It reads hands of either side; see ``reading_side``.

    Raises
    ------
    SetupError
        The hand bundle is missing or damaged.
    WeightsError
        The hand bundle holds another network.
    """
    from .mediapipe_bundle import read_bundle

    file = bytearray(read_bundle(None).landmark_network)
    for module, layer in _matched(model, bytes(file)):
        weight, bias = (value.detach().float().cpu().numpy() for value in (module.weight, module.bias))
        if weight.ndim == 4:
            weight = weight.transpose((1, 2, 3, 0) if layer.depthwise else (0, 2, 3, 1))
        if weight.shape != layer.weight.shape:
            raise WeightsError("MediaPipe's landmark network has other sizes than expected.", _HINT)
        layer.weight.write(file, weight)
        layer.bias.write(file, bias)
    return bytes(file)


def reading_side(file: bytes, model: ReadingNetwork, side: int) -> bytes:
    """Return the network as a TFLite model that reads hands of one side.

    Parameters
    ----------
    file : bytes
        The network, from ``as_tflite``.
    model : ReadingNetwork
        The network.
    side : int
        Side of the hand that the model reads: 1 right, -1 left, 0 either.

    Returns
    -------
    bytes
        The TFLite file.
    """
    from im2hands.networks.reading_network import SIDED_BLOCK

    made, sided = bytearray(file), model.each_block()[SIDED_BLOCK].project
    (layer,) = (layer for module, layer in _matched(model, file) if module is sided)
    assert sided.bias is not None
    bias, shift = (value.detach().float().cpu().numpy() for value in (sided.bias, model.side))
    layer.bias.write(made, bias + side * shift)
    return bytes(made)


def showing_features(model: bytes) -> bytes:
    """Return a landmark network that outputs the feature vector of a crop in place of one of its readings.

    Parameters
    ----------
    model : bytes
        MediaPipe's landmark network, or the result of ``as_tflite`` or ``reading_side``.

    Returns
    -------
    bytes
        The TFLite file.

    Raises
    ------
    WeightsError
        The file holds another network.
    """
    file = bytearray(model)
    show_input(file, 0)
    return bytes(file)


def _matched(model: ReadingNetwork, file: bytes) -> list[tuple[Any, Layer]]:
    """The network's layers, each with the corresponding layer in MediaPipe's file."""
    modules, found = model.layers(), layers(file)
    if len(found) != len(modules):
        raise WeightsError("MediaPipe's landmark network has other layers than expected.", _HINT)
    return list(zip(modules, found, strict=True))
