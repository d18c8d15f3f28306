"""From a model file back to weights, to train on from them: the inverse of `compass.training.export`."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compass.errors import InputError
from compass.model import exact
from compass.model.file import CARD, read_model

_GRAPHS = {"analysis.onnx": "g_a.", "synthesis.onnx": "g_s.", "hyper_analysis.onnx": "h_a."}


def weights_of_model(path: Path) -> dict[str, Tensor]:
    """Weights by their names in `Compass`, as far as a model file holds them: all of them in a `fast` model.

    What export folds into other constants (GDN, the linear layers of LIFF) is missing. Those in graphs are in half
    precision, those of h_s in fixed point. Raises ModelError if the file is no model, InputError without `onnx`.
    """
    members, _ = read_model(path)
    weights: dict[str, Tensor] = {}
    for part in ("base", "residual"):
        for member, prefix in _GRAPHS.items():
            if f"{part}/{member}" in members:
                initialisers = _initialisers(members[f"{part}/{member}"])
                weights |= {f"{part}.{prefix}{name}": value for name, value in initialisers.items()}
        if f"{part}/entropy.npz" in members:
            weights |= {f"{part}.{name}": value for name, value in _entropy(members[f"{part}/entropy.npz"]).items()}
        if f"{part}/prior.npz" in members:
            with np.load(io.BytesIO(members[f"{part}/prior.npz"])) as prior:
                weights |= {f"{part}.entropy_bottleneck.{name}": torch.from_numpy(prior[name]) for name in prior}
    if "predictor.onnx" in members:
        weights |= _initialisers(members["predictor.onnx"])  # its graph has the prefix already
    return weights


def is_model(path: Path) -> bool:
    """Whether a file is a model file rather than one of weights (both are zip archives)."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return CARD in archive.namelist()


def _initialisers(graph: bytes) -> dict[str, Tensor]:
    try:
        import onnx
    except ModuleNotFoundError:
        raise InputError("reading weights from a model file needs onnx: install compass-codec[train]") from None
    tensors = onnx.load_from_string(graph).graph.initializer
    return {
        tensor.name.removesuffix(".half"): torch.from_numpy(onnx.numpy_helper.to_array(tensor).astype(np.float32))
        for tensor in tensors
    }


def _entropy(data: bytes) -> dict[str, Tensor]:
    """Gains and h_s, read from the arrays themselves: a training machine may lack the entropy coder's library."""
    with np.load(io.BytesIO(data)) as arrays:
        weights = {"gain.log_gain": _scaled(arrays["log_gain"], 0)}
        if "layers" in arrays:
            weights["gain.scale_shift"] = _scaled(arrays["scale_shift"], exact.ACTIVATION_BITS)
            for i in range(len(arrays["layers"])):
                if f"weight{i}" in arrays:
                    weights[f"h_s.{i}.weight"] = _scaled(arrays[f"weight{i}"], exact.WEIGHT_BITS)
                    weights[f"h_s.{i}.bias"] = _scaled(arrays[f"bias{i}"], exact.WEIGHT_BITS + exact.ACTIVATION_BITS)
    return weights


def _scaled(array: NDArray[Any], bits: int) -> Tensor:
    return torch.from_numpy(array / 2.0**bits).float()
