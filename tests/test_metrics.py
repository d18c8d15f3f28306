"""PSNR and MS-SSIM against the libraries that people use for them."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from compass.evaluation.metrics import MS_SSIM_MIN_SIDE, ms_ssim
from compass.picture.fidelity import psnr


@pytest.fixture(scope="module")
def pairs(parrots):
    """The parrots (240x320) damaged in three ways, and an odd size."""
    clean = np.asarray(parrots)
    rng = np.random.default_rng(0)
    noisy = np.clip(clean + rng.normal(0, 12, clean.shape), 0, 255).astype(np.uint8)
    blurred = np.asarray(parrots.resize((80, 60)).resize(parrots.size))
    darker = (clean * 0.8).astype(np.uint8)
    odd = (slice(0, 201), slice(0, 233))
    return [(clean, noisy), (clean, blurred), (clean, darker), (clean[odd], noisy[odd])]


def test_psnr_is_that_of_scikit_image(pairs):
    for a, b in pairs:
        assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-9)
    assert psnr(pairs[0][0], pairs[0][0]) == float("inf")
    assert psnr(np.zeros((1, 1, 3)), np.full((1, 1, 3), 255)) == 0
    assert psnr(np.zeros((2, 2, 3)), np.full((2, 2, 3), 2.55)) == pytest.approx(40)


@pytest.mark.torch
def test_ms_ssim_is_that_of_pytorch_msssim(pairs):
    import torch
    from pytorch_msssim import ms_ssim as reference_ms_ssim

    for a, b in pairs:
        x, y = (torch.from_numpy(p.astype(np.float64)).permute(2, 0, 1)[None] for p in (a, b))
        value = ms_ssim(a, b)
        assert value == pytest.approx(reference_ms_ssim(x, y, data_range=255, size_average=True).item(), abs=1e-5)
        assert 0.3 < value < 0.999
    assert ms_ssim(pairs[0][0], pairs[0][0]) == pytest.approx(1)


def test_ms_ssim_needs_161_pixels_a_side(pairs):
    a, b = pairs[0]
    assert MS_SSIM_MIN_SIDE == 161
    assert ms_ssim(a[:160], b[:160]) is None
    assert ms_ssim(a[:161], b[:161]) is not None
