"""From a model file back to weights, to train on from them: the inverse of `compass.training.export`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compass.entropy.arrays import unpack_arrays
from compass.entropy.operations import ACTIVATION_BITS, WEIGHT_BITS
from compass.errors import InputError
from compass.model.file import MANIFEST, ModelFile
from compass.training.arrange import as_trained

_GRAPHS = {
    "encoder/{}/analysis.onnx": "g_a.",
    "decoder/{}/synthesis.onnx": "g_s.",
    "encoder/{}/hyper_analysis.onnx": "h_a.",
}


def weights_of_model(path: Path) -> dict[str, Tensor]:
    """Weights by their names in `CompassNet`, as far as a model file holds them: all of them in a `fast` model.

    What export folds into other constants (GDN, the linear layers of LIFF) is missing. Those in graphs are in half
    precision, those of h_s and of the context in fixed point. Raises ModelError if the file is no model, InputError
    without `onnx`.
    """
    file = ModelFile(path)
    weights: dict[str, Tensor] = {}
    for part in ("base", "residual"):
        for member, prefix in _GRAPHS.items():
            name = member.format(part)
            if file.holds(name):
                weights |= {f"{part}.{prefix}{key}": value for key, value in _initialisers(file.read(name)).items()}
        if file.holds(f"decoder/{part}/entropy.json"):
            weights |= {f"{part}.{key}": value for key, value in _entropy(file, part).items()}
        if file.holds(f"training/{part}/prior.json"):
            index, content = file.read_json(f"training/{part}/prior.json"), file.read(f"training/{part}/prior.bin")
            prior = unpack_arrays(index, content)
            weights |= {f"{part}.entropy_bottleneck.{key}": torch.from_numpy(value) for key, value in prior.items()}
    if file.holds("decoder/predictor.onnx"):
        weights |= _initialisers(file.read("decoder/predictor.onnx"))  # its graph has the prefix already
    return weights


def is_model(path: Path) -> bool:
    """Whether a file is a model file rather than one of weights (both are zip archives)."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return MANIFEST in archive.namelist()


def _initialisers(graph: bytes) -> dict[str, Tensor]:
    try:
        import onnx
    except ModuleNotFoundError:
        raise InputError("reading weights from a model file needs onnx: install compass-codec[train]") from None
    weights = {
        tensor.name.removesuffix(".half"): torch.from_numpy(onnx.numpy_helper.to_array(tensor).astype(np.float32))
        for tensor in onnx.load_from_string(graph).graph.initializer
    }
    return as_trained(weights)


def _entropy(file: ModelFile, part: str) -> dict[str, Tensor]:
    """Gains, h_s and context, read from the arrays: a training device may lack the entropy coder's library."""
    description = file.read_json(f"decoder/{part}/entropy.json")
    arrays = unpack_arrays(description["arrays"], file.read(f"decoder/{part}/entropy.bin"))
    weights = {"gain.log_gain": _scaled(arrays["log_gain"], 0)}
    if "scale_shift" in arrays:
        weights["gain.scale_shift"] = _scaled(arrays["scale_shift"], ACTIVATION_BITS)
    bits = {"weight": WEIGHT_BITS, "bias": WEIGHT_BITS + ACTIVATION_BITS}
    for name, array in arrays.items():
        prefix, _, field = name.rpartition(".")
        if prefix:
            weights[f"{_module_of(prefix)}.{field}"] = _scaled(array, bits[field])
    return weights


def _module_of(name: str) -> str:
    """Name in `HyperpriorCodec` of an operation of an integer network."""
    network, _, rest = name.partition(".")
    if network == "hyper_synthesis":
        return f"h_s.{rest}"
    group, network, *phase, operation = rest.split(".")
    return ".".join(["context.contexts", group, network, *(str(int(p) - 1) for p in phase), operation])


def _scaled(array: NDArray[Any], bits: int) -> Tensor:
    return torch.from_numpy(array / 2.0**bits).float()
