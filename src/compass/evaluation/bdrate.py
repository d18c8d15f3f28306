"""BD-rate: the average difference in rate of two codecs at equal PSNR (Bjontegaard, VCEG-M33)."""

from __future__ import annotations

from collections.abc import Sequence

import bjontegaard

from compass.evaluation.results import Points, Result

MIN_POINTS = 4


def bd_rate(anchor: Points, test: Points) -> float:
    """Per cent of rate that `test` needs more than `anchor` (negative: less), over their common PSNR range.

    Akima interpolation, as the `bjontegaard` package recommends. Points in any order, at least four each; a
    point that costs more than another and is worse is left out, as interpolation needs ascending curves.
    """
    a, t = _ascending(anchor), _ascending(test)
    return float(
        bjontegaard.bd_rate(
            [rate for rate, _ in a],
            [psnr for _, psnr in a],
            [rate for rate, _ in t],
            [psnr for _, psnr in t],
            method="akima",
            require_matching_points=False,
            min_overlap=0,
        )
    )


def layer_bd_rate(anchor: Result, test: Result, layer: int, qualities: Sequence[float] = ()) -> float | None:
    """BD-rate of one layer of `test` against that of `anchor`; None if the curves are short or do not meet.

    qualities: those of `test` that count, see `Result.points`.
    """
    a, t = _ascending(anchor.layers[layer]), _ascending(test.points(layer, qualities))
    if min(len(a), len(t)) < MIN_POINTS:
        return None
    (worst_a, *_, best_a), (worst_t, *_, best_t) = (sorted(psnr for _, psnr in points) for points in (a, t))
    if max(worst_a, worst_t) >= min(best_a, best_t):
        return None
    return bd_rate(a, t)


def _ascending(points: Points) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    for rate, psnr in sorted(points):
        if not kept or psnr > kept[-1][1]:
            kept.append((rate, psnr))
    return kept
