"""The entropy model with a hyperprior: z with static tables, y with the tables that h_s selects, given z."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from compass.bitstream.entropy import Decoder, Encoder, Table
from compass.model import exact, quality
from compass.model.latent import CodedLatent, Floats, Latent, Symbols, hyper_size, to_float

# Codes, or reads, the symbols of one step, given the level and mean of each.
_Exchange = Callable[[NDArray[np.bool_], NDArray[np.int64], Floats], Symbols]


@dataclass(frozen=True)
class HyperpriorCoder:
    """M latent and N hyper channels, 64 scale levels, 7 trained qualities.

    With a `context` network y is coded in two steps, each channel's positions of one colour of a checkerboard
    first: what the first step decoded corrects the scales and means of the second.
    """

    log_gain: NDArray[np.float64]  # [7, M]
    scale_shift: exact.Integers  # [7, M] added to the scales that h_s yields
    thresholds: exact.Integers  # [63] a scale at or above k of them has level k
    medians: exact.Integers  # [N]
    layers: list[exact.Layer]  # h_s
    z_tables: list[Table]  # N
    y_tables: list[Table]  # 64
    context: list[exact.Layer] = field(default_factory=list)

    def encode(self, y: Floats, hyper: Floats | None, code: int) -> CodedLatent:
        """As `LatentCoder.encode`."""
        assert hyper is not None
        z = np.rint(hyper - to_float(self.medians)[:, None, None]).astype(np.int32)
        encoder = Encoder()
        for channel, table in zip(z, self.z_tables, strict=True):
            encoder.put(channel, table)

        def put(mask: NDArray[np.bool_], levels: NDArray[np.int64], means: Floats) -> Symbols:
            symbols = np.rint(y[mask] - means).astype(np.int32)
            order = np.argsort(levels, kind="stable")
            ends = np.cumsum(np.bincount(levels, minlength=len(self.y_tables)))
            for part, table in zip(np.split(symbols[order], ends[:-1]), self.y_tables, strict=True):
                encoder.put(part, table)
            return symbols

        latent = self._in_steps(z, (y.shape[1], y.shape[2]), code, put)
        return CodedLatent(encoder.finish(), latent, encoder.ideal_bits())

    def decode(self, payload: bytes, size: tuple[int, int], code: int) -> Latent:
        """As `LatentCoder.decode`."""
        decoder = Decoder(payload)
        z_size = (hyper_size(size[0]), hyper_size(size[1]))
        channels = [decoder.get(z_size[0] * z_size[1], table) for table in self.z_tables]
        z = np.stack(channels).reshape(-1, *z_size)

        def get(mask: NDArray[np.bool_], levels: NDArray[np.int64], means: Floats) -> Symbols:
            counts = np.bincount(levels, minlength=len(self.y_tables))
            symbols = np.empty(levels.size, np.int32)
            parts = [decoder.get(int(n), table) for n, table in zip(counts, self.y_tables, strict=True)]
            symbols[np.argsort(levels, kind="stable")] = np.concatenate(parts)
            return symbols

        latent = self._in_steps(z, size, code, get)
        decoder.finish()
        return latent

    def _in_steps(self, z: Symbols, size: tuple[int, int], code: int, exchange: _Exchange) -> Latent:
        """What encoder and decoder do alike: the conditions of each step, from all that came before it."""
        prior = exact.run(self.layers, exact.from_symbols(z, self.medians))[:, : size[0], : size[1]]
        shift = quality.interpolate_exact(self.scale_shift, code)[:, None, None]
        channels = len(prior) // 2
        symbols = np.zeros((channels, *size), np.int32)
        known = np.zeros((channels, *size), np.int64)  # dequantised, in fixed point; zero where not yet coded
        masks = checkerboards(channels, size) if self.context else [np.ones(symbols.shape, bool)]
        conditions = prior
        for step, mask in enumerate(masks):
            if step:
                conditions = prior + exact.run(self.context, np.concatenate((prior, known)))
            levels = np.searchsorted(self.thresholds, (conditions[:channels] + shift)[mask], side="right")
            means = conditions[channels:][mask]
            symbols[mask] = exchange(mask, levels, to_float(means).astype(np.float32))
            known[mask] = symbols[mask].astype(np.int64) * 2**exact.ACTIVATION_BITS + means
        return Latent(symbols, z, to_float(known).astype(np.float32))


def checkerboards(channels: int, size: tuple[int, int]) -> list[NDArray[np.bool_]]:
    """Two masks [channels, *size]: where channel + row + column is even, and where it is odd."""
    odd = (np.add.outer(np.arange(channels), np.add.outer(np.arange(size[0]), np.arange(size[1]))) & 1).astype(bool)
    return [~odd, odd]
