"""Folders of data sets: on this machine, or wherever fsspec reaches (s3://bucket/folder, gs://, memory://)."""

from __future__ import annotations

import posixpath
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from compass.errors import InputError
from compass.files import atomic_writer

# How file systems call what changes with a file's content, the surest first.
_VERSIONS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "modified", "updated", "created")

# Object stores have no folders; what would make one makes a bucket.
_STORES = {"s3", "gs", "abfs", "oci", "oss"}


class Entry(NamedTuple):
    """A file of a folder."""

    name: str  # with the folders below the place, divided by /
    size: int
    version: str  # changes with its content; empty where the file system does not say


@dataclass(frozen=True)
class Place:
    """A folder; it is passed to other processes by its URL alone."""

    url: str

    @cached_property
    def _root(self) -> tuple[Any, str]:
        try:
            file_system, root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise InputError(f"{self.url} cannot be reached: {error}") from None
        return file_system, root.rstrip("/") or "/"

    def check(self) -> None:
        """Raises InputError unless it is a folder that can be read."""
        file_system, root = self._root
        try:
            found = file_system.isdir(root)
        except Exception as error:  # each file system has its own
            raise InputError(f"{self.url} cannot be read: {_said(error)}") from None
        if not found:
            raise InputError(f"{self.url} is not a folder")

    def entries(self, suffixes: Collection[str]) -> list[Entry]:
        """Files with these extensions, in it and in all folders of it, by name; not those whose names begin with a dot.

        A folder that is not there has none. Raises InputError if it cannot be read.
        """
        file_system, root = self._root
        try:
            found = file_system.find(root, detail=True) if file_system.isdir(root) else {}
        except Exception as error:
            raise InputError(f"{self.url} cannot be read: {_said(error)}") from None
        entries = []
        for path, details in found.items():
            name = posixpath.relpath(path, root)
            if posixpath.splitext(name)[1].lower() in suffixes and not any(p.startswith(".") for p in name.split("/")):
                version = next((str(details[key]) for key in _VERSIONS if details.get(key)), "")
                entries.append(Entry(name, int(details["size"] or 0), version))
        return sorted(entries)

    def read(self, name: str) -> bytes:
        """Content of a file. Raises InputError if it cannot be read."""
        file_system, root = self._root
        try:
            return file_system.cat_file(posixpath.join(root, name))
        except Exception as error:
            raise InputError(f"{name} cannot be read: {_said(error)}") from None

    def write(self, name: str, data: bytes) -> None:
        """Writes a file, and the folders that it is in; on this machine it is never half-written, nor in object stores.

        Raises InputError if it cannot be written.
        """
        file_system, root = self._root
        path = posixpath.join(root, name)
        try:
            if not _STORES & _protocols(file_system):
                file_system.makedirs(posixpath.dirname(path), exist_ok=True)
            if isinstance(file_system, LocalFileSystem):
                with atomic_writer(Path(path)) as file:
                    file.write(data)
            else:
                file_system.pipe_file(path, data)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{name} cannot be written: {_said(error)}") from None

    def remove(self, name: str) -> None:
        """Removes a file; one that is not there is none."""
        file_system, root = self._root
        try:
            file_system.rm_file(posixpath.join(root, name))
        except FileNotFoundError:
            return
        except Exception as error:
            raise InputError(f"{name} cannot be removed: {_said(error)}") from None


def _protocols(file_system: Any) -> set[str]:
    names = file_system.protocol
    return {names} if isinstance(names, str) else set(names)


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
