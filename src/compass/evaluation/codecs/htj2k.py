"""HTJ2K (ISO/IEC 15444-15) by resolution, by OpenJPH in `imagecodecs`. The quality is the quantisation step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compass.evaluation.codecs.by_resolution import LEVELS, cut_into_layers, halvings
from compass.evaluation.codecs.contract import LayerResult, Settings, UnavailableError, timed
from compass.picture.pyramid import Pixels

# In the upper and lower quarter of 16 bits nothing is coded: the library wraps values that leave the range around.
_GAIN, _OFFSET = 128, 16384
_OPTIONS: dict[str, Any] = {"rgb": True, "reversible": False, "resolutions": LEVELS, "tilepart": True}


@dataclass(frozen=True)
class HTJ2K:
    name: str = "htj2k"
    qualities: Sequence[float] = (0.15, 0.1, 0.065, 0.042, 0.028, 0.018)

    def settings(self) -> Settings:
        library = _library()
        return {
            "program": f"imagecodecs {library.__version__}, {library.htj2k_version()}",
            "options": _OPTIONS,
            "gain": _GAIN,
        }

    def code(self, pyramid: Sequence[Pixels], quality: float) -> list[LayerResult]:
        library, counts = _library(), halvings(pyramid)
        samples = pyramid[-1].astype(np.uint16) * _GAIN + _OFFSET
        data, encoding = timed(lambda: bytes(library.htj2k_encode(samples, level=quality, **_OPTIONS)))

        def decode(prefix: bytes, count: int) -> Pixels:
            decoded = np.asarray(library.htj2k_decode(prefix, skipres=count, resilient=True), np.float64)
            return np.clip(np.rint((decoded - _OFFSET) / _GAIN), 0, 255).astype(np.uint8)

        return cut_into_layers(data, counts, encoding, decode)


def _library() -> Any:
    try:
        import imagecodecs
    except ModuleNotFoundError:
        raise UnavailableError("imagecodecs cannot be found: install it, or leave this codec out") from None
    if not imagecodecs.HTJ2K.available:
        raise UnavailableError("this imagecodecs has no HTJ2K")
    return imagecodecs
