"""Weights of a narrow codec as the start of a wider one of the same structure, which then codes as the narrow one did.

What the narrow codec knew stays where it was, and hears nothing of the new channels at first. These hear of it through
random kernels; where they would be coded they begin at zero, with the density of the narrow codec's last channel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from compass.nets.gdn import GDN

_CODED = re.compile(r"(g_a|h_a|h_s)\.\d+")  # the last of these make what is coded, or how


def widen(codec: nn.Module, narrow: Mapping[str, Tensor]) -> bool:
    """Start a codec of the paper's kind, all of whose weights are set; False if `narrow` are none of a narrower one."""
    wide = codec.state_dict()
    if not isinstance(getattr(codec, "g_a", None), nn.Sequential) or wide.keys() != narrow.keys():
        return False
    if not all(_fits(wide[name], narrow[name]) for name in wide):
        return False
    last = _last_layers(codec)
    with torch.no_grad():
        for name, tensor in wide.items():
            path, _, kind = name.rpartition(".")
            owner = codec.get_submodule(path)
            halves = 2 if path == last.get("h_s") else 1  # h_s yields scales, then means
            silent = path in last.values()
            axis = 1 if isinstance(owner, nn.ConvTranspose2d) and kind == "weight" else 0
            if path.startswith("gain"):
                axis = 1  # [qualities, channels]
            unheard = 2.0**-18 if isinstance(owner, GDN) else 0.0  # GDN holds square roots, never below this
            if path == "entropy_bottleneck":
                tensor.copy_(narrow[name][-1].expand_as(tensor))
            parts = zip(tensor.chunk(halves, axis), narrow[name].chunk(halves, axis), strict=True)
            for new, old in parts:
                _place(new, old, axis, kind in ("weight", "gamma"), silent, unheard)
    return True


def _fits(wide: Tensor, narrow: Tensor) -> bool:
    return wide.ndim == narrow.ndim and all(a >= b for a, b in zip(wide.shape, narrow.shape, strict=True))


def _last_layers(codec: nn.Module) -> dict[str, str]:
    """The last layer of each transform whose outputs are coded."""
    layers = (nn.Conv2d, nn.ConvTranspose2d)
    paths = [name for name, module in codec.named_modules() if _CODED.fullmatch(name) and isinstance(module, layers)]
    return {path.partition(".")[0]: path for path in paths}


def _place(new: Tensor, old: Tensor, axis: int, has_inputs: bool, silent: bool, unheard: float) -> None:
    """Old values into the corner of new ones; axis: of the output channels, the inputs of a weight being the other."""
    if silent:
        new.zero_()
    outputs = new.narrow(axis, 0, old.shape[axis])
    if has_inputs:
        outputs.fill_(unheard)
        outputs = outputs.narrow(1 - axis, 0, old.shape[1 - axis])
    outputs.copy_(old)
