"""Codecs under test by name."""

from __future__ import annotations

from compass.errors import InputError
from compass.evaluation.codecs.avif_layered import LayeredAVIF
from compass.evaluation.codecs.by_compass import BaseCodec, CompassCodec
from compass.evaluation.codecs.by_pillow import AVIF, JPEG_420, JPEG_444, WEBP
from compass.evaluation.codecs.contract import ImageCodec, LayeredCodec
from compass.evaluation.codecs.hevc import HEVC
from compass.evaluation.codecs.htj2k import HTJ2K
from compass.evaluation.codecs.jpeg2000 import Jpeg2000
from compass.evaluation.codecs.jpegxl import JpegXL
from compass.evaluation.codecs.shvc import SHVC
from compass.evaluation.codecs.wrappers import Separate

IMAGE_CODECS: dict[str, ImageCodec] = {
    codec.name: codec
    for codec in (
        BaseCodec(),
        BaseCodec("mean-scale", "mean-scale"),
        BaseCodec("factorized", "factorized"),
        JPEG_420,
        JPEG_444,
        WEBP,
        AVIF,
        JpegXL(),
        HEVC(),
    )
}
LAYERED_CODECS: dict[str, LayeredCodec] = {
    codec.name: codec for codec in (CompassCodec(), Jpeg2000(), HTJ2K(), LayeredAVIF(), SHVC())
}


def names() -> list[str]:
    """Names of all codecs under test."""
    return [*LAYERED_CODECS, *(f"{prefix}-{name}" for prefix in ("simulcast", "single") for name in IMAGE_CODECS)]


def find(name: str, model: str | None = None) -> LayeredCodec:
    """A codec by its name; `model` makes this project's own use another model (name or file).

    Raises InputError if there is no such codec, or if it has no models.
    """
    prefix, _, rest = name.partition("-")
    if name in LAYERED_CODECS:
        codec = LAYERED_CODECS[name]
        if model is None:
            return codec
        if isinstance(codec, CompassCodec):
            return CompassCodec(model=model)
    elif prefix in ("simulcast", "single") and rest in IMAGE_CODECS:
        alone = IMAGE_CODECS[rest]
        if model is None or isinstance(alone, BaseCodec):
            return Separate(BaseCodec(rest, model) if model else alone, prefix == "simulcast")
    else:
        raise InputError(f"there is no codec {name!r}, only {', '.join(names())}")
    raise InputError(f"the codec {name} has no models")
