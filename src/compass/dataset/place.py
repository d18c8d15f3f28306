"""Folders of data sets: on this machine, or wherever fsspec reaches (s3://bucket/folder, gs://, sftp://)."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Collection, Iterator
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
    """A folder; other processes are handed its URL alone."""

    url: str

    @staticmethod
    def of(text: str) -> Place:
        """The place of a URL or of a path, which is made absolute. Raises InputError on an empty one."""
        if not text:
            raise InputError("an empty name is no folder")
        return Place(text if "://" in text or "::" in text else os.path.abspath(text))

    def __getstate__(self) -> dict[str, str]:
        return {"url": self.url}

    @cached_property
    def _root(self) -> tuple[Any, str]:
        try:
            file_system, root = fsspec.core.url_to_fs(self.url)
        except Exception as error:  # each file system has its own, here and below
            raise InputError(f"{self.url} cannot be reached: {_said(error)}") from None
        return file_system, root.rstrip("/") or "/"

    @property
    def of_one_process(self) -> bool:
        """Whether no other process sees what is in it."""
        return "memory" in _protocols(self._root[0])

    def is_folder(self) -> bool:
        """False if there is nothing of its name. Raises InputError if there is something else, or it cannot be read."""
        file_system, root = self._root
        try:
            if file_system.isdir(root):
                return True
            other = file_system.exists(root)
        except Exception as error:
            raise InputError(f"{self.url} cannot be read: {_said(error)}") from None
        if other:
            raise InputError(f"{self.url} is not a folder")
        return False

    def entries(self, suffixes: Collection[str], deep: bool = True) -> list[Entry]:
        """Files with these extensions, by name, of all folders in it too if `deep`; not names that begin with a dot.

        On this machine links are followed. A folder that is not there has none. Raises InputError if it, or a folder
        in it, cannot be read.
        """
        if not self.is_folder():
            return []
        file_system, root = self._root
        try:
            if isinstance(file_system, LocalFileSystem):
                return sorted(_local_entries(root, suffixes, deep))
            file_system.invalidate_cache()
            found = file_system.find(root, maxdepth=None if deep else 1, detail=True)
        except Exception as error:
            raise InputError(f"{getattr(error, 'filename', None) or self.url} cannot be read: {_said(error)}") from None
        entries = []
        for path, details in found.items():
            name = path.removeprefix(root).removeprefix("/")
            if _wanted(name, suffixes):
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
            raise InputError(f"{self.url}: {name} cannot be written: {_said(error)}") from None

    def remove(self, name: str) -> None:
        """Removes a file; one that is not there is none."""
        file_system, root = self._root
        try:
            file_system.rm_file(posixpath.join(root, name))
        except FileNotFoundError:
            return
        except Exception as error:
            raise InputError(f"{self.url}: {name} cannot be removed: {_said(error)}") from None


def _local_entries(root: str, suffixes: Collection[str], deep: bool) -> Iterator[Entry]:
    """Regular files, and links to them or to nothing; raises OSError of a folder that cannot be listed."""

    def fail(error: OSError) -> None:
        raise error

    seen: set[tuple[int, int]] = set()  # folders, so that links in a circle end
    for folder, folders, names in os.walk(root, onerror=fail, followlinks=True):
        here = os.stat(folder)
        if (here.st_dev, here.st_ino) in seen:
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        folders[:] = sorted(folders) if deep else []
        for file in names:
            path = os.path.join(folder, file)
            name = os.path.relpath(path, root).replace(os.sep, "/")
            if not _wanted(name, suffixes):
                continue
            if os.path.exists(path):
                status = os.stat(path)
                if stat.S_ISREG(status.st_mode):
                    yield Entry(name, status.st_size, str(status.st_mtime_ns))
            elif os.path.islink(path):  # which fails when it is read
                yield Entry(name, 0, "")


def _wanted(name: str, suffixes: Collection[str]) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return posixpath.splitext(name)[1].lower() in suffixes and not hidden


def _protocols(file_system: Any) -> set[str]:
    names = file_system.protocol
    return {names} if isinstance(names, str) else set(names)


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
