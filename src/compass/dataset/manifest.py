"""What has become of each image of a data set: manifest.jsonl, one object a line."""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from compass.dataset.place import Place
from compass.errors import InputError

NAME = "manifest.jsonl"
_PART = "manifest-part-"
_SECONDS = 10.0  # between parts


@dataclass(frozen=True)
class Record:
    """An image and the layered file that was made of it, or what was wrong."""

    source: str
    source_size: int
    source_version: str
    settings: str
    file: str
    error: str | None = None
    source_sha256: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    mode: str | None = None
    layers: list[dict[str, Any]] = field(default_factory=list)  # width, height, quality, bytes, psnr in dB
    warnings: list[str] = field(default_factory=list)


class Manifest:
    """The manifest of a folder, and the parts of it that runs which did not end have left."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.records: dict[str, Record] = {}  # by source
        self._parts = []
        for entry in place.entries({".jsonl"}):
            if entry.name.startswith(_PART):
                self._parts.append(entry.name)
            if entry.name == NAME or entry.name.startswith(_PART):
                self._read(entry.name)

    def _read(self, name: str) -> None:
        try:
            for line in self._place.read(name).decode().splitlines():
                record = Record(**json.loads(line))
                self.records[record.source] = record
        except (ValueError, TypeError):
            raise InputError(f"{name} in {self._place.url} is no manifest: rename it, or name another folder") from None

    @contextmanager
    def writing(self) -> Iterator[_Writer]:
        """What is told of records. They are written in parts as they come, and all to one file when the block ends."""
        writer = _Writer(self._place)
        try:
            yield writer
        finally:
            writer.flush()
            self._parts += writer.parts
            self.records |= {record.source: record for record in writer.records}
            if self._parts:
                self._write_whole()

    def _write_whole(self) -> None:
        lines = [_line(self.records[source]) for source in sorted(self.records)]
        self._place.write(NAME, "".join(lines).encode())
        for name in self._parts:
            self._place.remove(name)
        self._parts = []


class _Writer:
    """Parts have names of their own: object stores cannot append, and two runs may write to one folder."""

    def __init__(self, place: Place) -> None:
        self._place, self._run = place, uuid.uuid4().hex[:8]
        self.records: list[Record] = []
        self.parts: list[str] = []
        self._unwritten: list[Record] = []
        self._written_at = time.monotonic()

    def add(self, record: Record) -> None:
        self.records.append(record)
        self._unwritten.append(record)
        if time.monotonic() - self._written_at > _SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._unwritten:
            name = f"{_PART}{self._run}-{len(self.parts):06}.jsonl"
            self._place.write(name, "".join(map(_line, self._unwritten)).encode())
            self.parts.append(name)
        self._unwritten, self._written_at = [], time.monotonic()


def _line(record: Record) -> str:
    return json.dumps(dataclasses.asdict(record), ensure_ascii=False, allow_nan=False) + "\n"
