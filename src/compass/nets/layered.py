"""The COMPASS recursion: base layer, inter-layer prediction, residual codec, over any number of layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from compass.nets.factorized_codec import FactorizedCodec
from compass.nets.functional import round_ste
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.predictor import axis_tensors

Codec = HyperpriorCodec | FactorizedCodec


class LayerOutput(NamedTuple):
    """One layer of a coded pyramid, differentiable."""

    image: Tensor  # [B, 3, H, W], unrounded
    prediction: Tensor | None  # [B, 3, H, W]; None in the base layer
    bits_y: Tensor  # [B]
    bits_z: Tensor  # [B]


class LayeredNet(nn.Module, ABC):
    """Codes pyramids of images."""

    @abstractmethod
    def forward(self, pyramid: list[Tensor], qualities: list[Tensor | None]) -> list[LayerOutput]:
        """Codes a pyramid of images [B, 3, H_k, W_k] in [0, 1], smallest first, each at its quality [B]."""


class CompassNet(LayeredNet):
    """Base codec, predictor and residual codec; the last two serve every enhancement layer.

    Without them it is a base codec alone.
    """

    base: Codec
    predictor: nn.Module | None
    residual: HyperpriorCodec | None

    def __init__(self, base: Codec, predictor: nn.Module | None, residual: HyperpriorCodec | None) -> None:
        super().__init__()
        self.base, self.predictor, self.residual = base, predictor, residual

    def predict(self, lower: Tensor, size: tuple[int, int]) -> Tensor:
        """Prediction of a layer of `size` = (H, W) from the image below it, [B, 3, h, w] in [0, 1]."""
        assert self.predictor is not None
        rows = axis_tensors(lower.shape[2], size[0], lower.device)
        columns = axis_tensors(lower.shape[3], size[1], lower.device)
        return self.predictor(lower, rows, columns).float()

    def forward(self, pyramid: list[Tensor], qualities: list[Tensor | None]) -> list[LayerOutput]:
        image, bits_y, bits_z = self.base(pyramid[0], qualities[0])
        layers = [LayerOutput(image, None, bits_y, bits_z)]
        for target, quality in zip(pyramid[1:], qualities[1:], strict=True):
            assert self.residual is not None
            prediction = self.predict(quantise_image(layers[-1].image), (target.shape[2], target.shape[3]))
            image, bits_y, bits_z = self.residual(target - prediction, quality, prediction)
            layers.append(LayerOutput(prediction + image, prediction, bits_y, bits_z))
        return layers


def quantise_image(x: Tensor) -> Tensor:
    """To the 8-bit values that a decoder hands to the next layer; the gradient passes."""
    return torch.clamp(round_ste(x * 255.0) / 255.0, 0.0, 1.0)
