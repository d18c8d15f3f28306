"""The contract of codecs under test: code a pyramid of images to real bytes, and decode each layer again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from compass.errors import CompassError
from compass.picture.pyramid import Pixels

T = TypeVar("T")
Settings = Mapping[str, Any]


class UnavailableError(CompassError):
    """A codec needs a program or a model that is not there."""


class ImageResult(NamedTuple):
    """One image after coding and decoding."""

    bytes: int  # of the file, its headers included; of a layer, those that it adds
    image: Pixels  # [H, W, 3]
    encoding_time: float  # seconds until all is coded that a reader of this image needs
    decoding_time: float | None  # seconds from the file to this image; None where nothing was decoded
    payload_bytes: int | None = None  # entropy-coded bytes alone, where they are known
    planes: NDArray[np.floating] | None = None  # [H, W, 3] in 0..255 before rounding, where it is known


class LayerResult(NamedTuple):
    """One layer after coding and decoding."""

    coded: ImageResult
    accumulated_bytes: int  # all that a reader of this layer needs


class ImageCodec(Protocol):
    """Codes one image at one size."""

    @property
    def name(self) -> str: ...

    @property
    def qualities(self) -> Sequence[float]:
        """Settings for a usual curve, in the codec's own measure."""

    def settings(self) -> Settings:
        """All that is needed to repeat a result. Raises UnavailableError if something is missing here."""

    def code(self, image: Pixels, quality: float) -> ImageResult:
        """Codes [H, W, 3] and decodes it again."""


class LayeredCodec(Protocol):
    """Codes a pyramid of images, smallest first."""

    @property
    def name(self) -> str: ...

    @property
    def qualities(self) -> Sequence[float]: ...

    def settings(self) -> Settings: ...

    def code(self, pyramid: Sequence[Pixels], quality: float) -> list[LayerResult]:
        """Codes images [H_k, W_k, 3]. Raises InputError if their sizes are none that the codec can make layers of."""


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """Call a function; returns its result and the wall-clock seconds that it took."""
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started
