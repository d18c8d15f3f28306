"""Options and paths that the measurements of the product have in common."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resource import struct_rusage

    from PIL import Image

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
RUNS = 5  # of a call whose least time counts
COMPASS = [sys.executable, "-m", "compass"]  # the command line, as a process of its own


def parser(description: str | None, out: Path) -> argparse.ArgumentParser:
    """--out FILE [--model NAME], helped by a module's docstring."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=out)
    parser.add_argument("--model", help="name or hash of an installed model, or a model file")
    return parser


def folder_parser(description: str | None, out: Path) -> argparse.ArgumentParser:
    """FOLDER [--processes N] besides."""
    folder = parser(description, out)
    folder.add_argument("folder", type=Path, help="of images")
    folder.add_argument("--processes", type=int, default=2, help="images measured at once")
    return folder


def image_parser(description: str | None, out: Path) -> argparse.ArgumentParser:
    """PICTURE besides."""
    image = parser(description, out)
    image.add_argument("image", type=Path)
    return image


def run_process(command: list[str]) -> tuple[float, struct_rusage]:
    """Seconds of a command, and what it used. Its peak memory starts from that of this process, which must hold little.

    Raises RuntimeError if it fails.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} failed")
    return seconds, usage


def read_rgb(path: Path) -> Image.Image:
    """An image of mode RGB. Raises InputError if it cannot be read."""
    from compass.picture.files import read_image  # not before: speed.py measures from a process that holds little

    return read_image(path).convert("RGB")


def seconds_of(call: Callable[[], object], runs: int = RUNS) -> float:
    """Least processor seconds, after one call that counts for nothing."""
    seconds = []
    for _ in range(runs + 1):
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return min(seconds[1:])
