"""The codec end to end on ONNX Runtime: any size, any ratio, any number of layers, exactly what the encoder saw."""

from __future__ import annotations

import io
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

import compass
from compass.bitstream import container
from compass.codec.decoder import open_layer
from compass.codec.encoder import encode_layers
from compass.codec.layer import DecodedLayer
from compass.errors import FormatError, InputError, ModelError
from compass.model.model import Model
from compass.picture.pyramid import sizes_from_scales
from compass.picture.window import Window


def check_round_trip(image: Image.Image, sizes: list[tuple[int, int]], qualities: list[float], model: Model) -> bytes:
    data, layers = encode_layers(image, sizes, qualities, model)
    header = container.read_header(data)
    for k, (size, layer) in enumerate(zip(sizes, layers, strict=True)):
        decoded = compass.decode(data, k, model=model.path)
        assert decoded.size == size
        assert decoded.mode == image.mode
        expected = layer.pixels[:, :, 0] if image.mode == "L" else layer.pixels
        assert np.array_equal(np.asarray(decoded), expected)
        assert header.layers[k].length <= max(layer.ideal_bits / 8 + 8, layer.ideal_bits / 8 * 1.01)
    return data


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 9, pytest.param(32, marks=pytest.mark.slow)])
def test_number_of_layers(count, parrots, tiny_model):
    scales = [(k + 1) / count for k in range(count)]
    check_round_trip(parrots, sizes_from_scales(parrots.size, scales), [3.0] * count, tiny_model)


@pytest.mark.parametrize("ratio", [1.0, 1.2, 1.37, 2, 2.8, 4, 6])
def test_ratio_of_two_layers(ratio, parrots, tiny_model):
    check_round_trip(parrots, sizes_from_scales(parrots.size, [1 / ratio, 1]), [2.0, 3.5], tiny_model)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (1, 40), (40, 1), (16, 16), (17, 33), (333, 517)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_picture_sizes(size, mode, parrots, tiny_model):
    image = parrots.resize(size).convert(mode)
    check_round_trip(image, sizes_from_scales(size, [0.25, 0.5, 1]), [1.0, 2.0, 6.0], tiny_model)


def test_quality_trades_bytes_for_fidelity(parrots, tiny_model_path):
    previous = (0, 0.0)
    for quality in (0, 1.5, 3, 4.5, 6):
        data = compass.encode(parrots, [1], quality, tiny_model_path)
        error = np.asarray(compass.decode(data, model=tiny_model_path)).astype(float) - np.asarray(parrots)
        current = (len(data), -float((error**2).mean()))
        assert previous == (0, 0.0) or (current[0] > previous[0] and current[1] > previous[1])
        previous = current


def test_encoding_twice_gives_the_same_bytes(parrots, tiny_model_path):
    first = compass.encode(parrots, [0.5, 1], 2, tiny_model_path, threads=1)
    assert compass.encode(parrots, [0.5, 1], 2, tiny_model_path, threads=2) == first


