"""The files in conformance/: this package, and a second decoder, find in them what is written beside them."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

import compass
from compass.bitstream import container
from compass.model import store
from compass.model.model import Model
from tests import reference_decoder as reference
from tests.conftest import CONFORMANCE, RELEASED_MODELS, TINY_MODEL

NAMES = sorted(path.stem for path in CONFORMANCE.glob("*.json"))


def described(name):
    content = json.loads((CONFORMANCE / f"{name}.json").read_text())
    return content, (CONFORMANCE / content["file"]).read_bytes(), model_of(content)


def model_of(content):
    earlier = RELEASED_MODELS / f"{content['model']}-{content['model_hash']}.model"
    if content["model"] == "tiny":
        return TINY_MODEL
    return earlier if earlier.exists() else store.load(content["model_hash"]).path


@pytest.mark.parametrize("name", NAMES)
def test_symbols_and_pixels(name):
    content, data, path = described(name)
    model, header = Model(path, threads=1), container.read_header(data)
    assert header.model_hash.hex() == model.hash.hex() == content["model_hash"]
    assert len(header.layers) == len(content["layers"])
    for k, layer in enumerate(content["layers"]):
        entry = header.layers[k]
        assert (entry.width, entry.height, entry.quality_code) == (
            layer["width"],
            layer["height"],
            layer["quality_code"],
        )
        codec = model.residual if k else model.base
        streams, tiles = container.open_streams(data, header, k), header.tiles(k)
        assert len(tiles) == len(layer["tiles"])
        for i, tile in enumerate(layer["tiles"]):
            latent = codec.decode(streams.read(i), tiles[i].size, entry.quality_code)
            for array, expected in ((latent.hyper_symbols, tile["z"]), (latent.symbols, tile["y"])):
                assert list(array.shape) == expected["shape"]
                assert array.ravel().tolist() == expected["values"]
        with Image.open(CONFORMANCE / layer["pixels"]) as pixels:
            decoded = compass.decode(data, k, model=path)
            assert (decoded.mode, decoded.size) == (pixels.mode, pixels.size)
            difference = np.asarray(decoded).astype(int) - np.asarray(pixels)
        assert np.abs(difference).max() <= 1  # floats may round to the neighbouring level on another machine


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("fast")])
def test_symbols_by_the_second_decoder(name):
    content, data, path = described(name)
    file = reference.read_file(data)
    with zipfile.ZipFile(path) as archive:
        for k, layer in enumerate(content["layers"]):
            expected = [(tile["z"]["values"], tile["y"]["values"]) for tile in layer["tiles"]]
            assert reference.decode_symbols(archive, file, k) == expected


def test_ratio_one_and_grey_are_among_them():
    sizes = [(layer["width"], layer["height"]) for layer in described("ladder")[0]["layers"]]
    assert sizes[-1] == sizes[-2]
    assert compass.info(described("grey")[1])["mode"] == "L"


def test_escapes_are_among_them(monkeypatch):
    escapes = []
    uniform = reference.Ans.uniform
    monkeypatch.setattr(reference.Ans, "uniform", lambda self, n: escapes.append(n) or uniform(self, n))
    _, data, path = described("noise")
    with zipfile.ZipFile(path) as archive:
        reference.decode_symbols(archive, reference.read_file(data), 1)
    assert 22 in escapes
