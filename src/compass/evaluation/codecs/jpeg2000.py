"""JPEG 2000 by resolution, by OpenJPEG's programs. The quality is the bits per pixel aimed at."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compass.evaluation.codecs import programs
from compass.evaluation.codecs.by_resolution import LEVELS, cut_into_layers, halvings
from compass.evaluation.codecs.contract import LayerResult, Settings, timed
from compass.picture.pyramid import Pixels

_OPTIONS = ("-I", "-mct", "1", "-n", str(LEVELS + 1), "-p", "RPCL", "-TP", "R")


@dataclass(frozen=True)
class Jpeg2000:
    name: str = "jpeg2000"
    qualities: Sequence[float] = (0.1, 0.2, 0.3, 0.45, 0.65, 0.9, 1.3, 1.8)

    def settings(self) -> Settings:
        programs.find("opj_compress", "opj_decompress")
        version = programs.first_line("opj_compress", "-h", containing="openjp2 library")
        return {"program": f"OpenJPEG: {version}", "command": f"opj_compress -r 24/QUALITY {' '.join(_OPTIONS)}"}

    def code(self, pyramid: Sequence[Pixels], quality: float) -> list[LayerResult]:
        counts = halvings(pyramid)
        with tempfile.TemporaryDirectory() as folder:
            source, coded, prefix, decoded = (Path(folder, n) for n in ("in.ppm", "all.j2k", "prefix.j2k", "out.ppm"))

            def decode(data: bytes, count: int) -> Pixels:
                prefix.write_bytes(data)
                programs.run("opj_decompress", "-i", prefix, "-o", decoded, "-r", str(count))
                return programs.read_ppm(decoded)

            programs.write_ppm(source, pyramid[-1])
            rate = f"{24 / quality:.4f}"
            _, encoding = timed(lambda: programs.run("opj_compress", "-i", source, "-o", coded, "-r", rate, *_OPTIONS))
            return cut_into_layers(coded.read_bytes(), counts, encoding, decode)
