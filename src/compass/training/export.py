"""From trained weights to a model file: ONNX graphs, integer tables, fixed-point hyper-synthesis."""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import Tensor, nn

from compass.entropy import operations
from compass.entropy.arrays import pack_arrays
from compass.entropy.factorized import TABLE_EVERY, FactorizedModel
from compass.entropy.hyperprior import GroupModel, HyperpriorModel
from compass.entropy.latent import EntropyModel
from compass.entropy.quality import LAMBDAS, MAX_CODE, interpolate
from compass.entropy.scales import LOG_SCALE_STEP, SCALE_LEVELS, scale_table
from compass.entropy.tables import FrequencyTable, quantise_probabilities
from compass.errors import InputError, ModelError
from compass.model.file import Manifest, write_model
from compass.model.predictor import SEPARABLE_OUTPUTS
from compass.model.transform_codec import entropy_members
from compass.nets.context import MAX_MAGNITUDE, GroupContext, LatentContext, magnitude
from compass.nets.factorized_codec import FactorizedCodec
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.layered import Codec, CompassNet
from compass.nets.predictor import AxisTensors, SeparablePredictor, axis_tensors
from compass.nets.priors import FactorizedPrior, Survival
from compass.training.arrange import arranged
from compass.training.fit_tables import with_fitted_tables

_OPSET = 17
_TAIL = 2.0**-16  # probability left to the escape of a table
_SIGNIFICANT_BITS = 9  # of weights in graphs
_KERNEL_BITS = 8  # of the weights of integer networks, beside the sign
_NO_OFFSET = (0.9, 0.7, 0.5)  # probabilities of no offset
_OFFSET_REACH = 4
_REACH = 512  # of a hyper-latent's table, at most
_POSITION_INPUTS = ("phase", "log_ratio")
_AXIS_INPUTS = ("nearest", "phase", "cubic_index", "cubic_weight", "log_ratio")


def export_model(
    net: CompassNet,
    path: Path,
    name: str,
    card: dict[str, Any],
    base_only: bool = False,
    replace: bool = True,
    fit: Iterable[Image.Image] | None = None,
) -> Manifest:
    """Writes the model file of trained networks. Weights are rounded in `net` to what it holds, see `round_weights`.

    fit: images whose symbols the tables of y are made of, see `with_fitted_tables`; without them the density's. Raises
    InputError if the weights cannot be stored, have no tables to be fitted, or the file cannot be written.
    """
    round_weights(net)
    net.eval()
    try:
        members = codec_members(net.base, "base")
        if net.predictor is not None and net.residual is not None and not base_only:
            members |= codec_members(net.residual, "residual")
            members["decoder/predictor.onnx"] = predictor_graph(net.predictor)
        if fit is not None:
            members = with_fitted_tables(members, fit)
        return write_model(path, name, members, card, replace=replace)
    except (ValueError, OverflowError, ModelError) as error:
        raise InputError(f"these weights make no model file: {error}") from None


def round_weights(net: nn.Module) -> None:
    """Rounds weights to what a model file holds; it costs less than 0.1 % of the rate and saves a quarter of the file.

    Those of graphs get 9 significant bits, within half precision; kernels of integer networks multiples of 2^-8 of the
    power of two above their largest weight. Biases of integer networks, gains and densities stay as they are. Raises
    InputError on a weight that is too large for half precision.
    """
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if re.search(r"(^|\.)(entropy_bottleneck|gain)\.", name):
                continue
            if not re.search(r"(^|\.)(h_s|context)\.", name):
                parameter.copy_(_significant(parameter).half().float())
                if not torch.isfinite(parameter).all():
                    raise InputError(f"the weight {name} is too large for half precision")
            elif parameter.ndim == 4:
                _, exponent = torch.frexp(parameter.abs().max())
                unit = torch.ldexp(torch.ones(()), exponent - _KERNEL_BITS).clamp(min=2.0**-operations.WEIGHT_BITS)
                limit = 2.0**_KERNEL_BITS - 1  # so that rounding again changes nothing
                parameter.copy_(torch.round(parameter / unit).clamp(-limit, limit) * unit)


def _significant(x: Tensor) -> Tensor:
    """Rounded to `_SIGNIFICANT_BITS`."""
    mantissa, exponent = torch.frexp(x)
    unit = 2.0**-_SIGNIFICANT_BITS
    return torch.ldexp(torch.round(mantissa / unit) * unit, exponent)


