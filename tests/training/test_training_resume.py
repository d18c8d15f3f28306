"""Training that stops and goes on: checkpoints are atomic, a killed run ends where an undisturbed one does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from compass.errors import InputError
from compass.nets.factorized_codec import FactorizedCodec
from compass.training.device import open_device
from compass.training.export import export_model
from compass.training.graphs import predictor_graph
from compass.training.loop import Schedule
from compass.training.restore import _initialisers
from compass.training.run import build, load_parts, make_trainer, train
from tests.training.test_training import make_run


@pytest.mark.slow
def test_resume_is_exact(crops_folder, tmp_path):
    train(make_run("base", crops_folder, tmp_path / "whole", 12))
    run = make_run("base", crops_folder, tmp_path / "parts", 12)
    torch.manual_seed(0)
    trainer = make_trainer(run, build("tiny"), open_device("fp32", 1))
    for _ in range(5):
        trainer._step(run.schedule.progress(trainer.step, 0))
        trainer.step += 1
    trainer.save()
    train(run)
    whole, parts = (torch.load(tmp_path / n / "weights.pt", weights_only=True) for n in ("whole", "parts"))
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


def ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a process ends within so many seconds."""
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed(crops_folder, tmp_path):
    def command(out: str) -> list[str]:
        return [
            sys.executable, "-c",
            "import sys; from compass.training import loop; f = loop.Trainer.train\n"
            "loop.Trainer.train = lambda self, pause: f(self, pause, log_every=5, save_every=0.0)\n"
            "from compass.cli import main; main()",
            "train", "base", "--profile", "tiny", "--data", str(crops_folder), "--out", str(tmp_path / out),
            "--steps", "120", "--crop", "64", "--batch", "2",
        ]  # fmt: skip

    subprocess.run(command("whole"), check=True, capture_output=True)
    rng = np.random.default_rng(0)
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    for _ in range(10):
        process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL)
        seen = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while not (checkpoint.exists() and checkpoint.stat().st_mtime_ns != seen) and not ended(process, 0.01):
            pass
        ended(process, rng.uniform(0, 0.2))
        process.kill()
        process.wait()
    subprocess.run(command("killed"), check=True, capture_output=True)
    whole, killed = (torch.load(tmp_path / n / "weights.pt", weights_only=True) for n in ("whole", "killed"))
    assert all(torch.equal(whole[k], killed[k]) for k in whole)


@pytest.mark.slow
def test_a_run_folder_is_resumed_by_its_own_kind_only(crops_folder, tmp_path):
    train(make_run("base", crops_folder, tmp_path / "run", 2))
    with pytest.raises(InputError, match="another stage, BaseStage"):
        train(make_run("joint", crops_folder, tmp_path / "run", 4))
    with pytest.raises(InputError, match="another profile"):
        train(make_run("base", crops_folder, tmp_path / "run", 4, profile="fast"))
    train(make_run("residual", crops_folder, tmp_path / "residual", 2))
    with pytest.raises(InputError, match="another stage"):  # the same class trains other parts
        train(make_run("joint", crops_folder, tmp_path / "residual", 4))


@pytest.mark.slow
def test_a_resumed_run_keeps_the_base_that_it_began_with(crops_folder, tmp_path):
    train(make_run("base", crops_folder, tmp_path / "base", 2))
    train(make_run("joint", crops_folder, tmp_path / "run", 2, starts=[f"base={tmp_path / 'base' / 'weights.pt'}"]))
    first = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)
    train(make_run("joint", crops_folder, tmp_path / "run", 3))
    second = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)
    assert all(torch.equal(first[k], second[k]) for k in first if k.startswith("base."))
    assert any(not torch.equal(first[k], second[k]) for k in first if k.startswith("residual."))


def test_started_weights_are_not_replaced_by_the_warm_start(crops_folder, tmp_path):
    train(make_run("base", crops_folder, tmp_path / "first", 2))
    start = tmp_path / "first" / "weights.pt"
    schedule = Schedule(steps=1, minutes=None, rate=1e-12)
    train(make_run("base", crops_folder, tmp_path / "second", 1, starts=[str(start)], schedule=schedule))
    first, second = (torch.load(tmp_path / n / "weights.pt", weights_only=True) for n in ("first", "second"))
    assert all(torch.allclose(first[k], second[k], atol=1e-6) for k in first)


def test_bad_starts(tmp_path):
    with pytest.raises(InputError, match="no=such/file cannot be loaded: No such file"):
        load_parts(build("tiny"), ["no=such/file"])
    (tmp_path / "text").write_text("text")
    with pytest.raises(InputError, match="not a file of weights"):
        load_parts(build("tiny"), [f"base={tmp_path / 'text'}"])


def test_a_run_resumed_with_another_start_is_refused(crops_folder, tmp_path):
    run = make_run("base", crops_folder, tmp_path / "run", 2)
    train(run)
    weights = tmp_path / "weights.pt"
    shutil.copy(tmp_path / "run" / "weights.pt", weights)
    with pytest.raises(InputError, match="begun otherwise: with, or without, --start"):
        train(replace(run, starts=[f"base={weights}"]))


