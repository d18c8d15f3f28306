"""Model files that hold a base codec alone: of the fast kind, of a factorized prior, of one quality."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import compass
from compass.bitstream import container
from compass.codec.encoder import encode_layers
from compass.errors import InputError, ModelError
from compass.model.model import Model
from compass.nets.factorized_codec import FactorizedCodec
from compass.training.exact import factorized_model
from compass.training.export import export_model
from compass.training.run import build


@pytest.fixture(scope="module")
def base_path(tiny_net, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("base") / "alone.model"
    export_model(tiny_net, path, "alone", {}, base_only=True)
    return path


@pytest.fixture(scope="module")
def factorized() -> FactorizedCodec:
    """Untrained, but with latents that differ from zero and medians that do too."""
    torch.manual_seed(3)
    codec = build("tiny-factorized").base
    torch.nn.init.normal_(codec.g_a[-1].weight, std=0.3)
    with torch.no_grad():
        codec.entropy_bottleneck.quantiles[:, 0, 1] = torch.linspace(-1, 1, codec.latent_channels)
    return codec


@pytest.fixture(scope="module")
def factorized_path(factorized, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("factorized") / "factorized.model"
    net = build("tiny-factorized")
    net.base = factorized
    export_model(net, path, "factorized", {})
    return path


def test_a_base_alone_codes_one_layer_by_default(base_path, parrots):
    data = compass.encode(parrots, model=base_path)
    assert [(row["width"], row["height"]) for row in compass.info(data)["layers"]] == [(320, 240)]
    assert compass.decode(data, model=base_path).size == (320, 240)
    with pytest.raises(ModelError, match="the model alone codes one layer only"):
        compass.encode(parrots, [0.5, 1], model=base_path)


def test_a_file_of_two_layers_that_names_a_one_layer_model(base_path, tiny_model_path, parrots):
    data = compass.encode(parrots, [0.5, 1], 2, tiny_model_path)
    forged = bytearray(data[:-4])
    forged[5:9] = Model(base_path).hash
    size = container.read_header(data).size
    forged[size - 4 : size] = zlib.crc32(forged[: size - 4]).to_bytes(4, "little")
    with pytest.raises(ModelError, match="codes one layer only"):
        compass.decode(bytes(forged) + data[-4:], 1, model=base_path)


def test_a_base_alone_codes_as_the_whole_model_does(base_path, exported_model, parrots):
    alone, whole = (compass.encode(parrots, [1], 2, path) for path in (base_path, exported_model.path))
    assert alone[9:-4] != b""
    assert compass.info(alone)["layers"][0]["crc32"] == compass.info(whole)["layers"][0]["crc32"]


@pytest.mark.parametrize("quality", [0, 1.3, 3, 6])
@pytest.mark.parametrize("size", [(320, 240), (33, 17), (1, 1)])
def test_a_factorized_prior_decodes_exactly(quality, size, factorized_path, parrots):
    model = Model(factorized_path, threads=1)
    image = parrots.resize(size)
    data, (layer,) = encode_layers(image, [size], [quality], model)
    assert np.array_equal(np.asarray(compass.decode(data, model=factorized_path)), layer.pixels)
    assert len(layer.payload) <= layer.ideal_bits / 8 + 8


def test_a_factorized_priors_rate_and_picture_are_the_networks(factorized, factorized_path, parrots):
    x = torch.from_numpy(np.array(parrots)).permute(2, 0, 1)[None].float() / 255
    codec = Model(factorized_path, threads=1).base
    factorized.eval()
    for quality in (0.5, 1.375, 4.0):  # one of them half-way between two tables
        with torch.no_grad():
            expected = factorized(x, torch.tensor([quality]))
        coded, code = codec.encode(codec.analyse(x[0].numpy()), round(quality * 32)), round(quality * 32)
        assert codec.entropy_model.ideal_bits(coded.decoded, code) == pytest.approx(expected.bits_y.item(), rel=0.01)
        assert (
            np.abs(codec.synthesise(coded.decoded.values, (240, 320), code) - expected.image[0].numpy()).mean() < 2e-3
        )
        assert expected.bits_z.item() == 0


def test_factorized_tables_follow_the_quality(factorized):
    """A finer step spreads a density over more symbols; the first and last tables of all are of their quality."""
    model = factorized_model(factorized)
    channels = factorized.latent_channels
    assert len(model.tables) == 25 * channels
    lengths = np.array([len(table.frequencies) for table in model.tables]).reshape(25, channels)
    assert np.all(lengths[-1] > lengths[0])
    assert np.all(np.diff(lengths, axis=0) >= 0)


def test_gradients_reach_gain_and_density(factorized):
    codec = factorized.train()
    out = codec(torch.rand(2, 3, 32, 32), torch.tensor([0.5, 5.5]))
    (out.bits_y.sum() / 1000 + out.image.square().sum()).backward()
    assert torch.isfinite(codec.gain.log_gain.grad).all()
    assert (codec.gain.log_gain.grad[[0, 1, 5, 6]] != 0).any(dim=1).all()
    assert codec.entropy_bottleneck._matrix0.grad.abs().sum() > 0


def test_a_model_of_one_quality_says_so(tiny_net, parrots, tmp_path):
    path = tmp_path / "fixed.model"
    export_model(tiny_net, path, "fixed", {"quality": 2.0}, base_only=True)
    assert compass.info(compass.encode(parrots, model=path))["layers"][0]["quality"] == 2.0
    with pytest.raises(InputError, match="the model fixed codes at quality 2 only, not 3"):
        compass.encode(parrots, [1], 3, path)


def test_the_command_line_uses_a_one_layer_model(base_path, tmp_path):
    from typer.testing import CliRunner

    from compass.cli import app

    image, target = tmp_path / "in.png", tmp_path / "out.cmps"
    Image.new("RGB", (40, 30), (90, 120, 30)).save(image)
    result = CliRunner().invoke(app, ["encode", str(image), str(target), "--model", str(base_path)])
    assert result.exit_code == 0, result.output
    assert len(compass.info(target.read_bytes())["layers"]) == 1


def test_models_without_hyperprior_cannot_be_refined(factorized_path, parrots):
    with pytest.raises(ModelError, match="encode with effort 1"):
        compass.encode(parrots.resize((32, 32)), model=factorized_path, effort=2)


def test_grid_of_a_base_codec_alone(parrots, base_path, tmp_path):
    from paper import grid

    parrots.resize((48, 36)).save(tmp_path / "small.png")
    coder = grid.OfModel(str(base_path))
    rows = [grid.measure(tmp_path / "small.png", quality, coder, [(0.5, 1.0)]) for quality in (2.0, 3.0)]
    single, simulcast = grid.results(rows, "small", "factorized")
    assert [r.name for r in (single, simulcast)] == ["single-factorized", "simulcast-factorized"]
    assert simulcast.layers[0] == single.layers[0]
    assert simulcast.final[0][0] == pytest.approx(single.final[0][0] + single.layers[0][0][0] / 4, rel=0.02)
