"""BD-rate: the average difference in rate of two codecs at equal PSNR (Bjontegaard, VCEG-M33)."""

from __future__ import annotations

from collections.abc import Sequence

import bjontegaard

Points = Sequence[tuple[float, float]]  # (rate, PSNR)


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


def _ascending(points: Points) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    for rate, psnr in sorted(points):
        if not kept or psnr > kept[-1][1]:
            kept.append((rate, psnr))
    return kept
