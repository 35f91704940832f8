"""The layers of a TFLite model and the places of their constants in its file, for reading and replacing them.

Only the features of MediaPipe's hand landmark network are supported: half-precision constants, each converted to
float32 by an operator of its own before a layer uses it. The format is a FlatBuffer (TensorFlow's schema.fbs,
version 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table

from im2hands.core.errors import WeightsError

# Indices of fields, and values of enumerations, in the schema.
_MODEL_OPERATOR_CODES, _MODEL_SUBGRAPHS, _MODEL_BUFFERS = 1, 2, 4
_CODE_BUILTIN = 3
_GRAPH_TENSORS, _GRAPH_OUTPUTS, _GRAPH_OPERATORS = 0, 2, 3
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_BUFFER = 0, 1, 2
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 0, 1, 2
_BUFFER_DATA = 0
_HALF = 1
_CONV, _DEPTHWISE, _DEQUANTIZE, _CONNECTED = 3, 4, 6, 9


@dataclass(frozen=True)
class Constant:
    """A half-precision constant.

    Parameters
    ----------
    start : int
        Offset of its values in the file, bytes.
    shape : tuple of int
        Shape of its values.
    """

    start: int
    shape: tuple[int, ...]

    def read(self, model: bytes | bytearray) -> np.ndarray:
        """Return the values, float32.

        Parameters
        ----------
        model : bytes
            The file.
        """
        count = int(np.prod(self.shape))
        return np.frombuffer(model, np.float16, count, self.start).reshape(self.shape).astype(np.float32)

    def write(self, model: bytearray, values: np.ndarray) -> None:
        """Replace the values in the file.

        Parameters
        ----------
        model : bytearray
            The file, changed in place.
        values : ndarray
            New values of the same shape.
        """
        data = np.ascontiguousarray(values, dtype=np.float16).tobytes()
        model[self.start : self.start + len(data)] = data


@dataclass(frozen=True)
class Layer:
    """A convolution or a fully connected layer, with its constants as TFLite lays them out.

    Parameters
    ----------
    depthwise : bool
        Whether it is a depthwise convolution.
    weight : Constant
        Weights: (1, K, K, C) in a depthwise convolution, else (outputs, K, K, inputs) or (outputs, inputs).
    bias : Constant
        Biases, (outputs,).
    """

    depthwise: bool
    weight: Constant
    bias: Constant


def show_input(model: bytearray, output: int) -> None:
    """Make the input of the fully connected layers an output of a model, in place of another output.

    Parameters
    ----------
    model : bytearray
        The file, changed in place. All its fully connected layers have the same input.
    output : int
        Number of the output that is replaced.

    Raises
    ------
    WeightsError
        The file is no model of the supported kind.
    """
    import struct

    try:
        root = Table(bytes(model), struct.unpack_from("<I", model, 0)[0])
        codes = _codes(root)
        graph = _tables(root, _MODEL_SUBGRAPHS)[0]
        inputs = {
            _numbers(operator, _OPERATOR_INPUTS)[0]
            for operator in _tables(graph, _GRAPH_OPERATORS)
            if codes[_number(operator, _OPERATOR_CODE, number_types.Uint32Flags)] == _CONNECTED
        }
        start, count = _vector(graph, _GRAPH_OUTPUTS)
        if len(inputs) != 1 or not 0 <= output < count:
            raise ValueError("its last layers do not have the same input")
        struct.pack_into("<i", model, start + 4 * output, inputs.pop())
    except (struct.error, ValueError, IndexError, KeyError, TypeError, AssertionError) as error:
        raise WeightsError(f"The landmark network is not as expected: {error}.", "Install im2hands again.") from error


def layers(model: bytes) -> list[Layer]:
    """Return the layers of a model in the order of their use.

    Parameters
    ----------
    model : bytes
        The file.

    Raises
    ------
    WeightsError
        The file is no model of the supported kind.
    """
    try:
        return _layers(model)
    except (ValueError, IndexError, KeyError, TypeError, AssertionError) as error:
        raise WeightsError(f"The landmark network is not as expected: {error}.", "Install im2hands again.") from error


def _layers(model: bytes) -> list[Layer]:
    """See ``layers``; unreadable files raise ValueError and other exceptions of their parsing."""
    import struct

    try:
        root = Table(model, struct.unpack_from("<I", model, 0)[0])
        codes = _codes(root)
        graph = _tables(root, _MODEL_SUBGRAPHS)[0]
        tensors, buffers = _tables(graph, _GRAPH_TENSORS), _tables(root, _MODEL_BUFFERS)
        constant: dict[int, Constant] = {}
        found = []
        for operator in _tables(graph, _GRAPH_OPERATORS):
            code = codes[_number(operator, _OPERATOR_CODE, number_types.Uint32Flags)]
            inputs, outputs = _numbers(operator, _OPERATOR_INPUTS), _numbers(operator, _OPERATOR_OUTPUTS)
            if code == _DEQUANTIZE:
                tensor = tensors[inputs[0]]
                if _number(tensor, _TENSOR_TYPE, number_types.Int8Flags) != _HALF:
                    raise ValueError("a constant is not in half precision")
                shape = tuple(_numbers(tensor, _TENSOR_SHAPE))
                buffer = buffers[_number(tensor, _TENSOR_BUFFER, number_types.Uint32Flags)]
                start, length = _vector(buffer, _BUFFER_DATA)
                if length != 2 * int(np.prod(shape)):
                    raise ValueError("a constant is of another size than its shape")
                constant[outputs[0]] = Constant(start, shape)
            elif code in (_CONV, _DEPTHWISE, _CONNECTED):
                found.append(Layer(code == _DEPTHWISE, constant[inputs[1]], constant[inputs[2]]))
        return found
    except struct.error as error:
        raise ValueError(str(error)) from error


def _codes(root: Table) -> list[int]:
    """The kinds of a model's operators."""
    return [_number(code, _CODE_BUILTIN, number_types.Int32Flags) for code in _tables(root, _MODEL_OPERATOR_CODES)]


def _offset(table: Table, field: int) -> int:
    """Offset of a field of a table in the file; 0 if the field is left out."""
    place = table.Offset(4 + 2 * field)
    return int(table.Pos + place) if place else 0


def _number(table: Table, field: int, kind: type) -> int:
    """A number in a field of a table; 0 if the field is left out."""
    place = _offset(table, field)
    return int(table.Get(kind, place)) if place else 0


def _vector(table: Table, field: int) -> tuple[int, int]:
    """Offset and length of a vector; (0, 0) if the field is left out."""
    place = table.Offset(4 + 2 * field)
    return (int(table.Vector(place)), int(table.VectorLen(place))) if place else (0, 0)


def _numbers(table: Table, field: int) -> list[int]:
    """The int32 values of a vector."""
    start, length = _vector(table, field)
    return [int(table.Get(number_types.Int32Flags, start + 4 * k)) for k in range(length)]


def _tables(table: Table, field: int) -> list[Table]:
    """The tables of a vector."""
    start, length = _vector(table, field)
    return [Table(table.Bytes, int(table.Indirect(start + 4 * k))) for k in range(length)]
