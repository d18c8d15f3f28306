"""Latents that code an image better than those of the analysis: found by looking at what the synthesis makes of them.

Plain rounding takes every element for itself. Here the symbols are moved, a random part of them at a time, to the
neighbours that lower the cost

    bits + lambda * squared error

where the error is taken for quadratic around the present latent: a step of proximal gradient descent on a lattice. The
gradient is that of the synthesis; the curvature of a channel comes from differences of two gradients, and that of a
single element grows when a change of it turns out to have been too large (a secant). A step that makes the cost higher
is taken back, the curvatures that it found being kept. The bits are those of the tables, with what a change costs the
symbols that are coded later. A decoder knows nothing of all this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compass.entropy.hyperprior import CodeStep, HyperpriorModel, Levels
from compass.entropy.latent import DecodedLatent, Floats, Symbols

Error = Callable[[Floats], tuple[float, Floats]]  # of values [M, h, w]: lambda * squared error in bits, and gradient

_MANY = 20  # steps; with fewer there is no time to take back what was too bold
# In the first and the last of few steps, and of many:
_SHARE = ((0.6, 0.6), (0.4, 0.6))  # of the symbols that are free to move
_CAUTION = ((1.2, 1.2), (0.8, 1.0))  # of the measured curvature; secants raise it where that was too low
_FURTHEST = 2.0  # that a value is drawn to in one step
_PROBE = 0.25  # change of a value by which curvature is measured
PROBES = 2  # errors that are looked at before the first step
_QUIET = 3  # levels below: symbols that are as good as certain to be zero stay so
_UNUSUAL = (0.25, 2.4)  # curvatures of channels, in terms of the median's, outside of which they are left alone
_BELIEF = 20.0  # elements by which a channel's curvature counts as much as the median


class _State(NamedTuple):
    """A latent, the levels of its symbols and the derivatives of its error."""

    latent: DecodedLatent
    levels: Levels
    gradient: Floats


class Refiner:
    """Refines latents of one entropy model at one quality."""

    def __init__(self, model: HyperpriorModel, quality_code: int) -> None:
        self._model, self._quality_code = model, quality_code
        self._costs = model.costs

    def refine(self, latent: DecodedLatent, error: Error, steps: int, importance: Floats) -> DecodedLatent:
        """The best of the latents that so many steps pass through; the error is asked for steps + 1 + `PROBES` times.

        importance: [h, w] how much of the error counts at each position, as a factor.
        """
        rng = np.random.default_rng(0)
        scales, _ = self._model.conditions(latent, self._quality_code)
        channel_offsets = self._model.offsets(latent.symbols, scales)
        levels = self._model.levels(scales, channel_offsets)
        distortion, gradient = error(latent.values)
        best, lowest = _State(latent, levels, gradient), distortion + self._bits(levels, latent)
        curvature = importance * self._curvature(latent.values, levels, gradient, error, rng, importance)
        for step in range(steps):
            share, caution = (_at(step, steps, table) for table in (_SHARE, _CAUTION))
            free = (rng.random(gradient.shape, np.float32) < share) & (best.levels >= _QUIET) & np.isfinite(curvature)
            bend = caution * curvature
            aims = best.latent.values - np.clip(best.gradient / bend, -_FURTHEST, _FURTHEST)
            symbols = best.latent.symbols
            later = self._model.magnitude_costs(symbols, self._slopes(symbols, best.levels))
            choose = self._choice(best.latent, free, aims, bend, later)
            latent, levels = self._model.requantise(best.latent, self._quality_code, choose, channel_offsets)
            distortion, gradient = error(latent.values)
            change = latent.values - best.latent.values
            moved = np.abs(change) > 0.5
            curvature[moved] = np.maximum(curvature[moved], (gradient - best.gradient)[moved] / change[moved])
            cost = distortion + self._bits(levels, latent)
            if cost < lowest:
                best, lowest = _State(latent, levels, gradient), cost
        return best.latent

    def _bits(self, levels: Levels, latent: DecodedLatent) -> float:
        return float(self._costs(levels, latent.symbols).sum(dtype=np.float64))

    def _slopes(self, symbols: Symbols, levels: Levels) -> NDArray[np.float64]:
        """Bits that a symbol costs more for each unit that its scale grows by, from the tables next to its own."""
        below, above = np.maximum(levels, 1) - 1, np.minimum(levels, len(self._model.y_tables) - 2) + 1
        bits = self._costs(above, symbols) - self._costs(below, symbols)
        slopes = bits.astype(np.float64) / (self._model.spacing[levels] * (above - below))
        return np.where(levels == 0, 0.0, slopes)  # scales far below the first threshold, too, have the first table

    def _choice(
        self, latent: DecodedLatent, free: NDArray[np.bool_], aims: Floats, curvature: Floats, later: Floats
    ) -> CodeStep:
        """Picks for each free element the symbol of least cost, drawn to `aims`; all others keep their values.

        later: bits that symbols coded later cost more for each unit of the magnitude of one.
        """

        keep = _kept(latent.values)

        def choose(channels: slice, mask: NDArray[np.bool_], levels: Levels, means: Floats) -> Symbols:
            symbols = keep(channels, mask, levels, means)
            here = free[channels, mask]
            kept, level, aim = symbols[here], levels[here], aims[channels, mask][here] - means[here]
            bend, after = curvature[channels, mask][here] / 2, later[channels, mask][here]
            nearest = np.rint(aim).astype(np.int32)
            best, least = kept, np.full(kept.shape, np.inf, np.float32)
            for candidate in (nearest, nearest - np.sign(nearest), kept):
                cost = bend * (candidate - aim) ** 2 + self._costs(level, candidate)
                cost += after * self._model.magnitude(candidate)
                best = np.where(cost < least, candidate, best)
                least = np.minimum(cost, least)
            symbols[here] = best
            return symbols

        return choose

    def _curvature(
        self,
        values: Floats,
        levels: Levels,
        gradient: Floats,
        error: Error,
        rng: np.random.Generator,
        importance: Floats,
    ) -> Floats:
        """[M, 1, 1] of the error where it counts in full, mean over a channel; infinite where it is of no use.

        By Hutchinson's estimator: the mean of v * (Hessian v) for random signs v.
        """
        noisy = levels >= _QUIET
        total = np.zeros(len(values))
        for _ in range(PROBES):
            signs = (np.where(rng.random(values.shape) < 0.5, -1, 1) * noisy).astype(np.float32)
            total += np.sum(signs * (error(values + _PROBE * signs)[1] - gradient), (1, 2), dtype=np.float64) / _PROBE
        count: NDArray[np.float64] = PROBES * (noisy * importance).sum((1, 2), np.float64)
        each = total / np.maximum(count, 1e-9)
        usual = _weighted_median(each, count)
        if usual <= 0:  # nothing is there that could be moved
            return np.full((len(values), 1, 1), np.inf, np.float32)
        each = (each * count + usual * _BELIEF) / (count + _BELIEF)
        each[(each < _UNUSUAL[0] * usual) | (each > _UNUSUAL[1] * usual)] = np.inf
        return np.maximum(each, usual / 2).astype(np.float32)[:, None, None]


def _at(step: int, steps: int, table: Sequence[tuple[float, float]]) -> float:
    """A number for one of the steps, from those for the first and the last of few and of many."""
    many, done = min(1.0, steps / _MANY), step / max(1, steps - 1)
    first, last = (few + (more - few) * many for few, more in zip(*table, strict=True))
    return first + (last - first) * done


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def _kept(values: Floats) -> CodeStep:
    """The symbols that are nearest to values."""

    def choose(channels: slice, mask: NDArray[np.bool_], levels: Levels, means: Floats) -> Symbols:
        return np.rint(values[channels, mask] - means).astype(np.int32)

    return choose
