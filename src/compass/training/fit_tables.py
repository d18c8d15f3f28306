"""Frequency tables of y made of the symbols that a model codes, instead of its density.

The shape of a density is a choice, and its scales are learned with noise in place of rounding. Decoders take any table.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compass.codec.encoder import LayerEncoder
from compass.entropy.hyperprior import HyperpriorModel
from compass.entropy.latent import DecodedLatent
from compass.entropy.quality import MAX_QUALITY, to_code
from compass.entropy.tables import PRECISION, FrequencyTable, quantise_probabilities
from compass.errors import InputError
from compass.model.file import Members, write_model
from compass.model.model import Model
from compass.model.transform_codec import entropy_members
from compass.picture.pyramid import sizes_from_scales

_LOWER = ((0.25, 0.5), (0.5, 0.9))  # bounds of the scales of the two layers below an image
_DENSITY_COUNTS = 200.0  # symbols that the density of a table counts as
_MOST = 4096  # magnitudes that are told apart


def with_fitted_tables(members: Members, images: Iterable[Image.Image], seed: int = 0) -> dict[str, bytes]:
    """Members of a model file, with tables of y for the symbols that it codes of images, at random qualities and sizes.

    Raises InputError if the model has a prior without a hyper-latent, whose tables are for channels.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "density.model"
        write_model(path, "density", members, {})
        model = Model(path, threads=1)
        codecs = {"base": model.base} if model.one_layer else {"base": model.base, "residual": model.residual}
        priors = {}
        for part, codec in codecs.items():
            if not isinstance(codec.entropy_model, HyperpriorModel):
                raise InputError("tables are fitted to images in models with a hyperprior alone")
            priors[part] = codec.entropy_model
        counts = {part: np.zeros((len(prior.y_tables), _MOST + 1), np.int64) for part, prior in priors.items()}
        for part, latent, code in _latents(model, images, np.random.default_rng(seed)):
            _count(counts[part], priors[part].tables_of(latent, code), latent.symbols)
    fitted = dict(members)
    for part, prior in priors.items():
        tables = [fitted_table(*table) for table in zip(prior.y_tables, counts[part], strict=True)]
        fitted |= entropy_members(dataclasses.replace(prior, y_tables=tables), part)
    return fitted


def fitted_table(table: FrequencyTable, counts: NDArray[np.integer]) -> FrequencyTable:
    """A table of the same reach for values that were counted by their magnitudes [n], some of them beyond it."""
    reach = table.reach
    inside = np.zeros(reach + 1)
    inside[: len(counts)] = counts[: reach + 1]
    sides = inside[1:] / 2
    counted = np.concatenate([sides[::-1], inside[:1], sides, [counts[reach + 1 :].sum()]])
    return FrequencyTable(quantise_probabilities(counted + table.frequencies * (_DENSITY_COUNTS / 2**PRECISION)))


def _latents(
    model: Model, images: Iterable[Image.Image], rng: np.random.Generator
) -> Iterator[tuple[str, DecodedLatent, int]]:
    """What is coded of images, layer by layer: part of the model, latent, quality code."""
    for image in images:
        scales = [1.0] if model.one_layer else [*(rng.uniform(*bounds) for bounds in _LOWER), 1.0]
        quality = rng.uniform(0, MAX_QUALITY)
        encoder = LayerEncoder(image, sizes_from_scales(image.size, scales), model, tile=0)
        _, layers = encoder.encode([quality] * len(scales))
        for k, layer in enumerate(layers):
            yield "residual" if k else "base", layer.latent(), to_code(quality)


def _count(counts: NDArray[np.int64], tables: NDArray[np.integer], symbols: NDArray[np.integer]) -> None:
    """Adds symbols, by the tables that they are coded with, to counts [tables, magnitudes]."""
    places = tables.astype(np.int64) * counts.shape[1] + np.minimum(np.abs(symbols), counts.shape[1] - 1)
    counts += np.bincount(places.ravel(), minlength=counts.size).reshape(counts.shape)
