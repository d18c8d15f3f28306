"""Training: stages learn, checkpoints are atomic, a killed run ends where an undisturbed one does."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from compass.errors import InputError
from compass.model.quality import LAMBDAS, lambda_of
from compass.training.data import Crops, read_pictures
from compass.training.draws import Draws, Share
from compass.training.export import export_model
from compass.training.loop import Schedule
from compass.training.machine import open_machine
from compass.training.run import Run, build, load_parts, make_trainer, train
from compass.training.stages import draw_sides, lambdas, reduce
from tests.conftest import save_crops

CPU = torch.device("cpu")


@pytest.fixture
def folder(parrots: Image.Image, tmp_path: Path) -> Path:
    path = tmp_path / "pictures"
    path.mkdir()
    save_crops(parrots, path)
    return path


def make_run(stage: str, data: Path, out: Path, steps: int, **changes: object) -> Run:
    schedule = Schedule(steps=steps, minutes=None, rate=3e-3, warmup=5)
    values = dict(
        stage=stage, profile="tiny", data=[data], valid=[data], folder=out, schedule=schedule,
        crop=64, batch=2, starts=[], threads=1,
    )  # fmt: skip
    return Run(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stage", "profile", "gain"),
    [("base", "tiny", 0.1), ("base", "tiny-factorized", 0.1), ("predictor", "tiny", 1.0), ("residual", "tiny", 0.1),
     ("joint", "tiny", 0.1)],
)  # fmt: skip
def test_every_stage_lowers_its_validation_cost(stage, profile, gain, folder, tmp_path):
    starts = []
    if stage == "predictor":  # away from bicubic, where it starts, and which is hard to beat in 60 steps
        net = build(profile)
        torch.nn.init.normal_(net.predictor.leave.weight, std=0.5)
        torch.save(net.state_dict(), tmp_path / "start.pt")
        starts = [f"predictor={tmp_path / 'start.pt'}"]
    before = train(make_run(stage, folder, tmp_path / "a", 1, profile=profile, starts=starts))
    after = train(make_run(stage, folder, tmp_path / "b", 60, profile=profile, starts=starts))
    assert after["cost"] < before["cost"] - gain


def test_one_quality_alone(folder, tmp_path):
    figures = train(make_run("base", folder, tmp_path / "run", 3, quality=2.5))
    assert set(figures) == {"cost", "bpp_q2.5", "psnr_q2.5"}
    before = build("tiny").base.gain.log_gain
    after = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)["base.gain.log_gain"]
    changed = (after != before).any(dim=1)
    assert changed.tolist() == [False, False, True, True, False, False, False]


@pytest.mark.parametrize("stage", ["predictor", "residual", "joint"])
def test_a_base_alone_has_no_other_stages(stage, folder, tmp_path):
    with pytest.raises(InputError, match="tiny-factorized is a base codec alone"):
        train(make_run(stage, folder, tmp_path / "run", 1, profile="tiny-factorized"))


def test_enhancement_stages_leave_the_base_alone(folder, tmp_path):
    torch.manual_seed(0)
    base = {k: v.clone() for k, v in build("tiny").base.state_dict().items()}
    train(make_run("joint", folder, tmp_path / "run", 3))
    weights = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)
    assert all(torch.equal(value, weights[f"base.{key}"]) for key, value in base.items())


def test_resume_is_exact(folder, tmp_path):
    train(make_run("base", folder, tmp_path / "whole", 12))
    run = make_run("base", folder, tmp_path / "parts", 12)
    torch.manual_seed(0)
    trainer = make_trainer(run, build("tiny"), open_machine("fp32", 1))
    for _ in range(5):
        trainer._step(run.schedule.progress(trainer.step, 0))
        trainer.step += 1
    trainer.save()
    train(run)
    whole, parts = (torch.load(tmp_path / n / "weights.pt", weights_only=True) for n in ("whole", "parts"))
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


def test_killed_at_any_moment_and_resumed(folder, tmp_path):
    def command(out: str) -> list[str]:
        return [
            sys.executable, "-c",
            "import sys; from compass.training import loop; f = loop.Trainer.train\n"
            "loop.Trainer.train = lambda self, pause: f(self, pause, log_every=5, save_every=0.0)\n"
            "from compass.cli import main; main()",
            "train", "base", "--profile", "tiny", "--data", str(folder), "--out", str(tmp_path / out),
            "--steps", "120", "--crop", "64", "--batch", "2",
        ]  # fmt: skip

    subprocess.run(command("whole"), check=True, capture_output=True)
    rng = np.random.default_rng(0)
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    for _ in range(10):
        process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        seen = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while process.poll() is None and time.monotonic() < deadline:
            if checkpoint.exists() and checkpoint.stat().st_mtime_ns != seen:
                break
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.2))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command("killed"), check=True, capture_output=True)
    whole, killed = (torch.load(tmp_path / n / "weights.pt", weights_only=True) for n in ("whole", "killed"))
    assert all(torch.equal(whole[k], killed[k]) for k in whole)


def test_a_run_folder_is_resumed_by_its_own_kind_only(folder, tmp_path):
    train(make_run("base", folder, tmp_path / "run", 2))
    with pytest.raises(InputError, match="another stage, BaseStage"):
        train(make_run("joint", folder, tmp_path / "run", 4))
    with pytest.raises(InputError, match="another profile"):
        train(make_run("base", folder, tmp_path / "run", 4, profile="fast"))
    train(make_run("residual", folder, tmp_path / "residual", 2))
    with pytest.raises(InputError, match="another stage"):  # the same class trains other parts
        train(make_run("joint", folder, tmp_path / "residual", 4))


def test_a_resumed_run_keeps_the_base_that_it_began_with(folder, tmp_path):
    train(make_run("base", folder, tmp_path / "base", 2))
    train(make_run("joint", folder, tmp_path / "run", 2, starts=[f"base={tmp_path / 'base' / 'weights.pt'}"]))
    first = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)
    train(make_run("joint", folder, tmp_path / "run", 3))
    second = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)
    assert all(torch.equal(first[k], second[k]) for k in first if k.startswith("base."))
    assert any(not torch.equal(first[k], second[k]) for k in first if k.startswith("residual."))


def test_started_weights_are_not_replaced_by_the_warm_start(folder, tmp_path):
    train(make_run("base", folder, tmp_path / "first", 2))
    start = tmp_path / "first" / "weights.pt"
    schedule = Schedule(steps=1, minutes=None, rate=1e-12)
    train(make_run("base", folder, tmp_path / "second", 1, starts=[str(start)], schedule=schedule))
    first, second = (torch.load(tmp_path / n / "weights.pt", weights_only=True) for n in ("first", "second"))
    assert all(torch.allclose(first[k], second[k], atol=1e-6) for k in first)


def test_bad_starts(tmp_path):
    with pytest.raises(InputError, match="no=such/file cannot be loaded: No such file"):
        load_parts(build("tiny"), ["no=such/file"])
    (tmp_path / "text").write_text("text")
    with pytest.raises(InputError, match="not a file of weights"):
        load_parts(build("tiny"), [f"base={tmp_path / 'text'}"])


def test_weights_of_another_profile_are_refused(folder, tmp_path):
    train(make_run("base", folder, tmp_path / "base", 1))
    for start in ("{}", "base={}"):
        with pytest.raises(InputError, match="another profile"):
            load_parts(build("fast"), [start.format(tmp_path / "base" / "weights.pt")])


def test_parts_start_from_other_runs(folder, tmp_path):
    train(make_run("base", folder, tmp_path / "base", 2))
    weights = tmp_path / "base" / "weights.pt"
    net = build("tiny").eval()
    load_parts(net, [f"base={weights}", f"residual=base:{weights}"])
    x, quality, prediction = torch.rand(1, 3, 32, 32), torch.tensor([3.0]), torch.rand(1, 3, 32, 32)
    with torch.no_grad():  # the copy is shifted, so that it codes residuals as the base codes pictures
        base, residual = net.base(x, quality), net.residual(x - 0.5, quality, prediction)
        assert torch.allclose(base.picture - 0.5, residual.picture, atol=1e-5)


def test_lambdas():
    assert lambda_of(1) == pytest.approx(0.0018)
    assert lambda_of(4) == pytest.approx(0.013)
    assert lambda_of(2.5) == pytest.approx((0.0035 * 0.0067) ** 0.5)
    assert LAMBDAS[0] <= 0.0009
    assert LAMBDAS[-1] >= 0.05
    quality = torch.tensor([0.0, 0.3, 3.7, 6.0])
    assert lambdas(quality).tolist() == pytest.approx([lambda_of(q) for q in quality.tolist()], rel=1e-5)


def test_chains_of_training_cover_what_files_do():
    rng = np.random.default_rng(0)
    chains = [[*draw_sides(192, rng), 192] for _ in range(2000)]
    assert all(chain == sorted(chain) and chain[0] >= 8 for chain in chains)
    depths = np.bincount([len(chain) for chain in chains])
    assert depths.tolist()[:2] == [0, 0]
    assert len(depths) == 4
    assert depths[2:].min() > 900
    ratios = [b / a for chain in chains for a, b in itertools.pairwise(chain)]
    assert np.mean(np.array(ratios) <= 2) > 0.5
    assert 3.9 < max(ratios) < 4.1
    assert min(ratios) < 1.05


def test_reduce_is_pillows_bicubic(parrots):
    x = torch.from_numpy(np.array(parrots)).permute(2, 0, 1)[None].float() / 255
    ours = reduce(x, (100, 133))[0].permute(1, 2, 0).numpy() * 255
    theirs = np.asarray(parrots.resize((133, 100), Image.Resampling.BICUBIC)).astype(float)
    difference = np.abs(ours - theirs)  # Pillow also rounds between its two passes
    assert difference.max() <= 2.01
    assert difference.mean() < 0.25


def test_pictures_from_folders_shards_and_files(folder, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for path in sorted(folder.iterdir()):
            shard.add(path, path.name)
    (folder / "notes.txt").write_text("not a picture")
    assert len(list(read_pictures([folder]))) == 3
    assert len(list(read_pictures([tmp_path / "shard.tar"]))) == 3
    assert len(list(read_pictures([tmp_path]))) == 6
    assert len(list(read_pictures([tmp_path], limit=2))) == 2
    with pytest.raises(InputError, match="does not exist"):
        list(read_pictures([tmp_path / "nothing"]))
    with pytest.raises(InputError, match="320 pixels wide"):
        Crops(read_pictures([folder]), 320, CPU)


def test_crops_are_windows_of_the_pictures_or_their_mirror_images():
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    crops = Crops(iter([Image.fromarray(picture)] * 2), 32, CPU)
    drawn = (crops.draw(24, 32, Draws(1, 0, CPU)).permute(0, 2, 3, 1) * 255).round().byte().numpy()
    windows = {
        (top, left, mirrored): picture[top : top + 32, left : left + 32][:, :: -1 if mirrored else 1]
        for top in range(9) for left in range(19) for mirrored in (False, True)
    }  # fmt: skip
    found = [[place for place, window in windows.items() if np.array_equal(window, crop)] for crop in drawn]
    assert all(len(places) == 1 for places in found)
    tops, lefts, mirrored = zip(*(places[0] for places in found), strict=True)
    assert min(tops) < 2 < 6 < max(tops)
    assert min(lefts) < 4 < 14 < max(lefts)
    assert set(mirrored) == {False, True}


def test_half_of_the_crops_are_from_reduced_pictures():
    flat = [Image.new("RGB", (96, 96), (value, 0, 0)) for value in (0, 255)]  # reductions: 96, 64, 48, 32
    crops = Crops(iter(flat), 32, CPU)
    sizes = torch.tensor([96, 96, 64, 64, 48, 48, 32, 32])
    assert crops._table[:, 1].tolist() == sizes.tolist()
    drawn = crops.draw(400, 32, Draws(0, 0, CPU))
    assert 150 < int((drawn[:, 0, 0, 0] > 0.5).sum()) < 250


def test_processes_draw_together_what_one_draws_alone():
    whole = Draws(3, 7, CPU).uniform(6, 4)
    parts = [Draws(3, 7, CPU, Share(rank, 3)) for rank in range(3)]
    assert torch.equal(torch.cat([part.uniform(2, 4) for part in parts]), whole)
    assert len({part.host.random() for part in parts}) == 1
    assert not torch.equal(Draws(3, 8, CPU).uniform(6, 4), whole)


def test_crops_depend_on_the_seed_alone(folder):
    crops = Crops(read_pictures([folder]), 64, CPU)
    a, b, c = (crops.draw(4, 64, Draws(seed, 0, CPU)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.shape == (4, 3, 64, 64)


def test_schedule():
    schedule = Schedule(steps=100, minutes=None, rate=1.0, warmup=10, final=0.1)
    assert schedule.rate_at(0, 0.0) == pytest.approx(0.1)
    assert schedule.rate_at(50, 0.5) == pytest.approx(0.55)
    assert schedule.rate_at(100, 1.0) == pytest.approx(0.1)
    assert Schedule(steps=0, minutes=2, rate=1.0).progress(7, 60) == 0.5


def test_training_needs_none_of_the_codecs_libraries():
    """An accelerator machine has PyTorch, numpy and Pillow, and perhaps nothing else."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(('constriction', 'onnxruntime', 'onnx')))"
    command = [sys.executable, "-c", f"{blocked}; import compass.cli, compass.training.run"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(("stage", "profile"), [("base", "tiny"), ("base", "tiny-factorized"), ("joint", "tiny")])
def test_bf16_trains_as_fp32_does(stage, profile, folder, tmp_path):
    costs = [
        train(make_run(stage, folder, tmp_path / precision, 30, profile=profile, precision=precision))["cost"]
        for precision in ("fp32", "bf16")
    ]
    assert costs[1] == pytest.approx(costs[0], rel=0.03)
    with pytest.raises(InputError, match="no precision 'fp8', only fp32, bf16"):
        train(make_run(stage, folder, tmp_path / "other", 1, profile=profile, precision="fp8"))


def test_compiled_networks_train_the_same(folder, tmp_path, monkeypatch):
    """With the backend that only captures the graphs: the default one needs a C++ compiler."""
    compile_module = torch.nn.Module.compile
    compiled = []

    def capture(module: torch.nn.Module) -> None:
        compiled.append(module)
        compile_module(module, backend="aot_eager")

    monkeypatch.setattr(torch.nn.Module, "compile", capture)
    plain = train(make_run("base", folder, tmp_path / "plain", 4))
    same = train(make_run("base", folder, tmp_path / "compiled", 4, compile=True))
    assert len(compiled) == 1
    assert same["cost"] == pytest.approx(plain["cost"], rel=0.02)
    keys = [torch.load(tmp_path / n / "weights.pt", weights_only=True).keys() for n in ("plain", "compiled")]
    assert keys[0] == keys[1]


def test_a_step_whose_gradient_is_not_finite_is_left_out(folder, tmp_path):
    torch.manual_seed(0)
    net = build("tiny")
    trainer = make_trainer(make_run("base", folder, tmp_path / "run", 5), net, open_machine("fp32", 1))
    trainer._step(0.0)
    before = {k: v.clone() for k, v in net.base.state_dict().items()}
    forward = trainer.stage.forward
    trainer.loss = lambda *args: (forward(*args)[0] * float("nan"), {})
    trainer._step(0.0)
    assert all(torch.equal(before[k], v) for k, v in net.base.state_dict().items())


def test_speed_figures(folder, tmp_path, capsys):
    run = make_run("base", folder, tmp_path / "run", 20)
    trainer = make_trainer(run, build("tiny"), open_machine("fp32", 1))
    trainer.train(log_every=10)
    line = capsys.readouterr().out.splitlines()[1]
    figures = dict(zip(line.split()[7::2], map(float, line.split()[8::2]), strict=False))
    assert figures["pixels_per_s"] == pytest.approx(figures["steps_per_s"] * 2 * 64 * 64, rel=1e-3)
    assert 0.001 < figures["mfu"] < 1.0


def test_a_paused_run_goes_on_where_it_stopped(folder, tmp_path):
    train(make_run("base", folder, tmp_path / "whole", 30))
    train(make_run("base", folder, tmp_path / "parts", 30, pause=1e-6))
    checkpoint = torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)
    assert 0 < checkpoint["step"] < 30
    train(make_run("base", folder, tmp_path / "parts", 30))
    whole, parts = (torch.load(tmp_path / n / "weights.pt", weights_only=True) for n in ("whole", "parts"))
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


def test_training_goes_on_from_a_model_file(tmp_path):
    torch.manual_seed(4)
    trained, net, other = build("tiny"), build("tiny"), build("tiny")
    for parameter in trained.parameters():  # export merges constants that are equal, as weights never are once trained
        parameter.data += 0.01 * torch.randn_like(parameter)
    path = tmp_path / "trained.model"
    export_model(trained, path, {"name": "trained"})
    load_parts(net, [str(path)])
    ours, theirs = net.state_dict(), trained.state_dict()
    assert all(torch.allclose(ours[k], theirs[k], rtol=1e-3, atol=1e-3) for k in theirs)
    load_parts(other, [f"residual={path}"])
    assert torch.equal(other.residual.g_a.enter.weight, net.residual.g_a.enter.weight)
    assert not torch.equal(other.base.g_a.enter.weight, net.base.g_a.enter.weight)
    with pytest.raises(InputError, match="another profile"):
        load_parts(build("fast"), [str(path)])
