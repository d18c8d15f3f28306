"""The paper's grid of layers and ratios: every layer's rate and distortion, beside those of the base codec alone.

Every size is coded alone only once, and layers are not decoded again (the encoder holds the same images): a third of
the time that `compass evaluate` would take for each case.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NotRequired, Protocol, TypedDict

import numpy as np
from PIL import Image

from compass.bitstream import container
from compass.codec.encoder import encode_layers
from compass.errors import InputError
from compass.evaluation.codecs.contract import LayeredCodec
from compass.evaluation.report import SUBJECT
from compass.evaluation.results import Result
from compass.model import store
from compass.picture.fidelity import psnr
from compass.picture.files import read_image
from compass.picture.pyramid import Pixels, Size, check_sizes, pyramid

TWO_LAYERS = (1.2, 1.6, 2.0, 2.4, 2.8)
MIDDLES = (2.0, 1.2, 1.4, 1.6, 1.8)
THREE_LAYERS = (2.4, 2.8, 3.2, 3.6, 4.0)
OUT_OF_DISTRIBUTION = (4.5, 5.0, 5.5, 6.0)
MANY_LAYERS = (3, 4, 5, 6, 9)

_MULTIPLE = 64  # of sides, in CompressAI's evaluation

Scales = tuple[float, ...]
Coded = tuple[int, Pixels]  # bytes that a reader needs, [H, W, 3]


class Case(TypedDict):
    """One file: its layers, the smallest first. Sizes alone, where the codec makes no such file."""

    scales: Sequence[float]  # of the image's sides
    sizes: Sequence[Sequence[int]]  # width, height
    bytes: NotRequired[Sequence[int]]  # up to the layer's last
    psnr_rgb: NotRequired[Sequence[float]]


class Single(TypedDict):
    """One size coded alone."""

    size: Sequence[int]
    bytes: int
    psnr_rgb: float


class Row(TypedDict):
    """One image at one quality."""

    picture: str
    quality: float
    cases: list[Case]
    alone: list[Single]


def pyramids(middles: Sequence[float] = MIDDLES, many: bool = True) -> list[Scales]:
    """Layers of every case, as fractions of the image's sides; no case twice.

    Two layers: a base of 1/4 and a final layer at that ratio to it; three: one between them at 2.0, or as said; beyond
    4.0 the final layer is the image and the base is that much smaller; `many` layers: 1/4 to 1 in equal ratios.
    """
    cases: list[Scales] = [(1 / 4, s / 4) for s in TWO_LAYERS]
    cases += [(1 / 4, middle / 4, s / 4) for middle in middles for s in THREE_LAYERS]
    cases += [(1 / s, 2 / s, 1.0) for s in OUT_OF_DISTRIBUTION]
    cases += [tuple(4 ** (k / (n - 1) - 1) for k in range(n)) for n in MANY_LAYERS if many]
    return list(dict.fromkeys(cases))


def scaled(size: Size, factor: float) -> Size:
    """Whole pixels, cut off as the paper does."""
    return max(1, int(size[0] * factor + 1e-9)), max(1, int(size[1] * factor + 1e-9))


class Coder(Protocol):
    """What the grid is measured for; handed to other processes."""

    def layered(self, image: Image.Image, targets: Sequence[Pixels], quality: float) -> Iterator[Coded]:
        """One file of all layers: bytes up to each one's last, the decoded layer. Nothing if it makes no such file."""

    def alone(self, image: Pixels, quality: float) -> Iterator[Coded]:
        """A file of this size alone. Nothing of what codes in layers only."""


@dataclass(frozen=True)
class OfModel:
    """This project's codec with a model."""

    model: str | None

    def layered(self, image: Image.Image, targets: Sequence[Pixels], quality: float) -> Iterator[Coded]:
        model = store.load(self.model, threads=1)
        if not model.one_layer:
            sizes = [(target.shape[1], target.shape[0]) for target in targets]
            data, layers = encode_layers(image, sizes, [quality] * len(sizes), model)
            header = container.read_header(data)
            for k, layer in enumerate(layers):
                yield header.span(k)[1], layer.pixels

    def alone(self, image: Pixels, quality: float) -> Iterator[Coded]:
        size = image.shape[1], image.shape[0]
        data, (layer,) = encode_layers(Image.fromarray(image), [size], [quality], store.load(self.model, threads=1))
        yield len(data), layer.pixels


