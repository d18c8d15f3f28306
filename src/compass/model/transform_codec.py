"""One codec of a model: analysis, synthesis, and the entropy model between them.

Transforms work on whole images as on windows of them: what they make of a cell of 16x16 pixels, one position of the
latent, depends on nothing further than `MARGIN` positions around it.
"""

from __future__ import annotations

import json
from functools import cached_property

import numpy as np

from compass.entropy.latent import DecodedLatent, EncodedLatent, EntropyModel, Floats, Size, hyper_size, latent_size
from compass.entropy.storage import pack_entropy_model, unpack_entropy_model
from compass.errors import ModelError
from compass.model.file import ModelFile
from compass.model.gradient import with_gradient
from compass.model.runtime import Network

MARGIN = 2


class TransformCodec:
    """Codes images, or what their predictions lack. Parts of the model file are read when they are first needed."""

    def __init__(self, file: ModelFile, part: str, threads: int) -> None:
        """part: "base" or "residual"."""
        self._file, self._part, self._threads = file, part, threads

    @cached_property
    def entropy_model(self) -> EntropyModel:
        folder = f"decoder/{self._part}"
        return unpack_entropy_model(
            self._file.read_json(f"{folder}/entropy.json"), self._file.read(f"{folder}/entropy.bin")
        )

    def _network(self, half: str, name: str) -> Network:
        return Network(self._file.read(f"{half}/{self._part}/{name}.onnx"), f"{self._part} {name}", self._threads)

    @cached_property
    def _analysis(self) -> Network:
        return self._network("encoder", "analysis")

    @cached_property
    def _hyper_analysis(self) -> Network:
        return self._network("encoder", "hyper_analysis")

    @cached_property
    def _synthesis(self) -> Network:
        return self._network("decoder", "synthesis")

    @cached_property
    def _gradient(self) -> Network:
        name = f"{self._part} synthesis"
        graph = with_gradient(self._file.read(f"decoder/{self._part}/synthesis.onnx"), name)
        return Network(graph, f"{name} with gradient", self._threads)

    def prepare(self, encoder: bool) -> None:
        """Reads and checks all parts, those of the encoder on wish. Raises ModelError."""
        networks, model = [self._synthesis], self.entropy_model
        if encoder:
            networks += [self._analysis] + [self._hyper_analysis] * bool(model.hyper_channels)
        for network in networks:
            network.prepare()

    def analyse(self, image: Floats, prediction: Floats | None = None) -> Floats:
        """y [M, h, w], before any gain, of an image [3, H, W] in [0, 1], or of what its prediction lacks.

        Networks that are conditional on the prediction see it too.
        """
        x = image if prediction is None else image - prediction
        shape = (self.entropy_model.channels, *_latent_size(x.shape[1:]))
        return self._analysis({"x": x[None]} | _seen(prediction), shape)

    def scaled(self, y: Floats, quality_code: int) -> tuple[Floats, Floats | None]:
        """y times the gain of a quality, and its hyper-latent z [N, h', w'] if the codec has one."""
        y = y * self.entropy_model.gain(quality_code)
        n = self.entropy_model.hyper_channels
        if not n:
            return y, None
        return y, self._hyper_analysis({"y": y[None]}, (n, hyper_size(y.shape[1]), hyper_size(y.shape[2])))

    def encode(self, y: Floats, quality_code: int) -> EncodedLatent:
        """Codes what `analyse` made, or a part of it as if it were an image of its own."""
        return self.entropy_model.encode(*self.scaled(y, quality_code), quality_code)

    def decode(self, payload: bytes, size: Size, quality_code: int) -> DecodedLatent:
        """The latent [M, *size] of what `encode` has coded. Raises FormatError if they do not fit."""
        return self.entropy_model.decode(payload, size, quality_code)

    def synthesise(self, values: Floats, size: Size, quality_code: int, prediction: Floats | None = None) -> Floats:
        """The image [3, *size] of a latent's values, on its prediction if there is one."""
        y = (values / self.entropy_model.gain(quality_code)).astype(np.float32)
        whole = self._synthesis({"y": y[None]} | _seen(prediction), (3, 16 * y.shape[1], 16 * y.shape[2]))
        planes = whole[:, : size[0], : size[1]]
        return planes if prediction is None else prediction + planes

    def error(
        self, values: Floats, target: Floats, weight: Floats, quality_code: int, prediction: Floats | None = None
    ) -> tuple[float, Floats]:
        """Weighted squared error of what `synthesise` makes of a latent's values, and its derivatives by the values.

        target: image [3, H, W]; weight: [H, W], of the squared error at each pixel. Raises ModelError if the
        derivatives are not known.
        """
        gain = self.entropy_model.gain(quality_code)
        height, width = 16 * values.shape[1], 16 * values.shape[2]
        lacking = target if prediction is None else target - prediction
        beyond = ((0, height - target.shape[1]), (0, width - target.shape[2]))
        feeds = {
            "y": (values / gain)[None].astype(np.float32),
            "target": np.pad(lacking, ((0, 0), *beyond))[None],
            "weight": np.pad(weight, beyond)[None, None],
        }
        error, gradient = self._gradient.run(feeds | _seen(prediction))
        if gradient.shape != (1, *values.shape):
            raise ModelError(f"the model's {self._part} synthesis has a gradient of shape {gradient.shape}")
        return float(error), gradient[0] / gain


def entropy_members(model: EntropyModel, part: str) -> dict[str, bytes]:
    """Members of a model file that hold the entropy model of one codec, "base" or "residual".

    Raises ModelError if a decoder would refuse it.
    """
    description, content = pack_entropy_model(model)
    unpack_entropy_model(description, content)
    return {
        f"decoder/{part}/entropy.json": json.dumps(description).encode(),
        f"decoder/{part}/entropy.bin": content,
    }


def _latent_size(size: tuple[int, ...]) -> Size:
    return latent_size(size[0]), latent_size(size[1])


def _seen(prediction: Floats | None) -> dict[str, Floats]:
    return {} if prediction is None else {"prediction": prediction[None]}
