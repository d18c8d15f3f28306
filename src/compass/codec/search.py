"""The quality that meets a target: the largest file within a size, or the smallest with a fidelity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

from compass.arguments import real_number
from compass.bitstream.boxes import Box
from compass.codec.encoder import LayerEncoder
from compass.entropy import quality as quality_scale
from compass.errors import InputError
from compass.picture.fidelity import psnr

_LOSSLESS = 1000.0  # dB, in place of infinity
_TOP = quality_scale.MAX_CODE
_NEAR = 8  # quality codes: a search with effort begins so far on either side of one without


def encode_to_size(encoder: LayerEncoder, target: int, front: Sequence[Box] = (), back: Sequence[Box] = ()) -> bytes:
    """The best file of at most `target` bytes with one quality for all layers. Raises InputError if there is none."""
    check_targets(target, None)
    files: dict[int, bytes] = {}

    def excess(code: int) -> float:
        files[code], _ = encoder.encode(_all_at(encoder, code), front, back)
        return math.log(len(files[code]) / target)

    code = _last_below(excess, _without_effort(encoder, excess))
    if code is None:
        raise InputError(f"no file of {target} bytes is possible: the smallest has {len(files[0])}")
    return files[code]


def encode_to_psnr(encoder: LayerEncoder, target: float, front: Sequence[Box] = (), back: Sequence[Box] = ()) -> bytes:
    """The smallest file whose largest layer has at least `target` dB of RGB-PSNR, with one quality for all layers.

    Raises InputError if there is none.
    """
    check_targets(None, target)
    files: dict[int, bytes] = {}
    reached: dict[int, float] = {}

    def lack(code: int) -> float:
        code = _TOP - code  # from the best quality down
        files[code], layers = encoder.encode(_all_at(encoder, code), front, back)
        reached[code] = psnr(layers[-1].pixels, encoder.targets[-1].pixels)
        return target - min(reached[code], _LOSSLESS)

    code = _last_below(lack, _without_effort(encoder, lack))
    if code is None:
        raise InputError(f"a PSNR of {target:g} dB is beyond the best that is possible here, {reached[_TOP]:.2f} dB")
    return files[_TOP - code]


def check_targets(size: int | None, fidelity: float | None) -> None:
    """Raises InputError if no image can be coded to so many bytes, or to so many dB."""
    if size is not None and not 1 <= real_number(size, "a target size is a number of bytes") < math.inf:
        raise InputError(f"no file of {size} bytes is possible")
    if fidelity is not None and not math.isfinite(real_number(fidelity, "a target PSNR is a number of dB")):
        raise InputError(f"a PSNR of {fidelity} dB cannot be aimed at")


def _all_at(encoder: LayerEncoder, code: int) -> list[float]:
    return [quality_scale.from_code(code)] * len(encoder.targets)


def _without_effort(encoder: LayerEncoder, excess: Callable[[int], float]) -> int | None:
    """About where the search will end, found at the least effort; None if that is the only one."""
    if encoder.effort == 1:
        return None
    effort, encoder.effort = encoder.effort, 1
    try:
        code = _last_below(excess)
    finally:
        encoder.effort = effort
    return code or 0


def _last_below(excess: Callable[[int], float], near: int | None = None) -> int | None:
    """The last quality code of 0.._TOP at which a rising function is at most zero, None if there is none.

    near: where it may be. By the Illinois variant of regula falsi (Dowell and Jarratt, BIT 1971): each value is asked
    for once.
    """
    low, high = (0, _TOP) if near is None else (max(0, near - _NEAR), min(_TOP, near + _NEAR))
    excess = cache(excess)
    while excess(low) > 0:
        if low == 0:
            return None
        low, high = max(0, low - 2 * _NEAR), low
    while excess(high) <= 0:
        if high == _TOP:
            return high
        low, high = high, min(_TOP, high + 2 * _NEAR)
    at_low, at_high = excess(low), excess(high)
    rose = None  # whether the last step moved the lower end
    while high - low > 1:
        code = low + round((high - low) * at_low / (at_low - at_high))
        code = min(high - 1, max(low + 1, code))
        value = excess(code)
        if value <= 0:
            low, at_low = code, value
            at_high /= 2 if rose is True else 1
        else:
            high, at_high = code, value
            at_low /= 2 if rose is False else 1
        rose = value <= 0
    return low
