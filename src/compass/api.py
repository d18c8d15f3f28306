"""The Python interface: bytes and Pillow images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from compass.codec import refine, search
from compass.codec.encoder import LayerEncoder, quality_codes
from compass.codec.metadata import to_boxes
from compass.errors import InputError
from compass.layered_file import LayeredFile
from compass.model import store
from compass.picture.importance import DEFAULT_WEIGHT, Region, importance_of
from compass.picture.metadata import Metadata
from compass.picture.modes import to_codable
from compass.picture.pyramid import MAX_SIDE, check_sizes, complete_sizes, pairs_of, sizes_from_scales


def encode(
    image: Image.Image | ArrayLike,
    scales: Sequence[float] | None = None,
    quality: float | Sequence[float] | None = None,
    model: str | Path | None = None,
    *,
    sizes: Sequence[int | tuple[int, int | None]] | None = None,
    target_size: int | None = None,
    target_psnr: float | None = None,
    effort: int = 1,
    roi: Region | None = None,
    roi_weight: float = DEFAULT_WEIGHT,
    metadata: str = "auto",
    threads: int = 0,
    progress: Callable[[float], None] | None = None,
) -> bytes:
    """Codes an image in layers.

    image: a Pillow image or a uint8 array [H, W], [H, W, 3] or [H, W, 4]. Alpha is kept without loss.
    scales: ascending fractions of the image's size in (0, 1], one per layer, by default 1/4, 1/2, 1, or 1 alone if
    the model codes one layer only; `sizes` takes (width, height) instead, or widths alone, of the image's aspect ratio.
    quality: 0 to 6, one for all layers or one per layer, by default 3; 1 to 4 are the lambdas of the COMPASS paper.
    target_size: instead, the best file of at most so many bytes. target_psnr: instead, the smallest file whose largest
    layer has so many dB. metadata: where colour profile, EXIF and XMP go: "front" of the layers, so that every prefix
    has them, to the "back", "none" to drop them, or "auto": a profile other than sRGB in front, the rest to the back.
    model: name or hash of an installed model (see `compass.models`), or a model file. threads: 0 for one per processor.
    effort: 1, the fastest, to 9: how hard fewer bytes and a better image are searched for. Decoding stays as it is.
    roi: the region of interest, (left, upper, right, lower) or a mask of the image's size, an image or a bool or uint8
    array [H, W], white where it is; it takes an effort of 2 or more. roi_weight: how many times as much the squared
    error counts there, 1 to 1000. A target PSNR is always that of the whole image.
    progress: is told what part of the work is done, from 0 to 1; for a target it begins anew with every trial.
    Raises InputError on anything that cannot be coded, ModelError if there is no such model.
    """
    _check_alternatives(quality, target_size, target_psnr, scales, sizes)
    image = to_codable(image if isinstance(image, Image.Image) else _from_array(image))
    loaded = store.load(model, threads)
    if sizes is not None:
        layers = complete_sizes(image.size, sizes)
    else:
        layers = sizes_from_scales(image.size, loaded.default_scales if scales is None else _numbers(scales, "scales"))
    front, back = to_boxes(Metadata.of(image), metadata)
    importance = None if roi is None else importance_of(roi, image.size, roi_weight)
    encoder = LayerEncoder(image, layers, loaded, effort=effort, importance=importance, progress=progress)
    if target_size is not None:
        return search.encode_to_size(encoder, target_size, front, back)
    if target_psnr is not None:
        return search.encode_to_psnr(encoder, target_psnr, front, back)
    data, _ = encoder.encode(
        _qualities(loaded.default_quality if quality is None else quality, len(layers)), front, back
    )
    return data


def check_options(
    scales: Sequence[float] | None = None,
    quality: float | Sequence[float] | None = None,
    model: str | Path | None = None,
    *,
    sizes: Sequence[int | tuple[int, int | None]] | None = None,
    target_size: int | None = None,
    target_psnr: float | None = None,
    effort: int = 1,
    metadata: str = "auto",
) -> None:
    """Raises InputError or ModelError if `encode` refuses these options whatever the image is."""
    _check_alternatives(quality, target_size, target_psnr, scales, sizes)
    loaded = store.load(model)
    whole = MAX_SIDE, MAX_SIDE
    if sizes is None:
        layers = sizes_from_scales(whole, loaded.default_scales if scales is None else _numbers(scales, "scales"))
    else:
        layers, least = [], 1  # heights that are not given are taken for the least that may follow
        for width, height in pairs_of(sizes):
            least = least if height is None else height
            layers.append((width, least))
        check_sizes(layers, whole)
    loaded.check_layers(len(layers))
    refine.steps(effort, 1.0)
    to_boxes(Metadata(), metadata)
    if quality is not None:
        quality_codes(_qualities(quality, len(layers)), len(layers), loaded)
    search.check_targets(target_size, target_psnr)


def open(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes],
    *,
    model: str | Path | None = None,
    threads: int = 0,
) -> LayeredFile:
    """A layered file to decode layers of: a path, bytes, or anything that reads and seeks as a binary file does.

    The header is read at once, a layer's bytes when it is decoded. Raises FormatError if it is no COMPASS file,
    InputError if it cannot be read.
    """
    return LayeredFile(source, model=model, threads=threads)


def decode(
    data: bytes,
    layer: int | None = None,
    *,
    width: int | None = None,
    box: tuple[int, int, int, int] | None = None,
    model: str | Path | None = None,
    threads: int = 0,
) -> Image.Image:
    """Decodes one layer of a file, by default the largest that is whole: `open(data).decode(layer)`, which see."""
    with open(data, model=model, threads=threads) as opened:
        return opened.decode(layer, width=width, box=box)


def info(data: bytes) -> dict[str, Any]:
    """What a file says of itself: sizes, qualities and byte positions of all layers. Raises FormatError on damage."""
    with open(data) as opened:
        return opened.info()


def extract(data: bytes, layer: int) -> bytes:
    """The file up to a layer's last byte: itself a valid file. Raises FormatError, InputError as `decode` does."""
    with open(data) as opened:
        return opened.extract(layer)


def _check_alternatives(
    quality: object, target_size: object, target_psnr: object, scales: object, sizes: object
) -> None:
    if sum(x is not None for x in (quality, target_size, target_psnr)) > 1:
        raise InputError("only one of quality, target size and target PSNR can be given")
    if scales is not None and sizes is not None:
        raise InputError("only one of scales and sizes can be given")


def _qualities(loaded: float | Sequence[float], layers: int) -> list[float]:
    """Of each layer, from one for all or one for each."""
    values = _numbers(np.ravel(np.asarray(loaded, object)).tolist(), "qualities")
    return values if np.ndim(loaded) else values * layers


def _numbers(values: Iterable[float], what: str) -> list[float]:
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError):
        raise InputError(f"{what} are a sequence of numbers, not {values!r}") from None


def _from_array(image: ArrayLike) -> Image.Image:
    if isinstance(image, str | os.PathLike):
        raise InputError("an image is given as a Pillow image or an array, not as a path: open it with PIL.Image.open")
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise InputError(
            f"arrays must be uint8 of shape [H, W], [H, W, 3] or [H, W, 4], not {pixels.dtype} {pixels.shape}"
        )
    if pixels.size == 0:
        raise InputError("the image has no pixels")
    return Image.fromarray(pixels)
