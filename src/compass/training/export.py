"""From trained weights to a model file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from compass.entropy import operations
from compass.entropy.arrays import pack_arrays
from compass.errors import InputError, ModelError
from compass.model.file import Manifest, write_model
from compass.model.transform_codec import entropy_members
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.layered import Codec, CompassNet
from compass.training.exact import entropy_model
from compass.training.fit_tables import with_fitted_tables
from compass.training.graphs import graph, predictor_graph

_SIGNIFICANT_BITS = 9  # of weights in graphs
_KERNEL_BITS = 8  # of the weights of integer networks, beside the sign


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


def round_weights(net: nn.Module) -> None:
    """Rounds weights to what a model file holds; it costs less than 0.1 % of the rate and saves a quarter of the file.

    Those of graphs get 9 significant bits, within half precision; kernels of integer networks multiples of 2^-8 of the
    power of two above the largest weight of the same output. Biases of integer networks, gains and densities stay as
    they are. Raises InputError on a weight that is too large for half precision.
    """
    transposed = {f"{name}.weight" for name, module in net.named_modules() if isinstance(module, nn.ConvTranspose2d)}
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if re.search(r"(^|\.)(entropy_bottleneck|gain)\.", name):
                continue
            if not re.search(r"(^|\.)(h_s|context)\.", name):
                parameter.copy_(_significant(parameter).half().float())
                if not torch.isfinite(parameter).all():
                    raise InputError(f"the weight {name} is too large for half precision")
            elif parameter.ndim == 4:
                others = (0, 2, 3) if name in transposed else (1, 2, 3)  # than the axis of outputs
                _, exponent = torch.frexp(parameter.abs().amax(others, keepdim=True))
                unit = torch.ldexp(torch.ones(exponent.shape), exponent - _KERNEL_BITS)
                unit = unit.clamp(min=2.0**-operations.WEIGHT_BITS)
                limit = 2.0**_KERNEL_BITS - 1  # so that rounding again changes nothing
                parameter.copy_(torch.round(parameter / unit).clamp(-limit, limit) * unit)


def _significant(x: Tensor) -> Tensor:
    """Rounded to `_SIGNIFICANT_BITS`."""
    mantissa, exponent = torch.frexp(x)
    unit = 2.0**-_SIGNIFICANT_BITS
    return torch.ldexp(torch.round(mantissa / unit) * unit, exponent)


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
