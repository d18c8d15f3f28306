"""Networks rearranged for the runtime: the same function by operators that it is faster at."""

from __future__ import annotations

import copy
from typing import TypeGuard

import torch
from torch import Tensor, nn

from compass.nets.fast import DepthwiseBlock

_READERS = ("enter", "view")  # names of layers that take an image's blocks of pixels


def arranged(module: nn.Module) -> nn.Module:
    """A copy of a network in which parts that have a faster form have it."""
    module = copy.deepcopy(module)
    for parent in list(module.modules()):
        unshuffle = getattr(parent, "unshuffle", None)
        for name, child in list(parent.named_children()):
            if isinstance(child, DepthwiseBlock):
                setattr(parent, name, _SplitBlock(child))
            elif isinstance(unshuffle, nn.PixelUnshuffle) and name in _READERS and _reads(child, unshuffle):
                setattr(parent, name, _strided(child, unshuffle.downscale_factor))
                parent.unshuffle = nn.Identity()
    return module


def as_trained(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Inverse of `arranged` for the weights of a network by their names."""
    trained = {}
    for name, value in weights.items():
        place, _, kind = name.rpartition(".")
        block, _, layer = place.rpartition(".")
        of_block = f"{block}.spatial.0.weight" in weights  # other networks have layers of these names, too
        if layer == "first" and of_block:
            trained[f"{block}.expand.{kind}"] = torch.cat((value, weights[f"{block}.second.{kind}"]))
        elif layer in _READERS and kind == "weight" and value.shape[2] > 3:
            trained[name] = value.reshape(len(value), -1, 1, 1)
        elif layer != "second" or not of_block:
            trained[name] = value
    return trained


class _SplitBlock(nn.Module):
    """A depthwise block whose widening is two convolutions: halves of one output would have to be copied."""

    def __init__(self, block: DepthwiseBlock) -> None:
        super().__init__()
        self.spatial, self.activation, self.project = block.spatial, block.activation, block.project
        half = block.expand.out_channels // 2
        self.first, self.second = _part(block.expand, slice(half)), _part(block.expand, slice(half, None))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.spatial(x)
        return x + self.project(self.activation(self.first(x)) + self.activation(self.second(x)))


def _part(layer: nn.Conv2d, channels: slice) -> nn.Conv2d:
    """Some of the outputs of a pointwise layer."""
    assert layer.bias is not None
    return _layer(layer.weight[channels], layer.bias[channels], stride=1)


def _reads(layer: nn.Module, unshuffle: nn.PixelUnshuffle) -> TypeGuard[nn.Conv2d]:
    """Whether it is a pointwise layer on all that the unshuffle makes of an image."""
    channels = 3 * unshuffle.downscale_factor**2
    return isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.in_channels == channels


def _strided(layer: nn.Conv2d, step: int) -> nn.Conv2d:
    """The layer on blocks of step x step pixels, which its stride takes instead of a pixel unshuffle."""
    assert layer.bias is not None
    return _layer(layer.weight.reshape(layer.out_channels, 3, step, step), layer.bias, step)


def _layer(weight: Tensor, bias: Tensor, stride: int) -> nn.Conv2d:
    outputs, inputs, *kernel = weight.shape
    layer = nn.Conv2d(inputs, outputs, kernel[0], stride=stride)
    with torch.no_grad():
        layer.weight.copy_(weight)
        assert layer.bias is not None
        layer.bias.copy_(bias)
    return layer
