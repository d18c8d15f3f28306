"""One image of a data set: read, coded, decoded again to measure it, written."""

from __future__ import annotations

import hashlib
import math
import posixpath
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from compass import api
from compass.attempt import attempt
from compass.dataset.manifest import Record
from compass.dataset.place import Entry, Place
from compass.errors import ModelError
from compass.picture.fidelity import psnr
from compass.picture.files import image_of_bytes, limit_pixels
from compass.picture.pyramid import targets

_EQUAL = 100.0  # dB said of a layer without any error: JSON has no infinity


class Pair(NamedTuple):
    """An image, and the name of the file to make of it."""

    image: Entry
    file: str


@dataclass(frozen=True)
class Task:
    """What is done with each image; picklable, so that it is done in any process."""

    source: Place
    target: Place
    options: dict[str, Any]  # of compass.encode, but for the image and threads
    settings: str  # that the manifest is to say
    model_hash: str  # of the model that the options name where they were given
    max_pixels: int | None = None

    def __call__(self, pair: Pair) -> Record:
        """Whatever is wrong with the image is said in the record."""
        limit = Image.MAX_IMAGE_PIXELS
        try:
            done = attempt(lambda: self._done(pair))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
        return replace(done.result or self.blank(pair), error=done.error, warnings=done.warnings)

    def blank(self, pair: Pair) -> Record:
        """The record of an image of which there is no file yet."""
        name, size, version = pair.image
        return Record(name, size, version, self.settings, pair.file, source_folder=self.source.url)

    def killed(self, pair: Pair) -> Record:
        """That of an image whose process was killed."""
        return replace(self.blank(pair), error="its process was killed each time")

    def _done(self, pair: Pair) -> Record:
        limit_pixels(self.max_pixels)
        original = self.source.read(pair.image.name)
        image = image_of_bytes(original, pair.image.name)
        data = api.encode(image, threads=1, **self.options)
        with api.open(data, model=self.options.get("model"), threads=1) as opened:
            info = opened.info()
            if info["model"]["hash"] != self.model_hash:
                raise ModelError(f"the model of this machine is not {self.model_hash}: install the same package on all")
            layers = info["layers"]
            sizes = [(row["width"], row["height"]) for row in layers]
            decoded = [_pixels(opened.decode(k)) for k in range(len(sizes))]
        fidelities = [psnr(a, b.pixels) for a, b in zip(decoded, targets(image, sizes), strict=True)]
        self.target.write(pair.file, data)
        return replace(
            self.blank(pair),
            source_sha256=hashlib.sha256(original).hexdigest(),
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            mode=image.mode,
            layers=[
                {
                    "width": row["width"],
                    "height": row["height"],
                    "quality": row["quality"],
                    "bytes": row["accumulated_bytes"],
                    "psnr": round(value, 3) if math.isfinite(value) else _EQUAL,
                }
                for row, value in zip(layers, fidelities, strict=True)
            ],
        )


def file_name(name: str, keep_suffix: bool) -> str:
    """Of the layered file of an image."""
    return (name if keep_suffix else posixpath.splitext(name)[0]) + ".cmps"


def _pixels(image: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(image.convert("RGB"))
