"""Two processes under torchrun train as one process with the doubled batch does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from compass.training.run import build
from tests.training.conftest import save_crops

_COMMAND = (
    "import atexit; from pathlib import Path\n"
    "atexit.register(lambda: print('left', *(path.read_text() for path in Path('/proc/self/task').glob('*/comm'))))\n"
    "from compass.training import loop; f = loop.Trainer.train\n"
    "loop.Trainer.train = lambda self, pause: f(self, pause, log_every=1)\n"
    "from compass.cli import main; main()\n"
)


@pytest.fixture(scope="module")
def folder(parrots: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    save_crops(parrots, path)
    return path


def losses(stage: str, folder: Path, out: Path, processes: int, steps: int, profile: str = "tiny") -> list[float]:
    """Runs the stage with 4 crops a step, whatever the number of processes; returns the loss of every step."""
    script = out.with_suffix(".py")
    script.write_text(_COMMAND)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [
        sys.executable, *(launcher if processes > 1 else []), str(script), "train", stage, "--profile", profile,
        "--data", str(folder), "--out", str(out), "--steps", str(steps), "--crop", "64", "--batch", str(4 // processes),
        "--rate", "3e-4", "--warmup", "3",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    found = [float(x) for x in re.findall(r"^train .* loss (\S+)", result.stdout, re.MULTILINE)]
    assert len(found) == steps  # the first process alone reports
    assert "gloo" not in result.stdout  # a thread of it that outlives the interpreter may abort the process
    return found


@pytest.mark.slow
def test_losses_and_weights_are_the_same(folder, tmp_path):
    one = losses("predictor", folder, tmp_path / "one", 1, 12)
    two = losses("predictor", folder, tmp_path / "two", 2, 12)
    assert two == pytest.approx(one, rel=1e-3)
    a, b = (torch.load(tmp_path / name / "weights.pt", weights_only=True) for name in ("one", "two"))
    assert all(torch.allclose(a[k], b[k], atol=1e-5) for k in a)


@pytest.mark.slow
def test_losses_agree_but_for_the_noise_that_stands_in_for_rounding(folder, tmp_path):
    one = losses("base", folder, tmp_path / "one", 1, 12)
    two = losses("base", folder, tmp_path / "two", 2, 12)
    assert max(one) > 1.25 * min(one)  # what other crops would do to a step
    assert two == pytest.approx(one, rel=0.05)
    assert sum(two) == pytest.approx(sum(one), rel=0.01)


@pytest.mark.slow
def test_networks_of_the_paper_train_on_two_processes(folder, tmp_path):
    losses("base", folder, tmp_path / "two", 2, 3, "paper-small")  # a parameter without gradient ends the second step


@pytest.mark.slow
def test_the_command_of_the_guide_takes_an_option_that_torchrun_could_mean(folder, tmp_path):
    torch.save(build("tiny").state_dict(), tmp_path / "weights.pt")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    command = [
        *launcher, "compass", "train", "predictor", "--profile", "tiny", "--start", str(tmp_path / "weights.pt"),
        "--data", str(folder), "--out", str(tmp_path / "run"), "--steps", "1", "--crop", "64", "--batch", "2",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
