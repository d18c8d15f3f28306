"""JPEG 2000 by resolution: one file, ordered by resolution; the bytes of a layer are those up to its last tile-part.

By OpenJPEG's programs. Layers are halvings of the picture; the lower ones are wavelet bands, not the bicubic
reductions that they are compared with, which caps their PSNR. The quality is the bits per pixel aimed at.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from compass.errors import InputError
from compass.evaluation.codecs import programs
from compass.evaluation.codecs.contract import CodedLayer, CodedPicture, Settings, timed
from compass.picture.pyramid import Pixels

_OPTIONS = ("-I", "-mct", "1", "-n", "6", "-p", "RPCL", "-TP", "R")
_START_OF_TILE_PART, _END = b"\xff\x90", b"\xff\xd9"


@dataclass(frozen=True)
class Jpeg2000:
    name: str = "jpeg2000"
    qualities: Sequence[float] = (0.1, 0.2, 0.3, 0.45, 0.65, 0.9, 1.3, 1.8)

    def settings(self) -> Settings:
        programs.find("opj_compress", "opj_decompress")
        return {"program": "OpenJPEG", "command": f"opj_compress -r 24/QUALITY {' '.join(_OPTIONS)}"}

    def code(self, pyramid: Sequence[Pixels], quality: float) -> list[CodedLayer]:
        reductions = [_reduction(picture, pyramid[-1]) for picture in pyramid]
        layers: list[CodedLayer] = []
        with tempfile.TemporaryDirectory() as folder:
            source, coded = Path(folder, "in.ppm"), Path(folder, "coded.j2k")
            programs.write_ppm(source, pyramid[-1])
            encode = ("opj_compress", "-i", source, "-o", coded, "-r", f"{24 / quality:.4f}", *_OPTIONS)
            _, encoding = timed(lambda: programs.run(*encode))
            data = coded.read_bytes()
            ends = tile_part_ends(data)
            for reduction in reductions:
                prefix, decoded = Path(folder, "prefix.j2k"), Path(folder, "out.ppm")
                part = data[: ends[len(ends) - 1 - reduction]] + _END
                prefix.write_bytes(part)
                decode = ("opj_decompress", "-i", prefix, "-o", decoded, "-r", str(reduction))
                _, decoding = timed(partial(programs.run, *decode))
                below = layers[-1].accumulated_bytes if layers else 0
                picture = CodedPicture(len(part) - below, programs.read_ppm(decoded), encoding, decoding)
                layers.append(CodedLayer(picture, len(part)))
        return layers


def _reduction(picture: Pixels, full: Pixels) -> int:
    """How many times a layer is halved, rounding up."""
    for reduction in range(6):
        if all(-(-a // 2**reduction) == b for a, b in zip(full.shape[:2], picture.shape[:2], strict=True)):
            return reduction
    height, width = picture.shape[:2]
    raise InputError(f"JPEG 2000 has no layer of {width}x{height}: its layers are halvings of the picture")


def tile_part_ends(data: bytes) -> list[int]:
    """Where each tile-part of a codestream ends (ISO/IEC 15444-1, A.4.2: SOT holds the tile-part's length)."""
    ends = []
    position = data.index(_START_OF_TILE_PART)
    while data[position : position + 2] == _START_OF_TILE_PART:
        length = int.from_bytes(data[position + 6 : position + 10], "big")
        position = position + length if length else len(data) - len(_END)
        ends.append(position)
    return ends
