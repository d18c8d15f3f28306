"""The networks: published sizes, the exact algebra of LIFF, checkpoints from CompressAI."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from compass.nets.compressai import load_compressai
from compass.nets.factorized_codec import FactorizedCodec
from compass.nets.fast import GatedSiLU
from compass.nets.gdn import GDN
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.layered import CompassNet
from compass.nets.liff import LIFF, unfold_features
from compass.nets.liif import LIIF
from compass.nets.macs import kmac_per_pixel
from compass.nets.paper import conv, paper_transforms
from compass.nets.predictor import BicubicPredictor, SeparablePredictor, axis_tensors
from compass.training.klt import recentre_for_residuals, start_from_klt
from compass.training.run import build
from compass.training.widen import asleep, wake, widen


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_published_parameter_counts():
    assert parameters(HyperpriorCodec(paper_transforms(), variable_rate=False)) == 7_028_003
    assert parameters(FactorizedCodec(variable_rate=False)) == 2_998_147
    assert parameters(LIFF()) == 1_448_320


@pytest.mark.parametrize("size", [(29, 40), (13, 17), (21, 60)])
def test_liff_factorised_equals_its_definition(size):
    torch.manual_seed(0)
    liff, x = LIFF(), torch.rand(2, 3, 13, 17)
    grids = axis_tensors(13, size[0]), axis_tensors(17, size[1])
    with torch.no_grad():
        assert torch.allclose(liff(x, *grids), liff.forward_direct(x, *grids), atol=1e-5)


def liif_by_definition(liif: LIIF, x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Pixel by pixel: four neighbours, each with its own full MLP, weighted by the opposite rectangles."""
    h, w = x.shape[2:]
    u = unfold_features(liif.encoder, x)
    out = torch.zeros(x.shape[0], 3, height, width)
    for i in range(height):
        for j in range(width):
            y, z = (i + 0.5) * h / height - 0.5, (j + 0.5) * w / width - 0.5
            top, left = math.floor(y), math.floor(z)
            for r in (top, top + 1):
                for c in (left, left + 1):
                    weight = (1 - abs(y - r)) * (1 - abs(z - c))
                    r_in, c_in = min(max(r, 0), h - 1), min(max(c, 0), w - 1)
                    local = torch.tensor([2 * (y - r_in), 2 * (z - c_in), 2 * h / height, 2 * w / width])
                    hidden = torch.cat((u[:, :, r_in, c_in], local.expand(x.shape[0], 4)), dim=1)
                    for layer in (liif.first, *liif.middle):
                        hidden = F.relu(layer(hidden))
                    out[:, :, i, j] += weight * liif.last(hidden)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("size", [(7, 9), (5, 6), (13, 20)])
def test_liif_equals_its_definition(size):
    torch.manual_seed(0)
    liif, x = LIIF(), torch.rand(2, 3, 5, 6)
    with torch.no_grad():
        ours = liif(x, axis_tensors(5, size[0]), axis_tensors(6, size[1]))
        assert torch.allclose(ours, liif_by_definition(liif, x, *size), atol=1e-5)


@pytest.mark.slow
def test_costs_per_pixel():
    """What the design asks for: the paper's codec costs 47.6 kMAC/px to decode, `fast` stays below 60 in all layers."""
    assert kmac_per_pixel(build("paper"), 128, 192)["base decode"] == pytest.approx(47.6, abs=0.1)
    fast = kmac_per_pixel(build("fast"), 128, 192)
    assert fast["base decode"] < 47.6 / 4
    assert max(v for k, v in fast.items() if k.startswith("enhancement")) < 60


@pytest.mark.parametrize("size", [(320, 240), (401, 307), (960, 700)])
def test_bicubic_is_pillows(parrots, size):
    parrots = parrots.point(lambda v: 64 + v // 2)  # no overshoot: Pillow would clip it between its two passes
    x = torch.from_numpy(np.array(parrots)).permute(2, 0, 1)[None].float() / 255
    ours = BicubicPredictor()(x, axis_tensors(240, size[1]), axis_tensors(320, size[0]))
    theirs = np.asarray(parrots.resize(size, Image.Resampling.BICUBIC)).astype(float)
    difference = (ours[0].permute(1, 2, 0).numpy() * 255).clip(0, 255) - theirs
    # Pillow drops the taps outside the image, we repeat the border: the inside must agree to its rounding.
    assert np.abs(difference[12:-12, 12:-12]).max() < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["tiny", "paper", "paper-liif"])
