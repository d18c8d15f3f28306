"""What has become of each image of a data set: manifest.jsonl, one object a line."""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from compass.dataset.place import Place
from compass.errors import InputError

NAME = "manifest.jsonl"
NOT_YET = "not done yet"
_PART = "manifest-part-"
_SECONDS = 10.0  # between parts


@dataclass(frozen=True)
class Record:
    """An image, the layered file that was made of it, and what went wrong when it was tried last.

    What is said of a file is None where there is none; where an image fails, it is still that of the file from before.
    """

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
    source_folder: str = ""  # that the image was in; empty in manifests of before


class Manifest:
    """The manifest of a folder, and the parts of it that runs have left which did not end, or have not yet."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.records: dict[str, Record] = {}  # by source
        self._parts: list[str] = []
        self._read_all()

    def _read_all(self) -> None:
        """What is newer counts: parts after the whole, and among them by the time in their names."""
        names = self._names()
        self._parts = [name for name in names if name.startswith(_PART)]
        for name in [name for name in names if name == NAME] + self._parts:
            for record in self._read(name):
                self.records[record.source] = record

    def _names(self) -> list[str]:
        return [entry.name for entry in self._place.entries({".jsonl"}, deep=False)]

    def _read(self, name: str) -> list[Record]:
        try:
            data = self._place.read(name)
        except InputError:
            if name not in self._names():
                return []  # another run has joined it to the whole
            raise
        try:
            return [Record(**json.loads(line)) for line in data.decode().split("\n") if line]
        except (ValueError, TypeError):
            raise InputError(f"{name} in {self._place.url} is no manifest: rename it, or name another folder") from None

    @contextmanager
    def writing(self, begun: Iterable[Record], gone: Collection[str] = ()) -> Iterator[_Writer]:
        """What is told of records. They are written in parts as they come, and all to one file when the block ends.

        begun: records of what is about to be done. They are written first, so that after a kill nothing is taken for
        done whose file may have changed, and the files are known for this command's own. gone: images that there are
        no more; the record of one of which no file was made is left out.
        """
        writer = _Writer(self._place)
        for record in begun:
            writer.add(replace(record, error=NOT_YET))
        try:
            writer.flush()
        except InputError as error:
            raise InputError(f"{self._place.url} cannot be written to: {str(error).rpartition(': ')[2]}") from None
        try:
            yield writer
        finally:
            self._write_whole(writer, gone)

    def _write_whole(self, writer: _Writer, gone: Collection[str]) -> None:
        writer.flush()
        before = self.records
        self._read_all()  # with what other runs have written meanwhile
        made = writer.sources
        self.records = {
            source: record
            for source, record in self.records.items()
            if made.get(record.file, source) == source and (record.sha256 is not None or source not in gone)
        }
        if not self._parts and self.records == before:
            return
        lines = [_line(self.records[source]) for source in sorted(self.records)]
        self._place.write(NAME, "".join(lines).encode())
        for name in self._parts:
            self._place.remove(name)


class _Writer:
    """Parts have names of their own: object stores cannot append, and several runs may write to one folder."""

    def __init__(self, place: Place) -> None:
        self._place, self._run = place, uuid.uuid4().hex[:8]
        self.sources: dict[str, str] = {}  # of which each file is made
        self._unwritten: list[Record] = []
        self._written_at = time.monotonic()

    def add(self, record: Record) -> None:
        self.sources[record.file] = record.source
        self._unwritten.append(record)
        if time.monotonic() - self._written_at > _SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._unwritten:
            name = f"{_PART}{time.time_ns():020}-{self._run}.jsonl"
            self._place.write(name, "".join(map(_line, self._unwritten)).encode())
        self._unwritten, self._written_at = [], time.monotonic()


def _line(record: Record) -> str:
    return json.dumps(dataclasses.asdict(record), allow_nan=False) + "\n"
