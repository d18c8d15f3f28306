"""`compass report`: comparisons of result files, curves, the page."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from compass.errors import InputError
from compass.evaluation.codecs import registry
from compass.evaluation.document import Section, Table, Text, to_html, to_markdown, write_report
from compass.evaluation.report import comparisons
from compass.evaluation.results import parse_results, read_results
from compass.evaluation.visuals import PictureRow, all_layers, crops
from tests.command import compass as run
from tests.conftest import PARROTS, ROOT
from tests.curves import result


def test_results_of_different_pictures_are_not_compared():
    a = result("compass", 1.0, images=({"picture": "a.png"},))
    b = result("simulcast-webp", 1.0, images=({"picture": "b.png"},))
    with pytest.raises(InputError, match="the results of compass and simulcast-webp are of different images"):
        comparisons([a, b])


def test_markdown_and_page(tmp_path):
    images = ({"picture": "a.png"},)
    results = [result("compass", 1.0, images=images), result("simulcast-<b>", 2.0, images=images)]
    write_report(comparisons(results), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| simulcast-<b> | -50.0 % | -50.0 % | -50.0 % | measured |" in text
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3
    assert "<td>simulcast-&lt;b&gt;</td>" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page.replace("xlink:href", "href"))  # nothing is loaded


def test_published_curves_are_lines_beside_layers_of_full_size():
    ours = result("compass", 1.0, images=({"picture": "a.png"},))
    published = read_results([ROOT / "results" / "anchors" / "published.json"])
    assert {"mbt2018-mean", "VTM"} <= {r.name for r in published}
    sections = comparisons([ours, result("SHVC", 1.1), *published])
    holds = ["mbt2018-mean (published, one layer)" in part for part in to_html("", sections).split("<svg")[1:]]
    assert holds == [False, False, True]  # layers at 1/4, 1/2, 1
    assert "mbt2018" not in to_markdown("", sections)  # no peer of three layers


def pictures_of(section: Section) -> PictureRow:
    (row,) = section.blocks
    assert isinstance(row, PictureRow)
    return row


def test_pictures_of_layers_and_crops(tiny_model_path, tmp_path):
    layers = all_layers(PARROTS, (2, 3), str(tiny_model_path))
    assert [section.title for section in layers] == [f"parrots.png, {n} layers, quality 3" for n in (2, 3)]
    assert [len(pictures_of(section).images) for section in layers] == [2, 3]
    pixels, caption = pictures_of(layers[0]).images[-1]
    assert pixels.shape == (240, 320, 3)
    assert re.fullmatch(r"320x240, \d\d\.\d\d dB, \d+\.\d kbit", caption)
    crop = crops(PARROTS, [registry.find("simulcast-webp")], str(tiny_model_path))
    shown = pictures_of(crop).images
    sizes = [float(re.search(r"([\d.]+) kbit", caption).group(1)) for _, caption in shown[1:]]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)  # matched
    with Image.open(PARROTS) as original:
        window = np.asarray(original.convert("RGB"))
    assert any(np.array_equal(shown[0][0], window[y : y + 160, x : x + 160]) for y in (0, 80) for x in (0, 80, 160))
    write_report([*layers, crop], tmp_path)
    assert (tmp_path / "report.html").read_text().count("data:image/webp;base64,") == 5 + 3
    assert (tmp_path / "report.md").read_text() == "# Report\n"  # images are on the page alone


def test_curves_are_read_as_they_were_written():
    ours = result("compass", 1.0)
    assert parse_results(json.loads(json.dumps({"curves": [ours.to_curve()]}))) == [ours]


def test_a_section_in_markdown():
    section = Section("Head", [Text("Words."), Table(["a", "b"], [["x", "1"]], right=True), Table(["c"], [])])
    assert to_markdown("Title", [section], "Before.") == (
        "# Title\n\nBefore.\n\n## Head\n\nWords.\n\n| a | b |\n| --- | ---: |\n| x | 1 |\n\n| c |\n| --- |\n"
    )


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


def test_the_command_counts_chosen_qualities(tmp_path):
    points = {"compass": [*result("", 1.0).final, (9.0, 36.0)], "peer": result("", 2.0).final}
    for name, curve in points.items():
        means = [{"quality": q, "layers": [{"bpp": x, "psnr-rgb": y}]} for q, (x, y) in enumerate(curve, start=1)]
        content = {"name": name, "source": "measured", "data_set": "a", "scales": [1.0], "settings": {}, "means": means}
        (tmp_path / f"{name}.json").write_text(json.dumps(content | {"pictures": [{"picture": "a.png"}]}))
    command = ("report", "compass.json", "peer.json", "--out")
    assert run(*command, "chosen", "--qualities", "1,2,3,4", cwd=tmp_path).returncode == 0
    assert run(*command, "all", cwd=tmp_path).returncode == 0
    chosen, every = ((tmp_path / out / "report.md").read_text() for out in ("chosen", "all"))
    assert "| peer | -50.0 % | measured |" in chosen
    assert "| peer | -50.0 % | measured |" not in every
