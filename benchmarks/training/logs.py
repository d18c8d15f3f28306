"""What `compass train` printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from compass.errors import InputError

_LINE = re.compile(r"^valid +[\d.]+ %  step (\d+)  ([\d.]+) min  (cost .+)$", re.MULTILINE)


class Validation(NamedTuple):
    """One of a run, resumed or not."""

    step: int
    minutes: float  # of the clock
    figures: dict[str, float]  # `cost` and others


def validations(log: Path) -> list[Validation]:
    """All in a log. Raises InputError if it has none."""
    found = []
    for step, minutes, text in _LINE.findall(log.read_text()):
        words = text.split()
        figures = dict(zip(words[::2], map(float, words[1::2]), strict=True))
        found.append(Validation(int(step), float(minutes), figures))
    if not found:
        raise InputError(f"{log} has no validations")
    return found
