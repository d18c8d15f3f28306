"""Coding of one latent: y given z, with every table choice made in exact integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compass.bitstream.entropy import Decoder, Encoder, Table
from compass.errors import FormatError
from compass.model import exact, quality

Floats = NDArray[np.float32]
Symbols = NDArray[np.int32]


@dataclass(frozen=True)
class LatentCoder:
    """The entropy model of one codec. M latent and N hyper channels, 64 scale levels, 7 trained qualities."""

    log_gain: NDArray[np.float64]  # [7, M] natural logarithm of the gain on y
    scale_shift: exact.Integers  # [7, M] added to the scales that h_s yields
    thresholds: exact.Integers  # [63] a scale at or above k of them has level k
    medians: exact.Integers  # [N]
    layers: list[exact.Layer]  # h_s
    z_tables: list[Table]  # N
    y_tables: list[Table]  # 64

    def gain(self, code: int) -> Floats:
        """[M, 1, 1] factor on y at a stored quality; y / gain undoes it."""
        return np.exp(quality.interpolate(self.log_gain, code)).astype(np.float32)[:, None, None]

    def quantise_hyper(self, z: Floats) -> Symbols:
        """Symbols of the hyper-latent [N, h, w]."""
        return np.rint(z - (self.medians / 2.0**exact.ACTIVATION_BITS)[:, None, None]).astype(np.int32)

    def conditions(self, z: Symbols, size: tuple[int, int], code: int) -> tuple[NDArray[np.int64], Floats]:
        """Table level and mean of every latent [M, *size], from the hyper-latent symbols."""
        raw = exact.run(self.layers, z, self.medians)[:, : size[0], : size[1]]
        scales, means = raw[: len(raw) // 2], raw[len(raw) // 2 :]
        scales = scales + quality.interpolate_exact(self.scale_shift, code)[:, None, None]
        levels = np.searchsorted(self.thresholds, scales, side="right")
        return levels, (means / 2.0**exact.ACTIVATION_BITS).astype(np.float32)

    def encode(self, z: Symbols, symbols: Symbols, levels: NDArray[np.int64]) -> tuple[bytes, float]:
        """Payload of one layer, and its ideal size in bits. Values are those of `quantise_hyper` and `conditions`."""
        encoder = Encoder()
        for channel, table in zip(z, self.z_tables, strict=True):
            encoder.put(channel, table)
        flat, order = symbols.ravel(), np.argsort(levels.ravel(), kind="stable")
        start = 0
        for table, count in zip(self.y_tables, np.bincount(levels.ravel(), minlength=64), strict=True):
            encoder.put(flat[order[start : start + count]], table)
            start += count
        return encoder.finish(), encoder.ideal_bits()

    def decode(
        self, payload: bytes, hyper_size: tuple[int, int], size: tuple[int, int], code: int
    ) -> tuple[Symbols, Symbols, Floats]:
        """z symbols, y symbols and means of a payload. Raises FormatError if it does not fit these sizes."""
        decoder = Decoder(payload)
        count = hyper_size[0] * hyper_size[1]
        z = np.stack([decoder.get(count, table) for table in self.z_tables]).reshape(-1, *hyper_size)
        levels, means = self.conditions(z, size, code)
        order = np.argsort(levels.ravel(), kind="stable")
        counts = np.bincount(levels.ravel(), minlength=64)
        parts = [decoder.get(int(n), table) for n, table in zip(counts, self.y_tables, strict=True)]
        symbols = np.empty(levels.size, np.int32)
        symbols[order] = np.concatenate(parts)
        decoder.finish()
        return z, symbols.reshape(levels.shape), means


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
