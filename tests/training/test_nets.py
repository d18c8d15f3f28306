"""The networks: published sizes and costs, the recursion over layers, arithmetic."""

from __future__ import annotations

import pytest
import torch

from compass.nets.factorized_codec import FactorizedCodec
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.layered import CompassNet
from compass.nets.liff import LIFF
from compass.nets.macs import kmac_per_pixel
from compass.nets.paper import paper_transforms
from compass.training.run import build


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_published_parameter_counts():
    assert parameters(HyperpriorCodec(paper_transforms(), variable_rate=False)) == 7_028_003
    assert parameters(FactorizedCodec(variable_rate=False)) == 2_998_147
    assert parameters(LIFF()) == 1_448_320


@pytest.mark.slow
def test_costs_per_pixel():
    """What the design asks for: the paper's codec costs 47.6 kMAC/px to decode, `fast` stays below 60 in all layers."""
    assert kmac_per_pixel(build("paper"), 128, 192)["base decode"] == pytest.approx(47.6, abs=0.1)
    fast = kmac_per_pixel(build("fast"), 128, 192)
    assert fast["base decode"] < 47.6 / 4
    assert max(v for k, v in fast.items() if k.startswith("enhancement")) < 60


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


@pytest.mark.parametrize("make", [lambda: build("tiny").base, lambda: HyperpriorCodec(paper_transforms(16, 24))])
def test_rates_stay_in_full_precision_under_autocast(make):
    """On an accelerator the transforms run in bf16; a rate computed in bf16 would be off by far more than they are."""
    torch.manual_seed(0)
    codec = make().eval()
    with torch.no_grad():
        codec.gain.log_gain += 3.0  # latents of some hundred, where bf16 cannot tell neighbouring integers apart
        x, quality = torch.rand(1, 3, 64, 64), torch.tensor([6.0])
        full = codec(x, quality)
        with torch.autocast("cpu", torch.bfloat16):
            half = codec(x, quality)
    assert all(tensor.dtype == torch.float32 for tensor in half)
    assert half.bits_y.item() == pytest.approx(full.bits_y.item(), rel=0.01)
    assert half.bits_z.item() == pytest.approx(full.bits_z.item(), rel=0.01)
