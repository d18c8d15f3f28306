"""The training loop: budget, schedule, EMA, clipping, atomic checkpoints, exact resume, logs."""

from __future__ import annotations

import contextlib
import copy
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from compass.errors import InputError
from compass.training.data import Crops
from compass.training.stages import Metrics, Stage


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
    """Runs one stage until its budget is spent. All that a resume needs is in `checkpoint.pt` of the run folder."""

    def __init__(self, stage: Stage, crops: Crops, valid: list[Tensor], schedule: Schedule, run: Path) -> None:
        self.stage, self.crops, self.valid, self.schedule, self.run = stage, crops, valid, schedule, run
        named = [(name, p) for name, p in stage.trained.named_parameters() if p.requires_grad]
        self.parameters = [p for _, p in named]
        groups: dict[float, list[Tensor]] = {}
        for name, p in named:
            groups.setdefault(stage.rate_factor(name), []).append(p)
        self.optimiser = torch.optim.Adam(
            [{"params": params, "factor": factor} for factor, params in groups.items()],
            lr=schedule.rate,
            fused=crops.device.type == "cuda",
        )
        self.ema = copy.deepcopy(stage.trained.state_dict())
        self.step, self.seconds = 0, 0.0
        run.mkdir(parents=True, exist_ok=True)
        self.checkpoint = run / "checkpoint.pt"
        if self.checkpoint.exists():
            self._load()
        else:
            stage.warm_start(crops, np.random.default_rng(schedule.seed))
            self.ema = copy.deepcopy(stage.trained.state_dict())

    def train(self, log_every: int = 100, save_every: float = 60.0, validate_every: float = 600.0) -> Metrics:
        """Trains to the end of the budget; saves and validates by the clock (seconds). Returns the last figures."""
        log = SummaryWriter(str(self.run))
        saved = validated = time.monotonic()
        mark, mark_step = saved, self.step
        while (progress := self.schedule.progress(self.step, self.seconds)) < 1:
            started = time.monotonic()
            metrics = self._step(progress)
            self.step += 1
            now = time.monotonic()
            self.seconds += now - started
            if self.step % log_every == 0:
                speed = (self.step - mark_step) / (now - mark)
                mark, mark_step = now, self.step
                self._report(log, "train", metrics | {"steps_per_s": speed}, progress)
            if now - saved > save_every:
                self.save()
                saved = time.monotonic()
            if now - validated > validate_every:
                self._report(log, "valid", self.validate(), progress)
                validated = mark = time.monotonic()
        self.save()
        figures = self.validate()
        self._report(log, "valid", figures, 1.0)
        log.close()
        return figures

    def _step(self, progress: float) -> Metrics:
        rng = np.random.default_rng((self.schedule.seed, self.step))
        torch.manual_seed(int(rng.integers(2**62)))
        for group in self.optimiser.param_groups:
            group["lr"] = group["factor"] * self.schedule.rate_at(self.step, progress)
        self.stage.trained.train()
        device = self.crops.device
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss, metrics = self.stage.loss(self.crops, rng)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.schedule.clip)
        if torch.isfinite(norm):
            self.optimiser.step()
        decay = min(self.schedule.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.stage.trained.state_dict().items():
                self.ema[name].lerp_(value, 1 - decay)
        return metrics | {"gradient": norm.item()}

    def validate(self) -> Metrics:
        """Figures of the averaged weights on the validation pictures."""
        with self.averaged(), torch.no_grad():
            self.stage.trained.eval()
            return self.stage.validate(self.valid) if self.valid else {}

    @contextlib.contextmanager
    def averaged(self) -> Any:
        """The averaged weights in place of the trained ones."""
        trained = copy.deepcopy(self.stage.trained.state_dict())
        self.stage.trained.load_state_dict(self.ema)
        try:
            yield
        finally:
            self.stage.trained.load_state_dict(trained)

    def save(self) -> None:
        """Writes the checkpoint beside its final name, then renames: a kill leaves the old or the new one, whole."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "stage": type(self.stage).__name__,
            "net": self.stage.net.state_dict(),
            "ema": self.ema,
            "optimiser": self.optimiser.state_dict(),
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)
        with self.averaged():
            weights = {k: v.cpu() for k, v in self.stage.net.state_dict().items()}
        partial = self.run / "weights.partial"
        torch.save(weights, partial)
        os.replace(partial, self.run / "weights.pt")

    def _load(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.crops.device, weights_only=True)
        if state["stage"] != type(self.stage).__name__:
            raise InputError(f"{self.run} holds a run of another stage, {state['stage']}")
        try:
            self.stage.net.load_state_dict(state["net"])
        except RuntimeError:
            raise InputError(f"{self.run} holds a run of another profile") from None
        if state["ema"].keys() != self.ema.keys():
            raise InputError(f"{self.run} holds a run of another stage, which trains other parts")
        self.ema = state["ema"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]

    def _report(self, log: SummaryWriter, kind: str, metrics: Metrics, progress: float) -> None:
        for name, value in metrics.items():
            log.add_scalar(f"{kind}/{name}", value, self.step)
        text = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        print(f"{kind} {100 * progress:5.1f} %  step {self.step}  {self.seconds / 60:.1f} min  {text}", flush=True)
