"""A model file beside the networks that it was made of."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

from compass.nets.layered import CompassNet
from compass.training.export import export_model
from compass.training.file_cost import Comparison, FileCost
from compass.training.run import build, load_parts
from tests.command import compass


@pytest.fixture
def net() -> CompassNet:
    """Of the default model: trained, since untrained networks cost more than their tables and offsets do."""
    net = build("fast")
    load_parts(net, [str(files("compass") / "model" / "weights" / "fast.model")])
    return net


@pytest.mark.parametrize("base_only", [False, True])
def test_a_file_costs_what_its_networks_do(net, parrots, tmp_path, base_only):
    comparison = Comparison(net, [parrots], base_only=base_only)
    export_model(net, tmp_path / "same.model", "same", {}, base_only)
    costs = comparison.with_file(tmp_path / "same.model")
    assert costs.loss == pytest.approx(costs.cost_of_file / costs.cost - 1)
    assert abs(costs.loss) < 0.01


def test_networks_are_measured_before_their_weights_are_rounded(net, parrots, tmp_path):
    comparison = Comparison(net, [parrots])
    with torch.no_grad():
        net.residual.h_s[-1].weight.zero_()  # as if rounding had been bad
    export_model(net, tmp_path / "worse.model", "worse", {})
    assert comparison.with_file(tmp_path / "worse.model").loss > 0.02


def test_the_command_compares(tiny_net, crops_folder, tmp_path):
    result = export(tiny_net, crops_folder, tmp_path)
    assert json.loads(result.stdout).keys() == {"cost", "cost_of_file"}
    assert not result.stderr


def test_a_file_that_costs_more_brings_a_warning(tiny_net, crops_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Comparison, "with_file", lambda *_: FileCost(1.0, 1.031))
    result = export(tiny_net, crops_folder, tmp_path)
    assert result.stderr == "compass: x.model costs 3.10 % more than the networks that it was made of\n"


def export(net: CompassNet, images: Path, folder: Path) -> CompletedProcess[str]:
    """What the command says of networks of the profile tiny."""
    torch.save(net.state_dict(), folder / "weights.pt")
    result = compass("export", "weights.pt", "x.model", "--profile", "tiny", "--valid", images, cwd=folder)
    assert result.returncode == 0, result.stderr
    return result
