"""A codec under test on a folder of images: what `compass evaluate` runs, and the file that it writes.

Finished rows are kept beside the output until all are there, so an evaluation that was interrupted goes on.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from compass.errors import InputError, warn
from compass.evaluation.codecs import registry
from compass.evaluation.codecs.contract import LayeredCodec, LayerResult
from compass.evaluation.journal import Row, measure_all
from compass.evaluation.metrics import ms_ssim
from compass.evaluation.records import environment, write_record
from compass.picture.fidelity import psnr
from compass.picture.files import IMAGE_SUFFIXES, read_image
from compass.picture.pyramid import Pixels, Size, check_sizes, pyramid

_MEASURES = ("bpp", "psnr-rgb", "ms-ssim-rgb", "encoding_time", "decoding_time")  # as CompressAI's files have them


@dataclass(frozen=True)
class Evaluation:
    """What one file of results measures."""

    folder: Path
    codec: str | LayeredCodec  # by name, or itself
    scales: tuple[float, ...]  # of the image, ascending
    qualities: tuple[float, ...] = ()  # none: the codec's own
    model: str | None = None
    truncate: bool = False  # sizes are cut off to whole pixels, as in the paper, instead of rounded

    def find_codec(self) -> LayeredCodec:
        """The codec under test. Raises InputError if there is none of its name."""
        return registry.find(self.codec, self.model) if isinstance(self.codec, str) else self.codec

    def sizes(self, full: Size) -> list[Size]:
        """Layer sizes of an image. Raises InputError if they are none."""
        whole: Callable[[float], int] = (lambda x: int(x + 1e-9)) if self.truncate else round
        return check_sizes([(max(1, whole(full[0] * s)), max(1, whole(full[1] * s))) for s in self.scales], full)


def evaluate(
    work: Evaluation, out: Path, command: str, processes: int = 1, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Measures every image at every quality, or what of it is not in `out`'s folder yet, and writes `out`.

    Images that cannot be read are left out, with a warning, and named under `skipped`. progress is called with the rows
    done and the rows there are. Raises InputError on an unknown codec or a folder without images, UnavailableError if
    the codec cannot run here.
    """
    codec = work.find_codec()
    settings = dict(codec.settings())
    qualities = work.qualities or tuple(codec.qualities)
    paths, skipped = _readable(image_paths(work.folder))
    head = {
        "name": codec.name,
        "description": "measured with compass evaluate",
        "source": "measured",
        "data_set": work.folder.name,
        "scales": list(work.scales),
        "truncated_sizes": work.truncate,
        "qualities": list(qualities),
        "settings": settings,
    } | ({"skipped": skipped} if skipped else {})
    part = out.with_name(out.name + ".part")
    jobs = [(path, q) for path in paths for q in qualities]
    rows = measure_all(partial(measure, work), jobs, processes, part, head, progress)
    rows.sort(key=lambda row: qualities.index(row["quality"]))
    report = {**head, "environment": environment(command, processes), **summarise(rows), "pictures": rows}
    write_record(report, out, rows=("pictures",))
    part.unlink()
    return report


def image_paths(folder: Path) -> list[Path]:
    """The images of a folder, by name. Raises InputError if there are none."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from None
    if not paths:
        raise InputError(f"{folder} holds no images")
    return paths


def _readable(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The images that can be read, and the names of the others. Raises InputError if there are none."""
    readable, skipped = [], []
    for path in paths:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what there is to say is said when it is measured
                read_image(path)
            readable.append(path)
        except InputError as error:
            warn(f"{error}: it is left out")
            skipped.append(path.name)
    if not readable:
        raise InputError(f"none of {len(paths)} images can be read")
    return readable, skipped


def measure(work: Evaluation, path: Path, quality: float) -> Row:
    """One image at one quality."""
    image = read_image(path).convert("RGB")
    targets = pyramid(image, work.sizes(image.size))
    layers = work.find_codec().code(targets, quality)
    rows = [_layer_row(layer, target) for layer, target in zip(layers, targets, strict=True)]
    return {"picture": path.name, "quality": quality, "layers": rows}


def _layer_row(layer: LayerResult, target: Pixels) -> Row:
    coded = layer.coded
    height, width = target.shape[:2]
    planes = None if coded.planes is None else psnr(np.clip(coded.planes, 0, 255), target)
    return {
        "width": width,
        "height": height,
        "bytes": coded.bytes,
        "accumulated_bytes": layer.accumulated_bytes,
        "payload_bytes": coded.payload_bytes,
        "bpp": _rounded(8 * layer.accumulated_bytes / (width * height), 6),
        "psnr-rgb": _rounded(psnr(coded.image, target), 4),
        "psnr-rgb-float": _rounded(planes, 4),
        "ms-ssim-rgb": _rounded(ms_ssim(coded.image, target), 6),
        "encoding_time": _rounded(coded.encoding_time, 4),
        "decoding_time": _rounded(coded.decoding_time, 4),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def summarise(rows: list[Row]) -> dict[str, Any]:
    """Means over the images: of the last layer as CompressAI's files have them, and of every layer by quality."""
    means = []
    for quality in dict.fromkeys(row["quality"] for row in rows):
        group = [row["layers"] for row in rows if row["quality"] == quality]
        layers = [_mean([layers[k] for layers in group]) for k in range(len(group[0]))]
        means.append({"quality": quality, "layers": layers})
    last = [mean["layers"][-1] for mean in means]
    return {"results": {key: [layer[key] for layer in last] for key in _MEASURES}, "means": means}


def _mean(layers: Sequence[Row]) -> Row:
    keys = [key for key in layers[0] if key not in ("width", "height")]
    return {
        key: None if any(layer[key] is None for layer in layers) else round(float(np.mean([x[key] for x in layers])), 6)
        for key in keys
    }
