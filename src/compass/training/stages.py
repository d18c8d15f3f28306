"""The training stages: what is trained, on what, by which loss."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.model.quality import LAMBDAS, MAX_QUALITY
from compass.nets.compass import CodedLayer, Compass
from compass.nets.predictor import BicubicPredictor
from compass.training.data import Crops
from compass.training.klt import KLT_LAYERS, KLT_RATE_FACTOR, start_from_klt

Metrics = dict[str, float]
_REFERENCE_LAMBDA = 0.0067


class Stage(ABC):
    """One stage: a loss on a random batch, and figures on fixed pictures."""

    trained: nn.Module
    crop: int
    batch: int

    def __init__(self, net: Compass) -> None:
        self.net = net

    def warm_start(self, crops: Crops, rng: np.random.Generator) -> None:  # noqa: B027 - most stages have none
        """Called once before the first step of a fresh run."""

    def rate_factor(self, name: str) -> float:
        """Learning rate of a parameter of `trained`, as a factor of the schedule's."""
        return 1.0

    @abstractmethod
    def loss(self, crops: Crops, rng: np.random.Generator) -> tuple[Tensor, Metrics]:
        """Loss of one random batch."""

    @abstractmethod
    def validate(self, pictures: list[Tensor]) -> Metrics:
        """Figures on pictures [1, 3, H, W]; `cost` is the one to compare runs by, lower is better."""


def draw_quality(count: int, rng: np.random.Generator, device: torch.device) -> Tensor:
    """[count] qualities, uniform over the whole range."""
    return torch.from_numpy(rng.uniform(0, MAX_QUALITY, count)).float().to(device)


def lambdas(quality: Tensor) -> Tensor:
    """`compass.model.quality.lambda_of` on tensors."""
    logs = torch.log(torch.tensor(LAMBDAS, device=quality.device))
    low = quality.floor().clamp(0, MAX_QUALITY - 1).long()
    return torch.exp(torch.lerp(logs[low], logs[low + 1], quality - low))


