"""Codecs that begin as something known: a narrower codec, a block transform."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from compass.nets.factorized_codec import FactorizedCodec
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.implicit import Widths
from compass.nets.liff import LIFF
from compass.nets.liif import LIIF
from compass.nets.paper import paper_transforms
from compass.nets.predictor import SeparablePredictor, axis_tensors
from compass.training.klt import recentre_for_residuals, start_from_klt
from compass.training.repeat import repeat
from compass.training.run import build
from compass.training.widen import asleep, wake, widen


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


@pytest.mark.parametrize("make", [LIFF, LIIF])
def test_a_wider_predictor_begins_as_the_narrow_one(make):
    torch.manual_seed(0)
    narrow, wide = make(Widths(3, 2, 5)), make(Widths(6, 4, 10))
    assert repeat(wide, narrow.state_dict())
    x, axes = torch.rand(2, 3, 9, 7), (axis_tensors(9, 13), axis_tensors(7, 16))
    torch.testing.assert_close(wide(x, *axes), narrow(x, *axes), rtol=0, atol=1e-5)
    wide(x, *axes).square().mean().backward()
    for name, p in wide.named_parameters():
        if "encoder" in name or "first" in name or "middle" in name:
            assert not torch.allclose(p.grad[0::2], p.grad[1::2], rtol=1e-2, atol=0)  # copies do not stay copies


def test_what_a_predictor_cannot_begin_as():
    wide = LIFF(Widths(6, 4, 10))
    before = copy.deepcopy(wide.state_dict())
    for other in (LIIF(Widths(3, 2, 5)), LIFF(Widths(4, 2, 5)), LIFF(Widths(3, 4, 5)), LIFF(Widths(12, 8, 20))):
        assert not repeat(wide, other.state_dict())
    assert not repeat(SeparablePredictor(), wide.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in wide.state_dict().items())
