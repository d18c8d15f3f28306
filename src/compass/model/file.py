"""The model file: a zip archive whose manifest names every member and its digest.

    model.json                                       the manifest, see `Manifest`
    decoder/base/       synthesis.onnx  entropy.json  entropy.bin
    decoder/residual/   the same; absent in a model that is a base codec alone
    decoder/predictor.onnx
    encoder/base/       analysis.onnx  hyper_analysis.onnx; and encoder/residual/
    training/base/      prior.json  prior.bin; and training/residual/

A file may hold the decoder's half alone. Model files come from anywhere: names, sizes and digests are checked before
anything is used, and whatever is wrong is a ModelError.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import replace as replace_field
from functools import cached_property
from pathlib import Path
from typing import Any

from compass.bitstream.container import HASH_BYTES
from compass.errors import ModelError, ModelFileError
from compass.files import atomic_writer

MANIFEST = "model.json"
FORMAT = 4
_READ = (3, FORMAT)  # before 4 no model had offsets of channels

_PARTS = "base|residual"
_MEMBER = re.compile(
    rf"decoder/(({_PARTS})/(synthesis\.onnx|entropy\.(json|bin))|predictor\.onnx)"
    rf"|encoder/({_PARTS})/(hyper_)?analysis\.onnx|training/({_PARTS})/prior\.(json|bin)"
)
_LIMITS = {".json": 1 << 20, ".bin": 1 << 24, ".onnx": 1 << 26}  # bytes of a member
_TOTAL_LIMIT = 1 << 27
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# What reading an archive and a manifest can raise beside OSError, BadZipFile and ValueError.
_BROKEN = (KeyError, TypeError, AttributeError, NotImplementedError, RuntimeError, RecursionError, struct.error)

Members = Mapping[str, bytes]


@dataclass(frozen=True)
class Member:
    """A member as the manifest names it."""

    size: int  # bytes
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> Member:
        return cls(len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class Manifest:
    """What a model file says of itself.

    hash: the four bytes that name the model in bitstreams; they guard against mistakes, not against forgery. sha256:
    of the table of members, and so of all that the model is but its card.
    """

    name: str
    hash: bytes
    sha256: str
    members: Mapping[str, Member]
    card: Mapping[str, Any]

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Raises KeyError, TypeError or ValueError on anything that is no manifest, ModelError on another format."""
        content = json.loads(data)
        if not isinstance(content, dict) or "format" not in content:
            raise ValueError("its manifest cannot be right")
        if content["format"] not in _READ:
            raise ModelError(f"it has model format {content['format']}, this program reads {_READ[0]} and {_READ[1]}")
        members = {name: Member(int(m["bytes"]), str(m["sha256"])) for name, m in content["members"].items()}
        manifest = cls(content["name"], bytes.fromhex(content["hash"]), content["sha256"], members, content["card"])
        if not _NAME.fullmatch(manifest.name) or len(manifest.hash) != HASH_BYTES:
            raise ValueError("its name or hash is none")
        if not isinstance(manifest.card, dict):
            raise ValueError("its card is not an object")
        for name, member in members.items():
            if not _MEMBER.fullmatch(name):
                raise ValueError(f"it lists {name!r}, which no model file holds")
            if not 0 <= member.size <= _LIMITS[Path(name).suffix]:
                raise ValueError(f"its {name} would have {member.size} bytes")
        if sum(member.size for member in members.values()) > _TOTAL_LIMIT:
            raise ValueError(f"it would have more than {_TOTAL_LIMIT} bytes")
        if manifest.sha256 != digest(members):
            raise ValueError("its members do not match its digest")
        return manifest

    @property
    def decoder_sha256(self) -> str:
        """Digest of what decoding needs: models that share it decode the same files to the same images."""
        return digest({name: m for name, m in self.members.items() if name.startswith("decoder/")})

    def as_json(self) -> bytes:
        """Inverse of `parse`."""
        members = {name: {"bytes": m.size, "sha256": m.sha256} for name, m in sorted(self.members.items())}
        content = {
            "format": FORMAT,
            "name": self.name,
            "hash": self.hash.hex(),
            "sha256": self.sha256,
            "members": members,
            "card": self.card,
        }
        return json.dumps(content, indent=1).encode()


