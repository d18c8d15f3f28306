"""Hyper-synthesis in integers: bit-identical to any exact arithmetic, and close to the float network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from compass.entropy import operations as exact
from compass.entropy.latent import DecodedLatent
from compass.entropy.scales import LOG_SCALE_MIN, LOG_SCALE_STEP, SCALE_LEVELS, scale_table
from compass.nets.exact_by_torch import run_by_torch
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.paper import paper_transforms
from compass.nets.priors import scale_of_level
from compass.nets.profiles import PROFILES
from compass.training.exact import entropy_model


@pytest.mark.parametrize("profile", ["fast", "paper"])
def test_numpy_and_torch_agree_to_the_last_bit_and_with_float_closely(profile):
    torch.manual_seed(0)
    codec = PROFILES[profile].base()
    rng = np.random.default_rng(0)
    symbols = rng.integers(-30, 31, (codec.hyper_channels, 3, 5))
    coder = entropy_model(codec)
    x = exact.from_symbols(symbols, coder.medians)
    result = exact.run(coder.hyper_synthesis, x)
    assert np.array_equal(result, run_by_torch(coder.hyper_synthesis, x))
    with torch.no_grad():
        floats = codec.h_s(torch.from_numpy(symbols)[None].float())[0].numpy()
    assert np.abs(result / 1024 - floats).max() < 0.02 * max(1.0, np.abs(floats).max())


def test_saturation_is_at_the_documented_limit():
    layer = exact.Convolution(np.full((1, 1, 1, 1), 2.0**18), np.zeros(1))
    out = exact.run([layer], np.array([[[2000 * 1024, -2000 * 1024]]]))
    assert out.tolist() == [[[exact.ACTIVATION_LIMIT, -exact.ACTIVATION_LIMIT]]]


def test_weights_that_could_overflow_are_refused():
    with pytest.raises(OverflowError, match="too large"):
        exact.check_range([exact.Convolution(np.full((1, 64, 1, 1), 2.0**24), np.zeros(1))])


def test_leaky_relu_is_the_float_one_within_a_rounding_step():
    layer = exact.LeakyReLU(round(0.01 * 2**14))
    x = np.arange(-3000.0, 3000.0)
    assert np.abs(layer(x) - nn.functional.leaky_relu(torch.from_numpy(x), 0.01).numpy()).max() <= 1.1


def test_levels_are_the_nearest_scales(tiny_net):
    """Both parametrisations choose the level whose standard deviation is nearest in the logarithm."""
    table = scale_table()
    for codec in (tiny_net.base, HyperpriorCodec(paper_transforms(), variable_rate=False)):
        coder = entropy_model(codec)
        wanted = np.array([0.01, 0.11, 0.5, 1.0, 3.3, 77.0, 255.0, 4000.0])
        level = np.searchsorted(coder.thresholds, np.rint(encode_scale(codec, wanted) * 1024), side="right")
        nearest = np.abs(np.log(table[:, None] / wanted)).argmin(axis=0)
        assert level.tolist() == nearest.tolist()


def encode_scale(codec: HyperpriorCodec, scale: np.ndarray) -> np.ndarray:
    """What h_s yields for a standard deviation."""
    return np.log(scale / 0.11) / (np.log(256 / 0.11) / 63) if codec.log_scale else scale


def test_context_in_integers_is_close_to_the_float_networks(tiny_net, parrots):
    """Scales and means of every step, given the same symbols before it."""
    codec, quality = tiny_net.base, torch.tensor([3.0])
    x = torch.from_numpy(np.array(parrots)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        gain, shift = codec.quality_terms(quality)
        y = codec.g_a(x) * gain
        z = codec.entropy_bottleneck.quantise(codec.h_a(y))
        y_hat, scales, means = codec.entropy_parameters(y, z, shift)
        uncorrected = codec.h_s(z)[:, :, : y.shape[2], : y.shape[3]].chunk(2, dim=1)
    symbols = torch.round(y_hat - means)[0].numpy().astype(np.int32)
    latent = DecodedLatent(symbols, z[0].numpy().astype(np.int32), y_hat[0].numpy())
    levels, fixed_means = entropy_model(codec).conditions(latent, 96)
    expected = (np.log(scales[0].numpy()) - LOG_SCALE_MIN) / LOG_SCALE_STEP
    within = (0, SCALE_LEVELS - 1)
    assert np.abs(np.clip(levels / 1024, *within) - np.clip(expected, *within)).max() < 0.05
    assert np.abs(fixed_means / 1024 - means[0].numpy()).max() < 0.05
    first = codec.context.groups[0].channels
    assert not torch.allclose(uncorrected[1][:, :first], means[:, :first], atol=0.1)
    assert not torch.allclose(scale_of_level(uncorrected[0] + shift)[:, first:], scales[:, first:], rtol=0.1)
