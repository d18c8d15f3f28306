"""Predictors against their definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from compass.nets.liff import LIFF, unfold_features
from compass.nets.liif import LIIF
from compass.nets.predictor import BicubicPredictor, SeparablePredictor, axis_tensors


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


@pytest.mark.parametrize("make", [LIFF, LIIF])
@pytest.mark.parametrize("size", [(5, 9), (40, 31)])
def test_bands_of_rows_make_what_the_whole_makes(make, size):
    torch.manual_seed(0)
    predictor, x = make(), torch.rand(1, 3, 5, 9)
    axes = axis_tensors(5, size[0]), axis_tensors(9, size[1])
    whole = predictor(x, *axes)  # with a gradient: at once
    with torch.no_grad():
        torch.testing.assert_close(predictor(x, *axes), whole.detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(320, 240), (401, 307), (960, 700)])
def test_bicubic_is_pillows(parrots, size):
    parrots = parrots.point(lambda v: 64 + v // 2)  # no overshoot: Pillow would clip it between its two passes
    x = torch.from_numpy(np.array(parrots)).permute(2, 0, 1)[None].float() / 255
    ours = BicubicPredictor()(x, axis_tensors(240, size[1]), axis_tensors(320, size[0]))
    theirs = np.asarray(parrots.resize(size, Image.Resampling.BICUBIC)).astype(float)
    difference = (ours[0].permute(1, 2, 0).numpy() * 255).clip(0, 255) - theirs
    # Pillow drops the taps outside the image, we repeat the border: the inside must agree to its rounding.
    assert np.abs(difference[12:-12, 12:-12]).max() < 1.5


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
