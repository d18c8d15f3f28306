"""Files of results: those of `compass evaluate`, curves, and recorded points of codecs that cannot be run here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from compass.errors import InputError

Points = list[tuple[float, float]]  # (bits per pixel, PSNR in dB)
PUBLISHED = "published"


class Curve(TypedDict):
    """A result as a file of curves holds it: means over the images."""

    name: str
    source: str
    data_set: str
    scales: Sequence[float]
    settings: str
    qualities: Sequence[float | str]
    layers: Sequence[Points]


@dataclass(frozen=True)
class Result:
    """Rate and distortion of one codec on one data set, means over the images."""

    name: str
    source: str  # "measured", or "recorded" and when
    data_set: str
    scales: tuple[float, ...]
    settings: str
    qualities: tuple[float | str, ...]
    layers: tuple[Points, ...]  # smallest first; a point for every quality
    images: tuple[dict[str, Any], ...] = ()  # rows of single images, where they are known

    @property
    def reference(self) -> bool:
        """Whether this is a published curve of one layer, to be drawn beside the others."""
        return self.source == PUBLISHED

    @property
    def final(self) -> Points:
        return self.layers[-1]

    def points(self, layer: int, qualities: Sequence[float] = ()) -> Points:
        """Those of one layer at some qualities; all, where none are asked for or one of them was not measured."""
        chosen = [p for q, p in zip(self.qualities, self.layers[layer], strict=True) if q in qualities]
        return chosen if qualities and len(chosen) == len(qualities) else self.layers[layer]

    def to_curve(self) -> Curve:
        """This result for a file of curves."""
        return {
            "name": self.name,
            "source": self.source,
            "data_set": self.data_set,
            "scales": self.scales,
            "settings": self.settings,
            "qualities": self.qualities,
            "layers": self.layers,
        }


def read_results(paths: Iterable[Path]) -> list[Result]:
    """All results in these files. Raises InputError if a file cannot be read or is none of results."""
    found: list[Result] = []
    for path in paths:
        try:
            found += parse_results(json.loads(path.read_text()))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            raise InputError(f"{path} is no file of results") from None
    return found


def parse_results(content: dict[str, Any]) -> list[Result]:
    """Results from the content of a file. Raises KeyError, TypeError, IndexError or ValueError if there are none."""
    if "curves" in content:
        return [_curve(curve) for curve in content["curves"]]
    if "codecs" in content:
        return [_published(codec, content) for codec in content["codecs"].values()]
    return [_measured(content) if "means" in content else _recorded(content)]


def _curve(content: Curve) -> Result:
    return Result(
        content["name"],
        content["source"],
        content["data_set"],
        tuple(content["scales"]),
        content["settings"],
        tuple(content["qualities"]),
        tuple([(float(rate), float(psnr)) for rate, psnr in layer] for layer in content["layers"]),
    )


def _measured(content: dict[str, Any]) -> Result:
    means = content["means"]
    layers = [
        [(mean["layers"][k]["bpp"], mean["layers"][k]["psnr-rgb"]) for mean in means]
        for k in range(len(content["scales"]))
    ]
    return Result(
        content["name"],
        content["source"],
        content["data_set"],
        tuple(content["scales"]),
        json.dumps(content["settings"]),
        tuple(mean["quality"] for mean in means),
        tuple(layers),
        tuple(content["pictures"]),
    )


def _recorded(content: dict[str, Any]) -> Result:
    """Recorded points hold bits per pixel of the final layer, and mean bytes of all."""
    scales = content["scales"]
    layers: list[Points] = [[] for _ in scales]
    for point in content["points"]:
        final = point["mean_bpp_final"]
        for k, scale in enumerate(scales):
            share = point["mean_accumulated_bytes"][k] / point["mean_accumulated_bytes"][-1]
            layers[k].append((final * share * (scales[-1] / scale) ** 2, point["mean_psnr_rgb"][k]))
    return Result(
        content["codec"],
        f"recorded {content['recorded']}",
        content["data_set"],
        tuple(scales),
        content["settings"],
        tuple(point["setting"] for point in content["points"]),
        tuple(layers),
    )


def _published(codec: dict[str, Any], content: dict[str, Any]) -> Result:
    """A curve of whole images, as CompressAI publishes them."""
    points = list(zip(codec["bpp"], codec["psnr_rgb"], strict=True))
    data_set = content["dataset"].partition(" (")[0]
    qualities = tuple(float(k) for k in range(len(points)))
    return Result(codec["name"], PUBLISHED, data_set, (1.0,), content["source"], qualities, (points,))


def same_scales(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two pyramids have the same layers."""
    return len(a) == len(b) and all(abs(x - y) < 1e-3 for x, y in zip(a, b, strict=True))
