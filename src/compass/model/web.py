"""The decoder's half of a model for browsers: two files, the first for the base layer alone.

A browser runs neither ONNX graphs nor zip archives, so `web/` knows the networks of the `fast` profile and needs
their weights only. A part is, little-endian: the magic `CMPW`; the length of a JSON header, 4 bytes; the header; and a
zlib stream of all arrays. The header holds `format`, `part`, the `model` hash, the integer `networks` of the entropy
model, and `arrays`: for each its name, type and shape, in order. The bytes of an array are stored by significance, the
lowest of all its numbers first.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compass.entropy.arrays import unpack_arrays
from compass.errors import ModelError
from compass.model import onnx_fields as onnx
from compass.model.file import ModelFile
from compass.model.protobuf import fields, message, repeated

MAGIC = b"CMPW"
FORMAT = 2
PARTS = ("base", "residual")

_BLOCK = r"(spatial\.[023]|first|second|project)\.(weight|bias)"
_SYNTHESIS = re.compile(rf"enter\.0\.(weight|bias)|(condition\.view|leave\.0)\.(weight|bias)|blocks\.\d+\.{_BLOCK}")
_PREDICTOR = re.compile(rf"predictor\.((enter|leave|axis\.[02]|taps)\.(weight|bias)|blocks\.\d+\.{_BLOCK})")
_TYPES = {onnx.FLOAT: "<f4", onnx.HALF: "<f2"}


def web_parts(file: ModelFile) -> dict[str, bytes]:
    """Contents of the files for browsers, by part; without the residual if the model has one layer only.

    Raises ModelError if it is no model of the `fast` profile.
    """
    parts = [part for part in PARTS if file.holds(f"decoder/{part}/synthesis.onnx")]
    return {part: _part(file, part) for part in parts}


def _part(file: ModelFile, part: str) -> bytes:
    description = file.read_json(f"decoder/{part}/entropy.json")
    index = description["arrays"]
    found = unpack_arrays(index, file.read(f"decoder/{part}/entropy.bin"))
    arrays = {name: array.astype(index[name]["type"]) for name, array in found.items()}
    arrays |= _weights(file, f"decoder/{part}/synthesis.onnx", _SYNTHESIS, "synthesis.")
    if part == "residual":
        arrays |= _weights(file, "decoder/predictor.onnx", _PREDICTOR, "")
    networks = {name: value for name, value in description.items() if name not in ("arrays", "kind")}
    header = {
        "format": FORMAT,
        "part": part,
        "model": file.manifest.hash.hex(),
        "networks": networks,
        "arrays": [[name, array.dtype.name, array.shape] for name, array in arrays.items()],
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    body = zlib.compress(b"".join(map(_by_significance, arrays.values())), 9)
    return MAGIC + struct.pack("<I", len(text)) + text + body


def _by_significance(array: NDArray[Any]) -> bytes:
    flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
    return flat.view(np.uint8).reshape(-1, array.itemsize).T.tobytes()


def _weights(file: ModelFile, member: str, known: re.Pattern[str], prefix: str) -> dict[str, NDArray[Any]]:
    """The weights of a graph by their names. Raises ModelError if one is unknown, or is no array of floats."""
    try:
        found = {name.removesuffix(".half"): array for name, array in _initializers(file.read(member))}
    except (IndexError, KeyError, ValueError):
        found = {}
    # Of several biases that are equal the export keeps one: such are zeros, and a missing one is taken for them.
    lost = [name for name in found if name.endswith("weight") and name.removesuffix("weight") + "bias" not in found]
    zeros = any(name.endswith("bias") and not array.any() for name, array in found.items())
    if not found or not all(known.fullmatch(name) for name in found) or (lost and not zeros):
        raise ModelError(f"the model {file.manifest.name} is not of the profile that browsers can decode")
    return {prefix + name: array for name, array in found.items()}


def _initializers(data: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    for number, graph in fields(memoryview(data)):
        if number == onnx.MODEL_GRAPH:
            for kind, tensor in fields(message(graph)):
                if kind == onnx.GRAPH_INITIALIZER:
                    yield _tensor(message(tensor))


def _tensor(data: memoryview) -> tuple[str, NDArray[Any]]:
    name, raw, kind = "", b"", onnx.FLOAT
    sides: list[int] = []
    for number, value in fields(data):
        if number == onnx.TENSOR_NAME:
            name = bytes(message(value)).decode()
        elif number == onnx.TENSOR_RAW:
            raw = bytes(message(value))
        elif number == onnx.TENSOR_SIDE:
            sides += repeated(value)
        elif number == onnx.TENSOR_TYPE and isinstance(value, int):
            kind = value
    return name, np.frombuffer(raw, _TYPES[kind]).reshape(sides)
