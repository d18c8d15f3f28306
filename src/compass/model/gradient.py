"""Gradients of a synthesis: its graph, extended by the error of what it makes and the derivatives of that error.

The encoder refines latents by them. They follow from the graph in a model file, by reverse accumulation, so that a
model needs no further graphs and its user no PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compass.errors import ModelError
from compass.model import onnx_fields as onnx
from compass.model.graph import check_graph
from compass.model.protobuf import Field, fields, message, repeated, written

OUTPUTS = ("error", "gradient")
_LATENT, _IMAGE = "y", "x"
_FIRST = -(1 << 63)  # where a slice ends that runs backwards through the first element
Attribute = int | bytes | list[int]


def with_gradient(graph: bytes, name: str) -> bytes:
    """A graph that takes what a synthesis takes, and `target` and `weight`, and yields `OUTPUTS`.

    target: [1, 3, H, W] as the synthesis yields them; weight: [1, 1, H, W]. error: a number, the sum of
    weight * (x - target)^2 over all samples; gradient: its derivatives with respect to y, of the shape of y.

    name: of the network, for messages. Raises ModelError if the graph is refused, or if the derivative of an operator
    on the way from y to x is not known.
    """
    check_graph(graph, name)
    before, content, after = _split(memoryview(graph))
    nodes, sides = _read(content)
    backward = _Backward(nodes, sides)
    difference = backward.add("Sub", [_IMAGE, "target"])
    weighted = backward.add("Mul", [difference, "weight"])
    backward.add("ReduceSum", [backward.add("Mul", [difference, weighted])], OUTPUTS[0], keepdims=0)
    backward.pass_on(_IMAGE, backward.add("Add", [weighted, weighted]))
    try:
        for node in reversed(nodes):
            backward.through(node)
        backward.add("Identity", [backward.gradients[_LATENT]], OUTPUTS[1])
    except (KeyError, ValueError) as error:
        raise ModelError(f"the model's {name} has no known gradient: {error}") from None
    kept = b"".join(written(*field) for field in content if field.number != onnx.GRAPH_OUTPUT)
    kept += b"".join(backward.written)
    kept += b"".join(written(onnx.GRAPH_INPUT, _value(tensor)) for tensor in ("target", "weight"))
    kept += b"".join(written(onnx.GRAPH_OUTPUT, _value(tensor)) for tensor in OUTPUTS)
    return before + written(onnx.MODEL_GRAPH, kept) + after


class _Node(NamedTuple):
    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: Mapping[str, Attribute]


class _Backward:
    """The nodes that lead from the derivatives of the image back to those of the latent."""

    def __init__(self, nodes: Sequence[_Node], sides: Mapping[str, int]) -> None:
        """sides: the first side of each weight."""
        self.written: list[bytes] = []  # nodes, as fields of a graph
        self.gradients: dict[str, str] = {}  # of the tensors that have been reached: names of their derivatives
        self.sides = dict(sides)
        self.makers = {output: node for node in nodes for output in node.outputs}
        self._dependent = {_LATENT}
        for node in nodes:
            if self._dependent & set(node.inputs):
                self._dependent |= set(node.outputs)
            if node.operator == "Cast" and node.inputs[0] in self.sides:  # from half precision
                self.sides[node.outputs[0]] = self.sides[node.inputs[0]]

    def add(
        self, operator: str, inputs: Sequence[str], output: str | None = None, **attributes: int | Sequence[int]
    ) -> str:
        """Appends a node; returns the name of its output."""
        return self._append(operator, inputs, [_attribute(*item) for item in attributes.items()], output)

    def constant(self, value: NDArray[np.int64] | NDArray[np.float32]) -> str:
        """Appends an array; returns its name."""
        tensor = b"".join(written(onnx.TENSOR_SIDE, side) for side in value.shape)
        tensor += written(onnx.TENSOR_TYPE, onnx.FLOAT if value.dtype == np.float32 else onnx.INT64)
        tensor += written(onnx.TENSOR_RAW, value.astype(value.dtype.newbyteorder("<")).tobytes())
        named = written(onnx.ATTRIBUTE_NAME, "value") + written(onnx.ATTRIBUTE_TENSOR, tensor)
        return self._append("Constant", [], [named + written(onnx.ATTRIBUTE_TYPE, onnx.OF_TENSOR)], None)

    def _append(self, operator: str, inputs: Sequence[str], attributes: Sequence[bytes], output: str | None) -> str:
        output = output or f"gradient.{len(self.written)}"
        node = b"".join(written(onnx.NODE_INPUT, tensor) for tensor in inputs)
        node += written(onnx.NODE_OUTPUT, output) + written(onnx.NODE_OPERATOR, operator)
        node += b"".join(written(onnx.NODE_ATTRIBUTE, attribute) for attribute in attributes)
        self.written.append(written(onnx.GRAPH_NODE, node))
        return output

    def pass_on(self, tensor: str, gradient: str) -> None:
        """Adds to the derivatives of a tensor, if it depends on the latent."""
        if self.depends(tensor):
            known = self.gradients.get(tensor)
            self.gradients[tensor] = gradient if known is None else self.add("Add", [known, gradient])

    def depends(self, tensor: str) -> bool:
        """Whether a tensor depends on the latent."""
        return tensor in self._dependent

    def through(self, node: _Node) -> None:
        """Passes the derivatives of a node's output on to its inputs. Raises KeyError or ValueError if it cannot."""
        outward = self.gradients.pop(node.outputs[0], None) if node.outputs else None
        if outward is None:
            return
        if node.operator not in _DERIVATIVES:
            raise ValueError(node.operator)
        for tensor, gradient in _DERIVATIVES[node.operator](self, node, outward):
            self.pass_on(tensor, gradient)


