"""A loaded model: two picture codecs and a predictor, on ONNX Runtime."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compass.errors import InputError, ModelError
from compass.model.file import read_card, read_model
from compass.model.latent import Floats, Latent, LatentCoder, check_payload_sane, gain, latent_size
from compass.model.session import open_session, run_session
from compass.model.tables import unpack_entropy
from compass.picture.coordinates import axis_grid

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

WEIGHTS = Path(__file__).parent / "weights"
DEFAULT = "fast"


class Coded(NamedTuple):
    """One picture after coding."""

    payload: bytes
    picture: Floats  # [3, H, W], what a decoder will see
    ideal_bits: float


class PictureCodec:
    """Analysis, synthesis and entropy model of one codec of a model."""

    def __init__(self, members: dict[str, bytes], prefix: str, threads: int) -> None:
        self._members, self._prefix, self._threads = members, prefix, threads

    @cached_property
    def latent(self) -> LatentCoder:
        return unpack_entropy(self._member("entropy.npz"))

    def _member(self, name: str) -> bytes:
        try:
            return self._members[self._prefix + name]
        except KeyError:
            raise ModelError(f"the model file has no {self._prefix}{name}") from None

    @cached_property
    def _analysis(self) -> InferenceSession:
        return open_session(self._member("analysis.onnx"), self._threads)

    @cached_property
    def _hyper_analysis(self) -> InferenceSession:
        return open_session(self._member("hyper_analysis.onnx"), self._threads)

    @cached_property
    def _synthesis(self) -> InferenceSession:
        return open_session(self._member("synthesis.onnx"), self._threads)

    def transform(self, picture: Floats, prediction: Floats | None = None) -> Floats:
        """Latent [M, h, w] of a picture [3, H, W] in [0, 1], or of what its prediction lacks, before any gain.

        Networks that are conditional on the prediction see it too.
        """
        x = picture if prediction is None else picture - prediction
        return run_session(self._analysis, {"x": x[None]} | _context(prediction))

    def analyse(self, latent: Floats, code: int) -> tuple[Floats, Floats | None]:
        """y [M, h, w], a latent times the gain of a stored quality, and the hyper-latent z if there is one."""
        y = latent * gain(self.latent, code)
        hyper = self._prefix + "hyper_analysis.onnx"
        return y, run_session(self._hyper_analysis, {"y": y[None]}) if hyper in self._members else None

    def encode(self, picture: Floats, code: int, prediction: Floats | None = None) -> Coded:
        """Codes a picture [3, H, W] in [0, 1], or what its prediction lacks, at a stored quality."""
        size = picture.shape[1], picture.shape[2]
        return self.encode_transformed(self.transform(picture, prediction), size, code, prediction)

    def encode_transformed(
        self, latent: Floats, size: tuple[int, int], code: int, prediction: Floats | None = None
    ) -> Coded:
        """The same for what `transform` made of a picture of size (H, W)."""
        payload, coded, bits = self.latent.encode(*self.analyse(latent, code), code)
        return Coded(payload, self._synthesise(coded, size, code, prediction), bits)

    def decode(self, payload: bytes, size: tuple[int, int], code: int, prediction: Floats | None = None) -> Floats:
        """The picture [3, *size] of a payload. Raises FormatError if they do not fit."""
        return self._synthesise(self.decode_latent(payload, size, code), size, code, prediction)

    def decode_latent(self, payload: bytes, size: tuple[int, int], code: int) -> Latent:
        """The latent of a payload for a picture of size (H, W). Raises FormatError if they do not fit."""
        y_size = (latent_size(size[0]), latent_size(size[1]))
        check_payload_sane(payload, y_size[0] * y_size[1] * self.latent.log_gain.shape[1])
        return self.latent.decode(payload, y_size, code)

    def _synthesise(self, latent: Latent, size: tuple[int, int], code: int, prediction: Floats | None) -> Floats:
        y = (latent.values / gain(self.latent, code)).astype(np.float32)
        coded = run_session(self._synthesis, {"y": y[None]} | _context(prediction))[:, : size[0], : size[1]]
        return coded if prediction is None else prediction + coded


def _context(prediction: Floats | None) -> dict[str, Floats]:
    return {} if prediction is None else {"prediction": prediction[None]}


class Predictor:
    """The inter-layer prediction of a model."""

    def __init__(self, graph: bytes, threads: int) -> None:
        self._session = open_session(graph, threads)

    def __call__(self, lower: Floats, size: tuple[int, int]) -> Floats:
        """Prediction [3, *size] of a layer from the picture below it, [3, h, w] in [0, 1]."""
        feeds: dict[str, NDArray[Any]] = {"x": lower[None]}
        for name, small, large in (("rows", lower.shape[1], size[0]), ("columns", lower.shape[2], size[1])):
            grid = axis_grid(small, large)
            feeds |= {f"{name}_{field}": value for field, value in grid._asdict().items()}
            feeds[f"{name}_log_ratio"] = np.array([np.log(large / small)], np.float32)
        return run_session(self._session, feeds)


class Model:
    """A model file, loaded lazily: a graph is prepared when it is first needed."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """threads: of every network, 0 for as many as there are processors. Results do not depend on it."""
        self.path = path
        self._members, self.card = read_model(path)
        self._threads = threads
        self.base = PictureCodec(self._members, "base/", threads)

    @property
    def name(self) -> str:
        return str(self.card.get("name", self.path.stem))

    @property
    def hash(self) -> bytes:
        return bytes.fromhex(self.card["hash"])

    @property
    def one_layer(self) -> bool:
        """Whether the model is a base codec alone."""
        return "residual/entropy.npz" not in self._members

    @property
    def default_scales(self) -> tuple[float, ...]:
        return (1.0,) if self.one_layer else (1 / 4, 1 / 2, 1.0)

    @property
    def default_quality(self) -> float:
        return float(self.card.get("quality", 3.0))

    def check_layers(self, count: int) -> None:
        """Raises ModelError if the model cannot code so many layers."""
        if count > 1 and self.one_layer:
            raise ModelError(f"the model {self.name} codes one layer only")

    def check_quality(self, quality: float) -> None:
        """Raises InputError if the model was trained for another quality alone."""
        if "quality" in self.card and quality != self.default_quality:
            raise InputError(f"the model {self.name} codes at quality {self.default_quality:g} only, not {quality:g}")

    @cached_property
    def residual(self) -> PictureCodec:
        """Codec of the enhancement layers. Raises ModelError in a model that has none."""
        self.check_layers(2)
        return PictureCodec(self._members, "residual/", self._threads)

    @cached_property
    def predict(self) -> Predictor:
        """The prediction of the enhancement layers. Raises ModelError in a model that has none."""
        self.check_layers(2)
        return Predictor(self._members["predictor.onnx"], self._threads)


def shipped() -> dict[str, Path]:
    """Model files that come with the package, by name."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.model"))}


