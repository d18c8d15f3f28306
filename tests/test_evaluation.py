"""Figures of merit against values worked out by hand."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import compass
from compass.evaluation import single_layer
from compass.evaluation.bdrate import bd_rate
from compass.evaluation.kodak import means, measure_picture, psnr, verify
from tests.conftest import PARROTS

CURVE = [(0.1, 27.0), (0.2, 29.5), (0.4, 32.0), (0.8, 34.5)]


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.25])
def test_bd_rate_of_a_curve_that_costs_a_constant_factor(factor):
    other = [(rate * factor, psnr) for rate, psnr in reversed(CURVE)]
    assert bd_rate(CURVE, other) == pytest.approx(100 * (factor - 1), abs=1e-6)


def test_bd_rate_of_a_shift_by_one_step():
    # 2.5 dB is a doubling of the rate on this line; 0.5 dB worse is a factor of 2^(1/5).
    worse = [(rate, psnr - 0.5) for rate, psnr in CURVE]
    assert bd_rate(CURVE, worse) == pytest.approx(100 * (2**0.2 - 1), abs=1e-6)


def test_bd_rate_leaves_out_points_that_cost_more_for_less():
    assert bd_rate(CURVE, [*CURVE, (0.9, 30.0)]) == pytest.approx(0, abs=1e-9)


def test_psnr():
    a = np.zeros((4, 5, 3), np.uint8)
    b = a.copy()
    b[0, 0, 0] = 60
    assert psnr(a, b) == pytest.approx(10 * np.log10(255**2 / 60))
    assert psnr(a, a) == float("inf")


def test_rows_of_a_picture_add_up(tiny_model_path, tmp_path):
    row = measure_picture(PARROTS, 3.0, str(tiny_model_path), tmp_path)
    layers = row["layers"]
    size = (tmp_path / "parrots-q3.cmps").stat().st_size
    assert (
        row["header_bytes"] + sum(layer["payload_bytes"] for layer in layers) == layers[-1]["accumulated_bytes"] == size
    )
    (mean,) = means([row])
    assert mean["layers"][2]["bpp"] == pytest.approx(8 * size / (320 * 240))
    simulcast = sum(layer["alone_bytes"] for layer in layers)
    assert mean["layers"][2]["simulcast_bpp"] == pytest.approx(8 * simulcast / (320 * 240))
    assert layers[0]["psnr_rgb"] == layers[0]["alone_psnr_rgb"]  # the base layer is the base codec
    assert verify([row], tmp_path, str(tiny_model_path), 1) == []
    row["layers"][1]["sha256"] = "0" * 64
    assert verify([row], tmp_path, str(tiny_model_path), 2) == [f"{tmp_path}/parrots-q3.cmps layer 1"]


def test_single_layer_figures_are_those_of_real_files(parrots, tiny_model_path, tmp_path):
    shutil.copy(PARROTS, tmp_path)
    rows = single_layer.measure(tmp_path, [0.5, 1.0], [1.0, 2.5], str(tiny_model_path), 1)
    assert [(row["scale"], row["quality"]) for row in rows] == [(0.5, 1.0), (0.5, 2.5), (1.0, 1.0), (1.0, 2.5)]
    data = compass.encode(parrots, [1], 2.5, tiny_model_path)
    picture = np.asarray(compass.decode(data, model=tiny_model_path))
    assert rows[3]["bpp"] == pytest.approx(8 * len(data) / (320 * 240), abs=1e-5)
    assert rows[3]["psnr_rgb"] == pytest.approx(psnr(picture, np.asarray(parrots)), abs=1e-3)
