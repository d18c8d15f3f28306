"""Validation cost over the minutes of training: results/training.json and results/training.svg.

    python benchmarks/curve.py NAME=LOG[,LOG...] ...

A LOG is what `compass train` printed; logs of one name follow on each other, and their minutes add up. Runs end with
their learning rate near zero, which is when their costs can be compared: what another doubling of the minutes would
bring is extrapolated from those points alone, as a straight line in the logarithm of the minutes.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
import numpy as np

RESULTS = Path(__file__).parent.parent / "results"
_LINE = re.compile(r"^valid +[\d.]+ %  step (\d+)  ([\d.]+) min  cost (\S+)", re.MULTILINE)


def main() -> None:
    report = {}
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    plt.rcParams["svg.hashsalt"] = "compass"
    for argument in sys.argv[1:]:
        name, _, logs = argument.partition("=")
        report[name] = entry = read(logs.split(","))
        minutes, costs = zip(*entry["points"], strict=True)
        (line,) = axes.plot(minutes, costs, ".-", label=name)
        axes.plot(*zip(*entry["ends"], strict=True), "o", color=line.get_color())
    axes.set(xlabel="minutes of one CPU core", ylabel="validation cost (rings: at the end of a run)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(RESULTS / "training.svg", metadata={"Date": None})
    (RESULTS / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({name: entry["per_doubling"] for name, entry in report.items()}))


def read(logs: list[str]) -> dict[str, Any]:
    points: list[tuple[float, float]] = []
    ends: list[tuple[float, float]] = []
    before = 0.0
    for log in logs:
        run = [(before + float(m), float(cost)) for _, m, cost in _LINE.findall(Path(log).read_text())]
        points += run
        ends.append(run[-1])
        before = run[-1][0]
    slope = None
    if len(ends) > 1:
        slope = round(float(np.polyfit(np.log2([m for m, _ in ends]), [c for _, c in ends], 1)[0]), 5)
    return {"points": points, "ends": ends, "per_doubling": slope}


if __name__ == "__main__":
    main()
