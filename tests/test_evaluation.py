"""Figures of merit against values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import Akima1DInterpolator

from compass.evaluation.bdrate import bd_rate, layer_bd_rate
from tests.curves import result

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


def test_bd_rate_of_the_documented_example_of_the_package():
    """The points of `bjontegaard`'s own documentation; the value by numerical integration of scipy's Akima curves."""
    anchor = [(9487.76, 40.037), (4593.60, 38.615), (2486.44, 36.845), (1358.24, 34.851)]
    test = [(9787.80, 40.121), (4469.00, 38.651), (2451.52, 36.970), (1356.24, 34.987)]
    fidelity = np.linspace(34.987, 40.037, 100_001)
    difference = sum(
        sign * Akima1DInterpolator([p for _, p in points[::-1]], np.log([r for r, _ in points[::-1]]))(fidelity)
        for sign, points in ((1, test), (-1, anchor))
    )
    assert bd_rate(anchor, test) == pytest.approx(100 * (np.exp(difference.mean()) - 1), abs=1e-3)


def test_only_the_qualities_that_are_asked_for_count():
    ours = result("compass", 1.0)
    more = replace(
        ours,
        qualities=(0.0, *ours.qualities, 6.0),
        layers=tuple([(0.01, 27.9), *points, (9.0, 34.1)] for points in ours.layers),
    )
    assert layer_bd_rate(result("x", 2.0), more, -1, (1, 2, 3, 4)) == pytest.approx(-50)
    assert more.points(0, (1, 2, 3, 4)) == ours.layers[0]
    assert more.points(0) == more.points(0, (1, 2, 3, 4.5)) == more.layers[0]  # one was not measured: all


def test_curves_that_do_not_meet_or_are_short_have_no_bd_rate():
    ours = result("compass", 1.0)
    far = replace(ours, layers=([(r, p + 20) for r, p in ours.final],) * 3)
    short = replace(ours, qualities=(1.0,), layers=(ours.final[:1],) * 3)
    assert layer_bd_rate(far, ours, -1) is None
    assert layer_bd_rate(short, ours, -1) is None
    assert layer_bd_rate(ours, short, -1) is None


def test_no_bd_rate_of_a_curve_that_hardly_rises():
    rising = result("x", 1.0)
    points = rising.layers[-1]
    flat = [(rate, points[0][1] + (k == 0)) for k, (rate, _) in enumerate(points)]  # the first point beats all others
    halting = replace(rising, layers=(flat,) * 3)
    assert layer_bd_rate(halting, rising, -1) is None
    assert layer_bd_rate(rising, halting, -1) is None
