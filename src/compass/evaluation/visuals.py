"""Images for the report: every layer of a file, and crops of several codecs at the same number of bits."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from compass.evaluation.codecs import registry
from compass.evaluation.codecs.contract import LayeredCodec, LayerResult
from compass.evaluation.document import Section
from compass.picture.fidelity import psnr
from compass.picture.files import read_image
from compass.picture.pyramid import Pixels, Size, pyramid, sizes_from_scales

_SCALES = (1 / 4, 1 / 2, 1.0)
_CROP = 160  # pixels a side: four fit beside one another
_SHOWN = 2  # times as large
_SEARCH = 8  # steps towards the wanted number of bytes


@dataclass(frozen=True)
class PictureRow:
    """Images beside one another with captions, on the page alone."""

    images: Sequence[tuple[Pixels, str]]
    lossless: bool
    enlarged: int = 1

    def markdown(self) -> str:
        return ""

    def html(self) -> str:
        figures = []
        for pixels, caption in self.images:
            data = base64.b64encode(_webp(pixels, self.lossless)).decode()
            width = pixels.shape[1] * self.enlarged
            image = f'<img width={width} src="data:image/webp;base64,{data}" alt="{html.escape(caption)}">'
            figures.append(f"<figure>{image}<figcaption>{html.escape(caption)}</figcaption></figure>")
        return f"<div class=row>{''.join(figures)}</div>"


def _webp(pixels: Pixels, lossless: bool) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=lossless, quality=82, method=4)
    return buffer.getvalue()


def all_layers(
    path: Path, counts: Sequence[int] = (3,), model: str | None = None, quality: float = 3.0
) -> list[Section]:
    """The layers of files with as many of them as `counts` has, from 1/4 to the whole image in equal ratios."""
    image = read_image(path).convert("RGB")
    codec = registry.find("compass", model)
    sections = []
    for count in counts:
        sizes = sizes_from_scales(image.size, [4 ** (k / (count - 1) - 1) for k in range(count)])
        targets = pyramid(image, sizes)
        layers = codec.code(targets, quality)
        shown = [
            (x.coded.image, _caption(x, target, size)) for x, target, size in zip(layers, targets, sizes, strict=True)
        ]
        title = f"{path.name}, {count} layers, quality {quality:g}"
        sections.append(Section(title, [PictureRow(shown, lossless=False)]))
    return sections


def crops(path: Path, codecs: Sequence[LayeredCodec], model: str | None = None, quality: float = 3.0) -> Section:
    """The liveliest part of the largest of three layers: original, this codec, and others at as many bits."""
    image = read_image(path).convert("RGB")
    targets = pyramid(image, sizes_from_scales(image.size, _SCALES))
    ours = registry.find("compass", model).code(targets, quality)
    window = _liveliest(targets[-1])
    shown = [(targets[-1][window], "original")]
    others = [(codec.name, _at_bytes(codec, targets, ours[-1].accumulated_bytes)) for codec in codecs]
    for name, layers in [("compass", ours), *others]:
        shown.append((layers[-1].coded.image[window], f"{name}, {_caption(layers[-1], targets[-1])}"))
    title = f"{path.name}, largest of three layers, at equal bits (PSNR: of the whole image)"
    return Section(title, [PictureRow(shown, lossless=True, enlarged=_SHOWN)])


def _caption(layer: LayerResult, target: Pixels, size: Size | None = None) -> str:
    text = f"{psnr(layer.coded.image, target):.2f} dB, {layer.accumulated_bytes * 8 / 1000:.1f} kbit"
    return f"{size[0]}x{size[1]}, {text}" if size else text


def _at_bytes(codec: LayeredCodec, targets: Sequence[Pixels], wanted: int) -> list[LayerResult]:
    """The layers of a codec at the setting that comes nearest to this many bytes in all."""
    low, high = min(codec.qualities), max(codec.qualities)
    rising = codec.code(targets, low)[-1].accumulated_bytes < codec.code(targets, high)[-1].accumulated_bytes
    best: list[LayerResult] = []
    for _ in range(_SEARCH):
        middle = (low + high) / 2
        layers = codec.code(targets, middle)
        size = layers[-1].accumulated_bytes
        if not best or abs(size - wanted) < abs(best[-1].accumulated_bytes - wanted):
            best = layers
        if (size < wanted) == rising:
            low = middle
        else:
            high = middle
    return best


def _liveliest(image: Pixels) -> tuple[slice, slice]:
    """The square with the largest variance of its brightness, on a grid of half its side."""
    grey = image.astype(np.float64).mean(axis=2)
    side = min(_CROP, *grey.shape)
    places = [
        (y, x)
        for y in range(0, grey.shape[0] - side + 1, max(1, side // 2))
        for x in range(0, grey.shape[1] - side + 1, max(1, side // 2))
    ]
    y, x = max(places, key=lambda p: float(grey[p[0] : p[0] + side, p[1] : p[1] + side].var()))
    return slice(y, y + side), slice(x, x + side)
