"""The entropy model with a hyperprior: z with static tables, y with the tables that integer networks select.

They see z and, in a model with context, what of y has been decoded before: see `compass.entropy.steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from compass.entropy import operations
from compass.entropy.ans import Decoder, Encoder, ideal_bits, rounded
from compass.entropy.costs import SymbolCosts
from compass.entropy.latent import DecodedLatent, EncodedLatent, EntropyModel, Floats, Parts, Size, Symbols, hyper_size
from compass.entropy.offsets import Offsets, choose_offsets, read_offsets
from compass.entropy.operations import ACTIVATION_BITS, Exact, Integers, Operation, to_float
from compass.entropy.quality import interpolate_exact
from compass.entropy.scales import SCALE_LEVELS
from compass.entropy.steps import PHASES, Group, Place, phase_mask
from compass.entropy.tables import FrequencyTable

Levels = NDArray[np.uint8]
_MOST_LOOKED_UP = 1 << 18  # scales whose levels are kept in a table
# (slice of channels, mask of positions [h, w], levels [C, n], means [C, n]) -> symbols [C, n]
CodeStep = Callable[[slice, NDArray[np.bool_], Levels, Floats], Symbols]
_ScaledStep = Callable[[slice, NDArray[np.bool_], Integers, Floats], Symbols]  # the same of scales, not of levels
Network = Sequence[Operation]
Run = Callable[[Network, Integers, Place | None], Integers]


@dataclass(frozen=True)
class GroupModel:
    """One group of channels, with the networks that correct what the hyper-synthesis says of it."""

    group: Group
    scales: Network = ()  # correction of the scales; sees magnitudes of all groups before, absent in the first
    phase_scales: Sequence[Network] = ()  # for each phase but the first; they see magnitudes of the phases before
    phase_means: Sequence[Network] = ()  # the same of the means; they see values of the phases before


@dataclass(frozen=True)
class HyperpriorModel(EntropyModel):
    """M latent and N hyper channels, 64 scale levels, 7 trained qualities."""

    kind = "hyperprior"
    log_gain: NDArray[np.float64]  # [7, M]
    scale_shift: Integers  # [7, M] added to the scales that h_s yields
    thresholds: Integers  # [63] a scale at or above k of them has level k
    medians: Integers  # [N] of z
    hyper_synthesis: Network  # h_s: z [N, h, w] -> scales and means [2M, 4h, 4w]
    z_tables: Sequence[FrequencyTable]  # N
    y_tables: Sequence[FrequencyTable]  # 64
    groups: Sequence[GroupModel] = ()  # without context none: y is coded in one step
    magnitudes: Integers = field(default_factory=lambda: np.zeros(1, np.int64))  # what a symbol's magnitude counts
    offset_tables: Sequence[FrequencyTable] = ()  # of offsets of channels, the first of the choice among the others

    @property
    def hyper_channels(self) -> int:
        return len(self.medians)

    def parts(self) -> Parts:
        arrays = {
            "log_gain": self.log_gain,
            "scale_shift": self.scale_shift,
            "thresholds": self.thresholds,
            "medians": self.medians,
        }
        if self.groups:
            arrays |= {"groups": np.array([model.group for model in self.groups]), "magnitudes": self.magnitudes}
        networks = {"hyper_synthesis": self.hyper_synthesis} | self.context_networks()
        tables = {"z": self.z_tables, "y": self.y_tables}
        return Parts(arrays, tables | ({"offset": self.offset_tables} if self.offset_tables else {}), networks)

    def context_networks(self) -> dict[str, Network]:
        """The networks of all groups, by their names in a model file."""
        networks: dict[str, Network] = {}
        for i, model in enumerate(self.groups):
            if i:
                networks[f"groups.{i}.scales"] = model.scales
            for name in ("phase_scales", "phase_means"):
                networks |= {f"groups.{i}.{name}.{p}": network for p, network in enumerate(getattr(model, name), 1)}
        return networks

    def encode(self, y: Floats, z: Floats | None, quality_code: int) -> EncodedLatent:
        assert z is not None
        return self._encode(y, rounded(z - to_float(self.medians)[:, None, None]), quality_code)

    def encode_again(self, latent: DecodedLatent, quality_code: int) -> EncodedLatent:
        """Codes a latent that is known already: its symbols, as they are."""
        return self._encode(latent.values, latent.hyper_symbols, quality_code)

    def _encode(self, y: Floats, hyper_symbols: Symbols, quality_code: int) -> EncodedLatent:
        def nearest(channels: slice, mask: NDArray[np.bool_], scales: Integers, means: Floats) -> Symbols:
            return rounded(y[channels, mask] - means)

        symbols, scales, means = self._in_steps(hyper_symbols, (y.shape[1], y.shape[2]), quality_code, nearest)
        encoder = Encoder()
        for values, table in self._in_order(symbols, hyper_symbols, scales):
            encoder.put(values, table)
        return EncodedLatent(encoder.finish(), _decoded(symbols, hyper_symbols, means))

    def decode(self, payload: bytes, size: Size, quality_code: int) -> DecodedLatent:
        self.check_length(payload, size)
        decoder = Decoder(payload)
        z_size = (hyper_size(size[0]), hyper_size(size[1]))
        channels = [decoder.get(z_size[0] * z_size[1], table) for table in self.z_tables]
        hyper_symbols = np.stack(channels).reshape(-1, *z_size)
        channel_offsets = read_offsets(decoder, self.offset_tables, self.channels)

        def get(channels: slice, mask: NDArray[np.bool_], scales: Integers, means: Floats) -> Symbols:
            levels = self.levels(scales, channel_offsets[channels])
            order, counts = _by_level(levels)
            parts = [decoder.get(int(n), table) for n, table in zip(counts, self.y_tables, strict=True)]
            symbols = np.empty(levels.shape, np.int32)
            symbols.reshape(-1)[order] = np.concatenate(parts)
            return symbols

        symbols, _, means = self._in_steps(hyper_symbols, size, quality_code, get)
        decoder.finish()
        return _decoded(symbols, hyper_symbols, means)

    def ideal_bits(self, latent: DecodedLatent, quality_code: int) -> float:
        scales, _ = self.conditions(latent, quality_code)
        return sum(ideal_bits(*part) for part in self._in_order(latent.symbols, latent.hyper_symbols, scales))

    def requantise(
        self, latent: DecodedLatent, quality_code: int, choose: CodeStep, channel_offsets: Offsets
    ) -> tuple[DecodedLatent, Levels]:
        """A latent of the same z whose symbols `choose` picks step by step, and the tables of them [M, h, w]."""

        def chosen(channels: slice, mask: NDArray[np.bool_], scales: Integers, means: Floats) -> Symbols:
            return choose(channels, mask, self.levels(scales, channel_offsets[channels]), means)

        size = (latent.symbols.shape[1], latent.symbols.shape[2])
        symbols, scales, means = self._in_steps(latent.hyper_symbols, size, quality_code, chosen)
        return _decoded(symbols, latent.hyper_symbols, means), self.levels(scales, channel_offsets)

    def magnitude_costs(self, symbols: Symbols, slopes: Exact) -> Floats:
        """How many bits more later symbols cost [M, h, w] for each unit that the magnitude of a symbol grows by.

        slopes: bits that a symbol costs more for each unit that its scale grows by; a unit is one in fixed point.
        """
        costs = np.zeros(symbols.shape, np.float32)
        start = 0
        for model in self.groups:
            own = slice(start, start + model.group.channels)
            if start:
                costs[:start] += operations.backward(model.scales, self._magnitudes(symbols[:start]), slopes[own])
            done = np.zeros(symbols.shape[1:], bool)
            for phase, places in enumerate(PHASES[model.group.phases]):
                if phase:
                    seen = self._magnitudes(symbols[own] * done)
                    for place in places:
                        there = slopes[own, place[0] :: 2, place[1] :: 2]
                        if there.size:
                            costs[own] += done * operations.backward(model.phase_scales[phase - 1], seen, there, place)
                done |= phase_mask(places, symbols.shape[1:])
            start = own.stop
        return costs

    def _in_order(
        self, symbols: Symbols, hyper_symbols: Symbols, scales: Integers
    ) -> Iterator[tuple[Symbols, FrequencyTable]]:
        """All that is coded of a latent, in order, with the tables."""
        yield from zip(hyper_symbols, self.z_tables, strict=True)
        choice, channel_offsets = self._chosen_offsets(symbols, scales)
        if self.offset_tables:
            yield np.array([choice]), self.offset_tables[0]
        if choice:
            yield channel_offsets, self.offset_tables[choice]
        levels = self.levels(scales, channel_offsets)
        start = 0
        for model in self._steps:
            own = slice(start, start + model.group.channels)
            for places in PHASES[model.group.phases]:
                here = phase_mask(places, symbols.shape[1:])
                yield from self._with_tables(symbols[own, here], levels[own, here])
            start = own.stop

    def offsets(self, symbols: Symbols, scales: Integers) -> Offsets:
        """The offsets [M] that symbols of these scales [M, h, w] are best coded with."""
        return self._chosen_offsets(symbols, scales)[1]

    def _chosen_offsets(self, symbols: Symbols, scales: Integers) -> tuple[int, Offsets]:
        """The same, after the number of the table that codes them, 0 for none."""
        if not self.offset_tables:
            return 0, np.zeros(self.channels, np.int32)
        return choose_offsets(self.levels(scales), symbols, self.costs, self._offset_costs)

    @cached_property
    def _offset_costs(self) -> SymbolCosts:
        return SymbolCosts(self.offset_tables)

    @property
    def _steps(self) -> Sequence[GroupModel]:
        """The groups; a model without context has one."""
        return self.groups or [GroupModel(Group(self.channels, 1))]

    @cached_property
    def costs(self) -> SymbolCosts:
        """What symbols of y cost."""
        return SymbolCosts(self.y_tables)

    def _with_tables(self, symbols: Symbols, levels: Levels) -> Iterator[tuple[Symbols, FrequencyTable]]:
        """Symbols in coding order, those of a table together."""
        order, counts = _by_level(levels)
        return zip(np.split(symbols.ravel()[order], np.cumsum(counts)[:-1]), self.y_tables, strict=True)

    def conditions(
        self, latent: DecodedLatent, quality_code: int, run: Run = operations.run
    ) -> tuple[Integers, Integers]:
        """Scales and means [M, h, w], in fixed point, that a latent is coded with; run: what runs integer networks."""

        def known(channels: slice, mask: NDArray[np.bool_], scales: Integers, means: Floats) -> Symbols:
            return latent.symbols[channels, mask]

        size = (latent.symbols.shape[1], latent.symbols.shape[2])
        _, scales, means = self._in_steps(latent.hyper_symbols, size, quality_code, known, run)
        return scales, means

    def tables_of(self, latent: DecodedLatent, quality_code: int) -> Levels:
        """Numbers [M, h, w] of the tables that the symbols of a latent are coded with."""
        scales, _ = self.conditions(latent, quality_code)
        return self.levels(scales, self.offsets(latent.symbols, scales))

    def _in_steps(
        self, hyper_symbols: Symbols, size: Size, quality_code: int, code: _ScaledStep, run: Run = operations.run
    ) -> tuple[Symbols, Integers, Integers]:
        """Codes y step by step, each with scales and means that follow from z and the steps before.

        Returns the symbols, and the scales and means of all steps, [M, h, w].
        """
        raw = run(self.hyper_synthesis, operations.from_symbols(hyper_symbols, self.medians), None)
        scales, means = np.split(raw[:, : size[0], : size[1]], 2)
        scales = scales + interpolate_exact(self.scale_shift, quality_code)[:, None, None]
        symbols = np.zeros(scales.shape, np.int32)
        start = 0
        for model in self._steps:
            own = slice(start, start + model.group.channels)
            if start:
                scales[own] += run(model.scales, self._magnitudes(symbols[:start]), None)
            done = np.zeros(size, bool)
            for phase, places in enumerate(PHASES[model.group.phases]):
                if phase:
                    seen = self._magnitudes(symbols[own])
                    values = (symbols[own].astype(np.int64) * 2**ACTIVATION_BITS + means[own]) * done
                    for place in places:
                        at = (own, slice(place[0], None, 2), slice(place[1], None, 2))
                        scales[at] += run(model.phase_scales[phase - 1], seen, place)
                        means[at] += run(model.phase_means[phase - 1], values, place)
                here = phase_mask(places, size)
                of_step = to_float(means[own, here]).astype(np.float32)
                symbols[own, here] = code(own, here, scales[own, here], of_step)
                done |= here
            start = own.stop
        return symbols, scales, means

    def levels(self, scales: Integers, channel_offsets: Offsets | None = None) -> Levels:
        """How many of the thresholds are at or below each scale [C, ...] with the offset [C] of its channel."""
        if channel_offsets is not None and channel_offsets.any():
            added = channel_offsets.astype(np.int64) << ACTIVATION_BITS
            scales = scales + added.reshape(-1, *[1] * (scales.ndim - 1))
        first = self.thresholds[0] - 1
        if len(self._level_of) == 0:
            return np.searchsorted(self.thresholds, scales, side="right").astype(np.uint8)
        return self._level_of[np.clip(scales - first, 0, len(self._level_of) - 1)]

    @cached_property
    def _level_of(self) -> Levels:
        """Levels of all scales from just below the first threshold to the last; none where these are too many."""
        first, last = int(self.thresholds[0]) - 1, int(self.thresholds[-1])
        scales = np.arange(first, last + 1) if last - first < _MOST_LOOKED_UP else np.zeros(0, np.int64)
        return np.searchsorted(self.thresholds, scales, side="right").astype(np.uint8)

    @cached_property
    def spacing(self) -> Floats:
        """[64] how far a scale grows, in units of fixed point, from one level to the next."""
        between = np.diff(self.thresholds).astype(np.float32)
        return np.concatenate([between[:1], between, between[-1:]])

    def magnitude(self, symbols: Symbols) -> Floats:
        """What networks of the context see of symbols, in units of fixed point."""
        return self._magnitudes(symbols).astype(np.float32)

    def _magnitudes(self, symbols: Symbols) -> Integers:
        return self.magnitudes[np.minimum(np.abs(symbols), len(self.magnitudes) - 1)]


def _decoded(symbols: Symbols, hyper_symbols: Symbols, means: Integers) -> DecodedLatent:
    values = symbols + to_float(means).astype(np.float32)
    return DecodedLatent(symbols, hyper_symbols, values.astype(np.float32))


def _by_level(levels: Levels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in coding order, all of level 0 first; and how many each of the 64 levels has."""
    flat = levels.ravel()  # bytes are sorted by counting
    return np.argsort(flat, kind="stable"), np.bincount(flat, minlength=SCALE_LEVELS)
