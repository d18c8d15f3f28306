"""JPEG XL by the reference programs cjxl and djxl. The quality is the Butteraugli distance: smaller is better."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compass.evaluation.codecs import programs
from compass.evaluation.codecs.contract import ImageResult, Settings, timed
from compass.picture.pyramid import Pixels

_OPTIONS = ("-e", "7", "--num_threads=0")


@dataclass(frozen=True)
class JpegXL:
    name: str = "jpegxl"
    qualities: Sequence[float] = (0.7, 1.2, 2.0, 3.2, 5.0, 8.0, 12.0)

    def settings(self) -> Settings:
        programs.find("cjxl", "djxl")
        return {"program": programs.first_line("cjxl", "--version"), "command": f"cjxl -d QUALITY {' '.join(_OPTIONS)}"}

    def code(self, image: Pixels, quality: float) -> ImageResult:
        with tempfile.TemporaryDirectory() as folder:
            source, coded, decoded = (Path(folder, name) for name in ("in.ppm", "coded.jxl", "out.ppm"))
            programs.write_ppm(source, image)
            _, encoding = timed(lambda: programs.run("cjxl", source, coded, "-d", f"{quality:g}", *_OPTIONS))
            _, decoding = timed(lambda: programs.run("djxl", coded, decoded, "--num_threads=0"))
            return ImageResult(coded.stat().st_size, programs.read_ppm(decoded), encoding, decoding)
