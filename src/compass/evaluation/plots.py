"""Rate over PSNR as figures in SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

from compass.evaluation.results import Points, Result

_MARKERS = "osv^D<>pP*"
_DASHES = ("-", "--", ":", "-.")


def curves(results: Sequence[Result], layer: int, title: str) -> str:
    """One layer of several codecs, as the text of an SVG picture; published curves of whole pictures in grey."""
    height = max(4.6, 0.3 + 0.175 * len(results))  # room for a line of the legend for each
    figure, axes = plt.subplots(figsize=(10.5, height), layout="constrained")
    for i, result in enumerate(result for result in results if result.reference):
        rates, psnrs = zip(*sorted(result.final), strict=True)
        label = f"{result.name} (published, one layer)"
        axes.plot(rates, psnrs, color="0.6", linestyle=_DASHES[i % len(_DASHES)], linewidth=0.9, label=label)
    ours = []
    for i, result in enumerate(result for result in results if not result.reference):
        points = sorted(result.layers[layer])
        rates, psnrs = zip(*points, strict=True)
        measured = result.source == "measured"
        axes.plot(
            rates,
            psnrs,
            "-" if measured else "--",
            marker=_MARKERS[i % len(_MARKERS)],
            markersize=4,
            linewidth=2.2 if result.name == "compass" else 1.2,
            zorder=3 if result.name == "compass" else 2,
            label=result.name if measured else f"{_short(result.name)}, {result.source}",
        )
        if result.name == "compass":
            ours.append(points)
    _limit(axes, ours)
    axes.set(xlabel="bits per pixel of this layer, all bytes up to it", ylabel="PSNR, dB", title=title)
    axes.grid(alpha=0.3)
    figure.legend(fontsize=7.5, loc="outside right center", frameon=False)
    return _svg(figure)


def _short(name: str) -> str:
    """A name without the settings in its middle: those are in the table."""
    return re.sub(r" \([^)]*,[^)]*\)", "", name)


def _limit(axes: plt.Axes, ours: list[Points]) -> None:
    """The range that this project's curve covers, with some room: others may reach far beyond."""
    if not ours:
        return
    rates, psnrs = zip(*ours[0], strict=True)
    axes.set_xlim(0, 1.6 * max(rates))
    axes.set_ylim(min(psnrs) - 2, max(psnrs) + 1.5)


def _svg(figure: plt.Figure) -> str:
    buffer = io.StringIO()
    with plt.rc_context({"svg.hashsalt": "compass", "svg.fonttype": "none"}):  # the same figures give the same file
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
