"""Large images: coded in tiles, worked out in windows, decoded in part."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from threadpoolctl import ThreadpoolController

import compass
from compass.bitstream import container
from compass.codec.encoder import encode_layers
from compass.codec.layer import around, parts
from compass.errors import FormatError, InputError
from compass.model.runtime import Network
from compass.picture.window import Window
from tests.conftest import PARROTS

LARGE = (1100, 300)  # more than 1024 pixels a side: coded in tiles, in more than one window


class Counted(io.BytesIO):
    """Knows how many bytes have been read."""

    count = 0

    def read(self, size=-1):
        part = super().read(size)
        self.count += len(part)
        return part


@pytest.fixture(scope="module")
def large(tiny_model):
    """A file of a large image with alpha, and its layers as the encoder has them."""
    with Image.open(PARROTS) as source:
        image = source.convert("RGB").resize(LARGE)
    image.putalpha(image.getchannel("G"))
    return encode_layers(image, [(275, 75), (550, 150), LARGE], [1, 1, 1], tiny_model)


def test_a_large_image_in_tiles_is_what_the_encoder_saw(large, tiny_model):
    data, layers = large
    header = container.read_header(data)
    assert [len(header.tiles(k)) for k in range(3)] == [1, 2, 3]
    with compass.open(data, model=tiny_model.path) as opened:
        for k, layer in enumerate(layers):
            assert np.array_equal(np.asarray(opened.decode(k))[:, :, :3], layer.pixels)
            assert layer.ideal_bits / 8 < len(layer.payload) < layer.ideal_bits / 8 + 20 * len(header.tiles(k))


@pytest.mark.parametrize("window", [(64, 96), (512, 1024), (4096, 4096)])
def test_pixels_and_bytes_do_not_depend_on_the_windows(window, large, tiny_model, monkeypatch):
    data, layers = large
    monkeypatch.setattr("compass.codec.layer.WINDOW", window)
    assert np.array_equal(np.asarray(compass.decode(data, model=tiny_model.path))[:, :, :3], layers[-1].pixels)


@pytest.mark.parametrize("processor", ["Haswell", "Nehalem"])
def test_windows_on_processors_that_round_by_the_shape(processor):
    """OpenBLAS's kernels for them add up in another order at an edge, or on another number of threads."""
    environment = os.environ | {"OPENBLAS_CORETYPE": processor, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    tests = ("-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "depend_on_the_windows")
    result = subprocess.run([sys.executable, *tests], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_part_of_a_layer_is_a_part_of_the_whole(layer, large, tiny_model):
    data, _ = large
    whole = compass.decode(data, layer, model=tiny_model.path)
    width, height = whole.size
    rng = np.random.default_rng(layer)
    boxes = [(0, 0, width, height), (0, 0, 1, 1), (width - 1, height - 1, width, height), (7, 3, width - 1, 20)]
    for _ in range(6):
        left, top = (int(rng.integers(side)) for side in whole.size)
        boxes.append((left, top, int(rng.integers(left, width)) + 1, int(rng.integers(top, height)) + 1))
    for box in boxes:
        with compass.open(data, model=tiny_model.path) as opened:
            part = opened.decode(layer, box=box)
        assert part.mode == whole.mode
        assert np.array_equal(np.asarray(part), np.asarray(whole.crop(box)))


def test_a_part_of_a_large_layer_needs_some_of_its_bytes(large, tiny_model):
    data, _ = large

    header, file = container.read_header(data), Counted(data)
    opened = compass.open(file, model=tiny_model.path)
    opened.decode(2, box=(0, 0, 100, 100))
    streams = container.open_streams(data, header, 2)
    others = len(streams.read(1)) + len(streams.read(2))
    assert file.count < len(data) - others + 200
    assert others > header.layers[2].length / 2


def test_damage_in_one_tile_leaves_the_others(large, tiny_model):
    data, _ = large
    header = container.read_header(data)
    damaged = bytearray(data)
    damaged[header.span(2)[0] + header.layers[2].length - 1] ^= 1  # the last byte of the last tile
    opened = compass.open(bytes(damaged), model=tiny_model.path)
    assert opened.decode(2, box=(0, 0, 300, 300)).size == (300, 300)
    with pytest.raises(FormatError, match="tile 2 of a layer is damaged"):
        opened.decode(2)
    damaged = bytearray(data)
    damaged[header.span(2)[0]] ^= 1
    with pytest.raises(FormatError, match="table of a layer's tiles is damaged"):
        compass.decode(bytes(damaged), model=tiny_model.path)
    with pytest.raises(FormatError, match="layer 2 is damaged"):
        compass.extract(bytes(damaged), 2)


BEYOND = "reaches beyond a layer of 1100x300"


@pytest.mark.parametrize(
    ("box", "message"),
    [((0, 0, 0, 1), "is empty"), ((-1, 0, 5, 5), BEYOND), ((0, 0, 5, 301), BEYOND), ((6, 0, 5, 5), "is empty")],
)
def test_boxes_that_are_no_part_of_a_layer(box, message, large, tiny_model):
    with pytest.raises(InputError, match=message):
        compass.open(large[0], model=tiny_model.path).decode(box=box)
    with pytest.raises(InputError, match="neither with a box nor with a layer"):
        compass.open(large[0], model=tiny_model.path).decode(width=5, box=(0, 0, 1, 1))


@pytest.fixture
def work(monkeypatch):
    """Positions that each network has been given, by its name: what is saved shows without a clock."""
    given = {}
    run = Network.run

    def counted(network, feeds):
        pixels = max(value.shape[2] * value.shape[3] for value in feeds.values() if value.ndim == 4)
        given[network.name] = given.get(network.name, 0) + pixels
        return run(network, feeds)

    monkeypatch.setattr(Network, "run", counted)
    return given


def test_the_work_of_decoding(large, tiny_model, work):
    pixels = [275 * 75, 550 * 150, 1100 * 300]
    compass.decode(large[0], model=tiny_model.path)
    assert work["residual synthesis"] < 1.2 * sum(pixels[1:])  # margins
    assert work["predictor"] < 1.5 * sum(pixels[:2])
    work.clear()
    compass.decode(large[0], 0, model=tiny_model.path)
    assert set(work) == {"base synthesis"}


def test_the_work_of_decoding_a_part(large, tiny_model, work):
    opened = compass.open(large[0], model=tiny_model.path)
    opened.decode(box=(500, 100, 564, 164))
    assert work["residual synthesis"] < 150**2 + 220**2  # 64 pixels with their margin, and what their prediction needs
    work.clear()
    opened.decode(box=(510, 110, 520, 120))
    assert set(work) == {"residual synthesis", "predictor"}  # the layer below is known
    assert "base synthesis" not in work


def test_the_work_of_encoding(large, tiny_model, work):
    """Nothing is done twice, and the largest layer is not reconstructed."""
    with Image.open(PARROTS) as source:
        encode_layers(source.convert("RGB"), [(80, 60), (160, 120), (320, 240)], [3, 3, 3], tiny_model)
    pixels = [80 * 60, 160 * 120, 320 * 240]
    assert work["base analysis"] == pixels[0]
    assert work["residual analysis"] == sum(pixels[1:])
    assert work["residual synthesis"] == pixels[1]
    assert work["predictor"] == sum(pixels[:2])


def test_products_take_one_thread_and_leave_the_setting_as_it_was(tiny_model, large, monkeypatch):
    """Also where several threads decode: the last one to leave restores it."""
    controller = ThreadpoolController().select(user_api="blas")
    seen = []
    run = Network.run

    def spied(network, feeds):
        seen.extend(library.num_threads for library in controller.lib_controllers)
        return run(network, feeds)

    monkeypatch.setattr(Network, "run", spied)
    with controller.limit(limits=2):
        before = [library.num_threads for library in controller.lib_controllers]
        opened = compass.open(large[0], model=tiny_model.path)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(opened.decode, [0, 1, 2, 1]))
        assert [library.num_threads for library in controller.lib_controllers] == before
    assert set(seen) == {1}


@pytest.mark.parametrize(
    ("size", "tile", "alpha"),
    [((1 << 20, 1 << 20), 4, None), ((32768, 32768), 0, None), ((32768, 32768), 1020, None), ((24576, 24576), 4, b"")],
)
def test_a_part_of_what_is_too_large(size, tile, alpha, tiny_model):
    """What the part needs is counted: tiles, layers in one piece, alpha. Nothing is made for what cannot be there."""
    layer = container.LayerData(*size, 96, b"", alpha)
    data = container.write(tiny_model.hash, "RGB", [layer], tile=tile)
    with pytest.raises(FormatError, match=r"beyond the limit|cannot have"):
        compass.open(data, model=tiny_model.path).decode(box=(0, 0, 16, 16))


def test_a_part_of_a_cut_file(large, tiny_model):
    """Which layer is meant would depend on where the file ends."""
    part = compass.open(compass.extract(large[0], 1), model=tiny_model.path)
    with pytest.raises(InputError, match="the file has not all of its layers: say which layer the part is of"):
        part.decode(box=(0, 0, 9, 9))
    assert part.decode(1, box=(0, 0, 9, 9)).size == (9, 9)


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (30, 9000), (768, 512), (512, 768), (9000, 9000)])
def test_parts_are_bounded_with_their_margins(size):
    for part in parts(Window.whole(size)):
        seen = around(part, (size[0] + 64, size[1] + 64))
        cells = seen.divided(16)
        assert 256 * cells.height * cells.width <= 580 * 840
    assert len(parts(Window.whole((512, 768)))) == len(parts(Window.whole((768, 512)))) == 1
