"""Encoding with effort: gradients, what is gained, and that decoders know nothing of it."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

import compass
import compass.pillow
from compass.bitstream import container
from compass.codec.encoder import LayerEncoder, encode_layers
from compass.codec.refine import steps
from compass.entropy import operations
from compass.entropy.ans import ideal_bits
from compass.entropy.costs import SymbolCosts
from compass.entropy.operations import ACTIVATION_BITS, Convolution, LeakyReLU, PixelShuffle, TransposedConvolution
from compass.entropy.quality import lambda_of
from compass.errors import InputError, ModelError
from compass.model import store
from compass.model.gradient import with_gradient
from compass.model.model import Model
from compass.picture.fidelity import psnr
from tests.command import compass as command

SIZES = [(80, 60), (160, 120)]


def cost(data: bytes, image: Image.Image, model: Model, quality: float) -> float:
    """Bits and weighted error of all layers."""
    total = 8.0 * len(data)
    with compass.open(data, model=model.path) as opened:
        for k, size in enumerate(opened.sizes):
            target = np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float64)
            total += lambda_of(quality) / 3 * np.sum((np.asarray(opened.decode(k), np.float64) - target) ** 2)
    return total


@pytest.fixture(scope="module")
def default():
    """The model that is shipped: it has something to gain. The tiny one is little more than a block transform."""
    return store.load(threads=1)


@pytest.fixture(scope="module")
def photo(parrots):
    return parrots.resize(SIZES[-1], Image.Resampling.BICUBIC)


@pytest.mark.parametrize("part", ["base", "residual"])
def test_gradients_are_those_of_the_error(part, tiny_model):
    rng = np.random.default_rng(1)
    codec = getattr(tiny_model, part)
    values = rng.normal(0, 2, (codec.entropy_model.channels, 3, 4)).astype(np.float32)
    target, weight = rng.random((3, 41, 50), np.float32), rng.random((41, 50), np.float32)
    prediction = None if part == "base" else rng.random((3, 41, 50), np.float32)

    def error(at):
        return codec.error(at, target, weight, 96, prediction)

    found, gradient = error(values)
    planes = codec.synthesise(values, (41, 50), 96, prediction)
    assert found == pytest.approx(float(np.sum(weight * (planes - target) ** 2)), rel=1e-4)
    for _ in range(3):
        way = rng.normal(0, 0.05, values.shape).astype(np.float32)
        difference = (error(values + way)[0] - error(values - way)[0]) / 2
        assert difference == pytest.approx(float(np.sum(gradient * way)), rel=2e-2, abs=2e-3)


def test_a_graph_without_known_derivatives_is_refused(tiny_model):
    with pytest.raises(ModelError, match="has no known gradient"):
        with_gradient(tiny_model.file.read("encoder/base/hyper_analysis.onnx"), "synthesis")
    with pytest.raises(ModelError, match="is refused"):
        with_gradient(b"\x08\x07", "synthesis")


@pytest.mark.parametrize("place", [None, (0, 1), (1, 0)])
@pytest.mark.parametrize("size", [(5, 6), (4, 7)])
def test_integer_networks_have_derivatives(place, size):
    rng = np.random.default_rng(2)

    def kernel(*shape):
        return rng.integers(-3000, 3000, shape).astype(np.float64)

    network = [Convolution(kernel(8, 3, 3, 3), kernel(8)), LeakyReLU(3000), Convolution(kernel(4, 8, 1, 1), kernel(4))]
    if place is None:
        network += [PixelShuffle(), TransposedConvolution(kernel(1, 2, 5, 5), kernel(2))]
    x = rng.integers(-(10**6), 10**6, (3, *size))
    outward = rng.normal(size=operations.run(network, x, place).shape)
    gradient = operations.backward(network, x, outward, place)
    for _ in range(5):
        way = rng.integers(-1000, 1000, x.shape)
        ahead, back = (operations.run(network, x + sign * way, place) for sign in (1, -1))
        assert np.sum(outward * (ahead - back)) / 2 == pytest.approx(float(np.sum(gradient * way)), rel=0.05, abs=50)


def test_costs_of_symbols_are_code_lengths(tiny_model):
    tables = tiny_model.base.entropy_model.y_tables
    costs = SymbolCosts(tables)
    for k in (0, 20, 63):
        reach = tables[k].reach
        values = np.arange(-reach - 1, reach + 2)
        found = costs(np.full(values.shape, k), values)
        assert np.allclose(found, [ideal_bits(values[i : i + 1], tables[k]) for i in range(len(values))], rtol=1e-5)
        assert costs(np.array([k]), np.array([reach + 1000]))[0] >= found[-1]


def test_later_symbols_are_charged_to_magnitudes(photo, tiny_model):
    """Every magnitude of a one grows a little; what follows from it for the scales is what the costs say."""
    _, (layer,) = encode_layers(photo, [photo.size], [5], tiny_model)
    latent, model = layer.latent(), tiny_model.base.entropy_model
    slopes = np.random.default_rng(3).normal(size=latent.symbols.shape)
    more = model.magnitudes.copy()
    more[1] += 1 << ACTIVATION_BITS - 2
    changed = dataclasses.replace(model, magnitudes=more)
    difference = np.sum(slopes * (changed.conditions(latent, 160)[0] - model.conditions(latent, 160)[0]))
    ones = np.abs(latent.symbols) == 1
    expected = np.sum(model.magnitude_costs(latent.symbols, slopes)[ones]) * (more - model.magnitudes)[1]
    assert difference == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_effort_lowers_the_cost_and_files_decode_as_ever(mode, photo, default):
    image = photo.convert(mode)
    if mode == "RGBA":
        image.putalpha(photo.getchannel("G"))
    plain, _ = encode_layers(image, SIZES, [3, 3], default)
    data, layers = encode_layers(image, SIZES, [3, 3], default, effort=5)
    with compass.open(data, model=default.path) as opened:
        for k, layer in enumerate(layers):
            assert np.array_equal(np.asarray(opened.decode(k).convert("RGB")), layer.pixels)
    if mode == "RGB":
        assert cost(data, image, default, 3) < 0.98 * cost(plain, image, default, 3)


def test_more_effort_costs_less(photo, default):
    found = [cost(encode_layers(photo, SIZES, [2, 2], default, effort)[0], photo, default, 2) for effort in (1, 2, 6)]
    assert found[0] > found[1] > found[2]


def test_files_depend_on_the_effort_alone(photo, tiny_model_path):
    files = {
        compass.encode(photo, sizes=SIZES, effort=4, model=tiny_model_path, threads=threads) for threads in (1, 2, 1)
    }
    assert len(files) == 1


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 5), (5, 33)])
def test_small_images_take_effort(size, photo, tiny_model_path):
    image = photo.crop((0, 0, *size))
    data = compass.encode(image, [1], 3, tiny_model_path, effort=9)
    assert compass.decode(data, model=tiny_model_path).size == size


def test_flat_images_take_effort(tiny_model_path):
    image = Image.new("RGB", (40, 40), (200, 10, 90))
    data = compass.encode(image, [0.5, 1], 0, tiny_model_path, effort=3)
    assert len(data) <= len(compass.encode(image, [0.5, 1], 0, tiny_model_path))


@pytest.mark.slow
def test_tiles_are_refined_one_after_another(parrots, default):
    image = parrots.resize((1100, 300))
    data, layers = encode_layers(image, [image.size], [2], default, effort=4)
    assert len(container.read_header(data).tiles(0)) == 3
    assert np.array_equal(np.asarray(compass.decode(data, model=default.path)), layers[0].pixels)
    plain, _ = encode_layers(image, [image.size], [2], default)
    assert cost(data, image, default, 2) < 0.98 * cost(plain, image, default, 2)


def test_smaller_layers_are_given_more_steps():
    assert steps(1, 1 / 16) == 0
    for effort in range(2, 10):
        assert 0 < steps(effort, 1) <= steps(effort, 1 / 4) <= steps(effort, 1 / 16)
        assert effort == 2 or steps(effort, 1) > steps(effort - 1, 1)


@pytest.mark.parametrize("effort", [0, 10, 2.5, None, "5"])
def test_other_efforts_are_refused(effort, photo, tiny_model_path):
    with pytest.raises(InputError, match="whole number from 1 to 9"):
        compass.encode(photo, effort=effort, model=tiny_model_path)


def test_targets_are_met_with_effort(photo, default):
    options = {"sizes": SIZES, "model": default.path}
    plain = compass.encode(photo, target_size=2000, **options)
    data = compass.encode(photo, target_size=2000, effort=3, **options)
    assert len(data) <= 4000
    assert fidelity(data, photo, default.path) > fidelity(plain, photo, default.path)
    small, large = (compass.encode(photo, target_psnr=26, effort=effort, **options) for effort in (3, 1))
    assert len(small) < len(large)
    assert fidelity(small, photo, default.path) >= 26
    with pytest.raises(InputError, match="the smallest has"):
        compass.encode(photo, target_size=60, effort=3, **options)
    assert fidelity(compass.encode(photo, target_size=10**6, effort=2, **options), photo, default.path) > 26


def fidelity(data, image, model):
    return psnr(np.asarray(compass.decode(data, model=model)), np.asarray(image))


@pytest.mark.parametrize("effort", [1, 2])
def test_progress_rises_to_one(effort, photo, tiny_model_path):
    told: list[float] = []
    options = {"sizes": SIZES, "effort": effort, "model": tiny_model_path, "progress": told.append}
    compass.encode(photo, **options)
    assert len(told) > 1
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    expected = list(told)
    told.clear()
    photo.save(io.BytesIO(), "COMPASS", **options)
    assert told == expected


def test_a_region_is_coded_better_than_the_rest(photo, default):
    box = (32, 16, 96, 80)
    mask = Image.new("L", photo.size)
    mask.paste(255, box)
    options = {"sizes": SIZES, "quality": 3, "model": default.path, "effort": 5}
    plain, data = compass.encode(photo, **options), compass.encode(photo, roi=box, **options)
    painted = Image.new("RGBA", photo.size)
    painted.paste("white", box)
    for same in (mask, painted, np.asarray(mask), np.asarray(mask) > 0, np.array(box)):
        assert data == compass.encode(photo, roi=same, **options)
    assert len(data) < 0.9 * len(plain)
    inside = [psnr(part(file, box, default.path), np.asarray(photo.crop(box))) for file in (plain, data)]
    assert inside[1] > inside[0] - 0.6
    least = compass.encode(photo, roi=box, roi_weight=1, **options)
    assert least == plain


def part(data, box, model):
    return np.asarray(compass.decode(data, model=model).crop(box))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roi": (0, 0, 161, 10)}, "reaches beyond an image of 160x120"),
        ({"roi": (10, 10, 10, 20)}, "from 10,10 to 10,20 .left, upper to right, lower. is empty"),
        ({"roi": (1, 2, 3)}, "four whole numbers .left, upper, right, lower. or a mask"),
        ({"roi": (0.5, 1, 20, 20)}, "four whole numbers"),
        ({"roi": "0,0,8,8"}, "four whole numbers"),
        ({"roi": np.zeros((120, 160, 3), np.uint8)}, "or a mask, not ndarray"),
        ({"roi": np.ones((120, 160))}, "array of bool or uint8, not of float64"),
        ({"roi": Image.new("F", (160, 120), 0.5)}, "has 8 or 16 bits, it is not of mode F"),
        ({"roi": Image.fromarray(np.full((120, 160), 200, np.uint16))}, "black everywhere"),
        ({"roi": np.zeros((120, 160), bool)}, "black everywhere"),
        ({"roi": Image.new("LA", (160, 120), (255, 0))}, "black everywhere"),
        ({"roi": Image.new("L", (10, 10))}, "mask of the region is 10x10, the image is 160x120"),
        ({"roi": (0, 0, 16, 16), "roi_weight": 0.5}, "1 to 1000 times the weight"),
        ({"roi": (0, 0, 16, 16), "roi_weight": "8"}, "1 to 1000 times the weight of the rest, not '8'"),
        ({"roi": (0, 0, 16, 16), "roi_weight": float("nan")}, "1 to 1000 times the weight"),
        ({"roi": (0, 0, 16, 16), "effort": 1}, "takes an effort of 2 or more"),
    ],
)
def test_regions_that_are_none_are_refused(options, message, photo, tiny_model_path):
    with pytest.raises(InputError, match=message):
        compass.encode(photo, **({"effort": 2, "model": tiny_model_path} | options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effort": True}, "from 1 to 9, not True"),
        ({"effort": 2.0}, "from 1 to 9, not 2.0"),
        ({"progress": 3}, "something that can be called, not 3"),
    ],
)
def test_options_of_wrong_types_are_refused(options, message, photo, tiny_model_path):
    with pytest.raises(InputError, match=message):
        compass.encode(photo, model=tiny_model_path, **options)


def test_pillow_saves_with_effort(photo, default):
    files = [io.BytesIO(), io.BytesIO()]
    for file, effort in zip(files, (1, 3), strict=True):
        photo.save(file, "COMPASS", quality=3, model=default.path, effort=effort)
    assert files[1].getvalue() == compass.encode(photo, quality=3, model=default.path, effort=3)
    assert files[0].getvalue() != files[1].getvalue()


def test_the_command_takes_effort_and_a_region(photo, default, tmp_path):
    photo.save(tmp_path / "photo.png")
    Image.new("L", photo.size, 255).save(tmp_path / "mask.png")
    common = ["encode", tmp_path / "photo.png", tmp_path / "out.cmps", "--model", default.path, "--force"]
    sizes = []
    for options in ([], ["-e", "3"], ["-e", "3", "--roi", "0,0,40,40"], ["-e", "3", "--roi", "0,0,40,40,50"]):
        assert command(*common, *options, cwd=tmp_path).returncode == 0
        sizes.append((tmp_path / "out.cmps").stat().st_size)
    assert sizes[0] > sizes[1] > max(sizes[2:])
    assert sizes[2] != sizes[3]
    assert command(*common, "-e", "2", "--roi", tmp_path / "mask.png", cwd=tmp_path).returncode == 0
    weighted = command(*common, "-e", "3", "--roi", " 0, 0, 40, 40", "--roi-weight", "50", cwd=tmp_path)
    assert weighted.returncode == 0
    assert (tmp_path / "out.cmps").stat().st_size == sizes[3]
    for options, code, said in (
        (["-e", "10"], 2, "--effort"),
        (["--roi", "0,0,8,8"], 2, "takes an --effort of 2 or more"),
        (["-e", "2", "--roi-weight", "3"], 2, "--roi-weight takes a region"),
        (["-e", "2", "--roi", "0,0,8,8,3", "--roi-weight", "3"], 2, "in --roi or in --roi-weight"),
        (["-e", "2", "--roi", "0,0,8"], 2, "'0,0,8' is not a region of interest like 0,0,640,480"),
        (["-e", "2", "--roi", "0,0,8,-3"], 2, "is not a region of interest"),
        (["-e", "2", "--roi", "0,0,8,0"], 1, "from 0,0 to 8,0 (left, upper to right, lower) is empty"),
        (["-e", "2", "--roi", "0,0,8,8,nan"], 1, "has 1 to 1000 times the weight of the rest, not nan"),
        (["-e", "2", "--roi", "0,0,8,8,1e9"], 1, "has 1 to 1000 times the weight"),
        (["-e", "2", "--roi", "0,0,800,8"], 1, "reaches beyond an image of 160x120"),
        (["-e", "2", "--roi", tmp_path / "none.png"], 1, "none.png cannot be read"),
    ):
        failed = command(*common, *options, cwd=tmp_path)
        assert failed.returncode == code
        assert said in " ".join(failed.stderr.split())
        assert "Traceback" not in failed.stderr


def test_an_encoder_can_change_its_effort(photo, tiny_model):
    encoder = LayerEncoder(photo, SIZES, tiny_model, effort=2)
    refined, _ = encoder.encode([3, 3])
    encoder.effort = 1
    assert encoder.encode([3, 3])[0] == encode_layers(photo, SIZES, [3, 3], tiny_model)[0] != refined
