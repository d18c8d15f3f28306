"""The model file: a zip archive of ONNX graphs, integer tables and a card. Its hash names it in bitstreams.

card.json                                     what a person wants to know; not part of the hash
base/ and residual/                           one codec each; residual is absent in a base-only model
    analysis.onnx  hyper_analysis.onnx  synthesis.onnx  entropy.npz
predictor.onnx
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compass.bitstream.container import HASH_BYTES
from compass.bitstream.entropy import Table
from compass.errors import ModelError
from compass.model import exact
from compass.model.latent import LatentCoder

CARD = "card.json"
FORMAT = 1


def write_model(path: Path, members: dict[str, bytes], card: dict[str, Any]) -> None:
    """Writes a model file: same members, same bytes. `card` gains the format number and the hash."""
    members = dict(sorted(members.items()))
    card = {**card, "format": FORMAT, "hash": hash_of(members).hex()}
    members[CARD] = json.dumps(card, indent=1).encode()
    partial = path.with_name(path.name + ".partial")
    with zipfile.ZipFile(partial, "w") as archive:
        for name, data in members.items():
            packing = zipfile.ZIP_STORED if name.endswith(".onnx") else zipfile.ZIP_DEFLATED  # weights do not shrink
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, packing)
    os.replace(partial, path)


def read_model(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Members and card of a model file. Raises ModelError if it is missing, damaged or of a later format."""
    with _opened(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
        card = _parse_card(members.pop(CARD))
    if card.get("format") != FORMAT:
        raise ModelError(f"{path} has model format {card.get('format')}, this program reads {FORMAT}")
    if card.get("hash") != hash_of(members).hex():
        raise ModelError(f"{path} is damaged: its content does not match its hash")
    return members, card


def read_card(path: Path) -> dict[str, Any]:
    """The card alone, without loading or checking the rest. Raises ModelError as `read_model` does."""
    with _opened(path) as archive:
        return _parse_card(archive.read(CARD))


def _parse_card(data: bytes) -> dict[str, Any]:
    card = json.loads(data)
    if not isinstance(card, dict):
        raise ValueError("its card is not an object")
    return card


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError:
        raise ModelError(f"there is no model file {path}") from None
    except (
        OSError,
        zipfile.BadZipFile,
        KeyError,
        ValueError,
        EOFError,
        zlib.error,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise ModelError(f"{path} is not a model file: {error}") from None


def hash_of(members: dict[str, bytes]) -> bytes:
    """First bytes of the SHA-256 over names, lengths and contents of all members but the card."""
    digest = hashlib.sha256()
    for name, data in sorted(members.items()):
        digest.update(f"{name}:{len(data)}:".encode() + data)
    return digest.digest()[:HASH_BYTES]


def pack_entropy(coder: LatentCoder) -> bytes:
    """The entropy model of one codec as an npz archive."""
    arrays: dict[str, NDArray[Any]] = {
        "log_gain": coder.log_gain,
        "scale_shift": coder.scale_shift.astype(np.int32),
        "thresholds": coder.thresholds,
        "medians": coder.medians.astype(np.int32),
        "layers": np.array([_kind(layer) for layer in coder.layers]),
    }
    for name, tables in (("y", coder.y_tables), ("z", coder.z_tables)):
        arrays[f"{name}_frequencies"] = np.concatenate([t.frequencies for t in tables]).astype(np.int32)
        arrays[f"{name}_lengths"] = np.array([len(t.frequencies) for t in tables], np.int32)
    for i, layer in enumerate(coder.layers):
        if isinstance(layer, exact.Convolution | exact.TransposedConvolution):
            arrays[f"weight{i}"] = layer.weight.astype(np.int32)
            arrays[f"bias{i}"] = layer.bias.astype(np.int64)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # np.savez would stamp the time of day
        for name, array in arrays.items():
            part = io.BytesIO()
            np.save(part, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0)), part.getvalue())
    return buffer.getvalue()


def unpack_entropy(data: bytes) -> LatentCoder:
    """Inverse of `pack_entropy`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        layers: list[exact.Layer] = []
        for i, kind in enumerate(arrays["layers"]):
            name, _, number = str(kind).partition(" ")
            if name in ("conv", "deconv"):
                make = exact.Convolution if name == "conv" else exact.TransposedConvolution
                layers.append(make(arrays[f"weight{i}"].astype(float), arrays[f"bias{i}"].astype(float)))
            elif name == "leaky":
                layers.append(exact.LeakyReLU(int(number)))
            elif name == "shuffle":
                layers.append(exact.PixelShuffle())
            else:
                raise ModelError(f"the model has a layer {name!r} that this program does not know")
        tables = {}
        for name in "yz":
            ends = np.cumsum(arrays[f"{name}_lengths"])[:-1]
            parts = np.split(arrays[f"{name}_frequencies"].astype(np.int64), ends)
            tables[name] = [Table(part) for part in parts]
        return LatentCoder(
            log_gain=arrays["log_gain"],
            scale_shift=arrays["scale_shift"].astype(np.int64),
            thresholds=arrays["thresholds"],
            medians=arrays["medians"].astype(np.int64),
            layers=layers,
            z_tables=tables["z"],
            y_tables=tables["y"],
        )


def _kind(layer: exact.Layer) -> str:
    if isinstance(layer, exact.Convolution):
        return "conv"
    if isinstance(layer, exact.TransposedConvolution):
        return "deconv"
    if isinstance(layer, exact.LeakyReLU):
        return f"leaky {layer.slope}"
    return "shuffle"
