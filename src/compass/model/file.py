"""The model file: a zip archive of ONNX graphs, integer tables and a card. Its hash names it in bitstreams.

card.json                                     what a person wants to know; not part of the hash
base/ and residual/                           one codec each; residual is absent in a base-only model
    analysis.onnx  synthesis.onnx  entropy.npz, and hyper_analysis.onnx of a codec with a hyperprior
    prior.npz                                 densities that the tables were made of; only training reads them
predictor.onnx
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compass.bitstream.container import HASH_BYTES
from compass.errors import ModelError

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