Derivative = Callable[[_Backward, _Node, str], Iterator[tuple[str, str]]]  # inputs and their derivatives


def _sum(_: _Backward, node: _Node, outward: str) -> Iterator[tuple[str, str]]:
    for tensor in node.inputs:
        yield tensor, outward


def _product(backward: _Backward, node: _Node, outward: str) -> Iterator[tuple[str, str]]:
    a, b = node.inputs
    for tensor, other in ((a, b), (b, a)):
        if backward.depends(tensor):
            yield tensor, backward.add("Mul", [outward, other])


def _sigmoid(backward: _Backward, node: _Node, outward: str) -> Iterator[tuple[str, str]]:
    part = backward.add("Mul", [outward, node.outputs[0]])
    yield node.inputs[0], backward.add("Sub", [part, backward.add("Mul", [part, node.outputs[0]])])


def _root(backward: _Backward, node: _Node, outward: str) -> Iterator[tuple[str, str]]:
    part = backward.add("Div", [outward, node.outputs[0]])
    yield node.inputs[0], backward.add("Mul", [part, backward.constant(np.array(0.5, np.float32))])


def _convolution(backward: _Backward, node: _Node, outward: str) -> Iterator[tuple[str, str]]:
    """With stride 1 a convolution again, by the kernel turned by 180 degrees, its channels exchanged."""
    weight, kernel, groups = node.inputs[1], _ints(node, "kernel_shape", []), node.attributes.get("group", 1)
    if max(_ints(node, "strides", [1]) + _ints(node, "dilations", [1])) > 1 or "auto_pad" in node.attributes:
        raise ValueError("Conv with strides")
    if kernel != [1, 1]:
        turn = [backward.constant(np.array(x, np.int64)) for x in ([-1, -1], [_FIRST, _FIRST], [2, 3], [-1, -1])]
        weight = backward.add("Slice", [weight, *turn])
    if groups == 1:
        weight = backward.add("Transpose", [weight], perm=[1, 0, 2, 3])
    elif groups != backward.sides.get(node.inputs[1]):  # one channel a group: nothing to exchange
        raise ValueError("Conv with groups")
    pads = [side - 1 - pad for side, pad in zip([*kernel, *kernel], _ints(node, "pads", [0] * 4), strict=True)]
    yield node.inputs[0], backward.add("Conv", [outward, weight], kernel_shape=kernel, group=groups, pads=pads)


def _transposed_convolution(backward: _Backward, node: _Node, outward: str) -> Iterator[tuple[str, str]]:
    if node.attributes.get("group", 1) != 1 or max(_ints(node, "dilations", [1])) > 1:
        raise ValueError("ConvTranspose with groups")
    yield (
        node.inputs[0],
        backward.add(
            "Conv",
            [outward, node.inputs[1]],
            kernel_shape=_ints(node, "kernel_shape", []),
            pads=_ints(node, "pads", [0] * 4),
            strides=_ints(node, "strides", [1, 1]),
        ),
    )


