"""The entropy model with a hyperprior: z with static tables, y with the tables that h_s selects, given z."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compass.entropy import operations
from compass.entropy.ans import Decoder, Encoder
from compass.entropy.latent import DecodedLatent, EncodedLatent, EntropyModel, Floats, Parts, Size, Symbols, hyper_size
from compass.entropy.operations import Integers, Operation, to_float
from compass.entropy.quality import interpolate_exact
from compass.entropy.scales import SCALE_LEVELS
from compass.entropy.tables import FrequencyTable


@dataclass(frozen=True)
class HyperpriorModel(EntropyModel):
    """M latent and N hyper channels, 64 scale levels, 7 trained qualities."""

    kind = "hyperprior"
    log_gain: NDArray[np.float64]  # [7, M]
    scale_shift: Integers  # [7, M] added to the scales that h_s yields
    thresholds: Integers  # [63] a scale at or above k of them has level k
    medians: Integers  # [N] of z
    hyper_synthesis: Sequence[Operation]  # h_s: z [N, h, w] -> scales and means [2M, 4h, 4w]
    z_tables: Sequence[FrequencyTable]  # N
    y_tables: Sequence[FrequencyTable]  # 64

    @property
    def hyper_channels(self) -> int:
        return len(self.medians)

    def parts(self) -> Parts:
        return Parts(
            {
                "log_gain": self.log_gain,
                "scale_shift": self.scale_shift,
                "thresholds": self.thresholds,
                "medians": self.medians,
            },
            {"z": self.z_tables, "y": self.y_tables},
            {"hyper_synthesis": self.hyper_synthesis},
        )

    def encode(
        self, y: Floats, z: Floats | None, quality_code: int, context: DecodedLatent | None = None
    ) -> EncodedLatent:
        assert z is not None
        hyper_symbols = np.rint(z - to_float(self.medians)[:, None, None]).astype(np.int32)
        levels, means = self._levels_and_means(hyper_symbols, (y.shape[1], y.shape[2]), quality_code)
        symbols = np.rint(y - means).astype(np.int32)
        encoder = Encoder()
        for channel, table in zip(hyper_symbols, self.z_tables, strict=True):
            encoder.put(channel, table)
        order, counts = _by_level(levels)
        parts = np.split(symbols.ravel()[order], np.cumsum(counts)[:-1])
        for part, table in zip(parts, self.y_tables, strict=True):
            encoder.put(part, table)
        decoded = DecodedLatent(symbols, hyper_symbols, (symbols + means).astype(np.float32))
        return EncodedLatent(encoder.finish(), decoded, encoder.ideal_bits())

    def decode(
        self, payload: bytes, size: Size, quality_code: int, context: DecodedLatent | None = None
    ) -> DecodedLatent:
        self.check_length(payload, size)
        decoder = Decoder(payload)
        z_size = (hyper_size(size[0]), hyper_size(size[1]))
        channels = [decoder.get(z_size[0] * z_size[1], table) for table in self.z_tables]
        hyper_symbols = np.stack(channels).reshape(-1, *z_size)
        levels, means = self._levels_and_means(hyper_symbols, size, quality_code)
        order, counts = _by_level(levels)
        symbols = np.empty(levels.shape, np.int32)
        parts = [decoder.get(int(n), table) for n, table in zip(counts, self.y_tables, strict=True)]
        symbols.reshape(-1)[order] = np.concatenate(parts)
        decoder.finish()
        return DecodedLatent(symbols, hyper_symbols, (symbols + means).astype(np.float32))

    def _levels_and_means(
        self, hyper_symbols: Symbols, size: Size, quality_code: int
    ) -> tuple[NDArray[np.int64], Floats]:
        """Table level and mean of every latent [M, *size]."""
        raw = operations.run(self.hyper_synthesis, operations.from_symbols(hyper_symbols, self.medians))
        scales, means = np.split(raw[:, : size[0], : size[1]], 2)
        scales = scales + interpolate_exact(self.scale_shift, quality_code)[:, None, None]
        return np.searchsorted(self.thresholds, scales, side="right"), to_float(means).astype(np.float32)


def _by_level(levels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in coding order, all of level 0 first; and how many each of the 64 levels has."""
    flat = levels.ravel()
    return np.argsort(flat, kind="stable"), np.bincount(flat, minlength=SCALE_LEVELS)
