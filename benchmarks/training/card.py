"""The card of trained weights, a JSON file beside them, from the logs of their runs.

    python benchmarks/training/card.py LOG [LOG ...] --profile mei-small --part layers --crop 128 --batch 8 \
        --core-minutes 50 --command "compass train layers ..." --out models/mei-small.json

A LOG is what `compass train` printed for one run, resumed or not; runs follow on each other, and crop and batch may be
those of all or, separated by commas, of each. Pixels are those of all steps; the curve has the pixels seen and the
validation cost. Minutes in a log are of the clock, so those of the processor must be said.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from compass.errors import InputError
from logs import validations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", type=Path, nargs="+", metavar="LOG")
    parser.add_argument("--profile", required=True)
    parser.add_argument("--part", required=True, help="base, layers, or what is added to a base")
    parser.add_argument("--crop", type=_numbers, required=True)
    parser.add_argument("--batch", type=_numbers, required=True)
    parser.add_argument("--core-minutes", type=int, required=True)
    parser.add_argument("--command", required=True)
    parser.add_argument("--note", default="")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    seen, curve = 0, []
    pixels = [batch * crop**2 for batch, crop in zip(*_each(options.logs, options.batch, options.crop), strict=True)]
    for log, of_a_step in zip(options.logs, pixels, strict=True):
        found = validations(log)
        curve += [[seen + x.step * of_a_step, x.figures["cost"]] for x in found]
        seen = curve[-1][0]
    card = {
        "profile": options.profile,
        "part": options.part,
        "command": options.command,
        "core_minutes": options.core_minutes,
        "pixels": seen,
        "validation": found[-1].figures,
        **({"note": options.note} if options.note else {}),
        "curve": curve,
    }
    text = re.sub(r"\[\s+(\d+),\s+([\d.]+)\s+\]", r"[\1, \2]", json.dumps(card, indent=1))
    options.out.write_text(text + "\n")


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _each(logs: Sequence[Path], *settings: list[int]) -> list[list[int]]:
    """Settings of each log, where one may stand for all. Raises InputError on another number of them."""
    if any(len(setting) not in (1, len(logs)) for setting in settings):
        raise InputError(f"crop and batch are those of all runs or of each of {len(logs)}")
    return [setting * len(logs) if len(setting) == 1 else setting for setting in settings]


if __name__ == "__main__":
    main()
