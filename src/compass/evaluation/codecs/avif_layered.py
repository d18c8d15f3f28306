"""Layered AVIF (AV1 spatial layers) by libavif's programs, 1.2 or later: one file, each layer a halving of the image.

The encoder makes the lower layers with its own downscaler, not the bicubic one, and decodes them enlarged to the whole
image; here they are reduced again. So their PSNR is capped: compare the last layer alone.
The quality is the quantiser, 0 to 63, smaller is better: given `-q`, libaom takes another one above the first layer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from compass.errors import InputError
from compass.evaluation.codecs import programs
from compass.evaluation.codecs.by_resolution import halvings
from compass.evaluation.codecs.contract import ImageResult, LayerResult, Settings, UnavailableError, timed
from compass.picture.pyramid import Pixels

_OPTIONS = ("-c", "aom", "-s", "4", "-y", "444", "--cicp", "1/13/1", "-a", "tune=psnr", "-j", "1", "--layered")
_LAYER = "--scaling-mode:u 1/N --min:u QUALITY --max:u QUALITY"
_MAX_LAYERS, _MAX_HALVINGS = 4, 3


@dataclass(frozen=True)
class LayeredAVIF:
    name: str = "avif-layered"
    qualities: Sequence[float] = (59, 54, 48, 42, 34, 26)

    def settings(self) -> Settings:
        programs.find("avifenc", "avifdec")
        if not programs.first_line("avifenc", "--help", containing="--layered"):
            raise UnavailableError("this avifenc cannot code layers: version 1.2 or later is needed")
        return {
            "program": programs.first_line("avifenc", "--version"),
            "command": f"avifenc {' '.join(_OPTIONS)} (and for each layer) {_LAYER}",
        }

    def code(self, pyramid: Sequence[Pixels], quality: float) -> list[LayerResult]:
        counts = halvings(pyramid)
        if len(counts) > _MAX_LAYERS or max(counts) > _MAX_HALVINGS:
            raise InputError(f"AVIF has at most {_MAX_LAYERS} layers, the smallest at 1/{2**_MAX_HALVINGS}")
        with tempfile.TemporaryDirectory() as folder:
            source, coded, decoded = (Path(folder, name) for name in ("in.png", "coded.avif", "out.png"))
            Image.fromarray(pyramid[-1]).save(source)
            command: list[str | Path] = ["avifenc", *_OPTIONS]
            for k, count in enumerate(counts):
                suffix, quantiser = ":u" if k else "", str(round(quality))
                command += [f"--scaling-mode{suffix}", f"1/{2**count}"]
                command += [f"--min{suffix}", quantiser, f"--max{suffix}", quantiser, source]
            _, encoding = timed(lambda: programs.run(*command, coded))
            layers: list[LayerResult] = []
            for k, end in enumerate(layer_ends(coded.read_bytes(), len(counts))):
                progressive = ("--progressive", "--index", str(k)) if len(counts) > 1 else ()
                _, decoding = timed(
                    partial(programs.run, "avifdec", "-j", "1", *progressive, "--png-compress", "0", coded, decoded)
                )
                with Image.open(decoded) as opened:
                    image = opened.convert("RGB")
                height, width = pyramid[k].shape[:2]
                if image.size != (width, height):
                    image = image.resize((width, height), Image.Resampling.BICUBIC)
                below = layers[-1].accumulated_bytes if layers else 0
                layers.append(LayerResult(ImageResult(end - below, np.asarray(image), encoding, decoding), end))
            return layers


def layer_ends(data: bytes, count: int) -> list[int]:
    """Where each layer of a file of one item ends: its header's size, and the layers' from the property `a1lx`.

    AV1 Image File Format 1.1, 2.3.2.3 (AV1LayeredImageIndexingProperty): after one byte of flags the sizes of at most
    three layers, of 16 or 32 bits; the last layer has what is left.
    """
    if count == 1:
        return [len(data)]
    position = data.index(b"a1lx") + 4
    width = 4 if data[position] & 1 else 2
    end = data.index(b"mdat") + 4
    ends = []
    for k in range(count - 1):
        start = position + 1 + k * width
        end += int.from_bytes(data[start : start + width], "big")
        ends.append(end)
    return [*ends, len(data)]
