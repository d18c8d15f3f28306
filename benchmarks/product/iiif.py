"""The IIIF validator against `compass serve`: python benchmarks/product/iiif.py

Needs the package iiif-validator, which has the colours of the image that it asks for. Exits with the count of failures.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

import compass
from load import serving
from options import parser

NAME = "67352ccc-d1b0-11e1-89ae-279075081939"
SQUARE = 100  # pixels a side


def main() -> None:
    arguments = parser(__doc__, Path("unused"))
    arguments.add_argument("--level", type=int, default=2)
    options = arguments.parse_args()
    try:
        from iiif_validator.validator import ValidationInfo
    except ModuleNotFoundError:
        arguments.error("pip install iiif-validator")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = compass.encode(squares(ValidationInfo().colorInfo), quality=6, model=options.model)
        (folder / f"{NAME}.cmps").write_bytes(data)
        with serving(folder, options.model) as (url, _):
            command = [str(Path(sys.executable).parent / "iiif-validate.py"), "-s", url.removeprefix("http://")]
            command += ["-p", "iiif", "-i", NAME, "--version=3.0", f"--level={options.level}", "-v"]
            said = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    text = said.stdout + said.stderr
    print(text)
    sys.exit(text.count(" FAIL") if re.search(r"Done \(\d+ tests", text) else 99)


def squares(colours: list[list[tuple[int, int, int]]]) -> Image.Image:
    """Ten columns of ten squares."""
    image = Image.new("RGB", (10 * SQUARE, 10 * SQUARE))
    for x, column in enumerate(colours):
        for y, colour in enumerate(column):
            image.paste(colour, (SQUARE * x, SQUARE * y, SQUARE * (x + 1), SQUARE * (y + 1)))
    return image


if __name__ == "__main__":
    main()
