"""Codecs that are programs: finding them, their versions, running them on files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from compass.evaluation.codecs.contract import UnavailableError
from compass.picture.pyramid import Pixels


def find(*programs: str) -> None:
    """Raises UnavailableError unless all of these programs are on the path."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise UnavailableError(f"{' and '.join(missing)} cannot be found: install it, or leave this codec out")


def first_line(*command: str, containing: str = "") -> str:
    """The first line with `containing` in it that a program prints on standard output or standard error."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (result.stdout + result.stderr).splitlines()
    return next((line.strip() for line in lines if line.strip() and containing in line), "")


def run(*command: str | Path) -> None:
    """Raises RuntimeError with the end of its messages if a program fails."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{command[0]} failed: {(result.stdout + result.stderr)[-500:].strip()}")


def write_ppm(path: Path, image: Pixels) -> None:
    Image.fromarray(image).save(path, "PPM")


def read_ppm(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
