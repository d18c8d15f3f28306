"""The entropy model of a factorized prior: each channel of y with a static table near the quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compass.entropy.ans import Decoder, Encoder, ideal_bits, rounded
from compass.entropy.latent import DecodedLatent, EncodedLatent, EntropyModel, Floats, Parts, Size
from compass.entropy.operations import Integers, to_float
from compass.entropy.tables import FrequencyTable

TABLE_EVERY = 8  # quality codes; between them the nearest tables serve, which costs less than 1 % of the rate


@dataclass(frozen=True)
class FactorizedModel(EntropyModel):
    """M latent channels; a table for each of them at every `TABLE_EVERY`th quality code."""

    kind = "factorized"
    log_gain: NDArray[np.float64]  # [7, M]
    medians: Integers  # [M] of y before the gain, at ACTIVATION_BITS
    tables: Sequence[FrequencyTable]  # table i * M + channel is for quality code i * TABLE_EVERY

    @property
    def hyper_channels(self) -> int:
        return 0

    def parts(self) -> Parts:
        return Parts({"log_gain": self.log_gain, "medians": self.medians}, {"y": self.tables}, {})

    def encode(self, y: Floats, z: Floats | None, quality_code: int) -> EncodedLatent:
        symbols = rounded(y - self._centre(quality_code))
        encoder = Encoder()
        for channel, table in zip(symbols, self._tables_near(quality_code), strict=True):
            encoder.put(channel, table)
        return EncodedLatent(encoder.finish(), self._decoded(symbols, quality_code))

    def decode(self, payload: bytes, size: Size, quality_code: int) -> DecodedLatent:
        self.check_length(payload, size)
        decoder = Decoder(payload)
        symbols = np.stack([decoder.get(size[0] * size[1], table) for table in self._tables_near(quality_code)])
        decoder.finish()
        return self._decoded(symbols.reshape(-1, *size), quality_code)

    def ideal_bits(self, latent: DecodedLatent, quality_code: int) -> float:
        tables = self._tables_near(quality_code)
        return sum(ideal_bits(channel, table) for channel, table in zip(latent.symbols, tables, strict=True))

    def _decoded(self, symbols: NDArray[np.int32], quality_code: int) -> DecodedLatent:
        values = (symbols + self._centre(quality_code)).astype(np.float32)
        return DecodedLatent(symbols, np.zeros((0, 0, 0), np.int32), values)

    def _centre(self, quality_code: int) -> Floats:
        return to_float(self.medians).astype(np.float32)[:, None, None] * self.gain(quality_code)

    def _tables_near(self, quality_code: int) -> Sequence[FrequencyTable]:
        nearest = (quality_code + TABLE_EVERY // 2) // TABLE_EVERY
        return self.tables[nearest * self.channels : (nearest + 1) * self.channels]
