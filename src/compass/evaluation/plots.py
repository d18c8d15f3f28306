"""Rate over PSNR as figures in SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

from compass.evaluation.results import Points, Result

_MARKERS = "osv^D<>pP*"
_DASHES = ("-", "--", ":", "-.")
_REPEATABLE = {"svg.hashsalt": "compass"}  # the same figures give the same file


class Line(NamedTuple):
    """One curve of a plot, in a style of matplotlib."""

    label: str
    points: Points
    style: str
    width: float = 1.0


def plot_lines(
    lines: Sequence[Line],
    path: Path,
    *,
    x_label: str,
    y_label: str,
    x_limits: tuple[float, float],
    y_limits: tuple[float, float],
) -> None:
    """Writes curves, each in a style of its own, as a figure in SVG."""
    figure, axes = plt.subplots(figsize=(8, 5.5), layout="constrained")
    for line in lines:
        rates, psnrs = zip(*sorted(line.points), strict=True)
        axes.plot(rates, psnrs, line.style, label=line.label, linewidth=line.width, markersize=4)
    axes.set(xlabel=x_label, ylabel=y_label, xlim=x_limits, ylim=y_limits)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    write_figure(figure, path)


def write_figure(figure: plt.Figure, path: Path) -> None:
    """Writes a figure in SVG, its letters as outlines, and closes it."""
    with plt.rc_context(_REPEATABLE):
        figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)


def curves(results: Sequence[Result], layer: int, title: str) -> str:
    """One layer of several codecs, as the text of an SVG image; published curves of whole images in grey."""
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
    return _inline(figure)


def trainings(lines: Sequence[Line]) -> str:
    """Validation cost over billions of pixels seen, as the text of an SVG image."""
    figure, axes = plt.subplots(figsize=(10.5, 4.6), layout="constrained")
    for line in lines:
        pixels, costs = zip(*line.points, strict=True)
        axes.plot(pixels, costs, line.style, label=line.label)
    axes.set(xlabel="billions of pixels seen", ylabel="validation cost")
    axes.grid(alpha=0.3)
    figure.legend(fontsize=7.5, loc="outside right center", frameon=False)
    return _inline(figure)


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


def _inline(figure: plt.Figure) -> str:
    """The element of a figure for a page, its letters as text; closes the figure."""
    buffer = io.StringIO()
    with plt.rc_context({**_REPEATABLE, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
