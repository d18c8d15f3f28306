"""The Pillow plugin: opening, drafts, layers, saving, truncated files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

import compass
import compass.pillow
from compass.bitstream import container


@pytest.fixture
def path(parrots, tiny_model_path, tmp_path, monkeypatch):
    """A file of the tiny model, which passes for an installed one."""
    monkeypatch.setattr("compass.model.store._registered", [tiny_model_path])
    parrots.save(tmp_path / "p.cmps", scales=[0.25, 0.5, 1], quality=[2, 3, 4], model="tiny")
    return tmp_path / "p.cmps"


def test_saving_is_encoding(path, parrots):
    assert path.read_bytes() == compass.encode(parrots, [0.25, 0.5, 1], [2, 3, 4], "tiny")


def test_opening_reads_the_header_alone(path):
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("COMPASS", "RGB", (320, 240))
        assert image.layer_sizes == [(80, 60), (160, 120), (320, 240)]
        assert image.get_format_mimetype() == "image/x-compass"
        assert image.fp.tell() < 200
        assert np.array_equal(np.asarray(image), np.asarray(compass.decode(path.read_bytes())))


@pytest.mark.parametrize(
    ("size", "layer"), [((70, 50), 0), ((80, 60), 0), ((81, 60), 1), ((200, 10), 2), ((999, 9), 2)]
)
def test_draft_chooses_a_layer_as_for_jpeg(path, size, layer):
    with Image.open(path) as image:
        chosen = image.draft("RGB", size)
        assert (chosen is None) == (layer == 2)
        assert image.layer == layer
        assert np.array_equal(np.asarray(image), np.asarray(compass.decode(path.read_bytes(), layer)))
        assert image.draft("RGB", (1, 1)) is None  # too late


def test_thumbnail_decodes_a_small_layer(path):
    with Image.open(path) as image:
        image.thumbnail((40, 40))
        assert image.layer < 2
        assert image.size == (40, 30)


def test_every_layer_by_its_number(path):
    with Image.open(path) as image:
        for layer in (2, 0, 1):
            image.layer = layer
            assert image.size == image.layer_sizes[layer]
            assert np.array_equal(np.asarray(image), np.asarray(compass.decode(path.read_bytes(), layer)))
        with pytest.raises(ValueError, match="there is no layer 3: the file has layers 0 to 2"):
            image.layer = 3


def test_truncated_files(path, monkeypatch):
    data = path.read_bytes()
    with Image.open(io.BytesIO(data[:-10])) as image, pytest.raises(OSError, match="ends before layer 2 does"):
        image.load()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with Image.open(io.BytesIO(data[:-10])) as image:
        middle = compass.decode(data, 1).resize((320, 240), Image.Resampling.BICUBIC)
        assert np.array_equal(np.asarray(image), np.asarray(middle))


def test_damaged_files(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    with Image.open(io.BytesIO(data)) as image, pytest.raises(OSError, match="layer 2 is damaged"):
        image.load()
    data[20] ^= 1
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(data))


def test_pixel_limit(monkeypatch):
    layers = [container.LayerData(30000, 30000, 96, b"x")]
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(container.write(b"hash", "RGB", layers)))


def test_metadata_and_opacity_round_trip(path, parrots, tmp_path):
    image = parrots.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    exif = Image.Exif()
    exif[0x010E] = "two parrots"
    image.save(tmp_path / "a.cmps", model="tiny", exif=exif, icc_profile=b"a profile", xmp=b"<x/>")
    with Image.open(tmp_path / "a.cmps") as opened:
        assert opened.mode == "RGBA"
        opened.load()
        assert opened.getchannel("A").tobytes() == image.getchannel("A").tobytes()
        assert opened.info["icc_profile"] == b"a profile"
        assert opened.info["xmp"] == b"<x/>"
        assert opened.getexif()[0x010E] == "two parrots"


def test_metadata_is_that_of_the_layer_before_any_pixel_is_loaded(parrots, path, tmp_path):
    parrots.save(tmp_path / "a.cmps", model="tiny", icc_profile=b"a profile", xmp=b"<x/>")
    with Image.open(tmp_path / "a.cmps") as opened:
        assert opened.info == {"icc_profile": b"a profile", "xmp": b"<x/>"}
        opened.layer = 0
        assert opened.info == {"icc_profile": b"a profile"}
        opened.load()
        assert opened.info == {"icc_profile": b"a profile"}


def test_a_parser_decodes_as_open_does(path):
    parser = ImageFile.Parser()
    data = path.read_bytes()
    for start in range(0, len(data), 100):
        parser.feed(data[start : start + 100])
    assert np.array_equal(np.asarray(parser.close()), np.asarray(compass.decode(data)))


def test_what_cannot_be_saved(path, parrots, tmp_path):
    with pytest.raises(OSError, match="quality 9 is outside 0 to 6"):
        parrots.save(tmp_path / "b.cmps", quality=9, model="tiny")
    assert not (tmp_path / "b.cmps").exists()
