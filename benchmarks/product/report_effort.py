"""The section of results/README.md on effort, and its plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from compass.evaluation.bdrate import bd_rate
from compass.evaluation.document import Section, Table, Text, percent
from compass.evaluation.plots import Line, plot_lines
from compass.evaluation.results import Points, Result
from records import Efforts
from report_rates import ANCHOR, QUALITIES


class AtEffort(NamedTuple):
    """Kodak at one effort."""

    three: Result
    seconds: float  # of an image, to encode
    decoding: float
    single: Result | None = None


def seconds_of_images(content: dict[str, Any]) -> tuple[float, float]:
    """Mean seconds to encode and to decode all layers at `QUALITIES`: of a file of `compass evaluate`."""
    layers = [mean["layers"][-1] for mean in content["means"] if mean["quality"] in QUALITIES]
    encoding, decoding = (sum(row[key] for row in layers) / len(layers) for key in ("encoding_time", "decoding_time"))
    return encoding, decoding


def effort_section(measured: Mapping[int, AtEffort], anchor: Points, shvc: Points, processes: Efforts) -> Section:
    """BD-rates on Kodak by effort; time and memory of processes; a region of interest."""
    plain = measured[1]
    rows = []
    for row in processes["efforts"]:
        at = measured.get(row["effort"])
        rates = ["", "", "", "", "", ""]
        if at is not None:
            points = at.three.points(-1, QUALITIES)
            rates = [
                percent(bd_rate(plain.three.points(k, QUALITIES), at.three.points(k, QUALITIES))) for k in range(3)
            ]
            rates += [percent(bd_rate(anchor, points)), percent(bd_rate(shvc, points)), f"{at.seconds:.1f}"]
        cost = [f"{row['seconds']:.1f}", f"{row['peak_mb']}", f"{row['bytes']}", f"{row['psnr']:.2f}"]
        rows.append([f"{row['effort']}", *rates, *cost])
    head = ["effort", "layer at 1/4", "1/2", "1, all bytes", f"against `{ANCHOR}`", "against SHVC", "seconds"]
    head += [f"{processes['picture']}: process, s", "MB", "bytes", "dB"]
    region = processes["region"]
    same = region["same_bytes"]
    alone = ""
    for effort, at in measured.items():
        if effort > 1 and at.single is not None and plain.single is not None:
            ours, before = at.single.points(-1, QUALITIES), plain.single.points(-1, QUALITIES)
            saved, against = percent(bd_rate(before, ours)), percent(bd_rate(anchor, ours))
            alone += f" The full size alone at effort {effort}: {saved}, and {against} against `{ANCHOR}`."
    decoding = ", ".join(f"{at.decoding:.2f} s at effort {effort}" for effort, at in measured.items())
    return Section(
        "Effort",
        [
            Text(
                "`make effort KODAK=FOLDER`: Kodak, three layers, qualities 1 to 4. BD-rate against effort 1, layer by "
                f"layer; then all bytes against others. Decoding: {decoding}.{alone} On the right "
                f"`{processes['command']}`: one image at quality {processes['quality']:g}, on one thread."
            ),
            Table(head, rows, right=True),
            Text("![Bytes saved over seconds](effort.svg)"),
            Text(
                f"A region of {region['box'][2]}x{region['box'][3]} at {region['box'][0]},{region['box'][1]} "
                f"(`--roi`, effort {region['effort']}) takes {percent(region['bd_rate'])} bytes for the same PSNR "
                f"inside of it, qualities 1 to 4. In {same[0]:.0f} bytes it has {same[2]:.2f} dB instead of "
                f"{same[1]:.2f}; left without, right with the region:"
            ),
            Text("![Without and with a region of interest](region.jpg)"),
        ],
    )


def plot_effort(measured: Mapping[int, AtEffort], path: Path) -> None:
    """Bytes that three layers save over the seconds that this takes."""
    plain = measured[1].three.points(-1, QUALITIES)
    points = [(at.seconds, -bd_rate(plain, at.three.points(-1, QUALITIES))) for at in measured.values()]
    plot_lines(
        [Line("three layers, Kodak, efforts " + ", ".join(map(str, measured)), points, "C0o-", 2)], path,
        x_label="processor seconds to encode an image of 768x512", y_label="bytes saved, %",
        x_limits=(0, max(x for x, _ in points) * 1.05), y_limits=(0, 14),
    )  # fmt: skip