def shipped_names() -> dict[bytes, str]:
    """Names of the shipped models by hash."""
    cards = map(read_card, shipped().values())
    return {bytes.fromhex(card["hash"]): str(card["name"]) for card in cards}


def load(name: str | Path | None = None, threads: int = 0) -> Model:
    """A model by name or file; None is the default model. Raises ModelError if there is none."""
    text = str(name) if name is not None else DEFAULT
    models = shipped()
    if text in models:
        return _load_cached(models[text], threads)
    if Path(text).is_file():
        return Model(Path(text), threads)
    raise ModelError(f"there is no model {text!r}: give a file, or one of {', '.join(models) or 'none shipped'}")


def load_for(model_hash: bytes, name: str | Path | None = None, threads: int = 0) -> Model:
    """The model that a bitstream names; `name` forces one. Raises ModelError if it is not at hand."""
    if name is not None:
        model = load(name, threads)
        if model.hash != model_hash:
            raise ModelError(f"the file needs the model {model_hash.hex()}, but {model.name} is {model.hash.hex()}")
        return model
    for path in shipped().values():
        if read_card(path).get("hash") == model_hash.hex():
            return _load_cached(path, threads)
    raise ModelError(f"the file needs the model {model_hash.hex()}, which is not installed: name its file with --model")


@lru_cache(maxsize=4)
def _load_cached(path: Path, threads: int) -> Model:
    return Model(path, threads)
