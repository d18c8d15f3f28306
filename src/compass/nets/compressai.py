"""Loads checkpoints of CompressAI's `mbt2018-mean` and `bmshj2018-factorized`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

# Entropy bottleneck parameters were renamed twice: `_matrices.0` (first releases), `_matrix0`, `matrices.0` (latest).
_RENAMED = {"matrices": "_matrix", "biases": "_bias", "factors": "_factor"}
# Buffers of constants and of derived tables; this package computes its own.
_DERIVED = re.compile(
    r"(_offset|_quantized_cdf|_cdf_length|scale_table|scale_bound|\.target|pedestal|\.bound)$|^gaussian_conditional\."
)


def convert_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a CompressAI state dict to the names of this package, derived buffers left out."""
    converted = {}
    for key, value in state.items():
        key = key.removeprefix("module.")
        if _DERIVED.search(key):
            continue
        match = re.fullmatch(r"(.*\.)_?(matrices|biases|factors)\.(\d+)", key)
        if match:
            key = f"{match[1]}{_RENAMED[match[2]]}{match[3]}"
        converted[key] = value
    return converted


def load_compressai(codec: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads a CompressAI state dict into a fixed-rate `HyperpriorCodec` of the paper profile or a `FactorizedCodec`.

    Raises RuntimeError if a weight is missing, unknown or of another shape.
    """
    codec.load_state_dict(convert_state_dict(state))
