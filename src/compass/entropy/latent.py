"""Coding of one latent: what the entropy models of all codecs have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compass.entropy.operations import Operation
from compass.entropy.quality import interpolate
from compass.entropy.tables import FrequencyTable
from compass.errors import FormatError

Floats = NDArray[np.float32]
Symbols = NDArray[np.int32]
Size = tuple[int, int]  # height, width


class DecodedLatent(NamedTuple):
    """A latent as a decoder knows it."""

    symbols: Symbols  # [M, h, w]
    hyper_symbols: Symbols  # [N, h', w']; none of a codec without hyperprior
    values: Floats  # [M, h, w] dequantised, still multiplied by the gain


class EncodedLatent(NamedTuple):
    """A latent after coding."""

    payload: bytes
    decoded: DecodedLatent


class Parts(NamedTuple):
    """What an entropy model consists of, by the names in a model file."""

    arrays: Mapping[str, NDArray[Any]]
    tables: Mapping[str, Sequence[FrequencyTable]]
    networks: Mapping[str, Sequence[Operation]]


class EntropyModel(ABC):
    """The entropy model of one codec, with M latent channels. Every choice of a table is made in exact integers."""

    kind: ClassVar[str]  # its name in a model file
    log_gain: NDArray[np.float64]  # [7, M] natural logarithm of the gain on y at the trained qualities

    @property
    def channels(self) -> int:
        """M, the channels of y."""
        return self.log_gain.shape[1]

    @property
    @abstractmethod
    def hyper_channels(self) -> int:
        """N, the channels of z; 0 without a hyperprior."""

    @abstractmethod
    def parts(self) -> Parts:
        """All that has to be stored, beside the kind."""

    def gain(self, quality_code: int) -> Floats:
        """[M, 1, 1] factor on y; values / gain undoes it."""
        return np.exp(interpolate(self.log_gain, quality_code)).astype(np.float32)[:, None, None]

    @abstractmethod
    def encode(self, y: Floats, z: Floats | None, quality_code: int) -> EncodedLatent:
        """Codes y [M, h, w], which the gain has been applied to, and its hyper-latent z [N, h', w']."""

    @abstractmethod
    def decode(self, payload: bytes, size: Size, quality_code: int) -> DecodedLatent:
        """The latent [M, *size] of a payload. Raises FormatError if it does not fit this size."""

    @abstractmethod
    def ideal_bits(self, latent: DecodedLatent, quality_code: int) -> float:
        """Sum of -log2 p over what codes a latent."""

    def check_length(self, payload: bytes, size: Size) -> None:
        """Raises FormatError if a payload is absurdly long for the symbols of a latent [M, *size]."""
        if len(payload) > 16 + 6 * self.channels * size[0] * size[1]:
            raise FormatError("a layer is longer than its size allows")


def latent_size(side: int) -> int:
    """Side of y for a side of the image: halved four times, rounded up."""
    return -(-side // 16)


def hyper_size(side: int) -> int:
    """Side of z for a side of y: halved twice, rounded up."""
    return -(-side // 4)
