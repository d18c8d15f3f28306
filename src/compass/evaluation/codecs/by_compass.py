"""This project's codec: layered, and its base codec alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from PIL import Image

from compass.bitstream import container
from compass.codec.decoder import open_layer
from compass.codec.encoder import encode_layers
from compass.codec.layer import DecodedLayer, finish_layer
from compass.codec.threads import products_on_one_thread
from compass.entropy.latent import Floats
from compass.errors import ModelError
from compass.evaluation.codecs.contract import ImageResult, LayerResult, Settings, UnavailableError, timed
from compass.model import store
from compass.model.model import Model
from compass.picture.pyramid import Pixels
from compass.picture.window import Window

QUALITIES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


@lru_cache(maxsize=2)
def _load(model: str) -> Model:
    try:
        return store.load(model, threads=1)
    except ModelError as error:
        raise UnavailableError(str(error)) from None


@dataclass(frozen=True)
class _OfModel:
    name: str = "compass"
    model: str = store.DEFAULT
    qualities: Sequence[float] = QUALITIES
    effort: int = 1

    def settings(self) -> Settings:
        loaded = _load(self.model)
        effort = {"effort": self.effort} if self.effort > 1 else {}
        return {"model": loaded.name, "hash": loaded.hash.hex(), "threads": 1} | effort


@dataclass(frozen=True)
class CompassCodec(_OfModel):
    """All layers in one file, all at one quality."""

    def code(self, pyramid: Sequence[Pixels], quality: float) -> list[LayerResult]:
        model = _load(self.model)
        sizes = [(image.shape[1], image.shape[0]) for image in pyramid]
        source = Image.fromarray(pyramid[-1])
        (data, _), encoding = timed(lambda: encode_layers(source, sizes, [quality] * len(sizes), model, self.effort))
        header = container.read_header(data)
        layers: list[LayerResult] = []
        below: DecodedLayer | None = None
        decoding, start = 0.0, 0
        for k, entry in enumerate(header.layers):
            planes, seconds = timed(partial(_planes, data, header, k, model, below))
            pixels, finishing = timed(partial(finish_layer, planes, header.colour))
            decoding += seconds + finishing
            end = header.span(k)[1]
            coded = ImageResult(
                bytes=end - start,
                image=pixels,
                encoding_time=encoding,
                decoding_time=decoding,
                payload_bytes=entry.length,
                planes=255 * planes.transpose(1, 2, 0),
            )
            layers.append(LayerResult(coded, end))
            start, below = end, DecodedLayer.whole(pixels)
        return layers


@products_on_one_thread()
def _planes(data: bytes, header: container.Header, k: int, model: Model, below: DecodedLayer | None) -> Floats:
    """A layer before rounding."""
    layer, latent = open_layer(data, header, k, model, below)
    planes = np.empty((3, *layer.size), np.float32)
    for part, piece in layer.reconstruct(Window.whole(layer.size), latent):
        rows, columns = part.slices
        planes[:, rows, columns] = piece
    return planes


@dataclass(frozen=True)
class BaseCodec(_OfModel):
    """The base codec of a model alone, in one-layer files."""

    def code(self, image: Pixels, quality: float) -> ImageResult:
        (layer,) = CompassCodec(model=self.model, effort=self.effort).code([image], quality)
        return layer.coded
