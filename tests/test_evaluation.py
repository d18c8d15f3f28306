"""Figures of merit against values worked out by hand."""

from __future__ import annotations

import pytest
from PIL import Image

import compass
from compass.bitstream import container
from compass.evaluation import grid
from compass.evaluation.bdrate import bd_rate
from compass.evaluation.exactness import encode_all, verify
from compass.evaluation.tables import relative
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


def test_a_layer_that_decodes_otherwise_is_named(tiny_model_path, tmp_path):
    (row,) = encode_all([PARROTS], [3.0], str(tiny_model_path), tmp_path, 1)
    layers = row["layers"]
    data = (tmp_path / "parrots-q3.cmps").read_bytes()
    assert container.read_header(data).size + sum(layer["payload_bytes"] for layer in layers) == len(data)
    assert all(0 <= layer["payload_bytes"] - layer["ideal_bytes"] < 5 for layer in layers)
    assert verify([row], str(tiny_model_path), 1) == []
    layers[1]["sha256"] = "0" * 64
    assert verify([row], str(tiny_model_path), 2) == ["parrots-q3.cmps layer 1"]


def test_chains_of_the_papers_grid():
    cases = {name: [grid.scaled((768, 512), s) for s in scales] for name, scales in grid.chains().items()}
    assert cases["2 layers, 1.2x"] == [(192, 128), (230, 153)]
    assert cases["2 layers, 2.8x"] == [(192, 128), (537, 358)]
    assert cases["3 layers, 4.0x"] == [(192, 128), (384, 256), (768, 512)]
    assert cases["3 layers, 1.4x, 3.6x"] == [(192, 128), (268, 179), (691, 460)]
    assert cases["3 layers, 6.0x"] == [(128, 85), (256, 170), (768, 512)]
    assert [len(cases[f"{n} layers to 4x"]) for n in (3, 4, 5, 6, 9)] == [3, 4, 5, 6, 9]
    assert all(sizes[0] == (192, 128) and sizes[-1] == (768, 512) for name, sizes in cases.items() if "to 4x" in name)
    assert len(cases) == 39


def test_grid_results_count_all_bytes_of_each_way(monkeypatch):
    monkeypatch.setattr(grid, "chains", lambda: {"case": [0.5, 1.0]})
    rows = []
    for quality, (rate, fidelity) in enumerate(CURVE):
        size = round(rate * 100 * 100 / 8 * 100)
        case = {"sizes": ["50x50", "1000x100"], "bytes": [size // 10, size * 2], "psnr_rgb": [20.0, fidelity]}
        alone = {"50x50": (size, 20.0), "1000x100": (size, fidelity)}
        rows.append({"picture": "a", "quality": quality, "cases": {"case": case}, "alone": alone})
    layered, single, simulcast = grid.results(rows, "Kodak")
    assert [r.name for r in (layered, single, simulcast)] == ["compass", "single-compass", "simulcast-compass"]
    assert relative(layered, single, -1) == pytest.approx(100, abs=0.01)  # twice the bytes of the last size alone
    assert relative(layered, simulcast, -1) == pytest.approx(0, abs=0.01)  # as many as one file per layer
    assert layered.layers[0][0][0] == pytest.approx(single.layers[0][0][0] / 10, rel=1e-3)


def test_grid_rows_hold_real_files(parrots, tiny_model_path, tmp_path):
    parrots.resize((48, 36)).save(tmp_path / "small.png")
    (row,) = grid.measure(tmp_path, [2.0], str(tiny_model_path), 1)
    case = row["cases"]["3 layers, 4.0x"]
    assert case["sizes"] == ["12x9", "24x18", "48x36"]
    with Image.open(tmp_path / "small.png") as picture:
        sizes = [(12, 9), (24, 18), (48, 36)]
        assert case["bytes"][-1] == len(compass.encode(picture, quality=2, sizes=sizes, model=tiny_model_path))
        assert row["alone"]["48x36"][0] == len(compass.encode(picture, [1], 2, tiny_model_path))
    assert row["alone"]["12x9"][1] == case["psnr_rgb"][0]  # the base layer is the base codec
