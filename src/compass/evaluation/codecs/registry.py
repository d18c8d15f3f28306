"""Codecs under test by name."""

from __future__ import annotations

from dataclasses import replace

from compass.codec.refine import MAX_EFFORT
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
from compass.model import store

_EFFORTS = {f"compass-effort-{effort}": effort for effort in range(2, MAX_EFFORT + 1)}

_IMAGE_CODECS: list[ImageCodec] = [
    BaseCodec(),
    *(BaseCodec(name, effort=effort) for name, effort in _EFFORTS.items()),
    BaseCodec("mean-scale", "mean-scale"),
    BaseCodec("factorized", "factorized"),
    JPEG_420,
    JPEG_444,
    WEBP,
    AVIF,
    JpegXL(),
    HEVC(),
]
_LAYERED_CODECS: list[LayeredCodec] = [
    CompassCodec(),
    *(CompassCodec(name, effort=effort) for name, effort in _EFFORTS.items()),
    Jpeg2000(),
    HTJ2K(),
    LayeredAVIF(),
    SHVC(),
]
IMAGE_CODECS = {codec.name: codec for codec in _IMAGE_CODECS}
LAYERED_CODECS = {codec.name: codec for codec in _LAYERED_CODECS}


def names() -> list[str]:
    """Names of all codecs under test; those of this project's with more effort are left out, compass-effort-2 to -9."""
    separate = [f"{prefix}-{name}" for prefix in ("simulcast", "single") for name in IMAGE_CODECS]
    return [name for name in (*LAYERED_CODECS, *separate) if "-effort-" not in name]


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
            return replace(codec, model=model)
    elif prefix in ("simulcast", "single") and rest in IMAGE_CODECS:
        alone = IMAGE_CODECS[rest]
        if model is None:
            return Separate(alone, prefix == "simulcast")
        if isinstance(alone, BaseCodec):
            return Separate(replace(alone, model=model), prefix == "simulcast")
    else:
        raise InputError(f"there is no codec {name!r}, only {', '.join(names())}")
    raise InputError(f"the codec {name} has no models")


def find_beside(name: str, model: str | None) -> LayeredCodec:
    """A codec to be set beside this project's with `model`: what usually takes the default model takes that one too.

    Raises InputError if there is no such codec.
    """
    codec = find(name)
    own = codec.codec if isinstance(codec, Separate) else codec
    takes = isinstance(own, (CompassCodec, BaseCodec)) and own.model == store.DEFAULT
    return find(name, model) if takes else codec
