"""What files of a model cost beside the networks that the model was made of.

Networks are validated in floats; a model file holds rounded weights, integer networks and tables instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from compass.codec.encoder import LayerEncoder
from compass.model.model import Model
from compass.nets.layered import CompassNet, LayeredNet, LayerOutput
from compass.picture.pyramid import pyramid, sizes_from_scales
from compass.training.data import image_tensor
from compass.training.stages import VALIDATED, validate_layers

SCALES = (1 / 4, 1 / 2, 1.0)


class FileCost(NamedTuple):
    """Validation costs of the same layers, see `compass.training.stages.validate_layers`; lower is better."""

    cost: float  # of the networks
    cost_of_file: float  # bytes of layers, without the header

    @property
    def loss(self) -> float:
        """What the file costs more, as a part of the networks' cost."""
        return self.cost_of_file / self.cost - 1


class Comparison:
    """Networks as they are trained, to be compared with the model file that they become.

    It measures them at once, since `export_model` rounds their weights.
    """

    def __init__(
        self, net: CompassNet, images: Iterable[Image.Image], quality: float | None = None, base_only: bool = False
    ) -> None:
        """images: RGB, coded in layers of 1/4, 1/2 and 1 of their size; by a base codec alone at their size.

        quality: the only one of the networks, None if they were trained for all. base_only: as `export_model` has it.
        """
        self._pyramids = _pyramids(images, SCALES[-1:] if base_only or net.residual is None else SCALES)
        self._qualities = VALIDATED if quality is None else (quality,)
        self._cost = self._validate(net)

    def with_file(self, path: Path) -> FileCost:
        """Raises ModelError if the file is no model."""
        return FileCost(self._cost, self._validate(CodedFiles(Model(path, threads=1))))

    def _validate(self, net: LayeredNet) -> float:
        with torch.no_grad():
            return validate_layers(net.eval(), self._pyramids, self._qualities)["cost"]


class CodedFiles(LayeredNet):
    """A model's real files, in the place of networks: pyramids are of one 8-bit image, whatever it is reduced by."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model

    def forward(self, pyramid: list[Tensor], qualities: list[Tensor | None]) -> list[LayerOutput]:
        image = Image.fromarray((pyramid[-1][0] * 255).round().byte().permute(1, 2, 0).numpy())
        sizes = [(target.shape[3], target.shape[2]) for target in pyramid]
        encoder = LayerEncoder(image, sizes, self._model, tile=0)
        _, layers = encoder.encode([float(quality) for quality in qualities if quality is not None])
        nothing = torch.zeros(1)
        return [
            LayerOutput(image_tensor(layer.pixels), None, torch.tensor([8.0 * len(layer.payload)]), nothing)
            for layer in layers
        ]


def _pyramids(images: Iterable[Image.Image], scales: Sequence[float]) -> list[list[Tensor]]:
    """Each image [1, 3, H_k, W_k] at the scales, reduced as the codec does."""
    return [[image_tensor(pixels) for pixels in pyramid(x, sizes_from_scales(x.size, scales))] for x in images]
