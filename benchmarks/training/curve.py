"""Validation cost over the minutes of training: results/training.json and results/training.svg.

    python benchmarks/training/curve.py NAME=LOG[,LOG...] ... [--add]

A LOG is what `compass train` printed for one run, resumed or not; runs of one name follow on each other, and their
minutes add up. LOG*2 is one of two processes, each minute of which is two of a core. With --add, trainings of other
names stay as they are recorded. Runs end with their learning rate near zero, which is when their costs can be compared:
what another doubling of the minutes would bring is extrapolated from those points alone, as a straight line in the
logarithm of the minutes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import matplotlib.pyplot as plt
import numpy as np

from compass.evaluation.plots import write_figure
from compass.evaluation.records import command_line, write_record
from logs import validations

RESULT = Path(__file__).parents[2] / "results" / "training.json"


class Point(TypedDict):
    """A validation."""

    minutes: float
    cost: float


class Training(TypedDict):
    """Runs that follow on each other."""

    name: str
    command: str
    points: list[Point]
    ends: list[Point]  # of the runs
    cost_per_doubling: float | None  # of the minutes; None of a single run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trainings", metavar="NAME=LOG[,LOG...]", nargs="+")
    parser.add_argument("--out", type=Path, default=RESULT, help="the plot is written beside it")
    parser.add_argument("--add", action="store_true", help="keep what is recorded of other trainings")
    options = parser.parse_args()
    known: list[Training] = json.loads(options.out.read_text())["trainings"] if options.add else []
    trainings = {training["name"]: training for training in known}
    for argument in options.trainings:
        name, _, logs = argument.partition("=")
        trainings[name] = read(name, logs.split(","))
    shown = list(trainings.values())
    write_record({"cost": "of compass.training.stages", "trainings": shown}, options.out, rows=("trainings",))
    plot(shown, options.out.with_suffix(".svg"))


def read(name: str, logs: Sequence[str]) -> Training:
    """All validations in some logs. Raises InputError if a log has none."""
    points: list[Point] = []
    ends: list[Point] = []
    before = 0.0
    for argument in logs:
        log, _, processes = argument.partition("*")
        count = int(processes or 1)
        points += [{"minutes": before + count * x.minutes, "cost": x.figures["cost"]} for x in validations(Path(log))]
        ends.append(points[-1])
        before = points[-1]["minutes"]
    slope = None
    if len(ends) > 1:
        doublings = np.log2([end["minutes"] for end in ends])
        slope = round(float(np.polyfit(doublings, [end["cost"] for end in ends], 1)[0]), 5)
    return {"name": name, "command": command_line(), "points": points, "ends": ends, "cost_per_doubling": slope}


def plot(trainings: Sequence[Training], path: Path) -> None:
    """A curve for each training, its ends ringed."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for training in trainings:
        (line,) = axes.plot(*_columns(training["points"]), ".-", label=training["name"])
        axes.plot(*_columns(training["ends"]), "o", color=line.get_color())
    axes.set(xlabel="minutes of one CPU core", ylabel="validation cost (rings: at the end of a run)")
    axes.grid(alpha=0.3)
    axes.legend()
    write_figure(figure, path)


def _columns(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [point["minutes"] for point in points], [point["cost"] for point in points]


if __name__ == "__main__":
    main()
