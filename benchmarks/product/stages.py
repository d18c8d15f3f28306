"""Where the processor time of the codec's calls goes: its stages, and how fast networks multiply."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, TypedDict
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from compass.entropy.latent import latent_size
from options import RUNS, seconds_of


class StageRecord(TypedDict):
    """A part of a call."""

    call: str
    stage: str
    milliseconds: float
    gflops: float | None  # a second; None where multiplications are not what it does


def peak_gflops() -> float:
    """What numpy reaches in a product of large matrices."""
    a = np.random.default_rng(0).random((1024, 1024), np.float32)
    return 2 * 1024**3 / seconds_of(lambda: a @ a) / 1e9


class Clock:
    """Adds up the processor seconds of functions by stage; what one calls of another counts for that one alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def timed(self, function: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self._inner.append(0.0)
            started = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                whole = time.process_time() - started
                self.seconds[name(*arguments)] += whole - self._inner.pop()
                self._inner[-1] += whole

        return call


def time_stages(image: Image.Image, model: str | None) -> list[StageRecord]:
    """Where the time of encoding three layers, and of decoding the largest, goes."""
    import compass
    from compass.entropy import hyperprior, operations
    from compass.model.predictor import Predictor
    from compass.model.runtime import Network

    data = compass.encode(image, model=model, threads=1)
    calls: dict[str, Callable[[], object]] = {
        "encode": lambda: compass.encode(image, model=model, threads=1),
        "decode": lambda: compass.decode(data, model=model, threads=1),
    }
    places: list[tuple[Any, str, Callable[..., str]]] = [
        (Network, "run", lambda network, *_: f"{network.name}, network"),
        (Predictor, "__call__", lambda *_: "predictor, products"),
        (hyperprior.HyperpriorModel, "encode", lambda *_: "entropy coding"),
        (hyperprior.HyperpriorModel, "decode", lambda *_: "entropy coding"),
        (operations.Convolution, "_at", lambda *_: "exact convolutions"),
    ]
    macs = multiplications(image.height, image.width)
    rows: list[StageRecord] = []
    for name, call in calls.items():
        whole = seconds_of(call)
        best: dict[str, float] = {}
        for _ in range(RUNS):
            clock = Clock()
            with ExitStack() as stack:
                for owner, attribute, name_of in places:
                    timed = clock.timed(getattr(owner, attribute), name_of)
                    stack.enter_context(mock.patch.object(owner, attribute, timed))
                call()
            best = {stage: min(seconds, best.get(stage, math.inf)) for stage, seconds in clock.seconds.items()}
        best["the rest"] = max(0.0, whole - sum(best.values()))
        for stage, seconds in sorted(best.items(), key=lambda item: -item[1]):
            count = macs.get((name, stage))
            gflops = None if count is None else round(2 * count / seconds / 1e9, 1)
            rows.append({"call": name, "stage": stage, "milliseconds": round(1000 * seconds, 1), "gflops": gflops})
        rows.append({"call": name, "stage": "whole", "milliseconds": round(1000 * whole, 1), "gflops": None})
    return rows


def multiplications(height: int, width: int) -> dict[tuple[str, str], int]:
    """Multiply-accumulates of the networks of the `fast` profile in a file of layers 1/4, 1/2, 1, by call and stage."""
    from compass.nets.hyperprior_codec import HyperpriorCodec
    from compass.nets.macs import count_macs
    from compass.nets.predictor import SeparablePredictor
    from compass.training.run import build

    net = build("fast")
    base, residual, predictor = net.base, net.residual, net.predictor
    assert isinstance(base, HyperpriorCodec)
    assert isinstance(residual, HyperpriorCodec)
    assert isinstance(predictor, SeparablePredictor)
    small, middle, large = ((-(-height // n), -(-width // n)) for n in (4, 2, 1))

    def image(size: tuple[int, int]) -> Tensor:
        return torch.zeros(1, 3, *size)

    def latent(size: tuple[int, int]) -> Tensor:
        return torch.zeros(1, base.latent_channels, latent_size(size[0]), latent_size(size[1]))

    def residual_synthesis(size: tuple[int, int]) -> int:
        return count_macs(lambda: residual.g_s(latent(size), image(size)))

    def residual_analysis(size: tuple[int, int]) -> int:
        return count_macs(lambda: residual.g_a(image(size), image(size)))

    predictions = sum(count_macs(partial(predictor.coefficients, image(size))) for size in (small, middle))
    base_synthesis = count_macs(lambda: base.g_s(latent(small)))
    return {
        ("encode", "base analysis, network"): count_macs(lambda: base.g_a(image(small))),
        ("encode", "base synthesis, network"): base_synthesis,
        ("encode", "residual analysis, network"): residual_analysis(middle) + residual_analysis(large),
        ("encode", "residual synthesis, network"): residual_synthesis(middle),
        ("encode", "predictor, network"): predictions,
        ("decode", "base synthesis, network"): base_synthesis,
        ("decode", "residual synthesis, network"): residual_synthesis(middle) + residual_synthesis(large),
        ("decode", "predictor, network"): predictions,
    }
