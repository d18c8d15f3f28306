"""The training loop: budget, schedule, EMA, clipping, atomic checkpoints, exact resume, logs."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.tensorboard import SummaryWriter

from compass.errors import InputError
from compass.files import atomic_writer
from compass.training.data import Crops
from compass.training.device import TrainingDevice
from compass.training.rng import StepRNG
from compass.training.stages import Figures, Metrics, Stage

_CLOCK_EVERY = 10  # steps: reading the clock makes processes agree on it, and a device wait
_COUNTED_STEPS = 8  # for the operations per step: the layers of a step vary in size


@dataclass(frozen=True)
class Schedule:
    """Budget and optimiser. A budget in `minutes`, which count over all resumes, goes before one in `steps`."""

    steps: int
    minutes: float | None
    rate: float
    warmup: int = 200
    final: float = 0.02  # of the peak learning rate, reached by a cosine
    ema: float = 0.999
    clip: float = 1.0
    seed: int = 0

    def progress(self, step: int, seconds: float) -> float:
        """Spent share of the budget, 0 to 1."""
        spent = step / self.steps if self.minutes is None else seconds / 60 / self.minutes
        return min(spent, 1.0)

    def rate_at(self, step: int, progress: float) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return self.rate * min(1.0, (step + 1) / self.warmup) * (self.final + (1 - self.final) * cosine)


class Trainer:
    """Runs one stage until its budget is spent. All that a resume needs is in `checkpoint.pt` of the run folder.

    Under `torchrun` every process holds one; the first alone validates, writes and reports.
    """

    def __init__(
        self, stage: Stage, crops: Crops, valid: list[Tensor], schedule: Schedule, run: Path, device: TrainingDevice
    ) -> None:
        self.stage, self.crops, self.valid, self.schedule, self.run = stage, crops, valid, schedule, run
        self.device, self.first = device, device.share.rank == 0
        torch.backends.cudnn.benchmark = stage.fixed_shapes  # looks for the fastest kernels once per shape
        named = [(name, p) for name, p in stage.trained.named_parameters() if p.requires_grad]
        self.parameters = [p for _, p in named]
        groups: dict[float, list[Tensor]] = {}
        for name, p in named:
            groups.setdefault(stage.rate_factor(name), []).append(p)
        self.optimiser = torch.optim.Adam(
            [{"params": params, "factor": factor} for factor, params in groups.items()], lr=schedule.rate, fused=True
        )
        self.averages = copy.deepcopy(stage.trained.state_dict())
        self.step, self.seconds = 0, 0.0
        self.left_out = torch.zeros((), device=device.torch_device)  # steps, since the last that was made
        run.mkdir(parents=True, exist_ok=True)
        self.checkpoint = run / "checkpoint.pt"
        if self.checkpoint.exists():
            self._load()
        else:
            stage.warm_start(crops, self._rng(0))
            self.averages = copy.deepcopy(stage.trained.state_dict())
        self.loss: nn.Module = stage if device.share.count == 1 else DistributedDataParallel(stage)

    def train(
        self,
        pause: float | None = None,
        *,
        log_every: int = 100,
        save_every: float = 60.0,
        validate_every: float = 600.0,
    ) -> Metrics:
        """Trains to the end of the budget, or for `pause` minutes; saves and validates by the clock (seconds).

        Returns the last figures. Raises InputError if it makes no more steps: no gradient has been finite for long.
        """
        log = SummaryWriter(str(self.run)) if self.first else None
        peak, flops = self.device.peak_flops(), self._count_flops()
        if self.device.compile:  # only now: the operations of compiled code cannot be counted
            self.stage.compile_parts()
        saved = validated = begun = self.seconds
        mark, mark_step = self.seconds, self.step
        now = time.monotonic()
        while (progress := self.schedule.progress(self.step, self.seconds)) < 1:
            figures = self._step(progress)
            self.step += 1
            if self.step % _CLOCK_EVERY and self.step % log_every and self.step != self.schedule.steps:
                continue
            self.device.wait()
            before, now = now, time.monotonic()
            self.seconds = self.device.agree(self.seconds + now - before)
            if self.step % log_every == 0:
                self._check(log_every)
                speed = (self.step - mark_step) / (self.seconds - mark)
                mark, mark_step = self.seconds, self.step
                pixels = self.stage.batch * self.device.share.count * self.stage.crop**2
                speeds = {"steps_per_s": speed, "pixels_per_s": speed * pixels, "mfu": speed * flops / peak}
                means = dict(zip(figures, self.device.mean(list(figures.values())), strict=True))
                self._report(log, "train", means | speeds, progress)
            if self.seconds - saved > save_every:
                self.save()
                saved = self.seconds
            if self.seconds - validated > validate_every:
                self._report(log, "valid", self.validate(), progress)
                validated = self.seconds
            if pause is not None and self.seconds - begun >= 60 * pause:
                break
            now = time.monotonic()  # saving and validating are not on the budget
        self.save()
        metrics = self.validate()
        self._report(log, "valid", metrics, self.schedule.progress(self.step, self.seconds))
        if log:
            log.close()
        return metrics

    def _check(self, most: int) -> None:
        if self.left_out.item() >= most:
            raise InputError(
                f"{self.run} has diverged: of {most} steps none had a finite gradient; begin again at a lower --rate"
            )

    def _rng(self, step: int) -> StepRNG:
        return StepRNG(self.schedule.seed, step, self.device.torch_device, self.device.share)

    def _step(self, progress: float) -> Figures:
        for group in self.optimiser.param_groups:
            group["lr"] = group["factor"] * self.schedule.rate_at(self.step, progress)
        self.stage.trained.train()
        self.optimiser.zero_grad(set_to_none=True)
        loss, figures = self._backward(self.step, self.loss)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.schedule.clip)
        # The optimiser leaves out a step whose gradient is not finite, without the device being waited for.
        left_out = (~torch.isfinite(norm)).float()
        self.optimiser.found_inf = left_out  # type: ignore[attr-defined]
        self.optimiser.step()
        self.left_out = (self.left_out + 1) * left_out
        decay = min(self.schedule.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            trained = self.stage.trained.state_dict()
            torch._foreach_lerp_([self.averages[name] for name in trained], list(trained.values()), 1 - decay)
        return {"loss": loss.detach(), **figures, "gradient": norm}

    def _backward(self, step: int, module: nn.Module) -> tuple[Tensor, Figures]:
        rng = self._rng(step)
        with self.device.autocast():
            loss, figures = module(self.crops, rng)
        loss.backward()
        return loss, figures

    def _count_flops(self) -> float:
        """Operations of a mean step of this process: forward and backward, convolutions and matrix products."""
        self.stage.trained.train()
        counter = FlopCounterMode(display=False)
        steps = 1 if self.stage.fixed_shapes else _COUNTED_STEPS
        with counter:
            for step in range(steps):
                self._backward(step, self.stage)
        return counter.get_total_flops() / steps

    def validate(self) -> Metrics:
        """Figures of the averaged weights on the validation images; none but in the first process."""
        if not (self.valid and self.first):
            return {}
        with self.averaged(), torch.no_grad():
            self.stage.trained.eval()
            return self.stage.validate(self.valid)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights in place of the trained ones."""
        trained = copy.deepcopy(self.stage.trained.state_dict())
        self.stage.trained.load_state_dict(self.averages)
        try:
            yield
        finally:
            self.stage.trained.load_state_dict(trained)

    def save(self) -> None:
        """Writes the checkpoint and the weights: a kill leaves the old or the new ones, whole."""
        if not self.first:
            return
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "stage": type(self.stage).__name__,
            "net": self.stage.net.state_dict(),
            "ema": self.averages,
            "optimiser": self.optimiser.state_dict(),
        }
        self._write(state, self.checkpoint)
        with self.averaged():
            self._write({k: v.cpu() for k, v in self.stage.net.state_dict().items()}, self.run / "weights.pt")

    @staticmethod
    def _write(state: dict[str, Any], path: Path) -> None:
        with atomic_writer(path) as file:
            torch.save(state, file)

    def _load(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.crops.device, weights_only=True)
        if state["stage"] != type(self.stage).__name__:
            raise InputError(f"{self.run} holds a run of another stage, {state['stage']}")
        try:
            self.stage.net.load_state_dict(state["net"])
        except RuntimeError:
            raise InputError(f"{self.run} holds a run of another profile") from None
        if state["ema"].keys() != self.averages.keys():
            raise InputError(f"{self.run} holds a run of another stage, which trains other parts")
        self.averages = state["ema"]
        try:
            self.optimiser.load_state_dict(state["optimiser"])
        except ValueError:
            raise InputError(f"{self.run} holds a run that was begun otherwise: with, or without, --start") from None
        self.step, self.seconds = state["step"], state["seconds"]

    def _report(self, log: SummaryWriter | None, kind: str, metrics: Metrics, progress: float) -> None:
        if log is None:
            return
        for name, value in metrics.items():
            log.add_scalar(f"{kind}/{name}", value, self.step)
        text = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        print(f"{kind} {100 * progress:5.1f} %  step {self.step}  {self.seconds / 60:.1f} min  {text}", flush=True)