@pytest.mark.parametrize("sizes", [[(5, 7)], [(16, 16), (16, 16)], [(9, 30), (12, 31), (33, 50), (64, 100)]])
def test_recursion_over_any_layers_and_ratios(profile, sizes):
    torch.manual_seed(0)
    net = build(profile).eval()
    pyramid = [torch.rand(1, 3, h, w) for h, w in sizes]
    with torch.no_grad():
        layers = net(pyramid, [torch.tensor([3.0])] * len(sizes))
    assert [tuple(layer.image.shape[2:]) for layer in layers] == sizes
    assert all(layer.bits_y.item() > 0 and layer.bits_z.item() > 0 for layer in layers)


def test_every_part_receives_a_gradient_through_the_chain():
    torch.manual_seed(0)
    net: CompassNet = build("tiny").train()
    torch.nn.init.normal_(net.predictor.leave.weight, std=0.1)
    layers = net([torch.rand(1, 3, 32, 32), torch.rand(1, 3, 64, 64)], [torch.tensor([2.5])] * 2)
    (layers[1].image.mean() + sum(layer.bits_y.mean() + layer.bits_z.mean() for layer in layers)).backward()
    assert [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None] == []
    assert (
        net.base.g_s.leave[0].weight.grad.abs().sum() > 0
    )  # only the prediction above it reaches the base's synthesis


def test_rates_stay_in_full_precision_under_autocast():
    """On an accelerator the transforms run in bf16; a rate computed in bf16 would be off by far more than they are."""
    torch.manual_seed(0)
    codec = build("tiny").base.eval()
    with torch.no_grad():
        codec.gain.log_gain += 3.0  # latents of some hundred, where bf16 cannot tell neighbouring integers apart
        x, quality = torch.rand(1, 3, 64, 64), torch.tensor([6.0])
        full = codec(x, quality)
        with torch.autocast("cpu", torch.bfloat16):
            half = codec(x, quality)
    assert all(tensor.dtype == torch.float32 for tensor in half)
    assert half.bits_y.item() == pytest.approx(full.bits_y.item(), rel=0.01)
    assert half.bits_z.item() == pytest.approx(full.bits_z.item(), rel=0.01)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_half_precision_makes_true_gradients_of_the_smallest_inputs(size, stride):
    torch.manual_seed(0)
    layer = conv(128, 128, stride=stride).to(memory_format=torch.channels_last)
    x = torch.randn(2, 128, *size)
    gradients = []
    for half in (False, True):
        layer.zero_grad()
        torch.full((10_000_000,), 3e38)  # for what reads memory before it writes to it
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            layer(x).float().square().sum().backward()
        gradients.append(layer.weight.grad.clone())
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0.03 * gradients[0].abs().max().item())


def compressai_state(codec: torch.nn.Module, naming: str) -> dict[str, torch.Tensor]:
    """A state dict with the keys and shapes that CompressAI publishes, filled with this codec's weights."""
    state = {}
    for key, value in codec.state_dict().items():
        for ours, theirs in (("_matrix", "matrices"), ("_bias", "biases"), ("_factor", "factors")):
            if naming != "middle" and key.startswith(f"entropy_bottleneck.{ours}"):
                underscore = "_" if naming == "first" else ""
                key = f"entropy_bottleneck.{underscore}{theirs}.{key[-1]}"
        state[key] = value
        if key.endswith((".beta", ".gamma")):
            state[f"{key}_reparam.pedestal"] = torch.tensor([2.0**-36])
            state[f"{key}_reparam.lower_bound.bound"] = torch.tensor([1e-3])
    channels = state["entropy_bottleneck.quantiles"].shape[0]
    for part in ("entropy_bottleneck", "gaussian_conditional"):
        state[f"{part}._offset"] = torch.zeros(channels, dtype=torch.int32)
        state[f"{part}._quantized_cdf"] = torch.zeros(channels, 20, dtype=torch.int32)
        state[f"{part}._cdf_length"] = torch.zeros(channels, dtype=torch.int32)
        state[f"{part}.likelihood_lower_bound.bound"] = torch.tensor([1e-9])
    state["entropy_bottleneck.target"] = torch.zeros(3)
    state["gaussian_conditional.scale_table"] = torch.zeros(64)
    state["gaussian_conditional.lower_bound_scale.bound"] = torch.tensor([0.11])
    return state


