"""What the measurements on a folder of pictures have in common: their options, and what they say of themselves."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from compass.model.model import Model

COMPASS = [sys.executable, "-m", "compass"]  # the command line, as a process of its own


def folder_parser() -> argparse.ArgumentParser:
    """FOLDER [--model NAME] [--processes N]."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default=None)
    parser.add_argument("--processes", type=int, default=2)
    return parser


def command_line() -> str:
    """The running command, its paths cut down to their last part: fit for a file of results."""
    return " ".join([f"python benchmarks/{Path(sys.argv[0]).name}", *(Path(a).name for a in sys.argv[1:])])


def describe(model: Model) -> dict[str, str]:
    return {"name": model.name, "hash": model.hash.hex()}


def table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Lines of Markdown, with an empty one behind."""
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)] + [""]
