"""Training: stages learn; schedules, precision, speed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from compass.entropy.quality import LAMBDAS, lambda_of
from compass.errors import InputError
from compass.nets.factorized_codec import FactorizedCodec
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.paper import paper_transforms
from compass.training.device import open_device
from compass.training.klt import start_from_klt
from compass.training.loop import Schedule
from compass.training.run import Run, build, make_trainer, train
from compass.training.stages import lambdas


def make_run(stage: str, data: Path, out: Path, steps: int, **changes: object) -> Run:
    schedule = Schedule(steps=steps, minutes=None, rate=3e-3, warmup=5)
    values = dict(
        stage=stage, profile="tiny", data=[data], valid=[data], folder=out, schedule=schedule,
        crop=64, batch=2, starts=[], threads=1,
    )  # fmt: skip
    return Run(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "profile", "gain"),
    [("base", "tiny", 0.1), ("base", "tiny-factorized", 0.1), ("predictor", "tiny", 1.0), ("residual", "tiny", 0.1),
     ("joint", "tiny", 0.1)],
)  # fmt: skip
def test_every_stage_lowers_its_validation_cost(stage, profile, gain, crops_folder, tmp_path):
    starts = []
    if stage == "predictor":  # away from bicubic, where it starts, and which is hard to beat in 60 steps
        net = build(profile)
        torch.nn.init.normal_(net.predictor.leave.weight, std=0.5)
        torch.save(net.state_dict(), tmp_path / "start.pt")
        starts = [f"predictor={tmp_path / 'start.pt'}"]
    before = train(make_run(stage, crops_folder, tmp_path / "a", 1, profile=profile, starts=starts))
    after = train(make_run(stage, crops_folder, tmp_path / "b", 60, profile=profile, starts=starts))
    assert after["cost"] < before["cost"] - gain


def smooth_pictures() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.nn.functional.interpolate(torch.rand(40, 3, 8, 8), size=(64, 64), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("kind", ["hyperprior", "factorized"])
def test_the_papers_transforms_start_as_a_block_transform(kind):
    """Untrained, the synthesis undoes the analysis; what it starts with does not depend on the random kernels."""
    x = smooth_pictures()

    def start(seed: int) -> torch.nn.Module:
        torch.manual_seed(seed)
        codec = HyperpriorCodec(paper_transforms(48, 64)) if kind == "hyperprior" else FactorizedCodec(48, 64)
        start_from_klt(codec, x)
        return codec.eval()

    first, second = start(1), start(2)
    with torch.no_grad():
        y, image = first.g_a(x), first.g_s(first.g_a(x))
        assert torch.allclose(image, second.g_s(second.g_a(x)), atol=1e-4)
        assert -10 * torch.log10(((image - x) ** 2).mean()) > 30
        energy = y.square().mean(dim=(0, 2, 3))
        assert energy[:16].sum() > 0.9 * energy.sum()  # the images hold 12 numbers a block
        if kind == "hyperprior":
            assert torch.allclose(first.h_s[-1].bias[:64] / first.gain.log_gain[3].exp(), energy.sqrt(), rtol=1e-3)
    first.train()
    image, bits, more_bits = first(x[:2], torch.tensor([2.0, 5.0]))
    (image.mean() + bits.mean() + more_bits.mean()).backward()
    unreached = {n for n, p in first.named_parameters() if p.requires_grad and p.grad is None}
    assert unreached == ({"gain.scale_shift"} if kind == "hyperprior" else set())  # of logarithmic scales alone


def test_layers_that_start_as_a_klt_learn_at_a_fifth(crops_folder, tmp_path):
    run = make_run("base", crops_folder, tmp_path / "run", 5, profile="paper-small")
    stage = make_trainer(run, build("paper-small"), open_device("fp32", 1)).stage
    slow = {name for name, _ in stage.trained.named_parameters() if stage.rate_factor(name) == 0.2}
    assert slow == {f"g_{part}.{i}.{kind}" for part in "as" for i in (0, 2, 4, 6) for kind in ("weight", "bias")}


def test_one_quality_alone(crops_folder, tmp_path):
    figures = train(make_run("base", crops_folder, tmp_path / "run", 3, quality=2.5))
    assert set(figures) == {"cost", "bpp_q2.5", "psnr_q2.5"}
    before = build("tiny").base.gain.log_gain
    after = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)["base.gain.log_gain"]
    changed = (after != before).any(dim=1)
    assert changed.tolist() == [False, False, True, True, False, False, False]


@pytest.mark.parametrize("stage", ["predictor", "residual", "joint"])
def test_a_base_alone_has_no_other_stages(stage, crops_folder, tmp_path):
    with pytest.raises(InputError, match="tiny-factorized is a base codec alone"):
        train(make_run(stage, crops_folder, tmp_path / "run", 1, profile="tiny-factorized"))


def test_enhancement_stages_leave_the_base_alone(crops_folder, tmp_path):
    torch.manual_seed(0)
    base = {k: v.clone() for k, v in build("tiny").base.state_dict().items()}
    train(make_run("joint", crops_folder, tmp_path / "run", 3))
    weights = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)
    assert all(torch.equal(value, weights[f"base.{key}"]) for key, value in base.items())


def test_lambdas():
    assert lambda_of(1) == pytest.approx(0.0018)
    assert lambda_of(4) == pytest.approx(0.013)
    assert lambda_of(2.5) == pytest.approx((0.0035 * 0.0067) ** 0.5)
    assert LAMBDAS[0] <= 0.0009
    assert LAMBDAS[-1] >= 0.05
    quality = torch.tensor([0.0, 0.3, 3.7, 6.0])
    assert lambdas(quality).tolist() == pytest.approx([lambda_of(q) for q in quality.tolist()], rel=1e-5)


def test_schedule():
    schedule = Schedule(steps=100, minutes=None, rate=1.0, warmup=10, final=0.1)
    assert schedule.rate_at(0, 0.0) == pytest.approx(0.1)
    assert schedule.rate_at(50, 0.5) == pytest.approx(0.55)
    assert schedule.rate_at(100, 1.0) == pytest.approx(0.1)
    constant = Schedule(steps=100, minutes=None, rate=1.0, warmup=10, final=1.0)
    assert [constant.rate_at(step, step / 100) for step in (10, 50, 100)] == [1.0] * 3
    assert Schedule(steps=0, minutes=2, rate=1.0).progress(7, 60) == 0.5


def test_training_needs_none_of_the_codecs_libraries():
    """An accelerator device has PyTorch, numpy and Pillow, and perhaps nothing else."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(('constriction', 'onnxruntime', 'onnx')))"
    command = [sys.executable, "-c", f"{blocked}; import compass.cli, compass.training.run"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "profile"), [("base", "tiny"), ("base", "tiny-factorized"), ("joint", "tiny")])
