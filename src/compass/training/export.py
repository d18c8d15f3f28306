"""From trained weights to a model file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from compass.entropy.arrays import pack_arrays
from compass.errors import InputError, ModelError
from compass.model.file import Manifest, write_model
from compass.model.transform_codec import entropy_members
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.layered import Codec, CompassNet
from compass.training.exact import entropy_model
from compass.training.fit_tables import with_fitted_tables
from compass.training.graphs import graph, predictor_graph
from compass.training.rounding import round_weights


def export_model(
    net: CompassNet,
    path: Path,
    name: str,
    card: dict[str, Any],
    base_only: bool = False,
    replace: bool = True,
    fit: Iterable[Image.Image] | None = None,
) -> Manifest:
    """Writes the model file of trained networks. Weights are rounded in `net` to what it holds, see `round_weights`.

    fit: images whose symbols the tables of y are made of, see `with_fitted_tables`; without them the density's. Raises
    InputError if the weights cannot be stored, have no tables to be fitted, or the file cannot be written.
    """
    round_weights(net)
    net.eval()
    try:
        members = codec_members(net.base, "base")
        if net.predictor is not None and net.residual is not None and not base_only:
            members |= codec_members(net.residual, "residual")
            members["decoder/predictor.onnx"] = predictor_graph(net.predictor)
        if fit is not None:
            members = with_fitted_tables(members, fit)
        return write_model(path, name, members, card, replace=replace)
    except (ValueError, OverflowError, ModelError) as error:
        raise InputError(f"these weights make no model file: {error}") from None


def codec_members(codec: Codec, part: str) -> dict[str, bytes]:
    """Members of the model file for one codec, "base" or "residual".

    Raises ModelError or OverflowError if its entropy model is none that a decoder takes.
    """
    image, y = torch.zeros(1, 3, 120, 116), torch.zeros(1, codec.latent_channels, 8, 8)
    context = {"prediction": image} if isinstance(codec, HyperpriorCodec) and codec.conditional else {}
    members = {
        f"encoder/{part}/analysis.onnx": graph(codec.g_a, {"x": image} | context, "y"),
        f"decoder/{part}/synthesis.onnx": graph(codec.g_s, {"y": y} | context, "x"),
    }
    if isinstance(codec, HyperpriorCodec):
        members[f"encoder/{part}/hyper_analysis.onnx"] = graph(codec.h_a, {"y": y}, "z")
    prior = {k: v.numpy() for k, v in codec.entropy_bottleneck.state_dict().items()}
    index, content = pack_arrays(prior)
    members |= {f"training/{part}/prior.json": json.dumps(index).encode(), f"training/{part}/prior.bin": content}
    return members | entropy_members(entropy_model(codec), part)
