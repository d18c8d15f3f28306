"""`python -m paper`: the grid of layers and ratios, files decoded again, the paper's tables filled in."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import compass
from compass.bitstream import container
from compass.errors import InputError
from compass.evaluation.bdrate import layer_bd_rate
from compass.evaluation.document import to_markdown
from compass.picture.fidelity import psnr
from paper import grid
from paper.ablation import ablation_section
from paper.agreement import Agreement, agreements
from paper.exactness import check, decode_all, encode_all
from paper.report import paper_sections
from paper.tables import Cell, PaperTable, Row, paper_tables, reported
from tests.conftest import PARROTS
from tests.curves import result


def test_pyramids_of_the_grid():
    cases = {scales: [grid.scaled((768, 512), s) for s in scales] for scales in grid.pyramids()}
    assert len(cases) == 38  # three layers to 4.0x are also the first of the many layers
    assert cases[1 / 4, 1.2 / 4] == [(192, 128), (230, 153)]
    assert cases[1 / 4, 2.8 / 4] == [(192, 128), (537, 358)]
    assert cases[1 / 4, 1 / 2, 1.0] == [(192, 128), (384, 256), (768, 512)]
    assert cases[1 / 4, 1.4 / 4, 3.6 / 4] == [(192, 128), (268, 179), (691, 460)]
    assert cases[1 / 6, 2 / 6, 1.0] == [(128, 85), (256, 170), (768, 512)]
    many = [sizes for sizes in cases.values() if len(sizes) > 3]
    assert [len(sizes) for sizes in many] == [4, 5, 6, 9]
    assert all(sizes[0] == (192, 128) and sizes[-1] == (768, 512) for sizes in many)
    assert len(grid.pyramids(many=False)) == 34


def test_grid_results_count_all_bytes_of_each_way():
    rows: list[grid.Row] = []
    for quality, (rate, fidelity) in enumerate([(0.1, 27.0), (0.2, 29.5), (0.4, 32.0), (0.8, 34.5)]):
        size = round(rate * 100 * 100 / 8 * 100)
        case: grid.Case = {
            "scales": [0.5, 1.0],
            "sizes": [[50, 50], [1000, 100]],
            "bytes": [size // 10, size * 2],
            "psnr_rgb": [20.0, fidelity],
        }
        alone: list[grid.Single] = [
            {"size": [50, 50], "bytes": size, "psnr_rgb": 20.0},
            {"size": [1000, 100], "bytes": size, "psnr_rgb": fidelity},
        ]
        rows.append({"picture": "a", "quality": quality, "cases": [case], "alone": alone})
    layered, single, simulcast = grid.results(rows, "Kodak")
    assert [r.name for r in (layered, single, simulcast)] == ["compass", "single-compass", "simulcast-compass"]
    assert layer_bd_rate(single, layered, -1) == pytest.approx(100, abs=0.01)  # twice the bytes of the last size alone
    assert layer_bd_rate(simulcast, layered, -1) == pytest.approx(0, abs=0.01)  # as many as one file per layer
    assert layered.layers[0][0][0] == pytest.approx(single.layers[0][0][0] / 10, rel=1e-3)


def test_grid_rows_hold_real_files(parrots, tiny_model_path, tmp_path):
    parrots.resize((48, 36)).save(tmp_path / "small.png")
    row = grid.measure(tmp_path / "small.png", 2.0, grid.OfModel(str(tiny_model_path)), grid.pyramids([2.0]))
    case = next(case for case in row["cases"] if case["scales"] == (1 / 4, 1 / 2, 1.0))
    assert case["sizes"] == [(12, 9), (24, 18), (48, 36)]
    alone = {single["size"]: single for single in row["alone"]}
    with Image.open(tmp_path / "small.png") as image:
        sizes = [(12, 9), (24, 18), (48, 36)]
        assert case["bytes"][-1] == len(compass.encode(image, quality=2, sizes=sizes, model=tiny_model_path))
        assert alone[48, 36]["bytes"] == len(compass.encode(image, [1], 2, tiny_model_path))
    assert alone[12, 9]["psnr_rgb"] == case["psnr_rgb"][0]  # the base layer is the base codec


def test_grid_of_sizes_alone_with_black_around_them(parrots, tiny_model_path, tmp_path):
    parrots.resize((80, 65)).save(tmp_path / "small.png")
    model = str(tiny_model_path)
    row = grid.measure(tmp_path / "small.png", 3.0, grid.Padded(model), [(0.8, 1.0)])
    assert "bytes" not in row["cases"][0]
    single, simulcast = grid.results([row], "small", "compass-padded")
    assert [r.name for r in (single, simulcast)] == ["single-compass-padded", "simulcast-compass-padded"]
    assert [x["size"] for x in row["alone"]] == [(64, 52), (80, 65)]
    with Image.open(tmp_path / "small.png") as image:
        black = Image.new("RGB", (128, 128))
        black.paste(image, (24, 31))
        data = compass.encode(black, [1], 3, tiny_model_path)
        decoded = compass.decode(data, model=tiny_model_path)
        assert row["alone"][1]["bytes"] == len(data)
        inner = np.asarray(decoded)[31:96, 24:104]
        assert row["alone"][1]["psnr_rgb"] == pytest.approx(psnr(inner, np.asarray(image)), abs=0.001)


@pytest.mark.slow
def test_a_layer_that_decodes_otherwise_is_named(tiny_model_path, tmp_path):
    model = str(tiny_model_path)
    (file,) = encode_all([PARROTS], [3.0], model, tmp_path, 1)
    data = (tmp_path / "parrots-q3.cmps").read_bytes()
    assert container.read_header(data).size + sum(layer.payload_bytes for layer in file.layers) == len(data)
    assert all(0 <= layer.payload_bytes - layer.ideal_bytes < 5 for layer in file.layers)
    figures = check([file], model, [1])
    assert figures["decodings"] == [{"threads": 1, "layers_that_differ": []}]
    assert figures["layers"] == 3
    assert 0 <= figures["largest_excess_bytes"] < 5
    file.layers[1] = file.layers[1]._replace(sha256="0" * 64)
    wrong = decode_all([file], model, 2)
    assert wrong == {"threads": 2, "layers_that_differ": [{"file": "parrots-q3.cmps", "layer": 1}]}


def test_the_papers_figures_are_complete():
    tables = {table["id"]: table for table in reported()["tables"]}
    assert [name for name in tables if name.startswith("table")] == [f"table {n}" for n in range(1, 10)]
    for table in tables.values():
        assert all(len(values) == len(table["columns"]) for values in table["values"].values())
        assert set(table["values"]) <= set(reported()["peers"])
    # Table 2 is the poster's two layers at 2.0x; tables 6 to 9 differ in the middle layer.
    two = tables["poster, two layers"]["values"]
    for peer in ("shvc", "simulcast-mean-scale", "mei-original", "mei-enhanced", "single-mean-scale"):
        assert tables["table 2"]["values"][peer][0] == two[peer][2]
    assert [tables[f"table {n}"]["values"]["shvc"][0] for n in (6, 7, 8, 9)] == [-41.91, -45.51, -49.05, -53.17]


def test_cells_hold_our_bd_rate_beside_the_papers():
    results = [
        result("compass", 1.0),
        result("SHVC", 1.25, source="recorded 2026-01-01"),
        result("single-compass", 0.8),
    ]
    tables = {table.identifier: table for table in paper_tables(results)}
    rows = {row.peer: row for row in tables["poster, three layers"].rows}
    assert rows["SHVC"].source == "recorded 2026-01-01"
    assert [cell.ours for cell in rows["SHVC"].cells[:4]] == [None] * 4
    assert rows["SHVC"].cells[4].ours == pytest.approx(-20)
    assert rows["SHVC"].cells[4].paper == -33.34
    assert rows["Single-layer (own base codec)"].cells[4].ours == pytest.approx(25)
    empty = rows["Mei et al. (original)"]  # no peer: the row stays, empty and marked
    assert empty.source == "not measured"
    assert all(cell.ours is None for cell in empty.cells)
    assert tables["poster, three layers"].measured
    assert not tables["table 3"].measured  # another data set


def test_a_stand_in_fills_tables_whose_data_set_is_absent_and_says_so():
    on_kodak = [result("compass", 1.0), result("single-compass", 2.0)]
    on_photos = [
        replace(r, data_set="photos", layers=result("", k).layers) for r, k in zip(on_kodak, (1.0, 1.25), strict=True)
    ]
    found = {}
    for table in paper_tables([*on_kodak, *on_photos], "photos"):
        rows = {row.peer: row.cells for row in table.rows}
        found[table.identifier] = table.measured_on, rows["Single-layer (own base codec)"][-1].ours
    assert found["table 2"] == ("Kodak", pytest.approx(-50))
    assert found["table 3"] == ("photos", pytest.approx(-20))
    text = to_markdown("Report", paper_sections([*on_kodak, *on_photos], "photos"))
    assert "1; the paper on Urban100, ours on other images: photos. BD-rate" in text
    assert "1; Kodak. BD-rate" in text


def test_agreement_counts_the_cells_that_both_have():
    rows = [
        Row("Simulcast", "measured", [Cell(-30.0, -31.5), Cell(-20.0, -20.5), Cell(None, -10.0), Cell(2.0, -1.0)]),
        Row("SHVC", "not measured", [Cell(None, -40.0)] * 4),
    ]
    one = PaperTable("table 9", "", "Kodak", -1, False, [], "Kodak", rows)
    two = replace(one, rows=[Row("Simulcast", "measured", [Cell(1.0, 3.0)])])
    on_others = replace(one, measured_on="photos")
    assert agreements([one, two, on_others]) == [Agreement("Simulcast", 4, 3, 1, 1, pytest.approx(0.75), 3.0)]


def test_rows_of_the_papers_base_codec_that_is_our_own():
    results = [result("compass", 1.0), result("single-compass", 2.0)]

    def single_layer(mean_scale_base: bool) -> dict[str, float | None]:
        (table,) = [t for t in paper_tables(results, None, mean_scale_base) if t.identifier == "table 2"]
        return {row.peer: row.cells[-1].ours for row in table.rows if row.peer.startswith("Single-layer")}

    assert single_layer(False) == {
        "Single-layer (mean-scale)": None,
        "Single-layer (own base codec)": pytest.approx(-50),
        "Single-layer (the same, padded)": None,
    }
    assert single_layer(True) == {
        "Single-layer (mean-scale)": pytest.approx(-50),
        "Single-layer (the same, padded)": None,
    }


@pytest.mark.parametrize("profile", ["tiny", "tiny-mei"])
def test_table_of_trained_weights(profile, tmp_path):
    pytest.importorskip("torch")
    from paper.models import models_section

    card = tmp_path / "some-weights.json"
    figures = {"profile": profile, "part": "base", "core_minutes": 60, "pixels": 2_500_000_000}
    card.write_text(json.dumps({**figures, "validation": {"cost": 1.25}, "curve": [[1e9, 1.5], [2.5e9, 1.25]]}))
    (section,) = models_section([card])
    rows = section.blocks[1].rows
    assert rows[0][0:2] == ["some-weights", "base"]
    assert rows[0][5:] == ["60", "2.50", "1.25"]
    layers = 2 if profile == "tiny-mei" else 1
    assert len(rows) == layers
    assert all(float(row[3]) > float(row[4]) > 0 for row in rows)
    assert "some-weights" in section.blocks[2].html()


def test_what_is_no_card(tmp_path):
    pytest.importorskip("torch")
    from paper.models import costs, models_section

    with pytest.raises(InputError, match=r"nothing.json is no card in JSON: .*No such file"):
        models_section([tmp_path / "nothing.json"])
    with pytest.raises(InputError, match="the profile tiny-factorized is a base codec alone: its part is base, not x"):
        costs("tiny-factorized", "x")
    (tmp_path / "empty.json").write_text("{}")
    with pytest.raises(InputError, match=r"empty.json is no card: it has no 'core_minutes'"):
        models_section([tmp_path / "empty.json"])


def test_ablation(tmp_path):
    predictors = tmp_path / "predictors.json"
    rows = [
        {"predictor": name, "ratio": ratio, "kmac_per_pixel": kmac, "milliseconds": 10 * kmac}
        for name, ratio, kmac in (("LIFF", 1.2, 900), ("LIFF", 2.0, 500), ("LIIF", 2.0, 1000))
    ]
    predictors.write_text(json.dumps({"rows": rows}))
    liff, liif = result("compass", 1.0), result("compass", 1.25)
    elsewhere = replace(liff, data_set="others", layers=liif.layers)
    section = ablation_section([elsewhere, liff], [liif], predictors)
    (first, second) = section.blocks[1].rows
    assert first == ["LIFF", "500", "811", "5000", "19", "-20.0 %", "-0.6 %"]
    assert second == ["LIIF", "1000", "1100", "10000", "21", "", ""]
    with pytest.raises(InputError, match="there is no result of compass on the images and in the layers"):
        ablation_section([elsewhere, replace(liff, scales=(0.2, 0.5, 1.0))], [liif], predictors)
    predictors.write_text("{}")
    with pytest.raises(InputError, match=r"predictors.json is no file of predictors: 'rows'"):
        ablation_section([liff], [liif], predictors)
