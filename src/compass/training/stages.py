"""The training stages: what is trained, on what, by which loss."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.entropy.quality import LAMBDAS, MAX_QUALITY
from compass.nets.layered import CompassNet, LayeredNet, LayerOutput
from compass.nets.mei import MeiNet
from compass.nets.predictor import BicubicPredictor
from compass.training.data import Crops
from compass.training.klt import KLT_LAYERS, KLT_RATE_FACTOR, start_from_klt, starts_as_klt
from compass.training.rng import StepRNG
from compass.training.widen import asleep, wake

Metrics = dict[str, float]
Figures = dict[str, Tensor]  # of one step, still on the device
_REFERENCE_LAMBDA = 0.0067
_MAX_RATIO = 4.0  # of two layers of a training sample
VALIDATED = (1.0, 2.0, 3.0, 4.0)  # qualities: the lambdas of the paper
_DENSITY_RATE_FACTOR = 8.0  # in training all layers: densities start far too wide, and shrink slowly


class Stage(nn.Module, ABC):
    """One stage: `forward` is the loss of a random batch, `validate` yields figures on fixed images.

    quality: None trains all qualities at once, a number that one alone (the fixed-lambda models of the paper).
    """

    trained: nn.Module
    fixed_shapes = False  # every step runs on the same ones

    def __init__(self, net: LayeredNet, crop: int, batch: int, quality: float | None = None) -> None:
        super().__init__()
        self.net, self.crop, self.batch, self.quality = net, crop, batch, quality

    def warm_start(self, crops: Crops, rng: StepRNG) -> None:
        """Called once before the first step of a fresh run."""

    def compile_parts(self) -> None:
        """Compiles what runs on the same shapes in every step; by default nothing."""

    def rate_factor(self, name: str) -> float:
        """Learning rate of a parameter of `trained`, as a factor of the schedule's."""
        return 1.0

    def klt_samples(self, crops: Crops, rng: StepRNG) -> Tensor:
        """Images that a block transform can be made of."""
        return crops.draw(3000, min(64, self.crop // 16 * 16), rng)

    def draw_quality(self, rng: StepRNG) -> Tensor:
        """[batch] qualities, uniform over the whole range."""
        drawn = rng.uniform(self.batch)[:, 0] * MAX_QUALITY
        return drawn if self.quality is None else torch.full_like(drawn, self.quality)

    @abstractmethod
    def forward(self, crops: Crops, rng: StepRNG) -> tuple[Tensor, Figures]:
        """Loss of one random batch."""

    @abstractmethod
    def validate(self, images: list[Tensor]) -> Metrics:
        """Figures on images [1, 3, H, W]; `cost` is the one to compare runs by, lower is better."""

    def _validate_layers(self, net: LayeredNet, pyramids: list[list[Tensor]], first: int = 0) -> Metrics:
        return validate_layers(net, pyramids, VALIDATED if self.quality is None else (self.quality,), first)


def validate_layers(
    net: LayeredNet, pyramids: list[list[Tensor]], qualities: Sequence[float], first: int = 0
) -> Metrics:
    """Mean cost of the layers from `first` on, over the qualities; bpp and PSNR of the last layer."""
    figures: Metrics = {}
    costs = []
    for q in qualities:
        bpps, psnrs = [], []
        for pyramid in pyramids:
            quality = torch.full((1,), q, device=pyramid[0].device)
            layers = net(pyramid, [quality] * len(pyramid))
            for layer, target in zip(layers[first:], pyramid[first:], strict=True):
                cost, bpp, mse = rate_distortion(layer, target, quality)
                costs.append(balanced(cost, quality))
            bpps.append(bpp)
            psnrs.append(psnr(mse))
        figures[f"bpp_q{q:g}"] = torch.stack(bpps).mean().item()
        figures[f"psnr_q{q:g}"] = torch.stack(psnrs).mean().item()
    return {"cost": torch.stack(costs).mean().item(), **figures}


def lambdas(quality: Tensor) -> Tensor:
    """Rate-distortion lambdas of qualities [B], as `compass.entropy.quality.lambda_of`."""
    logs = torch.log(torch.tensor(LAMBDAS, device=quality.device))
    low = quality.floor().clamp(0, MAX_QUALITY - 1).long()
    return torch.exp(torch.lerp(logs[low], logs[low + 1], quality - low))


def rate_distortion(layer: LayerOutput, target: Tensor, quality: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """bpp + lambda 255^2 MSE (paper, eq. 5), bpp and MSE, each [B]."""
    pixels = target.shape[2] * target.shape[3]
    bpp = (layer.bits_y + layer.bits_z) / pixels
    mse = ((layer.image - target) ** 2).mean(dim=(1, 2, 3))
    return bpp + lambdas(quality) * 255**2 * mse, bpp, mse


def balanced(cost: Tensor, quality: Tensor) -> Tensor:
    """Mean of costs that grow with lambda, weighted so that no quality drowns the others."""
    return (cost * (_REFERENCE_LAMBDA / lambdas(quality)) ** 0.5).mean()


def combined_loss(layers: list[LayerOutput], targets: list[Tensor], qualities: list[Tensor]) -> tuple[Tensor, Figures]:
    """Mean cost of layers, and bpp and PSNR of the last."""
    costs = []
    for layer, target, quality in zip(layers, targets, qualities, strict=True):
        cost, bpp, mse = rate_distortion(layer, target, quality)
        costs.append(balanced(cost, quality))
    return torch.stack(costs).mean(), {"bpp": bpp.mean(), "psnr": psnr(mse).mean()}


def psnr(mse: Tensor) -> Tensor:
    return -10.0 * torch.log10(mse)


class BaseStage(Stage):
    """The base codec alone; with `klt` it starts as a block transform codec."""

    fixed_shapes = True

    def __init__(self, net: CompassNet, crop: int, batch: int, quality: float | None = None, klt: bool = False) -> None:
        super().__init__(net, crop, batch, quality)
        self.trained, self.klt = net.base, klt

    def warm_start(self, crops: Crops, rng: StepRNG) -> None:
        if self.klt:
            start_from_klt(self.trained, self.klt_samples(crops, rng))
        elif asleep(self.trained):
            wake(self.trained, self.klt_samples(crops, rng))

    def compile_parts(self) -> None:
        self.trained.compile()

    def rate_factor(self, name: str) -> float:
        return KLT_RATE_FACTOR if self.klt and starts_as_klt(name) else 1.0

    def forward(self, crops: Crops, rng: StepRNG) -> tuple[Tensor, Figures]:
        x = crops.draw(self.batch, self.crop, rng)
        quality = self.draw_quality(rng)
        return combined_loss(self.net([x], [quality]), [x], [quality])

    def validate(self, images: list[Tensor]) -> Metrics:
        return self._validate_layers(self.net, [[p] for p in images])


class PredictorStage(Stage):
    """The predictor alone, L1 loss, on clean pairs (paper, supplement A)."""

    def __init__(self, net: CompassNet, crop: int, batch: int) -> None:
        super().__init__(net, crop, batch)
        assert net.predictor is not None
        self.trained, self.predict = net.predictor, net.predict

    def forward(self, crops: Crops, rng: StepRNG) -> tuple[Tensor, Figures]:
        x = crops.draw(self.batch, self.crop, rng)
        size = max(8, round(self.crop / draw_ratio(rng.host)))
        prediction = self.predict(reduce(x, (size, size)), (self.crop, self.crop))
        mse = ((prediction - x) ** 2).mean(dim=(1, 2, 3))
        return (prediction - x).abs().mean(), {"psnr": psnr(mse).mean()}

    def validate(self, images: list[Tensor]) -> Metrics:
        errors = []
        for image in images:
            h, w = image.shape[2:]
            lower = reduce(image, (h // 2, w // 2))
            errors.append(((self.predict(lower, (h, w)) - image) ** 2).mean())
        mean = psnr(torch.stack(errors)).mean().item()
        return {"cost": -mean, "psnr_2x": mean}


class EnhancementStage(Stage):
    """Enhancement layers by the combined loss, the mean over them of R_k + lambda 255^2 MSE_k; the base is frozen.

    With `joint` the predictor is trained along; without it bicubic interpolation stands in for it.
    """

    def __init__(
        self, net: CompassNet, crop: int, batch: int, quality: float | None = None, joint: bool = True
    ) -> None:
        super().__init__(net, crop, batch, quality)
        assert net.residual is not None
        assert net.predictor is not None
        parts: dict[str, nn.Module] = {"residual": net.residual}
        self.trained = nn.ModuleDict(parts | {"predictor": net.predictor} if joint else parts)
        self.chain = net if joint else CompassNet(net.base, BicubicPredictor(), net.residual)

    def rate_factor(self, name: str) -> float:
        return KLT_RATE_FACTOR if name.removeprefix("residual.").startswith(KLT_LAYERS) else 1.0

    def forward(self, crops: Crops, rng: StepRNG) -> tuple[Tensor, Figures]:
        x = crops.draw(self.batch, self.crop, rng)
        pyramid = [reduce(x, (side, side)) for side in draw_sides(self.crop, rng.host)] + [x]
        quality = self.draw_quality(rng)
        qualities = [quality]
        for _ in pyramid[1:]:  # one sample in four lets each layer choose its own quality
            own, alone = self.draw_quality(rng), rng.uniform(self.batch)[:, 0] < 0.25
            qualities.append(torch.where(alone, own, quality))
        layers = self.chain(pyramid, qualities)
        return combined_loss(layers[1:], pyramid[1:], qualities[1:])

    def validate(self, images: list[Tensor]) -> Metrics:
        return self._validate_layers(self.chain, [_dyadic(image) for image in images], first=1)


class LayersStage(Stage):
    """All layers of a net whose layers are each twice the one below, trained as one; each at the same quality."""

    fixed_shapes = True

    def __init__(self, net: MeiNet, crop: int, batch: int, quality: float | None = None, klt: bool = False) -> None:
        super().__init__(net, crop, batch, quality)
        self.trained, self.klt = net, klt

    def warm_start(self, crops: Crops, rng: StepRNG) -> None:
        if self.klt:
            assert isinstance(self.net, MeiNet)
            samples = self.klt_samples(crops, rng)
            for codec in self.net.layers:
                start_from_klt(codec, samples)

    def rate_factor(self, name: str) -> float:
        if ".entropy_bottleneck." in name:
            return _DENSITY_RATE_FACTOR
        transform = name.removeprefix("layers.").partition(".")[2]
        return KLT_RATE_FACTOR if self.klt and name.startswith("layers.") and starts_as_klt(transform) else 1.0

    def forward(self, crops: Crops, rng: StepRNG) -> tuple[Tensor, Figures]:
        pyramid = _dyadic(crops.draw(self.batch, self.crop, rng))
        qualities = [self.draw_quality(rng)] * len(pyramid)
        return combined_loss(self.net(pyramid, qualities), pyramid, qualities)

    def validate(self, images: list[Tensor]) -> Metrics:
        return self._validate_layers(self.net, [_dyadic(image) for image in images])


def _dyadic(x: Tensor) -> list[Tensor]:
    """An image [B, 3, H, W] at a quarter and at half of its size, rounded up, and at its own."""
    h, w = x.shape[2:]
    return [reduce(x, (-(-h // 4), -(-w // 4))), reduce(x, (-(-h // 2), -(-w // 2))), x]


def draw_ratio(rng: np.random.Generator) -> float:
    """Ratio of two layers: dense between 1 and 2, reaching 4."""
    return float(rng.uniform(1.0, 2.0) if rng.random() < 0.75 else rng.uniform(2.0, _MAX_RATIO))


def draw_sides(crop: int, rng: np.random.Generator) -> list[int]:
    """Sides of the layers below a crop, ascending: one or two enhancement layers over a base."""
    sides = [_lower_side(crop, rng)]
    if rng.random() < 0.5:
        sides.append(_lower_side(sides[0], rng))
    return sides[::-1]


def _lower_side(side: int, rng: np.random.Generator) -> int:
    """Of the layer below: in steps of 8, since libraries prepare their kernels anew for each shape that they meet."""
    return min(side, 8 * max(round(side / draw_ratio(rng) / 8), math.ceil(side / _MAX_RATIO / 8)))


def reduce(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Antialiased bicubic downscale (the kernel of Pillow's BICUBIC) to 8-bit values."""
    if x.shape[2:] == size:
        return x
    smaller = F.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)
    return (smaller * 255.0).round().clamp(0, 255) / 255.0
