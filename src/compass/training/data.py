"""Training pictures, held as uint8 in the memory of the device that trains; crops are drawn there."""

from __future__ import annotations

import io
import itertools
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from compass.errors import InputError
from compass.training.draws import Draws

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff"}
_REDUCTIONS = (1.0, 1.5, 2.0, 3.0)  # extra downscales of every picture: sharper content, as in small layers


def read_pictures(sources: list[Path], limit: int | None = None) -> Iterator[Image.Image]:
    """RGB pictures from folders (searched recursively), tar shards or single files, in name order.

    Raises InputError if a source is missing or none of them holds a picture.
    """
    files = (data for source in sources for name, data in _files(source) if Path(name).suffix.lower() in _PICTURES)
    found = False
    with ThreadPoolExecutor() as pool:
        for picture in pool.map(_decode, itertools.islice(files, limit)):
            found = True
            yield picture
    if not found:
        raise InputError(f"no pictures in {', '.join(map(str, sources))}")


def _decode(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.convert("RGB")


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            if path.suffix == ".tar":
                yield from _files(path)
            else:
                yield path.name, path.read_bytes()
    elif source.suffix == ".tar":
        with tarfile.open(source) as shard:
            for member in shard:
                file = shard.extractfile(member)
                if file is not None:
                    yield member.name, file.read()
    elif source.is_file():
        yield source.name, source.read_bytes()
    else:
        raise InputError(f"{source} does not exist")


class Crops:
    """Random crops with flips from pictures and reduced copies of them, all in one flat array on the device."""

    def __init__(self, pictures: Iterator[Image.Image], smallest: int, device: torch.device) -> None:
        """Keeps every reduction of a picture that is at least `smallest` pixels on both sides."""
        self.device = device
        with ThreadPoolExecutor() as pool:
            reductions = list(pool.map(lambda picture: _reductions(picture, smallest), pictures))
        levels = [[pixels for pixels in level if pixels is not None] for level in zip(*reductions, strict=True)]
        levels = [level for level in levels if level]
        if not levels:
            raise InputError(f"no training picture is {smallest} pixels wide and high")
        kept = [pixels for level in levels for pixels in level]
        self._bytes = torch.from_numpy(np.concatenate([pixels.ravel() for pixels in kept])).to(device)
        starts = np.cumsum([0] + [pixels.size for pixels in kept[:-1]])
        table = [(start, *pixels.shape[:2]) for start, pixels in zip(starts, kept, strict=True)]
        self._table = torch.tensor(table, device=device)  # [pictures, 3]: first byte, height, width
        counts = np.array([len(level) for level in levels])
        self._first = torch.from_numpy(np.cumsum(counts) - counts).to(device)  # of each level, in the table
        self._count = torch.from_numpy(counts).to(device)

    def draw(self, count: int, size: int, draws: Draws) -> Tensor:
        """[count, 3, size, size] in [0, 1], channels last; half of the crops from unreduced pictures."""
        u = draws.uniform(count, 6)
        levels = len(self._count)
        level = torch.where(u[:, 0] < 0.5, 1 + _pick(u[:, 1], levels - 1), 0) if levels > 1 else u[:, 0].long() * 0
        start, height, width = self._table[self._first[level] + _pick(u[:, 2], self._count[level])].unbind(1)
        top, left = _pick(u[:, 3], height - size + 1), _pick(u[:, 4], width - size + 1)

        step = torch.arange(size, device=self.device)
        columns = torch.where(u[:, 5, None] < 0.5, step.flip(0), step)  # [count, size]
        rows = (top[:, None] + step) * width[:, None]
        pixel = rows[:, :, None] + (left[:, None] + columns)[:, None, :]  # [count, size, size]
        index = start[:, None, None, None] + 3 * pixel[..., None] + torch.arange(3, device=self.device)
        return self._bytes[index].permute(0, 3, 1, 2).float() / 255.0


def _reductions(picture: Image.Image, smallest: int) -> list[NDArray[np.uint8] | None]:
    """The picture at each of the reductions; None where a side would be below `smallest`."""
    sizes = [(round(picture.width / factor), round(picture.height / factor)) for factor in _REDUCTIONS]
    return [
        np.asarray(picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC))
        if min(size) >= smallest else None
        for size in sizes
    ]  # fmt: skip


def _pick(u: Tensor, count: Tensor | int) -> Tensor:
    """Whole numbers below `count` from numbers in [0, 1)."""
    return (u * count).long().clamp(max=count - 1)
