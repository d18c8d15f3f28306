"""Trained networks as ONNX graphs, their weights in half precision."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from compass.model.predictor import SEPARABLE_OUTPUTS
from compass.nets.predictor import AxisTensors, SeparablePredictor, axis_tensors
from compass.training.arrange import arranged

_OPSET = 17
_POSITION_INPUTS = ("phase", "log_ratio")
_AXIS_INPUTS = ("nearest", "phase", "cubic_index", "cubic_weight", "log_ratio")


def graph(module: nn.Module, examples: dict[str, Tensor], result: str) -> bytes:
    """The graph of a network. examples: one per input, by name; last two sides any. result: the output's name."""
    dynamic = {name: {2: f"{name}_h", 3: f"{name}_w"} for name in examples}
    return _export(module, tuple(examples.values()), list(examples), [result], dynamic)


def predictor_graph(predictor: nn.Module) -> bytes:
    """The graph of a predictor, for any two sizes; of a separable one its networks alone."""
    separable = isinstance(predictor, SeparablePredictor)
    fields = _POSITION_INPUTS if separable else _AXIS_INPUTS
    grids = [axis_tensors(16, 30), axis_tensors(18, 40)]
    inputs = [torch.zeros(1, 3, 16, 18)] + [getattr(g, name) for g in grids for name in fields]
    names = ["x"] + [f"{axis}_{name}" for axis in ("rows", "columns") for name in fields]
    dynamic = {"x": {2: "h", 3: "w"}}
    dynamic |= {name: {0: name.partition("_")[0]} for name in names[1:] if not name.endswith("log_ratio")}
    wrapped = _SeparableGraph(predictor) if separable else _PredictorGraph(predictor)
    return _export(wrapped, tuple(inputs), names, SEPARABLE_OUTPUTS if separable else ["prediction"], dynamic)


class _PredictorGraph(nn.Module):
    """A predictor with its grids as flat inputs, as ONNX wants them."""

    def __init__(self, predictor: nn.Module) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, x: Tensor, *grids: Tensor) -> Tensor:
        sides = (grids[: len(_AXIS_INPUTS)], grids[len(_AXIS_INPUTS) :])
        axes = [AxisTensors(g[0], g[1], g[2], g[3], x.shape[2 + i], g[4]) for i, g in enumerate(sides)]
        return self.predictor(x, *axes)


class _SeparableGraph(nn.Module):
    """The networks of a separable predictor; `compass.model.separable` has the rest."""

    def __init__(self, predictor: nn.Module) -> None:
        super().__init__()
        assert isinstance(predictor, SeparablePredictor)
        self.predictor = predictor

    def forward(self, x: Tensor, *positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (
            self.predictor.packed_coefficients(x),
            self.predictor.position_taps(*positions[:2]),
            self.predictor.position_taps(*positions[2:]),
        )


def _export(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    names: Sequence[str],
    results: Sequence[str],
    dynamic: dict[str, dict[int, str]],
) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's remarks on sizes that are constant by design
        torch.onnx.export(
            arranged(module).eval(),
            inputs,
            buffer,  # type: ignore[arg-type]
            input_names=list(names),
            output_names=list(results),
            dynamic_axes=dynamic,
            opset_version=_OPSET,
            dynamo=False,
        )
    return _store_in_half(onnx.load_from_string(buffer.getvalue())).SerializeToString()


def _store_in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Float weights as fp16 behind a cast: half the file; the runtime folds the casts when it loads the graph."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) == 0:
            continue
        values = numpy_helper.to_array(tensor)
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, name + ".half"))
        casts.append(helper.make_node("Cast", [name + ".half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
    return model