def test_bf16_trains_as_fp32_does(stage, profile, crops_folder, tmp_path):
    costs = [
        train(make_run(stage, crops_folder, tmp_path / precision, 30, profile=profile, precision=precision))["cost"]
        for precision in ("fp32", "bf16")
    ]
    assert costs[1] == pytest.approx(costs[0], rel=0.03)
    with pytest.raises(InputError, match="no precision 'fp8', only fp32, bf16"):
        train(make_run(stage, crops_folder, tmp_path / "other", 1, profile=profile, precision="fp8"))


@pytest.mark.slow
def test_compiled_networks_train_the_same(crops_folder, tmp_path, monkeypatch):
    """With the backend that only captures the graphs: the default one needs a C++ compiler."""
    compile_module = torch.nn.Module.compile
    compiled = []

    def capture(module: torch.nn.Module) -> None:
        compiled.append(module)
        compile_module(module, backend="aot_eager")

    monkeypatch.setattr(torch.nn.Module, "compile", capture)
    plain = train(make_run("base", crops_folder, tmp_path / "plain", 4))
    same = train(make_run("base", crops_folder, tmp_path / "compiled", 4, compile=True))
    assert len(compiled) == 1
    assert same["cost"] == pytest.approx(plain["cost"], rel=0.02)
    keys = [torch.load(tmp_path / n / "weights.pt", weights_only=True).keys() for n in ("plain", "compiled")]
    assert keys[0] == keys[1]


def test_a_step_whose_gradient_is_not_finite_is_left_out(crops_folder, tmp_path):
    torch.manual_seed(0)
    net = build("tiny")
    trainer = make_trainer(make_run("base", crops_folder, tmp_path / "run", 5), net, open_device("fp32", 1))
    trainer._step(0.0)
    before = {k: v.clone() for k, v in net.base.state_dict().items()}
    forward = trainer.stage.forward
    trainer.loss = lambda *args: (forward(*args)[0] * float("nan"), {})
    trainer._step(0.0)
    assert all(torch.equal(before[k], v) for k, v in net.base.state_dict().items())


def test_a_run_that_has_diverged_ends(crops_folder, tmp_path):
    trainer = make_trainer(make_run("base", crops_folder, tmp_path / "run", 40), build("tiny"), open_device("fp32", 1))
    forward, seen = trainer.stage.forward, []

    def diverging(*args):
        seen.append(trainer.step)
        loss, figures = forward(*args)
        return loss * float("nan" if trainer.step >= 15 else "1"), figures

    trainer.loss = diverging
    with pytest.raises(InputError, match="has diverged: of 10 steps none had a finite gradient"):
        trainer.train(log_every=10)
    assert seen[-1] == 29  # the first ten in a row were seen at step 30


def test_speed_figures(crops_folder, tmp_path, capsys):
    run = make_run("base", crops_folder, tmp_path / "run", 20)
    trainer = make_trainer(run, build("tiny"), open_device("fp32", 1))
    trainer.train(log_every=10)
    line = capsys.readouterr().out.splitlines()[1]
    figures = dict(zip(line.split()[7::2], map(float, line.split()[8::2]), strict=False))
    assert figures["pixels_per_s"] == pytest.approx(figures["steps_per_s"] * 2 * 64 * 64, rel=1e-3)
    assert 0.001 < figures["mfu"] < 1.0
