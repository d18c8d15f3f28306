"""The Pillow plugin: opening, drafts, layers, saving, truncated files."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageFilter, ImageOps, ImageSequence, UnidentifiedImageError

import compass
import compass.pillow
from compass.bitstream import container
from tests.conftest import TINY_MODEL


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
    ("size", "layer"),
    [((70, 50), 0), ((80, 60), 0), ((82, 62), 1), ((200, 10), 0), ((161, 999), 2), ((999, 999), 2), ((999, 9), 0)],
)
def test_draft_chooses_the_layer_that_fills_a_box(path, size, layer):
    with Image.open(path) as image:
        chosen = image.draft("RGB", size)
        assert (chosen is None) == (layer == 2)
        assert image.layer == layer
        assert np.array_equal(np.asarray(image), np.asarray(compass.decode(path.read_bytes(), layer)))
        assert image.draft("RGB", (1, 1)) is None  # too late


def test_thumbnail_decodes_a_small_layer(path):
    with Image.open(path) as image:
        image.thumbnail((40, 40))
        assert image.layer == 0
        assert image.size == (40, 30)
    with Image.open(path) as image:
        image.thumbnail((80, 80))  # Pillow asks for twice as much
        assert image.layer == 1
        assert image.size == (80, 60)


def test_layers_are_frames_for_tools_that_know_of_frames(path):
    with Image.open(path) as image:
        assert (image.n_frames, image.is_animated, image.tell()) == (3, False, 0)
        sizes = [frame.size for frame in ImageSequence.Iterator(image)]
        assert sizes == [(320, 240), (160, 120), (80, 60)]
        image.seek(2)
        assert (image.layer, image.tell(), image.size) == (0, 2, (80, 60))
        with pytest.raises(EOFError, match="there is no frame 3"):
            image.seek(3)


def test_verify_reads_every_layer(path):
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    span = compass.info(data)["layers"][1]["offset"]
    for damaged in (data[:span] + bytes((data[span] ^ 1,)) + data[span + 1 :], data[:-1]):
        with Image.open(io.BytesIO(damaged)) as image, pytest.raises(OSError, match=r"is damaged|ends before layer 2"):
            image.verify()


def test_a_pickled_image_is_a_plain_one(path):
    with Image.open(path) as image:
        image.layer = 0
        again = pickle.loads(pickle.dumps(image))
        copied = copy.copy(image)
        for other in (again, copied, copy.deepcopy(image)):
            assert type(other) is Image.Image
            assert (other.mode, other.size, other.info) == (image.mode, (80, 60), image.info)
            assert other.tobytes() == image.tobytes()


@pytest.mark.parametrize(
    "call",
    [
        lambda image: image.resize((50, 40)),
        lambda image: image.resize((50, 40), box=(10, 10, 60, 50), reducing_gap=2.0),
        lambda image: image.reduce(2),
        lambda image: image.crop((1, 2, 30, 40)),
        lambda image: image.rotate(90, expand=True),
        lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda image: image.convert("L"),
        lambda image: image.quantize(8).convert("RGB"),
        lambda image: image.getchannel("G"),
        lambda image: Image.merge("RGB", image.split()),
        lambda image: image.filter(ImageFilter.BLUR),
        lambda image: image.point(lambda value: value // 2),
        lambda image: image.copy(),
        lambda image: ImageOps.contain(image, (70, 70)),
        lambda image: ImageOps.exif_transpose(image),
        lambda image: Image.blend(image, image.transpose(Image.Transpose.ROTATE_180), 0.5),
    ],
)
def test_what_images_can_do(call, path):
    """Each on a file that has just been opened, as on a plain image."""
    with Image.open(path) as image:
        expected = call(compass.decode(path.read_bytes()))
        found = call(image)
        assert (found.mode, found.size, found.tobytes()) == (expected.mode, expected.size, expected.tobytes())


def test_figures_of_an_image_that_was_just_opened(path):
    plain = compass.decode(path.read_bytes())
    for call in ("getextrema", "histogram", "getbbox", "entropy", "tobytes"):
        with Image.open(path) as image:
            assert getattr(image, call)() == getattr(plain, call)()
    with Image.open(path) as image:
        assert image.getpixel((3, 4)) == plain.getpixel((3, 4))
        image.putpixel((3, 4), (1, 2, 3))
        image.paste((0, 0, 0), (0, 0, 2, 2))
        assert (image.getpixel((3, 4)), image.getpixel((1, 1))) == ((1, 2, 3), (0, 0, 0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": "keep"}, "qualities are a sequence of numbers, not \\['keep'\\]"),
        ({"quality": 85}, "quality 85 is outside 0 to 6"),
        ({"scales": "small"}, "scales are a sequence of numbers"),
        ({"scales": [0.5, 1], "sizes": [(9, None)]}, "only one of scales and sizes"),
    ],
)
def test_options_that_cannot_be(options, message, parrots):
    with pytest.raises(OSError, match=message):
        parrots.save(io.BytesIO(), "COMPASS", model=str(TINY_MODEL), **options)


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


def test_a_file_that_was_cut_after_a_layer_has_those_before(path):
    data = path.read_bytes()
    with Image.open(io.BytesIO(compass.extract(data, 1))) as image:
        assert (image.size, image.n_frames, image.layer_sizes) == ((160, 120), 2, [(80, 60), (160, 120)])
        assert np.array_equal(np.asarray(image), np.asarray(compass.decode(data, 1)))
    with Image.open(io.BytesIO(compass.extract(data, 1))) as image:
        image.thumbnail((50, 50))
        assert image.size == (50, 38)


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


def test_exif_is_that_of_the_layer(parrots, tiny_model_path, tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    parrots.save(tmp_path / "x.cmps", exif=exif, model=tiny_model_path, scales=[0.1, 0.2], quality=1)
    with Image.open(tmp_path / "x.cmps") as image:
        found = []
        for frame in (1, 0, 1):
            image.seek(frame)
            found.append(image.getexif().get(0x010F))
    assert found == [None, "maker", None]
