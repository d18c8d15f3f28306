"""What may be in a network of a model file: ONNX graphs are programs, and a model file may come from anywhere.

A graph is read here as plain protocol-buffer records (the encoding of protobuf.dev, the fields of onnx.proto), so that
it can be refused before the runtime sees it: external data, which would let it read local files, control flow,
operators that the export does not write, and weights that are not finite.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from compass.errors import ModelError
from compass.model import onnx_fields as onnx
from compass.model.protobuf import Field, fields, message

OPERATORS = frozenset(
    [
        "Abs",
        "Add",
        "Cast",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Conv",
        "ConvTranspose",
        "DepthToSpace",
        "Div",
        "Equal",
        "Exp",
        "Expand",
        "Gather",
        "Gemm",
        "Identity",
        "LeakyRelu",
        "Less",
        "Log",
        "MatMul",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Pad",
        "Pow",
        "Range",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Shape",
        "Sigmoid",
        "Sign",
        "Slice",
        "SpaceToDepth",  # of gradients alone
        "Sqrt",
        "Squeeze",
        "Sub",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)
_MAX_FIELDS = 200_000  # of all messages; the graphs of `paper` have some thousand


class Signature(NamedTuple):
    """Names of what a graph takes and gives."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def check_graph(data: bytes, name: str) -> Signature:
    """Names of the inputs and outputs of a graph. Raises ModelError unless the export could have written it.

    name: of the network, for messages.
    """
    try:
        return _Checker().model(memoryview(data))
    except (ValueError, IndexError) as error:
        raise ModelError(f"the model's {name} is refused: {error}") from None


class _Checker:
    """Reads a graph once, and no more fields of it than a graph of the largest allowed size has."""

    def __init__(self) -> None:
        self._left = _MAX_FIELDS

    def model(self, data: memoryview) -> Signature:
        graphs = []
        for number, value in self._fields(data):
            if number == onnx.MODEL_GRAPH:
                graphs.append(message(value))
            elif number in onnx.MODEL_OTHERS:
                raise ValueError("it holds more than a graph")
            elif number == onnx.MODEL_OPSETS and self._text(value, onnx.OPSET_DOMAIN):
                raise ValueError("it uses operators of another set than ONNX's own")
        if len(graphs) != 1:
            raise ValueError("it is no ONNX graph")
        return self._graph(graphs[0])

    def _graph(self, data: memoryview) -> Signature:
        inputs: list[str] = []
        outputs: list[str] = []
        nodes = 0
        for number, value in self._fields(data):
            if number == onnx.GRAPH_NODE:
                nodes += 1
                self._node(message(value))
            elif number == onnx.GRAPH_INITIALIZER:
                self._tensor(message(value))
            elif number == onnx.GRAPH_SPARSE:
                raise ValueError("it holds sparse weights")
            elif number in (onnx.GRAPH_INPUT, onnx.GRAPH_OUTPUT):
                (inputs if number == onnx.GRAPH_INPUT else outputs).append(self._text(value, onnx.VALUE_NAME))
        if not nodes or not outputs:
            raise ValueError(f"it has {nodes} nodes and {len(outputs)} outputs")
        return Signature(tuple(inputs), tuple(outputs))

    def _node(self, data: memoryview) -> None:
        operator = self._text(data, onnx.NODE_OPERATOR)
        if operator not in OPERATORS or self._text(data, onnx.NODE_DOMAIN):
            raise ValueError(f"it uses the operator {operator!r}, which no exported network does")
        for number, value in self._fields(data):
            if number != onnx.NODE_ATTRIBUTE:
                continue
            tensors = 0
            for kind, content in self._fields(message(value)):
                if kind in onnx.ATTRIBUTE_REFUSED:
                    raise ValueError("it holds a graph within a graph")
                if kind == onnx.ATTRIBUTE_TENSOR:
                    self._tensor(message(content))
                    tensors += 1
            if tensors > 1:  # the runtime would join them
                raise ValueError("it holds a tensor in pieces")

    def _tensor(self, data: memoryview) -> None:
        kind = 0
        floats: list[memoryview] = []
        for number, value in self._fields(data):
            if number in (onnx.TENSOR_EXTERNAL, onnx.TENSOR_LOCATION):
                raise ValueError("it refers to weights in other files")
            if number == onnx.TENSOR_TYPE:
                kind = value if isinstance(value, int) else 0
            elif number in (onnx.TENSOR_FLOATS, onnx.TENSOR_RAW) and isinstance(value, memoryview):
                floats.append(value)
        if kind not in (onnx.FLOAT, onnx.HALF):
            return
        number_type = np.dtype("<f4" if kind == onnx.FLOAT else "<f2")
        if not all(np.isfinite(np.frombuffer(part, number_type)).all() for part in floats):
            raise ValueError("it holds weights that are not finite")

    def _text(self, data: int | memoryview, wanted: int) -> str:
        """A text field of a message, empty if it is missing; of several the last counts, as for the runtime."""
        text = ""
        for number, value in self._fields(message(data)):
            if number == wanted:
                text = bytes(message(value)).decode(errors="replace")
        return text

    def _fields(self, data: memoryview) -> Iterator[Field]:
        """All fields of a message. Raises ValueError or IndexError if it is none, or if they are too many."""
        for field in fields(data):
            self._left -= 1
            if self._left < 0:
                raise ValueError("it is larger than any exported network")
            yield field
