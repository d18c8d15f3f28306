"""Layered files of a folder, rendered as requests ask; what is kept is bounded."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from compass.layered_file import LayeredFile
from compass.picture.png import DEFLATE
from compass.serve.iiif import Request, Size

SUFFIX = ".cmps"
_ENTRY = 1000  # bytes that an answer takes beside its own
_SIZES = 4096  # files whose sizes are remembered
_ALIKE = 2  # of them for the same file, for those who ask for it at once
_IDLE = 8  # files that are kept open, each with the layer that it has decoded last
_JPEG_QUALITY = 90
_PILLOW = {"jpg": "JPEG"}
_TRANSPOSE = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}


class Version(NamedTuple):
    """What tells a file from an earlier one of its name."""

    path: Path
    modified: int  # ns
    size: int


class Cache:
    """Answers by what they answer, the last that were asked for, at most so many bytes of them."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._found: OrderedDict[object, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object) -> bytes | None:
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def put(self, key: object, data: bytes) -> None:
        with self._lock:
            if key in self._found or len(data) + _ENTRY > self._most:
                return
            self._found[key] = data
            self._bytes += len(data) + _ENTRY
            while self._bytes > self._most:
                self._bytes -= len(self._found.popitem(last=False)[1]) + _ENTRY


class Images:
    """The files of a folder and its folders, by their paths in it, with or without their suffix."""

    def __init__(self, folder: Path, cache: int, model: str | None = None) -> None:
        """cache: bytes of answers that are kept."""
        self.folder, self.cache, self._model = folder.resolve(), Cache(cache), model
        self._sizes: OrderedDict[Version, list[Size]] = OrderedDict()
        self._idle: list[tuple[Version, LayeredFile]] = []  # the last that was used at the end
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Of all files, without their suffix; those whose names are no text cannot be asked for."""
        found = (str(path.relative_to(self.folder).with_suffix("")) for path in self.folder.rglob(f"*{SUFFIX}"))
        return sorted(name for name in found if name.isprintable() and self.find(name))

    def find(self, name: str) -> Version | None:
        """The file of a name, None if there is none; nothing outside of the folder is one, by no way."""
        parts = name.split("/")
        if "\0" in name or "\\" in name or any(part in ("", ".", "..") for part in parts):
            return None
        for candidate in (name, name + SUFFIX):
            path = self.folder / candidate
            try:
                if path.suffix != SUFFIX or not path.resolve().is_relative_to(self.folder) or not path.is_file():
                    continue
                status = path.stat()
            except OSError:
                continue
            return Version(path, status.st_mtime_ns, status.st_size)
        return None

    def sizes(self, version: Version) -> list[Size]:
        """(width, height) of the layers of a file. Raises FormatError or InputError if it is none."""
        with self._lock:
            known = self._sizes.get(version)
        if known is None:
            with LayeredFile(version.path) as file:
                known = file.sizes
            with self._lock:
                self._sizes[version] = known
                if len(self._sizes) > _SIZES:
                    self._sizes.popitem(last=False)
        return known

    @contextmanager
    def opened(self, version: Version) -> Iterator[LayeredFile]:
        """A file that nobody else uses meanwhile. Raises FormatError or InputError if it is none."""
        with self._lock:
            at = next((i for i, (known, _) in enumerate(self._idle) if known == version), None)
            file = None if at is None else self._idle.pop(at)[1]
        if file is None:
            file = LayeredFile(version.path, model=self._model, threads=1)
        try:
            yield file
        finally:
            for old in self._put_back(version, file):
                old.close()

    def _put_back(self, version: Version, file: LayeredFile) -> list[LayeredFile]:
        """Keeps what was used last, of one version of each file; returns what is to be closed."""
        kept: list[tuple[Version, LayeredFile]] = []
        old: list[LayeredFile] = []
        with self._lock:
            for entry in reversed([*self._idle, (version, file)]):
                alike = [known for known, _ in kept if known.path == entry[0].path]
                if len(kept) < _IDLE and len(alike) < _ALIKE and set(alike) <= {entry[0]}:
                    kept.append(entry)
                else:
                    old.append(entry[1])
            self._idle = kept[::-1]
        return old

    def rendered(self, version: Version, request: Request) -> bytes:
        """The answer to a request. Raises FormatError, InputError or ModelError if the file cannot be decoded."""
        key = (version, request)
        known = self.cache.get(key)
        if known is None:
            with self.opened(version) as file:
                known = _written(_turned(_region(file, request), request), request)
            self.cache.put(key, known)
        return known

    def close(self) -> None:
        with self._lock:
            for _, file in self._idle:
                file.close()
            self._idle.clear()


def _region(file: LayeredFile, request: Request) -> Image.Image:
    """The box at its size, of the smallest layer that has as many pixels of it, and is whole."""
    left, upper, right, lower = request.box
    full, (width, height) = file.size, request.size
    wanted = width * full[0] / (right - left), height * full[1] / (lower - upper)
    layer = file.fitting_layer(*wanted)
    last = len(file.sizes) - 1
    layer = min(last if layer is None else layer, max(0, file.whole_layers - 1))
    own = file.sizes[layer]
    scale = own[0] / full[0], own[1] / full[1]
    exact = (left * scale[0], upper * scale[1], right * scale[0], lower * scale[1])
    margin = 4  # pixels around it that resampling sees
    outer = (
        max(0, int(exact[0]) - margin),
        max(0, int(exact[1]) - margin),
        min(own[0], int(exact[2]) + 1 + margin),
        min(own[1], int(exact[3]) + 1 + margin),
    )
    if own == full and request.size == (right - left, lower - upper):
        return file.decode(layer, box=request.box)
    part = file.decode(layer, box=outer)
    inner = (exact[0] - outer[0], exact[1] - outer[1], exact[2] - outer[0], exact[3] - outer[1])
    resized = part.resize(request.size, Image.Resampling.BICUBIC, inner)
    resized.info = part.info
    return resized


def _turned(image: Image.Image, request: Request) -> Image.Image:
    info = image.info
    if request.mirror:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if request.rotation:
        image = image.transpose(_TRANSPOSE[request.rotation])
    image.info = info
    return image


def _written(image: Image.Image, request: Request) -> bytes:
    profile = image.info.get("icc_profile")
    if image.has_transparency_data and (request.format == "jpg" or request.quality == "bitonal"):
        backed = Image.new("RGBA", image.size, "white")
        backed.alpha_composite(image.convert("RGBA"))
        image = backed.convert(image.mode.removesuffix("A"))
    if request.quality in ("gray", "bitonal") and image.mode not in ("L", "LA"):
        image, profile = image.convert("LA" if image.has_transparency_data else "L"), None
    if request.quality == "bitonal":
        image = image.convert("1", dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    options: dict[str, Any] = {"icc_profile": profile} if profile else {}
    if request.format == "jpg":
        options["quality"] = _JPEG_QUALITY
    if request.format == "png" and image.mode != "1":
        options["compress_type"] = DEFLATE
    image.save(buffer, _PILLOW.get(request.format, request.format), **options)
    return buffer.getvalue()
