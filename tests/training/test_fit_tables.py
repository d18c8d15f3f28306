"""Tables of y that are made of what a model codes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from compass.codec.encoder import encode_layers
from compass.entropy.tables import PRECISION, FrequencyTable, quantise_probabilities
from compass.errors import InputError
from compass.model.model import Model
from compass.picture.pyramid import sizes_from_scales
from compass.training.export import export_model
from compass.training.fit_tables import fitted_table, with_fitted_tables


def table(*p: float) -> FrequencyTable:
    return FrequencyTable(quantise_probabilities(np.array(p)))


def test_a_table_follows_what_was_counted():
    counts = np.zeros(100, np.int64)
    counts[[0, 1, 2, 3, 50]] = 600_000, 300_000, 60_000, 30_000, 10_000
    fitted = fitted_table(table(0.1, 0.2, 0.3, 0.2, 0.1, 0.1), counts)
    assert fitted.reach == 2
    assert fitted.frequencies / 2**PRECISION == pytest.approx([0.03, 0.15, 0.6, 0.15, 0.03, 0.04], abs=1e-3)


def test_a_table_that_nothing_was_coded_with_stays_as_it_is():
    before = table(0.1, 0.2, 0.3, 0.2, 0.1, 0.1)
    after = fitted_table(before, np.zeros(100, np.int64))
    assert np.abs(after.frequencies - before.frequencies).max() <= len(before.frequencies)


def coded(model: Model, image: Image.Image) -> tuple[bytes, list[np.ndarray]]:
    data, layers = encode_layers(image, sizes_from_scales(image.size, (0.4, 1.0)), (3.0, 3.0), model)
    return data, [layer.pixels for layer in layers]


def test_a_fitted_model_codes_the_same_images_in_fewer_bytes(tiny_net, exported_model, parrots, tmp_path):
    images = [parrots, parrots.transpose(Image.Transpose.FLIP_LEFT_RIGHT)] * 3
    export_model(tiny_net, tmp_path / "fitted.model", "fitted", {}, fit=images)
    fitted = Model(tmp_path / "fitted.model", threads=1)
    assert fitted.hash != exported_model.hash
    before, pixels = coded(exported_model, parrots)
    after, same_pixels = coded(fitted, parrots)
    assert len(after) < len(before)
    assert all(np.array_equal(a, b) for a, b in zip(pixels, same_pixels, strict=True))


def test_a_prior_without_a_hyper_latent_has_no_such_tables(tmp_path, parrots):
    from compass.training.export import codec_members
    from compass.training.run import build

    with pytest.raises(InputError, match="with a hyperprior alone"):
        with_fitted_tables(codec_members(build("factorized-small").base.eval(), "base"), [parrots])