@dataclass(frozen=True)
class Padded:
    """Every size alone, as CompressAI's evaluation codes images: black around them, to multiples of 64 a side."""

    model: str | None

    def layered(self, image: Image.Image, targets: Sequence[Pixels], quality: float) -> Iterator[Coded]:
        yield from ()

    def alone(self, image: Pixels, quality: float) -> Iterator[Coded]:
        height, width = image.shape[:2]
        top, left = (-height % _MULTIPLE) // 2, (-width % _MULTIPLE) // 2
        below, right = -height % _MULTIPLE - top, -width % _MULTIPLE - left
        padded = np.pad(image, ((top, below), (left, right), (0, 0)))
        for count, pixels in OfModel(self.model).alone(padded, quality):
            yield count, pixels[top : top + height, left : left + width]


@dataclass(frozen=True)
class OfPeer:
    """A codec under test that codes in layers."""

    codec: LayeredCodec

    def layered(self, image: Image.Image, targets: Sequence[Pixels], quality: float) -> Iterator[Coded]:
        with contextlib.suppress(InputError):  # of sizes that it makes no layers of
            for layer in self.codec.code(targets, quality):
                yield layer.accumulated_bytes, layer.coded.image

    def alone(self, image: Pixels, quality: float) -> Iterator[Coded]:
        yield from ()


def measure(path: Path, quality: float, coder: Coder, pyramids: Sequence[Scales]) -> Row:
    """One image at one quality: bytes and PSNR of every layer of every case, and of every size alone.

    Raises InputError if a case has layers that do not ascend, or that the image is too small for.
    """
    image = read_image(path).convert("RGB")
    cases: list[Case] = []
    different: dict[Size, Pixels] = {}
    for scales in pyramids:
        sizes = check_sizes([scaled(image.size, scale) for scale in scales], image.size)
        targets = pyramid(image, sizes)
        case: Case = {"scales": scales, "sizes": sizes}
        coded = list(coder.layered(image, targets, quality))
        if coded:
            case["bytes"] = [count for count, _ in coded]
            case["psnr_rgb"] = [round(psnr(x, target), 3) for (_, x), target in zip(coded, targets, strict=True)]
        cases.append(case)
        different |= zip(sizes, targets, strict=True)
    alone: list[Single] = []
    for size, target in different.items():
        for count, pixels in coder.alone(target, quality):
            alone.append({"size": size, "bytes": count, "psnr_rgb": round(psnr(pixels, target), 3)})
    return {"picture": path.name, "quality": quality, "cases": cases, "alone": alone}


class _Layer(NamedTuple):
    size: Size
    bytes: int
    psnr_rgb: float


def results(rows: Sequence[Row], data_set: str, name: str = SUBJECT) -> list[Result]:
    """By case: all layers in one file, every layer alone, and one file per layer, as `compass evaluate` names them.

    name: of the codec, or of the base codec alone.
    """
    qualities = tuple(sorted({row["quality"] for row in rows}))
    found = []
    for index, case in enumerate(rows[0]["cases"]):
        scales = tuple(case["scales"])
        ways = [(name, _layered)] * ("bytes" in case)
        ways += [(f"single-{name}", _single), (f"simulcast-{name}", _simulcast)] * bool(rows[0]["alone"])
        for codec, layers_of in ways:
            coded = {q: [layers_of(row, index) for row in rows if row["quality"] == q] for q in qualities}
            layers = tuple([_mean([x[k] for x in coded[q]]) for q in qualities] for k in range(len(scales)))
            found.append(Result(codec, "measured", data_set, scales, "", qualities, layers))
    return found


def _layered(row: Row, index: int) -> list[_Layer]:
    case = row["cases"][index]
    columns = zip(case["sizes"], case["bytes"], case["psnr_rgb"], strict=True)
    return [_Layer((size[0], size[1]), count, fidelity) for size, count, fidelity in columns]


def _single(row: Row, index: int) -> list[_Layer]:
    alone = {tuple(x["size"]): _Layer((x["size"][0], x["size"][1]), x["bytes"], x["psnr_rgb"]) for x in row["alone"]}
    return [alone[tuple(size)] for size in row["cases"][index]["sizes"]]


def _simulcast(row: Row, index: int) -> list[_Layer]:
    files = _single(row, index)
    return [file._replace(bytes=sum(f.bytes for f in files[: k + 1])) for k, file in enumerate(files)]


def _mean(layers: Sequence[_Layer]) -> tuple[float, float]:
    """Bits per pixel and PSNR."""
    bpps = [8 * layer.bytes / (layer.size[0] * layer.size[1]) for layer in layers]
    return float(np.mean(bpps)), float(np.mean([layer.psnr_rgb for layer in layers]))
