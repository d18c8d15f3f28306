"""An image in, a layered file out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from compass.bitstream import container
from compass.bitstream.alpha import encode_alpha
from compass.bitstream.boxes import Box
from compass.bitstream.container import LayerData
from compass.codec.layer import DecodedLayer, codec_of, finish_layer, latent_of, predict_layer, to_planes
from compass.entropy import quality as quality_scale
from compass.entropy.latent import Floats
from compass.errors import InputError
from compass.model.model import Model
from compass.model.transform_codec import EncodedPlanes
from compass.picture.modes import CODABLE
from compass.picture.pyramid import Pixels, Size, Target, targets


@dataclass(frozen=True)
class EncodedLayer:
    """What the encoder knows of a layer; what is not asked for is not worked out."""

    encoded: EncodedPlanes
    colour: str

    @property
    def payload(self) -> bytes:
        return self.encoded.payload

    @property
    def ideal_bits(self) -> float:
        """Sum of -log2 p."""
        return self.encoded.ideal_bits

    @cached_property
    def decoded(self) -> DecodedLayer:
        """What a decoder will hold."""
        return DecodedLayer(finish_layer(self.encoded.synthesise(), self.colour), self.encoded.decoded)

    @property
    def pixels(self) -> Pixels:
        """[H, W, 3], as a decoder will see them."""
        return self.decoded.pixels


class LayerEncoder:
    """An image ready to be coded in layers, at one quality after another."""

    def __init__(self, image: Image.Image, sizes: Sequence[Size], model: Model) -> None:
        """image: in a mode of `CODABLE`; sizes: ascending. Raises InputError or ModelError if it cannot be coded."""
        if image.mode not in CODABLE:
            raise InputError(f"images of mode {image.mode} cannot be coded, only {', '.join(CODABLE)}")
        model.check_layers(len(sizes))
        self.colour = image.mode.removesuffix("A")
        self.targets: list[Target] = targets(image, sizes)
        self._sizes, self._model = sizes, model

    @cached_property
    def _base(self) -> Floats:
        # The only analysis that does not depend on a quality: those above see a decoded layer.
        return self._model.base.analyse(to_planes(self.targets[0].pixels))

    @cached_property
    def _alphas(self) -> list[bytes | None]:
        return [None if target.alpha is None else encode_alpha(target.alpha) for target in self.targets]

    def encode(
        self, qualities: Sequence[float], front: Sequence[Box] = (), back: Sequence[Box] = ()
    ) -> tuple[bytes, list[EncodedLayer]]:
        """Encode the image with a quality in [0, 6] for each layer; returns the file and its layers.

        Raises InputError on a wrong number of qualities or one that the model cannot code at.
        """
        if len(qualities) != len(self._sizes):
            raise InputError(f"{len(qualities)} qualities were given for {len(self._sizes)} layers")
        for quality in qualities:
            self._model.check_quality(quality)
        codes = [quality_scale.to_code(q) for q in qualities]
        layers: list[EncodedLayer] = []
        for target, code in zip(self.targets, codes, strict=True):
            below = layers[-1].decoded if layers else None
            size = target.pixels.shape[:2]
            prediction = predict_layer(self._model, below, size)
            codec = codec_of(self._model, below)
            y = self._base if prediction is None else codec.analyse(to_planes(target.pixels), prediction)
            layers.append(EncodedLayer(codec.encode(y, size, code, prediction, latent_of(below)), self.colour))
        table = [
            LayerData(*size, code, layer.payload, alpha)
            for size, code, layer, alpha in zip(self._sizes, codes, layers, self._alphas, strict=True)
        ]
        return container.write(self._model.hash, self.colour, table, front, back), layers


def encode_layers(
    image: Image.Image, sizes: Sequence[Size], qualities: Sequence[float], model: Model
) -> tuple[bytes, list[EncodedLayer]]:
    """Encode an image in layers: the file, and what the encoder knows of each layer. Raises as `LayerEncoder`."""
    return LayerEncoder(image, sizes, model).encode(qualities)
