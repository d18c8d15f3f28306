"""Images written in bands: the same pixels as Pillow's, and memory that does not grow with the image."""

from __future__ import annotations

import io
import tracemalloc
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from compass.picture.bands import Bands
from compass.picture.files import image_bytes, write_image
from compass.picture.png import filtered, frame, write_png

MODES = ("L", "LA", "RGB", "RGBA")


def written(image):
    buffer = io.BytesIO()
    bands = image if isinstance(image, Bands) else Bands.of(image)
    write_png(buffer, bands, frame(bands.mode, bands.size, {}))
    buffer.seek(0)
    read = Image.open(buffer)
    read.load()
    return read


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (5, 1), (66, 131), (320, 240)])
def test_pillow_reads_the_same_pixels(mode, size, parrots):
    image = parrots.resize(size).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.linear_gradient("L").resize(size))
    read = written(image)
    assert (read.mode, read.size) == (mode, size)
    assert np.array_equal(read, image)


def test_noise_and_flat_images():
    noise = np.random.default_rng(0).integers(0, 256, (90, 77, 3), np.uint8)
    for pixels in (noise, np.zeros_like(noise), np.full_like(noise, 255)):
        assert np.array_equal(written(Image.fromarray(pixels)), pixels)


def test_bands_of_any_height(parrots):
    pixels = np.asarray(parrots)
    cuts = [0, 1, 2, 66, 67, 200, 240]
    bands = [pixels[a:b] for a, b in pairwise(cuts)]
    assert np.array_equal(written(Bands("RGB", parrots.size, {}, bands)), pixels)
    assert np.array_equal(Bands("RGB", parrots.size, {}, bands).image(), pixels)


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_the_filter_is_the_one_that_predicts(kind):
    """A row that one filter predicts but for two pixels, the first of 400 and one in the middle."""
    above = np.random.default_rng(kind).integers(0, 256, (400, 1), np.uint8)
    if kind == 4:
        above[:200] = 10
    row = np.full_like(above, 99)
    for x in range(1, 400):
        by_mean = (int(row[x - 1, 0]) + int(above[x, 0])) // 2
        row[x] = {1: 99, 2: above[x, 0], 3: by_mean, 4: 99 if x < 200 else above[x, 0]}[kind]
    coded = filtered(row[None], above)
    assert coded[0, 0] == kind
    assert np.count_nonzero(coded[0, 1:]) <= 2


def test_a_file_is_nearly_as_small_as_by_pillow(parrots):
    buffer = io.BytesIO()
    parrots.save(buffer, "PNG")
    ours = image_bytes(parrots, Path("x.png"))
    assert len(ours) < 1.05 * len(buffer.getvalue())
    assert ours.count(b"IHDR") == ours.count(b"IEND") == 1


def test_metadata_is_where_pillow_puts_it(parrots, tmp_path):
    image = parrots.copy()
    exif = Image.Exif()
    exif[0x010E] = "parrots"
    image.info = {"icc_profile": zlib.compress(b"no profile"), "exif": exif.tobytes(), "xmp": b"<x/>"}
    write_image(image, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as read:
        read.load()
        assert read.info["icc_profile"] == image.info["icc_profile"]
        assert read.getexif()[0x010E] == "parrots"
        assert read.info["XML:com.adobe.xmp"] == "<x/>"


@pytest.mark.parametrize(("size", "limit"), [((4000, 4000), 30e6), ((1 << 20, 16), 80e6)])
def test_memory_does_not_grow_with_the_image(size, limit, tmp_path):
    """16 megapixels of noise: neither they nor their file are in memory, but for a row of the widest image."""
    rng = np.random.default_rng(0)
    rows = 16
    noise = rng.integers(0, 256, (rows, size[0], 3), np.uint8)
    tracemalloc.start()
    write_image(Bands("RGB", size, {}, (noise for _ in range(size[1] // rows))), tmp_path / "large.png")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "large.png").stat().st_size > 40e6
    assert most < limit
    with Image.open(tmp_path / "large.png") as read:
        assert read.size == size


def test_bands_are_there_once(parrots, tmp_path):
    bands = Bands("RGB", parrots.size, {}, iter([np.asarray(parrots)]))
    assert np.array_equal(bands.image(), parrots)
    with pytest.raises(RuntimeError, match="an image of 240 rows had 0"):
        bands.image()
    with pytest.raises(RuntimeError, match="an image of 240 rows had 0"):
        write_image(bands, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_what_fails_in_a_band_leaves_no_file(tmp_path, parrots):
    def bands():
        yield np.asarray(parrots)[:100]
        raise ValueError("the rest is damaged")

    with pytest.raises(ValueError, match="the rest is damaged"):
        write_image(Bands("RGB", parrots.size, {}, bands()), tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_pillow_finds_the_checksums_right(parrots, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    data = image_bytes(parrots, Path("x.png"))
    Image.open(io.BytesIO(data)).verify()
