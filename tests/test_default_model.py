"""Golden figures of the shipped model. They change only with the model or the codec, and then on purpose."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from compass.codec.encoder import encode_layers
from compass.model import store
from compass.picture.fidelity import psnr
from compass.picture.pyramid import pyramid, sizes_from_scales
from tests.conftest import ROOT

# Kodak image 23 in layers 1/4, 1/2, 1: bytes up to each layer and its PSNR, as in results/kodak/compass.json
GOLDEN = {
    1: [(637, 27.826), (1792, 30.190), (4700, 32.279)],
    3: [(1293, 30.918), (3621, 33.509), (9000, 35.209)],
}


@pytest.mark.parametrize("quality", GOLDEN)
def test_rate_and_psnr(quality):
    with Image.open(ROOT / "examples" / "kodim23.png") as source:
        image = source.convert("RGB")
    sizes = sizes_from_scales(image.size, [1 / 4, 1 / 2, 1])
    data, layers = encode_layers(image, sizes, [quality] * 3, store.load())
    accumulated = len(data) - sum(len(layer.payload) for layer in layers)
    for layer, target, (size, fidelity) in zip(layers, pyramid(image, sizes), GOLDEN[quality], strict=True):
        accumulated += len(layer.payload)
        assert accumulated == pytest.approx(size, rel=0.005)
        assert psnr(layer.pixels, target) == pytest.approx(fidelity, abs=0.02)
    assert accumulated == len(data)


def test_the_figures_in_results_are_of_this_model():
    model = store.load()
    for name in ("kodak/compass", "kodak/single-compass", "exact", "grid", "layers"):
        content = json.loads((ROOT / "results" / f"{name}.json").read_text())
        assert (content.get("model") or content["settings"])["hash"] == model.hash.hex(), name
    assert (
        model.card["kodak"] == json.loads((ROOT / "docs" / "development" / "models" / "fast.json").read_text())["kodak"]
    )


def test_the_model_is_small_and_its_tables_are_whole():
    model = store.load()
    assert model.path.stat().st_size < 16_000_000
    for codec in (model.base, model.residual):
        entropy_model = codec.entropy_model
        assert len(entropy_model.y_tables) == 64
        assert np.all(np.diff([table.reach for table in entropy_model.y_tables]) >= 0)
        assert np.all(np.diff(entropy_model.log_gain, axis=0).mean(axis=1) > 0)  # a better quality has finer steps