def reference_analysis(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """g_a written out from CompressAI's definition of its layers: convolution, then GDN with its reparametrisation."""
    for i in range(0, 7, 2):
        x = F.conv2d(x, state[f"g_a.{i}.weight"], state[f"g_a.{i}.bias"], stride=2, padding=2)
        if i < 6:
            beta = torch.clamp(state[f"g_a.{i + 1}.beta"], min=(1e-6 + 2.0**-36) ** 0.5) ** 2 - 2.0**-36
            gamma = torch.clamp(state[f"g_a.{i + 1}.gamma"], min=2.0**-18) ** 2 - 2.0**-36
            norm = torch.einsum("ij,bjhw->bihw", gamma, x**2) + beta[:, None, None]
            x = x / torch.sqrt(norm)
    return x


@pytest.mark.parametrize("naming", ["first", "middle", "latest"])
@pytest.mark.parametrize("kind", ["mbt2018-mean", "bmshj2018-factorized"])
def test_compressai_checkpoints_load(kind, naming):
    torch.manual_seed(3)

    def make() -> torch.nn.Module:
        if kind == "mbt2018-mean":
            return HyperpriorCodec(paper_transforms(), variable_rate=False)
        return FactorizedCodec(variable_rate=False)

    source = make()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(0.02 * torch.rand_like(parameter))
    state = compressai_state(source, naming)
    target = make()
    load_compressai(target, state)
    x = torch.rand(1, 3, 64, 80)
    with torch.no_grad():
        a, b = source.eval()(x), target.eval()(x)
        assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True))
        assert torch.allclose(target.g_a(x), reference_analysis(state, x), atol=1e-5)


def test_a_checkpoint_of_another_network_is_refused():
    state = compressai_state(FactorizedCodec(64, 96, variable_rate=False), "latest")
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_compressai(FactorizedCodec(variable_rate=False), state)


@pytest.mark.parametrize("inverse", [False, True])
def test_gdn_in_training_is_gdn(inverse):
    """The written-out gradient against automatic differentiation of the definition, and by finite differences."""
    torch.manual_seed(0)
    gdn = GDN(5, inverse).double()
    with torch.no_grad():
        gdn.beta += torch.rand(5)
        gdn.gamma += torch.rand(5, 5)
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True)
    norm = F.conv2d(x * x, (gdn.gamma**2 - 2.0**-36)[:, :, None, None], gdn.beta**2 - 2.0**-36)
    expected = x * norm**0.5 if inverse else x * norm**-0.5
    ours = gdn(x)
    with torch.no_grad():
        assert torch.allclose(gdn(x), ours)
    assert torch.allclose(ours, expected)
    leaves, weights = (x, gdn.gamma, gdn.beta), torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, leaves, weights), torch.autograd.grad(expected, leaves, weights), strict=True
    ):
        assert torch.allclose(a, b)
    assert torch.autograd.gradcheck(gdn, x)


def test_gated_silu_in_training_is_its_definition():
    x = torch.randn(40, dtype=torch.float64, requires_grad=True)
    gated = GatedSiLU()
    assert torch.allclose(gated(x), x * torch.sigmoid(4 * x))
    with torch.no_grad():
        assert torch.allclose(gated(x), x * torch.sigmoid(4 * x))
    assert torch.autograd.gradcheck(gated, x)


@pytest.mark.parametrize("size", [(11, 14), (8, 9)])
def test_a_separable_correction_is_its_definition(size):
    """The sum over nearest pixels and ranks, written out for one output position after another."""
    torch.manual_seed(0)
    predictor, (h, w), (height, width) = SeparablePredictor(rank=2), size, (17, 21)
    torch.nn.init.normal_(predictor.leave.weight)
    x = torch.rand(1, 3, h, w)
    rows, columns = axis_tensors(h, height), axis_tensors(w, width)
    k = predictor.coefficients(x)[0].reshape(2, 2, 3, h, w)
    taps = [predictor.position_taps(axis.phase, axis.log_ratio).reshape(-1, 3, 2) for axis in (rows, columns)]
    found = predictor(x, rows, columns) - BicubicPredictor()(x, rows, columns)
    for y, column in ((0, 0), (16, 20), (9, 4), (3, 17)):
        expected = torch.zeros(3)
        for t, u, i, j in itertools.product(range(3), range(3), range(2), range(2)):
            row = min(max(int(rows.nearest[y]) + t - 1, 0), h - 1)
            at = min(max(int(columns.nearest[column]) + u - 1, 0), w - 1)
            expected += taps[0][y, t, i] * taps[1][column, u, j] * k[i, j, :, row, at]
        assert torch.allclose(found[0, :, y, column], expected, atol=1e-5)


