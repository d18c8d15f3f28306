"""`compass report`: the paper's tables filled in from results, comparisons, the page."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.interpolate import Akima1DInterpolator

from compass.errors import InputError
from compass.evaluation.bdrate import bd_rate
from compass.evaluation.report import read_results, write_report
from compass.evaluation.results import Result
from compass.evaluation.tables import paper, paper_tables, relative
from compass.evaluation.visuals import all_layers, crops
from tests.conftest import PARROTS, ROOT
from tests.test_cli import compass as run

PSNRS = (28.0, 30.0, 32.0, 34.0)


def result(name: str, factor: float, scales=(0.25, 0.5, 1.0), **changes) -> Result:
    """A codec whose every layer needs `factor` times some usual rates."""
    points = [(factor * rate, fidelity) for rate, fidelity in zip((0.2, 0.35, 0.6, 1.0), PSNRS, strict=True)]
    values = dict(
        name=name, source="measured", data_set="Kodak", scales=scales, settings="", qualities=(1.0, 2.0, 3.0, 4.0),
        layers=(points,) * len(scales),
    )  # fmt: skip
    return Result(**(values | changes))


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


def test_the_papers_figures_are_complete():
    tables = {table["id"]: table for table in paper()["tables"]}
    assert [name for name in tables if name.startswith("table")] == [f"table {n}" for n in range(1, 10)]
    for table in tables.values():
        assert all(len(values) == len(table["columns"]) for values in table["values"].values())
        assert set(table["values"]) <= set(paper()["peers"])
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
    rows = {name: (source, cells) for name, source, cells in tables["poster, three layers"].rows}
    source, cells = rows["SHVC"]
    assert source == "recorded 2026-01-01"
    assert [cell.ours for cell in cells[:4]] == [None] * 4
    assert cells[4].ours == pytest.approx(-20)
    assert cells[4].paper == -33.34
    assert rows["Single-layer (own base codec)"][1][4].ours == pytest.approx(25)
    source, cells = rows["Mei et al. (original)"]  # no peer: the row stays, empty and marked
    assert source == "not measured"
    assert all(cell.ours is None for cell in cells)
    urban = tables["table 3"].rows
    assert all(cell.ours is None for _, _, cells in urban for cell in cells)  # another data set


def test_a_stand_in_fills_tables_whose_data_set_is_absent_and_says_so(tmp_path):
    on_kodak = [result("compass", 1.0), result("single-compass", 2.0)]
    on_photos = [
        replace(r, data_set="photos", layers=result("", k).layers) for r, k in zip(on_kodak, (1.0, 1.25), strict=True)
    ]
    rows = {}
    for table in paper_tables([*on_kodak, *on_photos], "photos"):
        cells = {name: cells for name, _, cells in table.rows}
        rows[table.identifier] = table.measured_on, cells["Single-layer (own base codec)"][-1].ours
    assert rows["table 2"] == ("Kodak", pytest.approx(-50))
    assert rows["table 3"] == ("photos", pytest.approx(-20))
    write_report([*on_kodak, *on_photos], tmp_path, stand_in="photos")
    text = (tmp_path / "report.md").read_text()
    assert "1; the paper on Urban100, ours on other pictures: photos. BD-rate" in text
    assert "1; Kodak. BD-rate" in text


def test_only_the_qualities_of_the_papers_lambdas_count():
    ours = result("compass", 1.0)
    more = replace(
        ours,
        qualities=(0.0, *ours.qualities, 6.0),
        layers=tuple([(0.01, 27.9), *points, (9.0, 34.1)] for points in ours.layers),
    )
    assert relative(more, result("x", 2.0), -1) == pytest.approx(-50)


def test_curves_that_do_not_meet_have_no_bd_rate():
    far = result("x", 1.0, layers=([(r, p + 20) for r, p in result("x", 1).final],) * 3)
    assert relative(result("compass", 1.0), far, -1) is None


def test_results_of_different_pictures_are_not_compared(tmp_path):
    a = result("compass", 1.0, pictures=({"picture": "a.png"},))
    b = result("simulcast-webp", 1.0, pictures=({"picture": "b.png"},))
    with pytest.raises(InputError, match="the results of compass and simulcast-webp are of different pictures"):
        write_report([a, b], tmp_path)


def test_markdown_and_page(tmp_path):
    pictures = ({"picture": "a.png"},)
    write_report([result("compass", 1.0, pictures=pictures), result("simulcast-<b>", 2.0, pictures=pictures)], tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| simulcast-<b> | -50.0 % | -50.0 % | -50.0 % | measured |" in text
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3
    assert "<td>simulcast-&lt;b&gt;</td>" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page.replace("xlink:href", "href"))  # nothing is loaded


def test_published_curves_are_lines_beside_layers_of_full_size(tmp_path):
    ours = result("compass", 1.0, pictures=({"picture": "a.png"},))
    published = read_results([ROOT / "results" / "anchors" / "published.json"])
    assert {"mbt2018-mean", "VTM"} <= {r.name for r in published}
    write_report([ours, result("SHVC", 1.1), *published], tmp_path)
    figures = (tmp_path / "report.html").read_text().split("<svg")[1:]
    holds = ["mbt2018-mean (published, one layer)" in figure for figure in figures]
    assert holds[:3] == [False, False, True]  # of the comparison: layers at 1/4, 1/2, 1
    assert "mbt2018" not in (tmp_path / "report.md").read_text()  # no peer of three layers


def test_pictures_of_layers_and_crops(tiny_model_path, tmp_path):
    visuals = all_layers(PARROTS, str(tiny_model_path), 3.0)
    assert [len(visual.pictures) for visual in visuals] == [3, 4, 5, 6, 9]
    pixels, caption = visuals[0].pictures[-1]
    assert pixels.shape == (240, 320, 3)
    assert re.fullmatch(r"320x240, \d\d\.\d\d dB, \d+\.\d kbit", caption)
    shown = crops(PARROTS, ["simulcast-webp"], str(tiny_model_path), 3.0)
    captions = [caption for _, caption in shown.pictures]
    sizes = [float(re.search(r"([\d.]+) kbit", c).group(1)) for c in captions[1:]]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)  # matched
    with Image.open(PARROTS) as original:
        window = np.asarray(original.convert("RGB"))
    assert any(
        np.array_equal(shown.pictures[0][0], window[y : y + 160, x : x + 160]) for y in (0, 80) for x in (0, 80, 160)
    )
    write_report([], tmp_path, [*visuals, shown])
    assert (tmp_path / "report.html").read_text().count("data:image/webp;base64,") == 27 + 3


def test_recorded_points_of_the_repository_are_read():
    results = read_results(sorted((ROOT / "results" / "recorded").glob("*.json")))
    assert len(results) >= 20
    assert all(result.source.startswith("recorded 2026") and len(result.final) >= 4 for result in results)
    assert {"SHVC", "JPEG 2000", "HTJ2K"} <= {result.name for result in results}


def test_the_command(tmp_path):
    (tmp_path / "bad.json").write_text("[]")
    result = run("report", "bad.json", "--out", "out", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (1, "compass: bad.json is no file of results\n")
    assert not (tmp_path / "out").exists()
    point = {"setting": "s", "mean_accumulated_bytes": [100], "mean_bpp_final": 0.4, "mean_psnr_rgb": [28]}
    content = {"codec": "Peer", "data_set": "Kodak", "settings": "s", "scales": [1], "recorded": "2026-01-01"}
    (tmp_path / "good.json").write_text(json.dumps(content | {"points": [point]}))
    assert run("report", "good.json", "--out", "out", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out" / "report.html").exists()
    again = run("report", "good.json", "--out", "out", cwd=tmp_path)
    assert again.returncode == 1
    assert "--force overwrites it" in again.stderr