def codec_members(codec: Codec, part: str) -> dict[str, bytes]:
    """Members of the model file for one codec, "base" or "residual".

    Raises ModelError or OverflowError if its entropy model is none that a decoder takes.
    """
    image, y = torch.zeros(1, 3, 120, 116), torch.zeros(1, codec.latent_channels, 8, 8)
    context = {"prediction": image} if isinstance(codec, HyperpriorCodec) and codec.conditional else {}
    members = {
        f"encoder/{part}/analysis.onnx": _graph(codec.g_a, {"x": image} | context, "y"),
        f"decoder/{part}/synthesis.onnx": _graph(codec.g_s, {"y": y} | context, "x"),
    }
    if isinstance(codec, HyperpriorCodec):
        members[f"encoder/{part}/hyper_analysis.onnx"] = _graph(codec.h_a, {"y": y}, "z")
    prior = {k: v.numpy() for k, v in codec.entropy_bottleneck.state_dict().items()}
    index, content = pack_arrays(prior)
    members |= {f"training/{part}/prior.json": json.dumps(index).encode(), f"training/{part}/prior.bin": content}
    return members | entropy_members(entropy_model(codec), part)


def entropy_model(codec: Codec) -> EntropyModel:
    """The entropy model of a codec in integers."""
    return hyperprior_model(codec) if isinstance(codec, HyperpriorCodec) else factorized_model(codec)


def hyperprior_model(codec: HyperpriorCodec) -> HyperpriorModel:
    """Raises OverflowError if its networks could leave the range of exact arithmetic."""
    if codec.log_scale:
        thresholds = np.arange(SCALE_LEVELS - 1) + 0.5
    else:
        thresholds = scale_table()[:-1] * np.exp(LOG_SCALE_STEP / 2)  # geometric middle of neighbouring levels
    shift = np.zeros((len(LAMBDAS), codec.latent_channels)) if codec.gain is None else _array(codec.gain.scale_shift)
    hyper_synthesis = _network(codec.h_s)
    medians = _array(codec.entropy_bottleneck.medians).ravel()
    return HyperpriorModel(
        log_gain=_log_gain(codec),
        scale_shift=_to_fixed(shift),
        thresholds=_to_fixed(thresholds),
        medians=_to_fixed(medians),
        hyper_synthesis=hyper_synthesis,
        z_tables=_density_tables(codec.entropy_bottleneck, np.ones_like(medians)),
        y_tables=[prior_table(scale, codec.survival) for scale in scale_table()],
        groups=[] if codec.context is None else _groups(codec.context),
        magnitudes=_to_fixed(_array(magnitude(torch.arange(MAX_MAGNITUDE + 1.0)))),
        offset_tables=offset_tables() if codec.log_scale else (),
    )


def offset_tables() -> list[FrequencyTable]:
    """Tables for `compass.entropy.offsets`: that of the choice, then for few, for some and for many channels."""
    reach, more = _OFFSET_REACH, len(_NO_OFFSET)
    choice = np.zeros(2 * more + 2)
    choice[more : 2 * more + 1] = [2, *[1] * more]
    distance = np.abs(np.arange(-reach, reach + 1))
    tables = [choice]
    for zero in _NO_OFFSET:
        p = np.where(distance, (1 - zero) / 2 * 0.5**distance / (1 - 0.5**reach), zero)
        tables.append(np.append(p, 0.0))
    return [FrequencyTable(quantise_probabilities(p)) for p in tables]


def _groups(context: LatentContext) -> list[GroupModel]:
    groups = []
    for group, networks in zip(context.groups, context.contexts, strict=True):
        assert isinstance(networks, GroupContext)
        scales = () if networks.scales is None else _network(networks.scales)
        phase_scales, phase_means = map(_network, networks.phase_scales), map(_network, networks.phase_means)
        groups.append(GroupModel(group, scales, list(phase_scales), list(phase_means)))
    return groups


def _network(module: nn.Module) -> list[operations.Operation]:
    network = [_operation(layer) for layer in module.children()]
    operations.check_range(network)
    return network


def factorized_model(codec: FactorizedCodec) -> FactorizedModel:
    """Tables for every `TABLE_EVERY`th quality code."""
    log_gain = _log_gain(codec)
    tables = []
    for code in range(0, MAX_CODE + 1, TABLE_EVERY):
        tables += _density_tables(codec.entropy_bottleneck, np.exp(-interpolate(log_gain, code)))
    return FactorizedModel(log_gain, _to_fixed(_array(codec.entropy_bottleneck.medians).ravel()), tables)


def _log_gain(codec: Codec) -> NDArray[np.float64]:
    return np.zeros((len(LAMBDAS), codec.latent_channels)) if codec.gain is None else _array(codec.gain.log_gain)


def _to_fixed(x: NDArray[np.floating]) -> NDArray[np.int64]:
    return np.rint(x * 2**operations.ACTIVATION_BITS).astype(np.int64)


