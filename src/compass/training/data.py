"""Training pictures, held in memory as uint8. A draw depends on seed and step alone, so a run resumes exactly."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from compass.errors import InputError

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff"}
_REDUCTIONS = (1.0, 1.5, 2.0, 3.0)  # extra downscales of every picture: sharper content, as in small layers


def read_pictures(sources: list[Path], limit: int | None = None) -> Iterator[Image.Image]:
    """RGB pictures from folders (searched recursively), tar shards or single files, in name order.

    Raises InputError if a source is missing or none of them holds a picture.
    """
    count = 0
    for source in sources:
        for name, data in _files(source):
            if Path(name).suffix.lower() not in _PICTURES:
                continue
            with Image.open(io.BytesIO(data)) as picture:
                yield picture.convert("RGB")
            count += 1
            if count == limit:
                return
    if not count:
        raise InputError(f"no pictures in {', '.join(map(str, sources))}")


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
    """Random crops with flips from pictures and reduced copies of them."""

    def __init__(self, pictures: Iterator[Image.Image], smallest: int, device: torch.device) -> None:
        """Keeps every reduction of a picture that is at least `smallest` pixels on both sides."""
        self.device = device
        self.levels: list[list[Tensor]] = [[] for _ in _REDUCTIONS]  # each [3, H, W] uint8
        for picture in pictures:
            for level, factor in zip(self.levels, _REDUCTIONS, strict=True):
                size = (round(picture.width / factor), round(picture.height / factor))
                if min(size) < smallest:
                    continue
                reduced = picture if factor == 1 else picture.resize(size, Image.Resampling.BICUBIC)
                level.append(torch.from_numpy(np.array(reduced)).permute(2, 0, 1).contiguous().to(device))
        self.levels = [level for level in self.levels if level]
        if not self.levels:
            raise InputError(f"no training picture is {smallest} pixels wide and high")

    def draw(self, count: int, size: int, rng: np.random.Generator) -> Tensor:
        """[count, 3, size, size] in [0, 1]; half of the crops from unreduced pictures."""
        crops = []
        for _ in range(count):
            reduced = len(self.levels) > 1 and rng.random() < 0.5
            level = self.levels[rng.integers(1, len(self.levels)) if reduced else 0]
            picture = level[rng.integers(len(level))]
            top = rng.integers(picture.shape[1] - size + 1)
            left = rng.integers(picture.shape[2] - size + 1)
            crop = picture[:, top : top + size, left : left + size]
            if rng.random() < 0.5:
                crop = crop.flip(2)
            crops.append(crop)
        return torch.stack(crops).float() / 255.0
