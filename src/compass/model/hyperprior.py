"""The entropy model with a hyperprior: z with static tables, y with the tables that h_s selects, given z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compass.bitstream.entropy import Decoder, Encoder, Table
from compass.model import exact, quality
from compass.model.latent import CodedLatent, Floats, Latent, Symbols, hyper_size, to_float


@dataclass(frozen=True)
class HyperpriorCoder:
    """M latent and N hyper channels, 64 scale levels, 7 trained qualities."""

    log_gain: NDArray[np.float64]  # [7, M]
    scale_shift: exact.Integers  # [7, M] added to the scales that h_s yields
    thresholds: exact.Integers  # [63] a scale at or above k of them has level k
    medians: exact.Integers  # [N]
    layers: list[exact.Layer]  # h_s
    z_tables: list[Table]  # N
    y_tables: list[Table]  # 64

    def encode(self, y: Floats, hyper: Floats | None, code: int) -> CodedLatent:
        """As `LatentCoder.encode`."""
        assert hyper is not None
        z = np.rint(hyper - to_float(self.medians)[:, None, None]).astype(np.int32)
        levels, means = self._conditions(z, (y.shape[1], y.shape[2]), code)
        symbols = np.rint(y - means).astype(np.int32)
        encoder = Encoder()
        for channel, table in zip(z, self.z_tables, strict=True):
            encoder.put(channel, table)
        order, counts = _by_level(levels)
        parts = np.split(symbols.ravel()[order], np.cumsum(counts)[:-1])
        for part, table in zip(parts, self.y_tables, strict=True):
            encoder.put(part, table)
        return CodedLatent(
            encoder.finish(), Latent(symbols, z, (symbols + means).astype(np.float32)), encoder.ideal_bits()
        )

    def decode(self, payload: bytes, size: tuple[int, int], code: int) -> Latent:
        """As `LatentCoder.decode`."""
        decoder = Decoder(payload)
        z_size = (hyper_size(size[0]), hyper_size(size[1]))
        channels = [decoder.get(z_size[0] * z_size[1], table) for table in self.z_tables]
        z = np.stack(channels).reshape(-1, *z_size)
        levels, means = self._conditions(z, size, code)
        order, counts = _by_level(levels)
        symbols = np.empty(levels.shape, np.int32)
        parts = [decoder.get(int(n), table) for n, table in zip(counts, self.y_tables, strict=True)]
        symbols.reshape(-1)[order] = np.concatenate(parts)
        decoder.finish()
        return Latent(symbols, z, (symbols + means).astype(np.float32))

    def _conditions(self, z: Symbols, size: tuple[int, int], code: int) -> tuple[NDArray[np.int64], Floats]:
        """Table level and mean of every latent [M, *size], from the hyper-latent symbols."""
        raw = exact.run(self.layers, exact.from_symbols(z, self.medians))[:, : size[0], : size[1]]
        scales, means = raw[: len(raw) // 2], raw[len(raw) // 2 :]
        scales = scales + quality.interpolate_exact(self.scale_shift, code)[:, None, None]
        return np.searchsorted(self.thresholds, scales, side="right"), to_float(means).astype(np.float32)


def _by_level(levels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in coding order, all of level 0 first; and how many each of the 64 levels has."""
    flat = levels.ravel()
    return np.argsort(flat, kind="stable"), np.bincount(flat, minlength=64)
