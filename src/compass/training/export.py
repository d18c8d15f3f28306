"""From trained weights to a model file: ONNX graphs, integer tables, fixed-point hyper-synthesis."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from compass.bitstream.entropy import Table, quantise_probabilities
from compass.errors import InputError
from compass.model import exact
from compass.model.file import pack_entropy, write_model
from compass.model.latent import LatentCoder
from compass.model.quality import LAMBDAS
from compass.model.scales import LOG_SCALE_STEP, SCALE_LEVELS, scale_table
from compass.nets.compass import Compass
from compass.nets.entropy import FactorizedPrior
from compass.nets.hyperprior import HyperpriorCodec
from compass.nets.predictor import AxisTensors, axis_tensors

_OPSET = 17
_TAIL = 2.0**-16  # probability left to the escape of a table
_REACH = 512  # of a hyper-latent's table, at most
_AXIS_INPUTS = ("nearest", "phase", "cubic_index", "cubic_weight", "log_ratio")


def export_model(net: Compass, path: Path, card: dict[str, Any], base_only: bool = False) -> None:
    """Writes the model file of trained networks. Weights are stored in half precision, and rounded to it in `net`."""
    round_to_half(net)
    net.eval()
    members = codec_members(net.base, "base/")
    if not base_only:
        members |= codec_members(net.residual, "residual/")
        members["predictor.onnx"] = _predictor_graph(net.predictor)
    write_model(path, members, card)


def round_to_half(net: nn.Module) -> None:
    """Rounds all weights that the ONNX graphs will hold to half precision. Entropy models stay exact."""
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if ".h_s." not in name and "entropy_bottleneck" not in name and ".gain." not in name:
                parameter.copy_(parameter.half().float())
                if not torch.isfinite(parameter).all():
                    raise InputError(f"the weight {name} is too large for half precision")


def codec_members(codec: HyperpriorCodec, prefix: str) -> dict[str, bytes]:
    """Members of the model file for one codec."""
    latent = torch.zeros(1, codec.latent, 8, 8)
    return {
        prefix + "analysis.onnx": _graph(codec.g_a, torch.zeros(1, 3, 64, 64), "x", "y"),
        prefix + "hyper_analysis.onnx": _graph(codec.h_a, latent, "y", "z"),
        prefix + "synthesis.onnx": _graph(codec.g_s, latent, "y", "x"),
        prefix + "entropy.npz": pack_entropy(latent_coder(codec)),
    }


def latent_coder(codec: HyperpriorCodec) -> LatentCoder:
    """The entropy model of a codec in integers."""
    unit = 2**exact.ACTIVATION_BITS
    if codec.log_scale:
        thresholds = np.arange(SCALE_LEVELS - 1) + 0.5
    else:
        thresholds = scale_table()[:-1] * np.exp(LOG_SCALE_STEP / 2)  # geometric middle of neighbouring levels
    if codec.gain is not None:
        log_gain, shift = _array(codec.gain.log_gain), _array(codec.gain.scale_shift)
    else:
        log_gain = shift = np.zeros((len(LAMBDAS), codec.latent))
    layers = [_exact_layer(module) for module in codec.h_s.children()]
    exact.check_range(layers)
    medians = np.rint(_array(codec.entropy_bottleneck.medians).ravel() * unit).astype(np.int64)
    return LatentCoder(
        log_gain=log_gain,
        scale_shift=np.rint(shift * unit).astype(np.int64),
        thresholds=np.rint(thresholds * unit).astype(np.int64),
        medians=medians,
        layers=layers,
        z_tables=_factorized_tables(codec.entropy_bottleneck),
        y_tables=[gaussian_table(scale) for scale in scale_table()],
    )


def gaussian_table(scale: float) -> Table:
    """Table of the integers under a zero-mean Gaussian of this standard deviation."""
    reach = 1
    while _gaussian_tail(reach + 0.5, scale) > _TAIL:
        reach += 1
    edges = (np.arange(-reach, reach + 2) - 0.5) / scale
    p = np.diff(torch.special.ndtr(torch.from_numpy(edges)).numpy())
    return Table(quantise_probabilities(np.append(p, max(_gaussian_tail(reach + 0.5, scale), _TAIL))))


def _gaussian_tail(x: float, scale: float) -> float:
    """Probability of a magnitude above x."""
    return math.erfc(x / scale * math.sqrt(0.5))


def _factorized_tables(prior: FactorizedPrior) -> list[Table]:
    """Tables of the hyper-latent channels from their learned densities."""
    grid = torch.arange(-_REACH, _REACH + 2, dtype=torch.float64) - 0.5
    double = FactorizedPrior(prior.channels).double()
    double.load_state_dict(prior.state_dict())
    with torch.no_grad():
        logits = double.logits_cumulative(grid + double.medians.reshape(-1, 1, 1))[:, 0]
    cumulative = torch.sigmoid(logits).numpy()
    survival = torch.sigmoid(-logits).numpy()  # small on the right, where 1 - cumulative would lose digits
    p = np.where(logits[:, :-1].numpy() < 0, np.diff(cumulative), -np.diff(survival))
    return [_table_around_zero(channel) for channel in p]


def _table_around_zero(p: NDArray[np.float64]) -> Table:
    """Table of the middle of p, probabilities of -_REACH.._REACH, as far out as `_TAIL` asks."""
    reach = 1
    while reach < _REACH and 1 - p[_REACH - reach : _REACH + reach + 1].sum() > _TAIL:
        reach += 1
    inside = p[_REACH - reach : _REACH + reach + 1]
    return Table(quantise_probabilities(np.append(inside, max(1 - inside.sum(), _TAIL))))


def _exact_layer(module: nn.Module) -> exact.Layer:
    if isinstance(module, nn.Conv2d):
        return exact.Convolution(_fixed(module.weight, 0), _fixed(module.bias, exact.ACTIVATION_BITS))
    if isinstance(module, nn.ConvTranspose2d):
        return exact.TransposedConvolution(_fixed(module.weight, 0), _fixed(module.bias, exact.ACTIVATION_BITS))
    if isinstance(module, nn.ReLU):
        return exact.LeakyReLU(0)
    if isinstance(module, nn.LeakyReLU):
        return exact.LeakyReLU(round(module.negative_slope * 2**exact.WEIGHT_BITS))
    if isinstance(module, nn.PixelShuffle) and module.upscale_factor == 2:
        return exact.PixelShuffle()
    raise InputError(f"a hyper-synthesis with {type(module).__name__} cannot be made exact")


def _fixed(weight: Tensor | None, extra_bits: int) -> NDArray[np.float64]:
    assert weight is not None
    return np.rint(_array(weight) * 2.0 ** (exact.WEIGHT_BITS + extra_bits))


def _array(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().double().cpu().numpy()


class _PredictorGraph(nn.Module):
    """A predictor with its grids as flat inputs, as ONNX wants them."""

    def __init__(self, predictor: nn.Module) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, x: Tensor, *grids: Tensor) -> Tensor:
        sides = (grids[: len(_AXIS_INPUTS)], grids[len(_AXIS_INPUTS) :])
        axes = [AxisTensors(g[0], g[1], g[2], g[3], x.shape[2 + i], g[4]) for i, g in enumerate(sides)]
        return self.predictor(x, *axes)


def _predictor_graph(predictor: nn.Module) -> bytes:
    grids = [axis_tensors(16, 30), axis_tensors(18, 40)]
    inputs = [torch.zeros(1, 3, 16, 18)] + [getattr(g, name) for g in grids for name in _AXIS_INPUTS]
    names = ["x"] + [f"{axis}_{name}" for axis in ("rows", "columns") for name in _AXIS_INPUTS]
    dynamic = {"x": {2: "h", 3: "w"}}
    dynamic |= {name: {0: name.partition("_")[0]} for name in names[1:] if not name.endswith("log_ratio")}
    return _export(_PredictorGraph(predictor), tuple(inputs), names, "prediction", dynamic)


def _graph(module: nn.Module, example: Tensor, source: str, result: str) -> bytes:
    return _export(module, (example,), [source], result, {source: {2: "h", 3: "w"}})


def _export(
    module: nn.Module, inputs: tuple[Tensor, ...], names: list[str], result: str, dynamic: dict[str, dict[int, str]]
) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's remarks on sizes that are constant by design
        torch.onnx.export(
            module.eval(),
            inputs,
            buffer,  # type: ignore[arg-type]
            input_names=names,
            output_names=[result],
            dynamic_axes=dynamic,
            opset_version=_OPSET,
            dynamo=False,
        )
    return _store_in_half(onnx.load_from_string(buffer.getvalue())).SerializeToString()


def _store_in_half(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Float weights as fp16 behind a cast: half the file; the runtime folds the casts when it loads the graph."""
    casts = []
    for tensor in graph.graph.initializer:
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
        graph.graph.node.insert(0, cast)
    return graph
