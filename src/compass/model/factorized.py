"""The entropy model of a factorized prior: each channel of y with a static table near the quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compass.bitstream.entropy import Decoder, Encoder, Table
from compass.model import exact
from compass.model.latent import CodedLatent, Floats, Latent, gain, to_float

TABLE_EVERY = 8  # stored qualities; between them the nearest tables serve, which costs less than 1 % of the rate


@dataclass(frozen=True)
class FactorizedCoder:
    """M latent channels; a table for each of them at every `TABLE_EVERY`th stored quality."""

    log_gain: NDArray[np.float64]  # [7, M]
    medians: exact.Integers  # [M] of y before the gain
    frequencies: Sequence[NDArray[np.int64]]  # of table i * M + channel, as in `Table`, for i * TABLE_EVERY

    def encode(self, y: Floats, hyper: Floats | None, code: int) -> CodedLatent:
        """As `LatentCoder.encode`."""
        symbols = np.rint(y - self._centre(code)).astype(np.int32)
        encoder = Encoder()
        for channel, table in zip(symbols, self._tables(code), strict=True):
            encoder.put(channel, table)
        return CodedLatent(encoder.finish(), self._latent(symbols, code), encoder.ideal_bits())

    def decode(self, payload: bytes, size: tuple[int, int], code: int) -> Latent:
        """As `LatentCoder.decode`."""
        decoder = Decoder(payload)
        symbols = np.stack([decoder.get(size[0] * size[1], table) for table in self._tables(code)])
        decoder.finish()
        return self._latent(symbols.reshape(-1, *size), code)

    def _latent(self, symbols: NDArray[np.int32], code: int) -> Latent:
        values = (symbols + self._centre(code)).astype(np.float32)
        return Latent(symbols, np.zeros((0, 0, 0), np.int32), values)

    def _centre(self, code: int) -> Floats:
        return to_float(self.medians).astype(np.float32)[:, None, None] * gain(self, code)

    def _tables(self, code: int) -> list[Table]:
        channels, nearest = len(self.medians), (code + TABLE_EVERY // 2) // TABLE_EVERY
        return [Table(f) for f in self.frequencies[nearest * channels : (nearest + 1) * channels]]
