"""docs/reference/format.md against the code: its example byte by byte, and a decoder that was written from it."""

from __future__ import annotations

import re
import zipfile

import numpy as np
import pytest
from PIL import Image

import compass
from compass.bitstream import container
from compass.codec.encoder import encode_layers
from compass.entropy import operations as exact
from compass.entropy.ans import Encoder
from compass.entropy.tables import FrequencyTable
from compass.model.model import Model
from compass.picture.fidelity import psnr
from tests import reference_decoder as reference
from tests.conftest import CONFORMANCE, PARROTS, ROOT, TINY_MODEL

EXAMPLE = CONFORMANCE / "example.cmps"
MODEL = TINY_MODEL


def example_picture() -> Image.Image:
    with Image.open(PARROTS) as source:
        image = source.convert("RGB").crop((150, 60, 214, 102)).resize((24, 16), Image.Resampling.BICUBIC)
    alpha = np.full((16, 24), 255, np.uint8)
    alpha[:4] = 0
    image.putalpha(Image.fromarray(alpha))
    image.info["xmp"] = b"<x/>"
    return image


def test_the_example_of_the_text_is_the_file():
    text = (ROOT / "docs" / "reference" / "format.md").read_text()
    table = text.split("<!-- example -->")[1].split("<!-- end of example -->")[0]
    rows = re.findall(r"^\| (\d+) \| `([0-9a-f ]+)` \|", table, re.MULTILINE)
    position = 0
    for offset, digits in rows:
        assert int(offset) == position
        position += len(bytes.fromhex(digits))
    assert bytes.fromhex("".join(digits for _, digits in rows)) == EXAMPLE.read_bytes()


def test_the_example_by_both_decoders():
    data = EXAMPLE.read_bytes()
    file, header = reference.read_file(data), container.read_header(data)
    assert [(layer.width, layer.height, layer.quality) for layer in file.layers] == [(12, 8, 64), (24, 16, 96)]
    assert file.boxes == [(b"XMP ", b"<x/>")]
    shown = compass.decode(data, model=MODEL)
    assert shown.info["xmp"] == b"<x/>"
    assert reference.alpha_rows(file.layers[1]) == np.asarray(shown.getchannel("A")).tolist()
    seen, original = (np.asarray(image)[4:, :, :3] for image in (shown, example_picture()))
    assert psnr(seen, original) > 22
    assert file.model_hash == header.model_hash == Model(MODEL).hash


def test_the_second_decoder_reads_every_kind_of_header(parrots):
    """Grey, a box in front, heights that are not the image's aspect ratio."""
    image = parrots.convert("L").resize((24, 16))
    image.info.update(icc_profile=b"a grey profile", xmp=b"<x/>")
    data = compass.encode(image, sizes=[(11, 9), (24, 16)], quality=[3, 3], model=MODEL)
    file, header = reference.read_file(data), container.read_header(data)
    assert (file.colour, [(x.width, x.height) for x in file.layers]) == ("L", [(11, 9), (24, 16)])
    assert file.boxes == [(b"ICCP", b"a grey profile"), (b"XMP ", b"<x/>")]
    model = Model(MODEL, threads=1)
    with zipfile.ZipFile(MODEL) as archive:
        ((_, y),) = reference.decode_symbols(archive, file, 1)
    expected = model.residual.decode(container.read_payload(data, header, 1), (1, 2), 96)
    assert y == expected.symbols.ravel().tolist()


@pytest.mark.parametrize(("qualities", "part"), [((2, 3), 1.0), ((0, 6), 0.3), ((1.3, 4.7), 0.2)])
def test_the_second_decoder_finds_the_same_symbols(qualities, part, parrots, tiny_model):
    """Also of extreme images, whose latents escape their tables."""
    image = example_picture() if part == 1 else parrots.resize((round(320 * part), round(240 * part)))
    if part == 0.2:
        noise = np.random.default_rng(5).integers(0, 2, (48, 64, 3), np.uint8) * 255
        image = Image.fromarray(noise)
    model = Model(MODEL, threads=1)
    sizes = [(image.width // 2, image.height // 2), image.size]
    data, _ = encode_layers(image, sizes, qualities, model)
    file, header = reference.read_file(data), container.read_header(data)
    with zipfile.ZipFile(MODEL) as archive:
        for k, codec in enumerate((model.base, model.residual)):
            entry = header.layers[k]
            payload = container.read_payload(data, header, k)
            expected = codec.decode(payload, header.tiles(k)[0].size, entry.quality_code)
            ((z, y),) = reference.decode_symbols(archive, file, k)
            assert z == expected.hyper_symbols.ravel().tolist()
            assert y == expected.symbols.ravel().tolist()
            assert any(y)


def test_the_second_entropy_decoder_alone():
    """Values far beyond a table's reach, tables of all kinds, and empty groups."""
    rng = np.random.default_rng(1)
    groups = []
    for _ in range(30):
        count = 2 * int(rng.integers(1, 40))
        frequencies = rng.integers(1, 1000, count)
        frequencies[rng.integers(count)] += 2**24 - frequencies.sum()
        values = np.rint(rng.standard_cauchy(int(rng.integers(0, 60))) * 20).clip(-(2**19), 2**19).astype(int)
        groups.append((values, frequencies.tolist()))
    encoder = Encoder()
    for values, frequencies in groups:
        encoder.put(values, FrequencyTable(np.array(frequencies)))
    stream = reference.Ans(encoder.finish())
    for values, frequencies in groups:
        assert stream.values(len(values), frequencies) == values.tolist()
    assert (stream.state, stream.words) == (0, [])


def test_the_second_hyper_synthesis_alone():
    """Layers that the model of the tests does not have: transposed convolutions and slopes."""
    rng = np.random.default_rng(2)
    x = rng.integers(-(2**20), 2**20, (3, 4, 5))
    down = rng.integers(-(2**15), 2**15, (2, 3, 3, 3)).astype(float), rng.integers(-(2**30), 2**30, 2).astype(float)
    up = rng.integers(-(2**15), 2**15, (2, 4, 5, 5)).astype(float), rng.integers(-(2**30), 2**30, 4).astype(float)
    steps = [exact.Convolution(*down), exact.LeakyReLU(164), exact.TransposedConvolution(*up), exact.PixelShuffle()]
    kinds = ["convolution", "leaky_relu", "transposed_convolution", "pixel_shuffle"]
    arrays = {"medians": ((3,), [0, 5, -7]), "hyper_synthesis": [{"kind": kind, "slope": 164} for kind in kinds]}
    for number, (weight, bias) in ((0, down), (2, up)):
        arrays[f"hyper_synthesis.{number}.weight"] = weight.shape, weight.astype(int).ravel().tolist()
        arrays[f"hyper_synthesis.{number}.bias"] = bias.shape, bias.astype(int).tolist()
    symbols = (x >> 10).astype(np.int32)
    expected = exact.run(steps, exact.from_symbols(symbols, np.array([0, 5, -7])))
    assert reference.hyper_synthesis(arrays, symbols.tolist()) == expected.tolist()