_DECODE = """
import sys
sys.modules["torch"] = None  # as if it were not installed
import zlib, compass
data = open(sys.argv[1], "rb").read()
for k in range(3):
    print(zlib.crc32(compass.decode(data, k, model=sys.argv[2], threads=int(sys.argv[3])).tobytes()))
image = compass.decode(data, model=sys.argv[2])
assert compass.encode(image, [1], 3, sys.argv[2])[:4] == data[:4]
assert sys.modules["torch"] is None
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fresh_process_without_torch_decodes_the_encoders_pictures(threads, parrots, tiny_model, tmp_path):
    data, layers = encode_layers(parrots, sizes_from_scales(parrots.size, [0.25, 0.5, 1]), [3.0] * 3, tiny_model)
    (tmp_path / "file.cmps").write_bytes(data)
    command = [sys.executable, "-c", _DECODE, str(tmp_path / "file.cmps"), str(tiny_model.path), str(threads)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert [int(line) for line in result.stdout.split()] == [zlib.crc32(layer.pixels.tobytes()) for layer in layers]


def test_layer_above_can_be_decoded_from_the_pixels_below(parrots, tiny_model):
    """A client that holds layer 0 as plain pixels needs only the bytes of layer 1."""
    data, layers = encode_layers(parrots, [(160, 120), (320, 240)], [3.0, 3.0], tiny_model)
    plain = np.asarray(compass.decode(data, 0, model=tiny_model.path))
    layer, latent = open_layer(data, container.read_header(data), 1, tiny_model, DecodedLayer.whole(plain))
    assert np.array_equal(layer.decode(Window.whole(layer.size), latent).pixels, layers[1].pixels)


def test_extract_and_cut_files(parrots, tiny_model_path):
    data = compass.encode(parrots, [0.25, 0.5, 1], 3, tiny_model_path)
    part = compass.extract(data, 1)
    assert data.startswith(part)
    whole = compass.decode(data, 1, model=tiny_model_path)
    assert compass.decode(part, model=tiny_model_path).tobytes() == whole.tobytes()
    with pytest.warns(UserWarning, match="cut within layer 2"):
        cut = compass.decode(data[:-1], model=tiny_model_path)
    assert cut.tobytes() == whole.tobytes()
    with pytest.raises(FormatError, match="ends before layer 2"):
        compass.decode(part, 2, model=tiny_model_path)
    with pytest.raises(InputError, match="no layer 3"):
        compass.extract(data, 3)


def test_info(parrots, tiny_model_path):
    data = compass.encode(parrots, [0.25, 1], [1, 2.5], tiny_model_path)
    figures = compass.info(data)
    assert figures["format_version"] == 2
    assert (figures["width"], figures["height"], figures["mode"]) == (320, 240, "RGB")
    assert figures["model"]["hash"] == Model(tiny_model_path).hash.hex()
    first, second = figures["layers"]
    assert (first["width"], first["height"], first["quality"]) == (80, 60, 1)
    assert (second["width"], second["height"], second["quality"]) == (320, 240, 2.5)
    assert second["offset"] == first["offset"] + first["length"] == first["accumulated_bytes"]
    assert second["accumulated_bytes"] == len(data)
    assert second["crc32"] == f"{zlib.crc32(data[second['offset'] :]):08x}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": [0.5, 0.25]}, "must ascend"),
        ({"scales": [1.5]}, "not above 0 and at most 1"),
        ({"scales": []}, "0 layers are impossible"),
        ({"scales": [1] * 33}, "33 layers are impossible"),
        ({"quality": 6.1}, "outside 0 to 6"),
        ({"quality": [1, 2]}, "2 qualities were given for 3 layers"),
        ({"sizes": [(400, None)]}, "larger than the image"),
        ({"sizes": [(0, None)]}, "a layer of 0x1 has no pixels"),
        ({"sizes": [(40, None)], "scales": [1]}, "only one of scales and sizes"),
        ({"scales": 1}, "scales are a sequence of numbers, not 1"),
        ({"scales": ["half"]}, "scales are a sequence of numbers"),
        ({"sizes": 5}, "sizes are a sequence of widths, or of pairs of width and height, not 5"),
        ({"sizes": [(80,)]}, "sizes are a sequence of widths"),
        ({"sizes": ["80"]}, "sizes are a sequence of widths"),
        ({"sizes": [(80.5, None)]}, "sizes are a sequence of widths"),
        ({"target_size": "5kB"}, "a target size is a number of bytes, not '5kB'"),
        ({"target_size": float("nan")}, "no file of nan bytes"),
        ({"target_psnr": "30"}, "a target PSNR is a number of dB, not '30'"),
        ({"effort": 2.5}, "an effort is a whole number from 1 to 9, not 2.5"),
        ({"effort": True}, "an effort is a whole number"),
        ({"threads": "2"}, "threads are a whole number, not '2'"),
    ],
)
def test_bad_arguments(arguments, message, parrots, tiny_model_path):
    with pytest.raises(InputError, match=message):
        compass.encode(parrots, model=tiny_model_path, **arguments)


def test_widths_alone(parrots, tiny_model_path):
    widths = np.array([32, 64])
    assert compass.info(compass.encode(parrots, sizes=widths, model=tiny_model_path))["layers"][0]["height"] == 24
    assert compass.encode(parrots, sizes=[32, (64, 48)], model=tiny_model_path) == compass.encode(
        parrots, sizes=[(32, None), (64, None)], model=tiny_model_path
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "1"}, "a layer is given by its number, not '1'"),
        ({"layer": 1.5}, "a layer is given by its number"),
        ({"width": "9"}, "a width is a whole number of pixels, not '9'"),
        ({"width": 9, "layer": 0}, "a width can be given neither with a box nor with a layer"),
        ({"box": 5}, "a box is four whole numbers"),
        ({"box": (0, 0, 1)}, "a box is four whole numbers"),
        ({"box": (0, 0, 1.0, 1)}, "a box is four whole numbers"),
        ({"box": (5, 5, 5, 9)}, "the box from 5,5 to 5,9 .left, upper to right, lower. is empty"),
        (
            {"box": (-1, 0, 5, 9)},
            "the box from -1,0 to 5,9 .left, upper to right, lower. reaches beyond a layer of 32x24",
        ),
    ],
)
def test_bad_arguments_of_decode(arguments, message, parrots, tiny_model_path):
    data = compass.encode(parrots, sizes=[32], model=tiny_model_path)
    assert compass.decode(data, box=(1, 2, 9, 5), model=tiny_model_path).size == (8, 3)
    assert compass.decode(data, width=8, model=tiny_model_path).size == (8, 6)
    with pytest.raises(InputError, match=message):
        compass.decode(data, model=tiny_model_path, **arguments)


def test_a_model_is_a_name_or_a_path(parrots):
    with pytest.raises(ModelError, match="a model is named by a text or a path, not by 5"):
        compass.encode(parrots, model=5)


def test_pictures_that_cannot_be_coded(tiny_model_path):
    with pytest.raises(InputError, match="mode F cannot be coded"):
        compass.encode(Image.new("F", (4, 4)), model=tiny_model_path)
    with pytest.raises(InputError, match="uint8"):
        compass.encode(np.zeros((4, 4, 3)), model=tiny_model_path)
    with pytest.raises(InputError, match="not as a path"):
        compass.encode("photo.png", model=tiny_model_path)
    with pytest.raises(InputError, match="no pixels"):
        compass.encode(np.zeros((0, 4, 3), np.uint8), model=tiny_model_path)


def test_another_model_is_refused_by_name(parrots, tiny_model_path, tmp_path):
    data = bytearray(compass.encode(parrots, [0.1], 3, tiny_model_path))
    data[5] ^= 1
    header_end = container.read_header(compass.encode(parrots, [0.1], 3, tiny_model_path)).size - 4
    data[header_end : header_end + 4] = zlib.crc32(data[:header_end]).to_bytes(4, "little")
    with pytest.raises(ModelError, match="needs the model"):
        compass.decode(bytes(data), model=tiny_model_path)
    with pytest.raises(ModelError, match="not installed"):
        compass.decode(bytes(data))


def test_pixel_limit(parrots, tiny_model_path, monkeypatch):
    data = compass.encode(parrots, [1], 0, tiny_model_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(FormatError, match="beyond the limit"):
        compass.decode(data, model=tiny_model_path)


def test_a_payload_that_no_encoder_wrote(tiny_model):
    for payload in (b"\0", b"abc\0", b"\0" * 8):
        with pytest.raises(FormatError, match="zero byte"):
            tiny_model.base.decode(payload, (1, 1), 96)
    with pytest.raises(FormatError, match="does not end"):
        tiny_model.base.decode(b"\1" * 40, (1, 1), 96)


@pytest.mark.parametrize("quality", [2, 2.0, np.float32(2), np.int64(2), [2, 2], np.array([2.0, 2.0])])
def test_kinds_of_numbers(quality, parrots, tiny_model_path):
    data = compass.encode(parrots, [0.1, 0.2], quality, tiny_model_path)
    assert compass.decode(memoryview(data), model=tiny_model_path).size == (64, 48)


def test_the_formats_quality_range_is_the_models():
    from compass.entropy import quality

    assert quality.MAX_CODE == container.MAX_QUALITY_CODE


def test_an_image_whose_pixels_cannot_be_read(parrots, tiny_model_path):
    stream = io.BytesIO()
    parrots.save(stream, "PNG")
    data = stream.getvalue()
    cut, mask, closed = (Image.open(io.BytesIO(part)) for part in (data[:20_000], data[:20_000], data))
    closed.close()
    for image in (cut, closed):
        with pytest.raises(InputError, match="the image cannot be read"):
            compass.encode(image, model=tiny_model_path)
    with pytest.raises(InputError, match="the mask of the region cannot be read"):
        compass.encode(parrots, [1], effort=2, roi=mask, model=tiny_model_path)
