"""Trained entropy models in integers: frequency tables, fixed-point networks and thresholds."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compass.entropy import operations
from compass.entropy.factorized import TABLE_EVERY, FactorizedModel
from compass.entropy.hyperprior import GroupModel, HyperpriorModel
from compass.entropy.latent import EntropyModel
from compass.entropy.quality import LAMBDAS, MAX_CODE, interpolate
from compass.entropy.scales import LOG_SCALE_STEP, SCALE_LEVELS, scale_table
from compass.entropy.tables import FrequencyTable, quantise_probabilities
from compass.errors import InputError
from compass.nets.context import MAX_MAGNITUDE, GroupContext, LatentContext, magnitude
from compass.nets.factorized_codec import FactorizedCodec
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.layered import Codec
from compass.nets.priors import FactorizedPrior, Survival

_TAIL = 2.0**-16  # probability left to the escape of a table
_NO_OFFSET = (0.9, 0.7, 0.5)  # probabilities of no offset
_OFFSET_REACH = 4
_REACH = 512  # of a hyper-latent's table, at most


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
