"""Weights of a narrow implicit function (LIFF, LIIF) as the start of a wider one, which then predicts as it did.

Every channel is there several times, and what hears of one hears of all its copies, in shares that add up to 1
(Chen, Goodfellow, Shlens, "Net2Net", ICLR 2016). The shares are random, so that copies learn different things.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from compass.nets.liff import LIFF
from compass.nets.liif import LIIF

_FEATURES = "encoder.first.bias"  # [F]
_LEAST = 0.5  # of the random numbers that shares are made of, which go up to 1.5


def repeat(predictor: nn.Module, narrow: Mapping[str, Tensor]) -> bool:
    """Set all weights of a predictor; False if it is not a whole number of times as wide as that of `narrow`."""
    wide = predictor.state_dict()
    if not isinstance(predictor, LIFF | LIIF) or wide.keys() != narrow.keys():
        return False
    times = len(wide[_FEATURES]) // len(narrow[_FEATURES])
    made = {name: _repeated(name, tensor, times) for name, tensor in narrow.items()}
    if any(made[name].shape != tensor.shape for name, tensor in wide.items()):
        return False
    predictor.load_state_dict(made)
    return True


def _repeated(name: str, old: Tensor, times: int) -> Tensor:
    """A weight [outputs, inputs, ...] or a bias [outputs]."""
    layer, _, kind = name.rpartition(".")
    if layer == "first" and kind == "weight":  # [hidden, 9 F + 4], the last four of the position
        seen = _shared(old[:, :-4].reshape(len(old), -1, 9), times, 1).flatten(1)
        return torch.cat((seen, old[:, -4:]), dim=1).repeat_interleave(times, 0)
    if kind == "weight" and layer != "encoder.first":  # which sees colours
        old = _shared(old, times, 1)
    if layer != "last":
        return old.repeat_interleave(times, 0)
    if len(old) == 3:  # LIIF yields a colour, LIFF for each feature the 9 x 3 weights of its neighbourhood
        return old
    return _shared(old.reshape(len(old) // 27, 27, *old.shape[1:]), times, 0).flatten(0, 1)


def _shared(x: Tensor, times: int, axis: int) -> Tensor:
    """Each entry along an axis in several random shares of it."""
    shares = _LEAST + torch.rand(*x.shape[: axis + 1], times, *x.shape[axis + 1 :])
    shares = shares / shares.sum(axis + 1, keepdim=True)
    return (x.unsqueeze(axis + 1) * shares).flatten(axis, axis + 1)