def digest(members: Mapping[str, Member]) -> str:
    """SHA-256 over a line of name, size and SHA-256 for every member, sorted by name."""
    lines = [f"{name} {member.size} {member.sha256}\n" for name, member in sorted(members.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _decoder_members(names: Iterable[str]) -> set[str]:
    """What a decoder needs: a base codec, and if there is a part of any enhancement layers, all of theirs."""
    codec = ("synthesis.onnx", "entropy.json", "entropy.bin")
    needed = {f"decoder/base/{name}" for name in codec}
    if any(name == "decoder/predictor.onnx" or "/residual/" in name for name in names):
        needed |= {f"decoder/residual/{name}" for name in codec} | {"decoder/predictor.onnx"}
    return needed


class ModelFile:
    """A model file whose manifest has been read and checked; members are read, and checked, one at a time."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError if the file is missing, damaged, or of another format."""
        self.path = path
        with self._opened() as archive:
            names = archive.namelist()
            if len(names) > len(set(names)):
                raise ValueError("a member is there twice")
            self.manifest = Manifest.parse(_read(archive, MANIFEST, _LIMITS[".json"]))
            self._present = frozenset(names) - {MANIFEST}
            if unknown := self._present - self.manifest.members.keys():
                raise ValueError(f"it holds {min(unknown)!r}, which it does not list")
            if missing := _decoder_members(self.manifest.members) - self._present:
                raise ValueError(f"it has no {min(missing)}")

    def holds(self, name: str) -> bool:
        """Whether a member is in this file."""
        return name in self._present

    @property
    def decoder_only(self) -> bool:
        """Whether the encoder's half has been left out."""
        return not any(name.startswith("encoder/") for name in self._present)

    def read(self, name: str) -> bytes:
        """Content of a member. Raises ModelError if it is not there, or not what the manifest says."""
        if not self.holds(name):
            what = "the decoder's half alone" if self.decoder_only and name.startswith("encoder/") else f"no {name}"
            raise ModelError(f"the model {self.manifest.name} has {what}")
        with self._opened() as archive:
            content = _read(archive, name, self.manifest.members[name].size)
            if Member.of(content) != self.manifest.members[name]:
                raise ValueError(f"its {name} does not match its digest")
        return content

    def read_json(self, name: str) -> Any:
        """A JSON member. Raises ModelError if it is damaged."""
        content = self.read(name)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise ModelError(f"{self.path} is damaged: its {name} is no JSON") from None

    @property
    def whole(self) -> bool:
        """Whether every member of the decoder's half is what the manifest says."""
        try:
            return all(self.read(name) for name in self.manifest.members if name.startswith("decoder/"))
        except ModelError:
            return False

    @cached_property
    def members(self) -> Members:
        """All members. Raises ModelError if one is damaged."""
        return {name: self.read(name) for name in sorted(self._present)}

    @contextlib.contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                yield archive
        except FileNotFoundError:
            raise ModelError(f"there is no model file {self.path}") from None
        except ModelError as error:
            raise ModelError(f"{self.path} cannot be used: {error}") from None
        except OSError as error:
            raise ModelFileError(f"{self.path} cannot be read: {error.strerror or error}") from None
        except zipfile.BadZipFile:
            raise ModelError(f"{self.path} is not a model file, or is cut off or damaged") from None
        except ValueError as error:
            raise ModelError(f"{self.path} is not a model file: {error}") from None
        except _BROKEN:
            raise ModelError(f"{self.path} is not a model file: its manifest cannot be right") from None


def _read(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """At most `limit` bytes of a member. Raises ValueError if it is missing, damaged, or larger, stated or in truth."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ValueError(f"it has no {name}") from None
    if info.file_size > limit:
        raise ValueError(f"its {name} is too large")
    try:
        with archive.open(info) as file:
            content = file.read(limit + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise ValueError(f"its {name} is damaged") from None
    if len(content) > limit:
        raise ValueError(f"its {name} is too large")
    return content


def write_model(
    path: Path,
    name: str,
    members: Members,
    card: Mapping[str, Any],
    model_hash: bytes | None = None,
    replace: bool = True,
) -> Manifest:
    """Writes a model file: same members, same bytes.

    model_hash: by default the first bytes of the digest of the decoder's half, so that a better encoder keeps it.
    Raises ValueError if the members or the name are none of a model, InputError if the file cannot be written.
    """
    table = {member: Member.of(content) for member, content in members.items()}
    manifest = Manifest(name, model_hash or bytes(HASH_BYTES), digest(table), table, dict(card))
    if model_hash is None:
        manifest = replace_field(manifest, hash=bytes.fromhex(manifest.decoder_sha256)[:HASH_BYTES])
    Manifest.parse(manifest.as_json())
    _write(path, manifest, members, replace)
    return manifest


def write_decoder_half(source: ModelFile, path: Path, replace: bool = True) -> None:
    """The same model without what only encoding and training need. Raises InputError if it cannot be written."""
    decoder = {name: content for name, content in source.members.items() if name.startswith("decoder/")}
    _write(path, source.manifest, decoder, replace)


def _write(path: Path, manifest: Manifest, members: Members, replace: bool) -> None:
    with atomic_writer(path, replace) as file, zipfile.ZipFile(file, "w") as archive:
        for name, content in [(MANIFEST, manifest.as_json()), *sorted(members.items())]:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED, 9)
