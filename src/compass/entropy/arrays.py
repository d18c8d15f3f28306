"""Named arrays as plain little-endian bytes with an index that JSON can hold: what any language reads in ten lines."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compass.errors import ModelError

Arrays = Mapping[str, NDArray[Any]]
Index = dict[str, dict[str, Any]]

_INTEGERS = ("int8", "int16", "int32", "int64")
_TYPES = (*_INTEGERS, "float32", "float64")


def pack_arrays(arrays: Arrays) -> tuple[Index, bytes]:
    """The index (type, shape and first byte of each array) and the bytes of all, one after another, in C order.

    Integers take the smallest type that holds them; same arrays, same bytes.
    """
    index: Index = {}
    content = bytearray()
    for name, array in arrays.items():
        kind = _smallest(array) if array.dtype.kind in "iu" else array.dtype.name
        if kind not in _TYPES:
            raise TypeError(f"arrays of {kind} cannot be stored")
        index[name] = {"type": kind, "shape": list(array.shape), "offset": len(content)}
        content += np.ascontiguousarray(array, np.dtype(kind).newbyteorder("<")).tobytes()
    return index, bytes(content)


def unpack_arrays(index: Any, content: bytes) -> dict[str, NDArray[Any]]:
    """Inverse of `pack_arrays`, all integers as int64.

    Raises ModelError if the two do not fit, or if a number is not finite.
    """
    try:
        if sum(prod(entry["shape"]) * np.dtype(entry["type"]).itemsize for entry in index.values()) > len(content):
            raise ValueError("they are larger than the data")
        return {name: _unpack(entry, content) for name, entry in index.items()}
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"the arrays of the model are damaged: {error}") from None


def _unpack(entry: dict[str, Any], content: bytes) -> NDArray[Any]:
    kind, shape, offset = entry["type"], entry["shape"], entry["offset"]
    if kind not in _TYPES or not all(isinstance(n, int) and n >= 0 for n in (offset, *shape)):
        raise ValueError(f"an array of {kind} with shape {shape} is none")
    dtype = np.dtype(kind).newbyteorder("<")
    count = prod(shape)
    if offset + count * dtype.itemsize > len(content):
        raise ValueError("an array ends after the data does")
    array = np.frombuffer(content, dtype, count, offset).reshape(shape)
    if kind in _INTEGERS:
        return array.astype(np.int64)
    if not np.isfinite(array).all():
        raise ValueError("an array holds numbers that are not finite")
    return array.astype(np.dtype(kind))


def _smallest(array: NDArray[np.integer]) -> str:
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    return next(t for t in _INTEGERS if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
