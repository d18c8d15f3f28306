"""Coding of one latent: what the entropy models of all codecs have in common."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from compass.errors import FormatError
from compass.model import exact, quality

Floats = NDArray[np.float32]
Symbols = NDArray[np.int32]


class Latent(NamedTuple):
    """A latent as a decoder knows it."""

    symbols: Symbols  # [M, h, w]
    hyper_symbols: Symbols  # [N, h', w']; none of a codec without hyperprior
    values: Floats  # [M, h, w] dequantised, still multiplied by the gain


class CodedLatent(NamedTuple):
    """A latent after coding."""

    payload: bytes
    latent: Latent
    ideal_bits: float  # sum of -log2 p


class LatentCoder(Protocol):
    """The entropy model of one codec, with M latent channels. Every choice of a table is made in exact integers."""

    @property
    def log_gain(self) -> NDArray[np.float64]:
        """[7, M] natural logarithm of the gain on y at the trained qualities."""

    def encode(self, y: Floats, hyper: Floats | None, code: int) -> CodedLatent:
        """Codes y [M, h, w], which the gain has been applied to, and its hyper-latent at a stored quality."""

    def decode(self, payload: bytes, size: tuple[int, int], code: int) -> Latent:
        """The latent [M, *size] of a payload. Raises FormatError if the payload does not fit this size."""


def gain(coder: LatentCoder, code: int) -> Floats:
    """[M, 1, 1] factor on y at a stored quality; values / gain undoes it."""
    return np.exp(quality.interpolate(coder.log_gain, code)).astype(np.float32)[:, None, None]


def latent_size(side: int) -> int:
    """Side of y for a side of the picture: halved four times, rounded up."""
    return -(-side // 16)


def hyper_size(side: int) -> int:
    """Side of z for a side of y: halved twice, rounded up."""
    return -(-side // 4)


def check_payload_sane(payload: bytes, symbols: int) -> None:
    """Refuses a payload that is absurdly long for the number of symbols that it can hold."""
    if len(payload) > 16 + 6 * symbols:
        raise FormatError("a layer is longer than its size allows")


def to_float(fixed: exact.Integers) -> NDArray[np.float64]:
    """Fixed-point numbers of `compass.model.exact` as floats."""
    return fixed / 2.0**exact.ACTIVATION_BITS
