"""Training images, held as uint8 in the memory of the device that trains; crops are drawn there."""

from __future__ import annotations

import itertools
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from compass.errors import InputError, warn
from compass.files import read_bytes
from compass.picture.files import IMAGE_SUFFIXES, image_of_bytes
from compass.training.rng import StepRNG

_REDUCTIONS = (1.0, 1.5, 2.0, 3.0)  # extra downscales of every image: sharper content, as in small layers
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))  # JFIF


def image_tensor(image: Image.Image | NDArray[np.uint8]) -> Tensor:
    """An RGB image, or its pixels [H, W, 3], as [1, 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255.0


def read_images(sources: list[Path], limit: int | None = None) -> Iterator[Image.Image]:
    """RGB images from folders (searched recursively), tar shards or single files, in name order.

    They are read as the codec reads them: upright, 16 bits scaled to 8. One that cannot be read is left out, with a
    warning. Raises InputError if a source is missing or cannot be read, or if none of them holds an image.
    """
    files = (file for source in sources for file in _files(source))
    found = False
    with ThreadPoolExecutor() as pool:
        for image in pool.map(_decode, itertools.islice(files, limit)):
            if isinstance(image, InputError):
                warn(f"{image}: it is left out")
            else:
                found = True
                yield image
    if not found:
        raise InputError(f"no images in {', '.join(map(str, sources))}")


def _decode(file: tuple[str, bytes]) -> Image.Image | InputError:
    name, data = file
    try:
        return image_of_bytes(data, name).convert("RGB")
    except InputError as error:
        return error


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the image files of a source; other files are not read."""
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            if path.suffix == ".tar" or _is_image(path.name):
                yield from _files(path)
    elif source.suffix == ".tar":
        try:
            with tarfile.open(source) as shard:
                for member in shard:
                    file = shard.extractfile(member) if member.isfile() and _is_image(member.name) else None
                    if file is not None:
                        yield f"{source}: {member.name}", file.read()
        except (tarfile.TarError, OSError) as error:
            raise InputError(f"{source} cannot be read: {error}") from None
    elif source.exists():
        yield str(source), read_bytes(source)
    else:
        raise InputError(f"{source} does not exist")


def _is_image(name: str) -> bool:
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


class Crops:
    """Random crops with flips from images and reduced copies of them, all in one flat array on the device."""

    def __init__(
        self, images: Iterator[Image.Image], smallest: int, device: torch.device, subsampled: float = 0.0
    ) -> None:
        """Keeps every reduction of an image that is at least `smallest` pixels on both sides.

        subsampled: share of the crops whose chroma is of half the resolution, see `subsample_chroma`.
        """
        self.device, self.subsampled = device, subsampled
        with ThreadPoolExecutor() as pool:
            reductions = list(pool.map(lambda image: _reductions(image, smallest), images))
        levels = [[pixels for pixels in level if pixels is not None] for level in zip(*reductions, strict=True)]
        levels = [level for level in levels if level]
        if not levels:
            raise InputError(f"no training image is {smallest} pixels wide and high")
        kept = [pixels for level in levels for pixels in level]
        self._bytes = torch.from_numpy(np.concatenate([pixels.ravel() for pixels in kept])).to(device)
        starts = np.cumsum([0] + [pixels.size for pixels in kept[:-1]])
        table = [(start, *pixels.shape[:2]) for start, pixels in zip(starts, kept, strict=True)]
        self._table = torch.tensor(table, device=device)  # [images, 3]: first byte, height, width
        counts = np.array([len(level) for level in levels])
        self._first = torch.from_numpy(np.cumsum(counts) - counts).to(device)  # of each level, in the table
        self._count = torch.from_numpy(counts).to(device)

    def draw(self, count: int, size: int, rng: StepRNG) -> Tensor:
        """[count, 3, size, size] in [0, 1], channels last; half of the crops from unreduced images."""
        u = rng.uniform(count, 7)
        levels = len(self._count)
        level = torch.where(u[:, 0] < 0.5, 1 + _pick(u[:, 1], levels - 1), 0) if levels > 1 else u[:, 0].long() * 0
        start, height, width = self._table[self._first[level] + _pick(u[:, 2], self._count[level])].unbind(1)
        top, left = _pick(u[:, 3], height - size + 1), _pick(u[:, 4], width - size + 1)

        step = torch.arange(size, device=self.device)
        columns = torch.where(u[:, 5, None] < 0.5, step.flip(0), step)  # [count, size]
        rows = (top[:, None] + step) * width[:, None]
        pixel = rows[:, :, None] + (left[:, None] + columns)[:, None, :]  # [count, size, size]
        index = start[:, None, None, None] + 3 * pixel[..., None] + torch.arange(3, device=self.device)
        crops = self._bytes[index].permute(0, 3, 1, 2).float() / 255.0
        if self.subsampled == 0:
            return crops
        chosen = u[:, 6, None, None, None] < self.subsampled
        return torch.where(chosen, subsample_chroma(crops, rng.host.integers(2, size=2).tolist()), crops)


def subsample_chroma(images: Tensor, phase: Sequence[int]) -> Tensor:
    """Images [B, 3, H, W] as 4:2:0 leaves them, the chroma sampling of most photographs, in 8 bits.

    phase: rows and columns, 0 or 1, by which squares of two by two pixels begin before the images.
    """
    matrix = torch.tensor(_TO_YCBCR, device=images.device)
    planes = torch.einsum("ij,bjhw->bihw", matrix, images)
    top, left = phase
    h, w = images.shape[2:]
    padded = F.pad(planes[:, 1:], (left, (left + w) % 2, top, (top + h) % 2), mode="replicate")
    chroma = F.interpolate(F.avg_pool2d(padded, 2), scale_factor=2.0, mode="bilinear")
    planes = torch.cat([planes[:, :1], chroma[:, :, top : top + h, left : left + w]], 1)
    rgb = torch.einsum("ij,bjhw->bihw", matrix.inverse(), planes)
    return ((rgb * 255.0).round().clamp(0, 255) / 255.0).contiguous(memory_format=torch.channels_last)


def _reductions(image: Image.Image, smallest: int) -> list[NDArray[np.uint8] | None]:
    """Copies of an image at each of `_REDUCTIONS`; None where a side would be below `smallest`."""
    sizes = [(round(image.width / factor), round(image.height / factor)) for factor in _REDUCTIONS]
    return [
        np.asarray(image if size == image.size else image.resize(size, Image.Resampling.BICUBIC))
        if min(size) >= smallest else None
        for size in sizes
    ]  # fmt: skip


def _pick(u: Tensor, count: Tensor | int) -> Tensor:
    """Whole numbers below `count` from numbers in [0, 1)."""
    return (u * count).long().clamp(max=count - 1)
