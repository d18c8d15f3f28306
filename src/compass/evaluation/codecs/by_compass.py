"""This project's codec: layered, and its base codec alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from PIL import Image

from compass.bitstream import container
from compass.codec.decoder import decode_planes
from compass.codec.encoder import encode_layers
from compass.codec.layer import finish_layer
from compass.errors import ModelError
from compass.evaluation.codecs.contract import CodedLayer, CodedPicture, Settings, UnavailableError, timed
from compass.model import model as models
from compass.model.model import Model
from compass.picture.pyramid import Pixels

QUALITIES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


@lru_cache(maxsize=2)
def _load(model: str) -> Model:
    try:
        return models.load(model, threads=1)
    except ModelError as error:
        raise UnavailableError(str(error)) from None


@dataclass(frozen=True)
class _OfModel:
    name: str = "compass"
    model: str = models.DEFAULT
    qualities: Sequence[float] = QUALITIES

    def settings(self) -> Settings:
        loaded = _load(self.model)
        return {"model": loaded.name, "hash": loaded.hash.hex(), "threads": 1}


@dataclass(frozen=True)
class Compass(_OfModel):
    """All layers in one file, all at one quality."""

    def code(self, pyramid: Sequence[Pixels], quality: float) -> list[CodedLayer]:
        model = _load(self.model)
        sizes = [(picture.shape[1], picture.shape[0]) for picture in pyramid]
        source = Image.fromarray(pyramid[-1])
        (data, _), encoding = timed(lambda: encode_layers(source, sizes, [quality] * len(sizes), model))
        header = container.read_header(data)
        layers: list[CodedLayer] = []
        below = 0
        for k, entry in enumerate(header.layers):
            (planes, _), decoding = timed(partial(decode_planes, data, header, k, model))
            end = header.span(k)[1]
            coded = CodedPicture(
                bytes=end - below,
                picture=finish_layer(planes, header.colour),
                encoding_time=encoding,
                decoding_time=decoding,
                payload_bytes=entry.length,
                planes=255 * planes.transpose(1, 2, 0),
            )
            layers.append(CodedLayer(coded, end))
            below = end
        return layers


@dataclass(frozen=True)
class BaseCodec(_OfModel):
    """The base codec of a model alone, in one-layer files."""

    def code(self, picture: Pixels, quality: float) -> CodedPicture:
        (layer,) = Compass(model=self.model).code([picture], quality)
        return layer.coded
