"""The peer of Mei et al. as a codec under test."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

from compass.errors import InputError
from compass.picture.fidelity import psnr
from compass.picture.pyramid import pyramid
from compass.training.klt import start_from_klt
from paper.cli import app
from paper.mei import find


@pytest.fixture(scope="module")
def weights(tmp_path_factory, parrots):
    from compass.nets.profiles import PEERS

    torch.manual_seed(0)
    net = PEERS["tiny-mei"]()
    x = torch.from_numpy(np.array(parrots)).permute(2, 0, 1)[None].float() / 255
    for codec in net.layers:
        start_from_klt(codec, x[:, :, :240, :320])
    path = tmp_path_factory.mktemp("mei") / "weights.pt"
    torch.save(net.state_dict(), path)
    return path


def test_layers_in_real_files(weights, parrots):
    targets = pyramid(parrots, [(80, 60), (160, 120), (320, 240)])
    layers = find("tiny-mei", weights).code(targets, 4.0)
    total = 0
    for layer, target in zip(layers, targets, strict=True):
        total += layer.coded.bytes
        assert layer.accumulated_bytes == total
        assert psnr(layer.coded.image, target) > 20


def test_other_sizes_are_coded_at_the_next_dyadic_one(weights, parrots):
    codec = find("tiny-mei", weights)
    base, middle = (80, 60), (160, 120)
    between = codec.code(pyramid(parrots, [base, (100, 75)]), 4.0)
    assert between[1].coded.image.shape == (75, 100, 3)
    far = codec.code(pyramid(parrots, [base, (200, 150)]), 4.0)
    three = codec.code(pyramid(parrots, [base, middle, (200, 150)]), 4.0)
    assert far[1].accumulated_bytes > between[1].accumulated_bytes
    assert three[2].accumulated_bytes == pytest.approx(far[1].accumulated_bytes, rel=0.1)


@pytest.mark.parametrize("sizes", [[(40, 30), (320, 240)], [(80, 60), (90, 68), (100, 75)]])
def test_sizes_that_do_not_fit(weights, parrots, sizes):
    with pytest.raises(InputError, match="do not fit 3 dyadic ones"):
        find("tiny-mei", weights).code(pyramid(parrots, sizes), 3.0)


def test_the_commands(weights, parrots, tiny_model_path, tmp_path):
    from typer.testing import CliRunner

    (tmp_path / "pictures").mkdir()
    for size in ((64, 48), (101, 66)):  # also sides that cannot be halved twice
        parrots.resize(size).save(tmp_path / "pictures" / f"{size[0]}.png")
    out = tmp_path / "mei.json"
    arguments = ["mei", str(weights), str(tmp_path / "pictures"), "--profile", "tiny-mei", "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    assert record["name"] == "mei-original"  # as in the paper's tables
    assert [len(mean["layers"]) for mean in record["means"]] == [3] * 4
    report = ["report", str(out), "--crops-of", str(tmp_path / "pictures" / "64.png"), "--model", str(tiny_model_path)]
    peers = ["--against", "simulcast-compass,mei-original,simulcast-webp", "--mei", f"tiny-mei={weights}"]
    result = CliRunner().invoke(app, [*report, *peers, "--out", str(tmp_path / "report")])
    assert result.exit_code == 0, result.output
    captions = re.findall(r"alt=.([a-z-]+)", (tmp_path / "report" / "report.html").read_text())
    assert captions == ["original", "compass", "simulcast-compass", "mei-original", "simulcast-webp"]
    result = CliRunner().invoke(app, [*report, "--mei", f"mei-tiny={weights}", "--out", str(tmp_path / "other")])
    assert isinstance(result.exception, InputError)


@pytest.mark.parametrize("option", [("--padded",), ("--model", "fast")])
def test_options_of_the_grid_that_go_with_models_alone(option, tmp_path):
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["grid", str(tmp_path), "--mei", "tiny-mei=weights.pt", *option])
    assert result.exit_code == 2
    assert "--mei measures other networks" in result.output


def test_the_command_for_the_grid_measures_a_lower_quality_too(weights, parrots, tmp_path):
    from typer.testing import CliRunner

    parrots.resize((64, 48)).save(tmp_path / "small.png")
    out = tmp_path / "out.json"
    arguments = ["grid", str(tmp_path), "--mei", f"tiny-mei={weights}", "--middles", "2", "--no-many"]
    result = CliRunner().invoke(app, [*arguments, "--processes", "1", "--out", str(out)])
    assert result.exit_code == 0, result.output
    curves = json.loads(out.read_text())["curves"]
    assert {tuple(curve["qualities"]) for curve in curves} == {(0, 1, 2, 3, 4)}
    assert {curve["name"] for curve in curves} == {"mei-original"}


def test_the_grid_of_the_peer(weights, parrots, tmp_path):
    from paper.grid import OfPeer, measure, results

    parrots.resize((64, 48)).save(tmp_path / "small.png")
    cases = [(0.25, 0.5, 0.8), (1 / 5, 2 / 5, 1.0)]  # the second is beyond its three layers
    coder = OfPeer(find("tiny-mei", weights))
    rows = [measure(tmp_path / "small.png", quality, coder, cases) for quality in (1.0, 4.0)]
    assert [["bytes" in case for case in row["cases"]] for row in rows] == [[True, False]] * 2
    (result,) = results(rows, "small", "mei-original")
    assert (result.name, result.scales) == ("mei-original", (0.25, 0.5, 0.8))
    assert result.final[1][0] > result.final[0][0]
    assert result.final[1][1] > result.final[0][1]
