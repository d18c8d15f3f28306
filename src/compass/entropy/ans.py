"""Entropy coding of integers with frequency tables: asymmetric numeral systems, by constriction or in plain Python.

Values beyond a table's reach are coded as its escape, followed by an Elias-gamma-like code of uniform bits. All
symbols of one table are coded as one array, which keeps the Python part small.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from compass.entropy import plain_coder
from compass.entropy.tables import PRECISION, FrequencyTable
from compass.errors import FormatError, InputError

try:
    import constriction
except ImportError:  # there is no wheel of it for this machine
    constriction = None

_CLASSES = 22  # bit lengths of escaped values
_LIMIT = 1 << 20  # of a symbol's magnitude
_TOO_LARGE = "a latent value is too large to be coded"
_Symbols = NDArray[np.int32]
_models: WeakKeyDictionary[FrequencyTable, object] = WeakKeyDictionary()


def ideal_bits(values: NDArray[np.integer], table: FrequencyTable) -> float:
    """Code length of values at -log2 of their probabilities, escapes included."""
    inside = np.abs(values) <= table.reach
    index = np.where(inside, values + table.reach, 2 * table.reach + 1)
    total = float(np.sum(PRECISION - np.log2(table.frequencies[index])))
    classes, _ = _split_escapes(values[~inside], table.reach)
    return total + float(np.sum(np.log2(_CLASSES) + classes))


def rounded(values: NDArray[np.floating]) -> _Symbols:
    """Values rounded to symbols. Raises InputError if one is not finite, or too large to be coded."""
    if not np.all(np.abs(values) < _LIMIT - 1):
        raise InputError(_TOO_LARGE)
    return np.rint(values).astype(np.int32)


class Encoder:
    """Collects (values, table) groups in the order in which a decoder will read them."""

    def __init__(self) -> None:
        self._groups: list[tuple[NDArray[np.int64], FrequencyTable]] = []

    def put(self, values: NDArray[np.integer], table: FrequencyTable) -> None:
        """values: any shape, coded in C order."""
        if values.size:
            self._groups.append((values.astype(np.int64).ravel(), table))

    def finish(self) -> bytes:
        """The coded bytes. Raises InputError on a value of 2^20 or more in magnitude."""
        coder = _coder()
        for values, table in reversed(self._groups):  # int64: the magnitude of the smallest int32 is not one
            symbols = values + table.reach
            inside = np.abs(values) <= table.reach
            if not inside.all():
                classes, rest = _split_escapes(values[~inside], table.reach)
                for c in reversed(_with_bits(classes)):
                    _push(coder, rest[classes == c], _uniform(1 << c))
                _push(coder, classes, _uniform(_CLASSES))
                symbols[~inside] = 2 * table.reach + 1
            _push(coder, symbols, _model_of(table))
        return coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


class Decoder:
    """Reads groups in the order in which they were put."""

    def __init__(self, data: bytes) -> None:
        """Raises FormatError on bytes that no encoder ends with."""
        if data.endswith(b"\0"):
            raise FormatError("the entropy-coded data ends in a zero byte")
        padded = data + bytes(-len(data) % 4)
        self._coder = _coder(np.frombuffer(padded, "<u4").astype(np.uint32))

    def get(self, count: int, table: FrequencyTable) -> NDArray[np.int32]:
        """The next `count` values coded with `table`."""
        if count == 0:
            return np.zeros(0, np.int32)
        symbols = self._coder.decode(_model_of(table), count)
        values: NDArray[np.int32] = symbols - np.int32(table.reach)
        if symbols.max() == 2 * table.reach + 1:
            escaped = np.flatnonzero(symbols == 2 * table.reach + 1)
            classes = self._coder.decode(_uniform(_CLASSES), escaped.size)
            rest = np.zeros(escaped.size, np.int64)
            for c in _with_bits(classes):
                chosen = np.flatnonzero(classes == c)
                rest[chosen] = self._coder.decode(_uniform(1 << c), chosen.size)
            folded = (np.int64(1) << classes.astype(np.int64)) - 1 + rest
            magnitude = table.reach + 1 + (folded >> 1)
            values[escaped] = np.where(folded & 1, -magnitude, magnitude)
        return values

    def finish(self) -> None:
        """Raises FormatError unless everything that was coded has been read."""
        if not self._coder.is_empty():
            raise FormatError("the entropy-coded data does not end where it should")


def _split_escapes(values: NDArray[np.integer], reach: int) -> tuple[_Symbols, _Symbols]:
    """Bit class c and the c low bits of each escaped value: sign folded in, then offset to 2^c - 1 + rest."""
    if values.size and np.abs(values.astype(np.int64)).max() >= _LIMIT:
        raise InputError(_TOO_LARGE)
    folded = 2 * (np.abs(values.astype(np.int64)) - reach - 1) + (values < 0)
    classes = np.frexp((folded + 1).astype(np.float64))[1] - 1
    rest = folded + 1 - (np.int64(1) << classes.astype(np.int64))
    return classes.astype(np.int32), rest.astype(np.int32)


def coder_name() -> str:
    """What codes here: for people, since the bytes are the same."""
    return "plain Python" if constriction is None else "constriction"


def _coder(words: NDArray[np.uint32] | None = None) -> Any:
    make = plain_coder.AnsCoder if constriction is None else constriction.stream.stack.AnsCoder
    return make() if words is None else make(words)


def _with_bits(classes: _Symbols) -> list[int]:
    """The classes among these that have bits to code, ascending: each once."""
    return [c for c in np.unique(classes).tolist() if c > 0]


def _push(coder: Any, symbols: NDArray[np.integer], model: object) -> None:
    coder.encode_reverse(np.ascontiguousarray(symbols, dtype=np.int32), model)


def _model_of(table: FrequencyTable) -> object:
    """The coder's form of a table, made once.

    constriction rounds p_i to floor(p_i * (2^24 - n) / sum(p)) + 1 by running sums. With p_i = f_i - 1 the factor is
    exactly one and all running sums are integers, so it arrives at f_i again, whatever the machine.
    """
    model = _models.get(table)
    if model is None:
        if constriction is None:
            model = plain_coder.Table(table.frequencies.tolist())
        else:
            weights = (table.frequencies - 1).astype(np.float32)
            model = constriction.stream.model.Categorical(weights, perfect=False)
        _models[table] = model
    return model


def _uniform(size: int) -> object:
    return plain_coder.Uniform(size) if constriction is None else constriction.stream.model.Uniform(size)