def prior_table(scale: float, survival: Survival) -> FrequencyTable:
    """Table of the integers under a zero-mean density of this standard deviation."""

    def beyond(edges: NDArray[np.floating]) -> NDArray[np.float64]:
        return survival(torch.from_numpy(edges / scale)).numpy()

    reach = 1
    while 2 * beyond(np.array([reach + 0.5]))[0] > _TAIL:
        reach += 1
    tail = beyond(np.arange(reach + 1) + 0.5)  # [k] probability of more than k
    p = np.concatenate([-np.diff(tail)[::-1], [1 - 2 * tail[0]], -np.diff(tail)])
    return FrequencyTable(quantise_probabilities(np.append(p, max(2 * tail[-1], _TAIL))))


def _density_tables(prior: FactorizedPrior, steps: NDArray[np.float64]) -> list[FrequencyTable]:
    """Each channel's table, from its learned density around the median, quantised in `steps` [C]."""
    grid = torch.arange(-_REACH, _REACH + 2, dtype=torch.float64) - 0.5
    double = FactorizedPrior(prior.channels).double()
    double.load_state_dict(prior.state_dict())
    edges = grid * torch.from_numpy(steps)[:, None, None] + double.medians.reshape(-1, 1, 1)
    with torch.no_grad():
        logits = double.logits_cumulative(edges)[:, 0]
    cumulative = torch.sigmoid(logits).numpy()
    survival = torch.sigmoid(-logits).numpy()  # small on the right, where 1 - cumulative would lose digits
    p = np.where(logits[:, :-1].numpy() < 0, np.diff(cumulative), -np.diff(survival))
    return [FrequencyTable(_around_zero(channel)) for channel in p]


def _around_zero(p: NDArray[np.float64]) -> NDArray[np.int64]:
    """Frequencies of the middle of p, probabilities of -_REACH.._REACH, as far out as `_TAIL` asks."""
    reach = 1
    while reach < _REACH and 1 - p[_REACH - reach : _REACH + reach + 1].sum() > _TAIL:
        reach += 1
    inside = p[_REACH - reach : _REACH + reach + 1]
    return quantise_probabilities(np.append(inside, max(1 - inside.sum(), _TAIL)))


def _operation(module: nn.Module) -> operations.Operation:
    if isinstance(module, nn.Conv2d):
        return operations.Convolution(_fixed(module.weight, 0), _fixed(module.bias, operations.ACTIVATION_BITS))
    if isinstance(module, nn.ConvTranspose2d):
        return operations.TransposedConvolution(
            _fixed(module.weight, 0), _fixed(module.bias, operations.ACTIVATION_BITS)
        )
    if isinstance(module, nn.ReLU):
        return operations.LeakyReLU(0)
    if isinstance(module, nn.LeakyReLU):
        return operations.LeakyReLU(round(module.negative_slope * 2**operations.WEIGHT_BITS))
    if isinstance(module, nn.PixelShuffle) and module.upscale_factor == 2:
        return operations.PixelShuffle()
    raise InputError(f"a hyper-synthesis with {type(module).__name__} cannot be made exact")


def _fixed(weight: Tensor | None, extra_bits: int) -> NDArray[np.float64]:
    assert weight is not None
    return np.rint(_array(weight) * 2.0 ** (operations.WEIGHT_BITS + extra_bits))


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


def predictor_graph(predictor: nn.Module) -> bytes:
    """The graph of a predictor, for any two sizes; of a separable one its networks alone."""
    separable = isinstance(predictor, SeparablePredictor)
    fields = _POSITION_INPUTS if separable else _AXIS_INPUTS
    grids = [axis_tensors(16, 30), axis_tensors(18, 40)]
    inputs = [torch.zeros(1, 3, 16, 18)] + [getattr(g, name) for g in grids for name in fields]
    names = ["x"] + [f"{axis}_{name}" for axis in ("rows", "columns") for name in fields]
    dynamic = {"x": {2: "h", 3: "w"}}
    dynamic |= {name: {0: name.partition("_")[0]} for name in names[1:] if not name.endswith("log_ratio")}
    graph = _SeparableGraph(predictor) if separable else _PredictorGraph(predictor)
    return _export(graph, tuple(inputs), names, SEPARABLE_OUTPUTS if separable else ["prediction"], dynamic)


def _graph(module: nn.Module, examples: dict[str, Tensor], result: str) -> bytes:
    """examples: one per input, by name; its last two sides may be any."""
    dynamic = {name: {2: f"{name}_h", 3: f"{name}_w"} for name in examples}
    return _export(module, tuple(examples.values()), list(examples), [result], dynamic)


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