@pytest.mark.parametrize("make", [SeparablePredictor, BicubicPredictor])
def test_resampling_is_in_single_precision_under_autocast(make):
    """What starts as bicubic interpolation is that, to far below a grey level, in bf16 training too."""
    torch.manual_seed(0)
    predictor, x = make(), torch.rand(1, 3, 24, 20)
    axes = axis_tensors(24, 50), axis_tensors(20, 37)
    with torch.no_grad():
        expected = BicubicPredictor()(x, *axes)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = predictor(x, *axes)
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("make", [lambda n, m: HyperpriorCodec(paper_transforms(n, m)), FactorizedCodec])
def test_a_wider_codec_begins_as_the_narrow_one(make):
    torch.manual_seed(0)
    narrow, wide = make(6, 8), make(12, 20)
    start_from_klt(narrow, torch.rand(64, 3, 32, 32))
    with torch.no_grad():
        for name, p in narrow.named_parameters():
            if name.startswith("entropy_bottleneck._matrix"):
                p += 1.0  # a density as narrow as those of trained channels that are hardly used
            if name == "h_a.4.weight":
                p *= 100.0  # symbols other than zero
    assert widen(wide, narrow.state_dict())
    x, quality = torch.rand(2, 3, 96, 96), torch.tensor([1.0, 4.5])
    before, after = narrow.eval()(x, quality), wide.eval()(x, quality)
    torch.testing.assert_close(after.image, before.image, rtol=0, atol=1e-5)
    assert torch.all(after.bits_y >= before.bits_y * 0.999)
    assert torch.all(after.bits_y <= before.bits_y * (1.001 if isinstance(wide, HyperpriorCodec) else 20 / 8))
    (after.image.square().mean() + 1e-6 * (after.bits_y + after.bits_z).mean()).backward()
    moved = [name for name, p in wide.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert {name.partition(".")[0] for name in moved} >= {name for name, _ in wide.named_children()} - {"h_a"}


@pytest.mark.parametrize("make", [lambda n, m: HyperpriorCodec(paper_transforms(n, m)), FactorizedCodec])
def test_new_latents_say_what_the_narrow_codec_leaves_out(make):
    torch.manual_seed(0)
    images = F.interpolate(torch.rand(64, 3, 16, 16), scale_factor=4, mode="bilinear")
    narrow, wide = make(6, 8), make(24, 32)
    start_from_klt(narrow, images)
    assert widen(wide, narrow.state_dict())
    before = copy.deepcopy(wide.state_dict())
    assert asleep(wide)
    wake(wide, images)
    assert not asleep(wide)
    with torch.no_grad():
        left, y = images - narrow.g_s(narrow.g_a(images)), wide.g_a(images)
        assert torch.equal(y[:, :8], narrow.g_a(images))
        error = (images - wide.g_s(y)).square().mean()
        assert error < 0.5 * left.square().mean()
        y[:, 8:] = 0.0
        assert torch.allclose(wide.g_s(y), narrow.g_s(narrow.g_a(images)), atol=1e-5)  # the old path is as it was
    wide.train()
    quality = torch.full((8,), 5.0)
    out = wide(images[:8], quality)
    ((out.image - images[:8]).square().mean() + 1e-6 * out.bits_y.mean()).backward()
    for layer, channels in ((wide.g_a[-1], slice(8, None)), (wide.g_a[0], slice(6, 18)), (wide.g_s[-1], slice(6, 18))):
        assert layer.weight.grad[channels].abs().flatten(1).amax(dim=1).min() > 0
    silent = make(24, 32)
    silent.load_state_dict(before)
    silent.train()
    out = silent(images[:8], quality)
    (out.image - images[:8]).square().mean().backward()
    assert silent.g_a[-1].weight.grad[8:].abs().max() == 0.0  # why they are woken


def test_what_cannot_be_widened():
    narrow, wide = (HyperpriorCodec(paper_transforms(n, 2 * n)) for n in (4, 6))
    assert not widen(narrow, wide.state_dict())
    assert not widen(wide, FactorizedCodec(4, 8).state_dict())
    assert not widen(build("tiny").base, build("tiny").base.state_dict())  # no channels in a row there


def test_a_codec_of_the_paper_starts_to_code_residuals():
    torch.manual_seed(0)
    codec = HyperpriorCodec(paper_transforms(6, 8)).eval()
    start_from_klt(codec, torch.rand(64, 3, 32, 32))
    x, quality = 0.5 + 0.2 * torch.rand(1, 3, 256, 256), torch.tensor([5.0])
    inner = (..., slice(112, 144), slice(112, 144))  # the border is another one
    with torch.no_grad():
        image = codec(x, quality).image[inner]
        recentre_for_residuals(codec)
        residual = codec(x - 0.5, quality).image[inner]
    assert image.std() > 0.01
    torch.testing.assert_close(residual, image - 0.5, rtol=0, atol=1e-5)