def _shuffle(backward: _Backward, node: _Node, outward: str) -> Iterator[tuple[str, str]]:
    """The inverse yields the place in a block first: its channel p * C + c is that of c * block^2 + p here."""
    block = node.attributes.get("blocksize")
    if node.attributes.get("mode") != b"CRD" or not isinstance(block, int):
        raise ValueError("DepthToSpace with another order of channels")
    channels = backward.sides[backward.makers[node.inputs[0]].inputs[1]] // block**2  # it follows a convolution
    order = np.arange(block * block * channels).reshape(block * block, channels).T.ravel()
    apart = backward.add("SpaceToDepth", [outward], blocksize=block)
    yield node.inputs[0], backward.add("Gather", [apart, backward.constant(order)], axis=1)


_DERIVATIVES: dict[str, Derivative] = {
    "Add": _sum,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "DepthToSpace": _shuffle,
    "Identity": _sum,
    "Mul": _product,
    "Sigmoid": _sigmoid,
    "Sqrt": _root,
}


def _ints(node: _Node, name: str, default: list[int]) -> list[int]:
    value = node.attributes.get(name, default)
    if not isinstance(value, list):
        raise ValueError(f"{node.operator} whose {name} is {value!r}")
    return value


def _split(model: memoryview) -> tuple[bytes, list[Field], bytes]:
    """The fields of a model before its graph, those of the graph, and the fields after it."""
    around: list[list[bytes]] = [[], []]
    content: list[Field] = []
    for number, value in fields(model):
        if number == onnx.MODEL_GRAPH:
            content = list(fields(message(value)))
        else:
            around[bool(content)].append(written(number, value))
    return b"".join(around[0]), content, b"".join(around[1])


def _read(graph: Sequence[Field]) -> tuple[list[_Node], dict[str, int]]:
    """The nodes of a graph, and the first sides of its weights."""
    nodes, sides = [], {}
    for number, value in graph:
        if number == onnx.GRAPH_NODE:
            nodes.append(_node(message(value)))
        elif number == onnx.GRAPH_INITIALIZER:
            shape, name = [], ""
            for part, content in fields(message(value)):
                if part == onnx.TENSOR_SIDE:
                    shape += repeated(content)
                elif part == onnx.TENSOR_NAME:
                    name = bytes(message(content)).decode()
            sides[name] = shape[0] if shape else 1
    return nodes, sides


def _node(data: memoryview) -> _Node:
    texts: dict[int, list[str]] = {onnx.NODE_INPUT: [], onnx.NODE_OUTPUT: [], onnx.NODE_OPERATOR: [""]}
    attributes: dict[str, Attribute] = {}
    for number, value in fields(data):
        if number in texts:
            texts[number].append(bytes(message(value)).decode())
        elif number == onnx.NODE_ATTRIBUTE:
            name, ints, found = "", [], None
            for part, content in fields(message(value)):
                if part == onnx.ATTRIBUTE_NAME:
                    name = bytes(message(content)).decode()
                elif part == onnx.ATTRIBUTE_INTS:
                    ints += repeated(content)
                elif part in (onnx.ATTRIBUTE_INT, onnx.ATTRIBUTE_TEXT):
                    found = content if isinstance(content, int) else bytes(content)
            attributes[name] = ints if found is None else found
    return _Node(texts[onnx.NODE_OPERATOR][-1], texts[onnx.NODE_INPUT], texts[onnx.NODE_OUTPUT], attributes)


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        content, kind = written(onnx.ATTRIBUTE_INT, value), onnx.OF_INT
    else:
        content, kind = b"".join(written(onnx.ATTRIBUTE_INTS, each) for each in value), onnx.OF_INTS
    return written(onnx.ATTRIBUTE_NAME, name) + content + written(onnx.ATTRIBUTE_TYPE, kind)


def _value(tensor: str) -> bytes:
    """What a graph says of one of its inputs or outputs: a tensor of float32."""
    kind = written(onnx.TYPE_TENSOR, written(onnx.TYPE_ELEMENT, onnx.FLOAT))
    return written(onnx.VALUE_NAME, tensor) + written(onnx.VALUE_TYPE, kind)
