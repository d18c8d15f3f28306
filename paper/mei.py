"""The peer of Mei et al. 2021 as a codec under test: trained networks in PyTorch, real files by the same entropy coder.

Its layers are each twice the one below. A layer of another size is coded at the next larger one of these and reduced
after decoding; all layers below that one are coded, and their bytes count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from compass.bitstream import container
from compass.bitstream.container import LayerData
from compass.codec.layer import finish_layer, to_planes
from compass.entropy import quality as quality_scale
from compass.entropy.latent import EntropyModel, Floats
from compass.errors import InputError
from compass.evaluation.codecs.contract import ImageResult, LayerResult, Settings, timed
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.layered import Codec
from compass.nets.mei import LAYERS, MeiNet
from compass.nets.profiles import PEERS
from compass.picture.pyramid import Pixels
from compass.training.exact import entropy_model
from compass.training.run import load_parts


class Trained(NamedTuple):
    """Networks, and the integer entropy model of each layer."""

    net: MeiNet
    entropy_models: list[EntropyModel]


class Layer(NamedTuple):
    """One dyadic layer after coding and decoding."""

    payload: bytes
    image: Pixels
    encoding: float  # seconds, when it was coded
    decoding: float
    latent: Tensor  # that the next layer stands on


@dataclass(frozen=True)
class _Picture:
    """Pixels that are known by their digest."""

    digest: bytes
    pixels: Pixels = field(compare=False)

    @classmethod
    def of(cls, image: Image.Image) -> _Picture:
        pixels = np.asarray(image)
        return cls(hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest(), pixels)


@lru_cache(maxsize=1)
def _load(weights: Path, profile: str) -> Trained:
    torch.set_num_threads(1)
    net = PEERS[profile]()
    assert isinstance(net, MeiNet)
    load_parts(net, [str(weights)])
    return Trained(net.eval(), [entropy_model(codec) for codec in net.layers])  # type: ignore[arg-type]


def find(profile: str, weights: Path, qualities: Sequence[float] = (1.0, 2.0, 3.0, 4.0)) -> MeiCodec:
    """Raises InputError if there is no such profile."""
    if profile not in PEERS:
        raise InputError(f"there is no peer {profile!r}, only {', '.join(PEERS)}")
    return MeiCodec(weights, profile, qualities)


@dataclass(frozen=True)
class MeiCodec:
    """All layers of a pyramid in one file, at one quality."""

    weights: Path
    profile: str  # of `compass.nets.profiles.PEERS`
    qualities: Sequence[float]

    @property
    def name(self) -> str:
        """As the paper's tables have it, at any width."""
        return "mei-enhanced" if "enhanced" in self.profile else "mei-original"

    def settings(self) -> Settings:
        """Raises InputError if the weights are none of this profile."""
        _load(self.weights, self.profile)
        digest = hashlib.sha256(self.weights.read_bytes()).hexdigest()
        return {
            "profile": self.profile,
            "weights_sha256": digest,
            "threads": 1,
            "other_sizes": "coded at the next dyadic size, reduced by Lanczos",
        }

    def code(self, pyramid: Sequence[Pixels], quality: float) -> list[LayerResult]:
        """Raises InputError if a layer would be more than `LAYERS` - 1 doublings above the first."""
        sizes = [(image.shape[1], image.shape[0]) for image in pyramid]
        doublings = [_doublings(sizes[0], size) for size in sizes]
        if doublings != sorted(set(doublings)) or doublings[-1] >= LAYERS:
            raise InputError(f"the layers {sizes} do not fit {LAYERS} dyadic ones")
        most = doublings[-1]
        top = tuple(max(side << most, wanted) for side, wanted in zip(sizes[0], sizes[-1], strict=True))
        coded_as = [(-(-top[0] >> most - k), -(-top[1] >> most - k)) for k in range(most + 1)]
        sources = dict(zip(doublings, pyramid, strict=True))
        dyadic = [
            _Picture.of(Image.fromarray(sources.get(k, pyramid[-1])).resize(size, Image.Resampling.LANCZOS))
            for k, size in enumerate(coded_as)
        ]
        code = quality_scale.to_code(quality)
        layers = [_code(self.weights, self.profile, tuple(dyadic[: k + 1]), code) for k in range(most + 1)]
        table = [LayerData(*size, code, layer.payload) for size, layer in zip(coded_as, layers, strict=True)]
        header = container.read_header(container.write(b"Mei ", "RGB", table))
        encoding = sum(layer.encoding for layer in layers)
        results, start = [], 0
        for k, size in zip(doublings, sizes, strict=True):
            end = header.span(k)[1]
            decoding = sum(layer.decoding for layer in layers[: k + 1])
            image = np.asarray(Image.fromarray(layers[k].image).resize(size, Image.Resampling.LANCZOS))
            results.append(LayerResult(ImageResult(end - start, image, encoding, decoding), end))
            start = end
        return results


@lru_cache(maxsize=8)
def _code(weights: Path, profile: str, pyramid: tuple[_Picture, ...], code: int) -> Layer:
    """The largest layer of a dyadic pyramid; those below are coded first. Many files begin with the same layers."""
    net, models = _load(weights, profile)
    k = len(pyramid) - 1
    below = _code(weights, profile, pyramid[:-1], code) if k else None
    codec, model = net.layers[k], models[k]
    assert isinstance(codec, Codec)
    y, analysing = _analyse(weights, profile, k, pyramid[-1])

    def hyper(scaled: Floats) -> Floats | None:
        return codec.h_a(torch.from_numpy(scaled)[None])[0].numpy() if isinstance(codec, HyperpriorCodec) else None

    with torch.no_grad():
        (prediction, enlarged), predicting = timed(lambda: net.from_lower(k, below.latent if below else None, y.shape))
        scaled: Floats = (y - prediction)[0].numpy() * model.gain(code)
        coded, encoding = timed(lambda: model.encode(scaled, hyper(scaled), code))
        decoded, decoding = timed(lambda: model.decode(coded.payload, (y.shape[2], y.shape[3]), code))
        assert np.array_equal(decoded.values, coded.decoded.values)
        values = torch.from_numpy((decoded.values / model.gain(code)).astype(np.float32))[None] + prediction
        latent = net.latent(values, enlarged)
        planes, synthesising = timed(lambda: codec.g_s(latent))
    height, width = pyramid[-1].pixels.shape[:2]
    image = finish_layer(planes[0, :, :height, :width].numpy(), "RGB")
    return Layer(coded.payload, image, analysing + predicting + encoding, predicting + decoding + synthesising, latent)


@lru_cache(maxsize=32)
def _analyse(weights: Path, profile: str, k: int, picture: _Picture) -> tuple[Tensor, float]:
    """y of layer k, which depends on nothing but the image, and the seconds that it took."""
    codec = _load(weights, profile).net.layers[k]
    assert isinstance(codec, Codec)
    with torch.no_grad():
        return timed(lambda: codec.g_a(torch.from_numpy(to_planes(picture.pixels))[None]))


def _doublings(base: tuple[int, int], size: tuple[int, int]) -> int:
    """How often the sides of a base, which may have been cut off to whole pixels, must be doubled to hold a size."""
    doublings = 0
    while any((side + 1 << doublings) <= wanted for side, wanted in zip(base, size, strict=True)):
        doublings += 1
    return doublings