def rate_distortion(layer: CodedLayer, target: Tensor, quality: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """bpp + lambda 255^2 MSE (paper, eq. 5), bpp and MSE, each [B]."""
    pixels = target.shape[2] * target.shape[3]
    bpp = (layer.bits_y + layer.bits_z) / pixels
    mse = ((layer.picture - target) ** 2).mean(dim=(1, 2, 3))
    return bpp + lambdas(quality) * 255**2 * mse, bpp, mse


def balanced(cost: Tensor, quality: Tensor) -> Tensor:
    """Mean of costs that grow with lambda, weighted so that no quality drowns the others."""
    return (cost * (_REFERENCE_LAMBDA / lambdas(quality)) ** 0.5).mean()


def psnr(mse: Tensor) -> Tensor:
    return -10.0 * torch.log10(mse)


class BaseStage(Stage):
    """The base codec alone, variable rate; with `klt` it starts as a block transform codec."""

    def __init__(self, net: Compass, crop: int, batch: int, klt: bool) -> None:
        super().__init__(net)
        self.trained, self.crop, self.batch, self.klt = net.base, crop, batch, klt

    def warm_start(self, crops: Crops, rng: np.random.Generator) -> None:
        if self.klt:
            start_from_klt(self.net.base, crops.draw(3000, min(64, self.crop // 16 * 16), rng))

    def rate_factor(self, name: str) -> float:
        return KLT_RATE_FACTOR if self.klt and name.startswith(KLT_LAYERS) else 1.0

    def loss(self, crops: Crops, rng: np.random.Generator) -> tuple[Tensor, Metrics]:
        x = crops.draw(self.batch, self.crop, rng)
        quality = draw_quality(self.batch, rng, x.device)
        (layer,) = self.net([x], [quality])
        cost, bpp, mse = rate_distortion(layer, x, quality)
        loss = balanced(cost, quality)
        return loss, {"loss": loss.item(), "bpp": bpp.mean().item(), "psnr": psnr(mse).mean().item()}

    def validate(self, pictures: list[Tensor]) -> Metrics:
        return _validate_layers(self.net, [[p] for p in pictures])


class PredictorStage(Stage):
    """The predictor alone, L1 loss, on clean pairs (paper, supplement A)."""

    def __init__(self, net: Compass, crop: int, batch: int) -> None:
        super().__init__(net)
        self.trained, self.crop, self.batch = net.predictor, crop, batch

    def loss(self, crops: Crops, rng: np.random.Generator) -> tuple[Tensor, Metrics]:
        x = crops.draw(self.batch, self.crop, rng)
        size = max(8, round(self.crop / draw_ratio(rng)))
        lower = reduce(x, (size, size))
        prediction = self.net.predict(lower, (self.crop, self.crop))
        loss = (prediction - x).abs().mean()
        mse = ((prediction - x) ** 2).mean(dim=(1, 2, 3))
        return loss, {"loss": loss.item(), "psnr": psnr(mse).mean().item()}

    def validate(self, pictures: list[Tensor]) -> Metrics:
        errors = []
        for picture in pictures:
            h, w = picture.shape[2:]
            lower = reduce(picture, (h // 2, w // 2))
            errors.append(((self.net.predict(lower, (h, w)) - picture) ** 2).mean())
        mean = psnr(torch.stack(errors)).mean().item()
        return {"cost": -mean, "psnr_2x": mean}


class EnhancementStage(Stage):
    """Enhancement layers by the combined loss sum_k R_k + lambda 255^2 MSE_k; the base is frozen.

    With `joint` the predictor is trained along; without it bicubic interpolation stands in for it.
    """

    def __init__(self, net: Compass, crop: int, batch: int, joint: bool) -> None:
        super().__init__(net)
        self.crop, self.batch = crop, batch
        parts = {"residual": net.residual, "predictor": net.predictor}
        self.trained = nn.ModuleDict(parts if joint else {"residual": net.residual})
        self.chain = net if joint else Compass(net.base, BicubicPredictor(), net.residual)

    def rate_factor(self, name: str) -> float:
        return KLT_RATE_FACTOR if name.removeprefix("residual.").startswith(KLT_LAYERS) else 1.0

    def loss(self, crops: Crops, rng: np.random.Generator) -> tuple[Tensor, Metrics]:
        x = crops.draw(self.batch, self.crop, rng)
        pyramid = [reduce(x, (side, side)) for side in draw_sides(self.crop, rng)] + [x]
        quality = draw_quality(self.batch, rng, x.device)
        qualities = [quality]
        for _ in pyramid[1:]:  # one sample in four lets each layer choose its own quality
            own = draw_quality(self.batch, rng, x.device)
            alone = torch.from_numpy(rng.random(self.batch) < 0.25).to(x.device)
            qualities.append(torch.where(alone, own, quality))
        layers = self.chain(pyramid, qualities)
        costs, bpp, mse = [], [], []
        for layer, target, q in zip(layers[1:], pyramid[1:], qualities[1:], strict=True):
            cost, layer_bpp, layer_mse = rate_distortion(layer, target, q)
            costs.append(balanced(cost, q))
            bpp.append(layer_bpp.mean())
            mse.append(psnr(layer_mse).mean())
        loss = torch.stack(costs).mean()
        return loss, {"loss": loss.item(), "bpp": bpp[-1].item(), "psnr": mse[-1].item()}

    def validate(self, pictures: list[Tensor]) -> Metrics:
        pyramids = []
        for p in pictures:
            h, w = p.shape[2:]
            pyramids.append([reduce(p, (h // 4, w // 4)), reduce(p, (h // 2, w // 2)), p])
        return _validate_layers(self.chain, pyramids)


def _validate_layers(net: Compass, pyramids: list[list[Tensor]]) -> Metrics:
    """Mean cost of the layers above the base (or of the base, if alone) at qualities 1 to 4."""
    figures: Metrics = {}
    costs = []
    for q in (1, 2, 3, 4):
        bpps, psnrs = [], []
        for pyramid in pyramids:
            quality = torch.full((1,), float(q), device=pyramid[0].device)
            layers = net(pyramid, [quality] * len(pyramid))
            first = 1 if len(pyramid) > 1 else 0
            for layer, target in zip(layers[first:], pyramid[first:], strict=True):
                cost, bpp, mse = rate_distortion(layer, target, quality)
                costs.append(balanced(cost, quality))
            bpps.append(bpp)
            psnrs.append(psnr(mse))
        figures[f"bpp_q{q}"] = torch.stack(bpps).mean().item()
        figures[f"psnr_q{q}"] = torch.stack(psnrs).mean().item()
    return {"cost": torch.stack(costs).mean().item(), **figures}


def draw_ratio(rng: np.random.Generator) -> float:
    """Ratio of neighbouring layers: mostly 1 to 2, a tail to 4."""
    return float(rng.uniform(1, 2) if rng.random() < 0.75 else rng.uniform(2, 4))


def draw_sides(crop: int, rng: np.random.Generator) -> list[int]:
    """Sides of the layers below a crop: one or two enhancement layers over a base."""
    sides = [max(8, round(crop / draw_ratio(rng)))]
    if rng.random() < 0.5:
        sides.append(max(8, round(sides[0] / draw_ratio(rng))))
    return sorted(sides)


def reduce(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Antialiased bicubic downscale (the kernel of Pillow's BICUBIC) to 8-bit values."""
    if x.shape[2:] == size:
        return x
    smaller = F.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)
    return (smaller * 255.0).round().clamp(0, 255) / 255.0
