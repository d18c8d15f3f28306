"""A loaded model: two transform codecs and a predictor."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from compass.errors import InputError, ModelError
from compass.model.file import ModelFile
from compass.model.predictor import Predictor
from compass.model.transform_codec import TransformCodec


class Model:
    """A model file, loaded lazily: a part is read and prepared when it is first needed."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """threads: of every network, 0 for as many as there are processors. Results do not depend on it.

        Raises ModelError if the file cannot be used.
        """
        self.file = ModelFile(path)
        self._threads = threads
        self.base = TransformCodec(self.file, "base", threads)

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def card(self) -> Mapping[str, Any]:
        """The model card: what its maker says of it."""
        return self.file.manifest.card

    @property
    def name(self) -> str:
        return self.file.manifest.name

    @property
    def hash(self) -> bytes:
        """The four bytes that name the model in bitstreams."""
        return self.file.manifest.hash

    @property
    def one_layer(self) -> bool:
        """Whether the model is a base codec alone."""
        return not self.file.holds("decoder/residual/entropy.json")

    @property
    def default_scales(self) -> tuple[float, ...]:
        return (1.0,) if self.one_layer else (1 / 4, 1 / 2, 1.0)

    @property
    def default_quality(self) -> float:
        return 3.0 if self._only_quality is None else self._only_quality

    @property
    def _only_quality(self) -> float | None:
        quality = self.card.get("quality")
        return float(quality) if isinstance(quality, int | float) and 0 <= quality <= 6 else None

    def check_layers(self, count: int) -> None:
        """Raises ModelError if the model cannot code so many layers."""
        if count > 1 and self.one_layer:
            raise ModelError(f"the model {self.name} codes one layer only")

    def check_quality(self, quality: float) -> None:
        """Raises InputError if the model was trained for another quality alone."""
        if self._only_quality is not None and quality != self._only_quality:
            raise InputError(f"the model {self.name} codes at quality {self._only_quality:g} only, not {quality:g}")

    def check(self) -> None:
        """Reads and prepares every part that the file holds. Raises ModelError if one cannot be used."""
        encoder = not self.file.decoder_only
        self.base.prepare(encoder)
        if not self.one_layer:
            self.residual.prepare(encoder)
            self.predict.network.prepare()
        _ = self.file.members  # and those that nothing above reads

    @cached_property
    def residual(self) -> TransformCodec:
        """Codec of the enhancement layers. Raises ModelError in a model that has none."""
        self.check_layers(2)
        return TransformCodec(self.file, "residual", self._threads)

    @cached_property
    def predict(self) -> Predictor:
        """The prediction of the enhancement layers. Raises ModelError in a model that has none."""
        self.check_layers(2)
        return Predictor(self.file.read("decoder/predictor.onnx"), self._threads)