def test_weights_of_another_profile_are_refused(crops_folder, tmp_path):
    train(make_run("base", crops_folder, tmp_path / "base", 1))
    for start in ("{}", "base={}"):
        with pytest.raises(InputError, match="another profile"):
            load_parts(build("fast"), [start.format(tmp_path / "base" / "weights.pt")])


def test_a_part_starts_from_that_of_a_narrower_profile(tmp_path):
    small = build("factorized-small")
    torch.save(small.state_dict(), tmp_path / "small.pt")
    net = build("factorized")
    load_parts(net, [f"base=narrow:{tmp_path / 'small.pt'}"])
    assert torch.equal(net.base.g_s[6].weight[:64], small.base.g_s[6].weight)
    for start in (f"base=narrow:{tmp_path / 'small.pt'}", f"predictor=narrow:{tmp_path / 'small.pt'}"):
        with pytest.raises(InputError, match="another profile"):
            load_parts(build("fast"), [start])
    with pytest.raises(InputError, match="from a base of its own width"):
        load_parts(build("paper"), [f"residual=narrow:{tmp_path / 'small.pt'}"])


def test_the_base_wakes_what_a_narrower_one_knows_nothing_of(crops_folder, tmp_path):
    narrow = FactorizedCodec(6, 8)
    torch.save({f"base.{name}": value for name, value in narrow.state_dict().items()}, tmp_path / "narrow.pt")
    schedule = Schedule(steps=1, minutes=None, rate=1e-12)
    changes = {"profile": "tiny-factorized", "starts": [f"base=narrow:{tmp_path / 'narrow.pt'}"], "schedule": schedule}
    train(make_run("base", crops_folder, tmp_path / "run", 1, **changes))
    made = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)
    last = made["base.g_a.6.weight"]
    assert torch.allclose(last[:8, :6], narrow.g_a[6].weight, atol=1e-6)
    assert last[8:].abs().flatten(1).amax(dim=1).min() > 1e-3


def test_parts_start_from_other_runs(crops_folder, tmp_path):
    train(make_run("base", crops_folder, tmp_path / "base", 2))
    weights = tmp_path / "base" / "weights.pt"
    net = build("tiny").eval()
    load_parts(net, [f"base={weights}", f"residual=base:{weights}"])
    x, quality, prediction = torch.rand(1, 3, 32, 32), torch.tensor([3.0]), torch.rand(1, 3, 32, 32)
    with torch.no_grad():  # the copy is shifted, so that it codes residuals as the base codes images
        base, residual = net.base(x, quality), net.residual(x - 0.5, quality, prediction)
        assert torch.allclose(base.image - 0.5, residual.image, atol=1e-5)


@pytest.mark.slow
def test_a_paused_run_goes_on_where_it_stopped(crops_folder, tmp_path):
    train(make_run("base", crops_folder, tmp_path / "whole", 30))
    train(make_run("base", crops_folder, tmp_path / "parts", 30, pause=1e-6))
    checkpoint = torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)
    assert 0 < checkpoint["step"] < 30
    train(make_run("base", crops_folder, tmp_path / "parts", 30))
    whole, parts = (torch.load(tmp_path / n / "weights.pt", weights_only=True) for n in ("whole", "parts"))
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


def test_training_goes_on_from_a_model_file(tmp_path):
    torch.manual_seed(4)
    trained, net, other = build("tiny"), build("tiny"), build("tiny")
    for parameter in trained.parameters():  # export merges constants that are equal, as weights never are once trained
        parameter.data += 0.01 * torch.randn_like(parameter)
    path = tmp_path / "trained.model"
    export_model(trained, path, "trained", {})
    load_parts(net, [str(path)])
    ours, theirs = net.state_dict(), trained.state_dict()
    assert all(torch.allclose(ours[k], theirs[k], rtol=1e-3, atol=1e-3) for k in theirs)
    load_parts(other, [f"residual={path}"])
    assert torch.equal(other.residual.g_a.enter.weight, net.residual.g_a.enter.weight)
    assert not torch.equal(other.base.g_a.enter.weight, net.base.g_a.enter.weight)
    with pytest.raises(InputError, match="another profile"):
        load_parts(build("fast"), [str(path)])


@pytest.mark.parametrize("profile", ["paper-small", "paper-small-liif", "fast"])
def test_names_of_layers_that_other_networks_have_too(profile):
    """What export rearranges is told from what only looks alike."""
    predictor = build(profile).predictor
    assert predictor is not None
    weights = _initialisers(predictor_graph(predictor))
    trained = dict(predictor.named_parameters())
    found = {name.removeprefix("predictor."): value for name, value in weights.items()}
    folded = {"first.weight"}  # into a convolution
    assert {name for name in trained if "first" in name or "second" in name} - folded <= set(found)
    assert not any(name.endswith((".first.weight", ".second.weight")) and name not in trained for name in found)
