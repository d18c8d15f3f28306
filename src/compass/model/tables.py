"""Entropy models as npz archives: the member `entropy.npz` of a codec in a model file."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from compass.bitstream.entropy import Table
from compass.errors import ModelError
from compass.model import exact
from compass.model.factorized import FactorizedCoder
from compass.model.hyperprior import HyperpriorCoder
from compass.model.latent import LatentCoder

Arrays = dict[str, NDArray[Any]]


def pack_entropy(coder: LatentCoder) -> bytes:
    """The entropy model of one codec as an npz archive."""
    if isinstance(coder, HyperpriorCoder):
        arrays = _hyperprior_arrays(coder)
    elif isinstance(coder, FactorizedCoder):
        arrays = {"log_gain": coder.log_gain, "medians": coder.medians.astype(np.int32)}
        arrays |= _frequency_arrays("y", coder.frequencies)
    else:
        raise TypeError(f"{type(coder).__name__} cannot be stored")
    return pack_arrays(arrays)


def pack_arrays(arrays: Arrays) -> bytes:
    """An npz archive: same arrays, same bytes (`np.savez` would stamp the time of day)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            part = io.BytesIO()
            np.save(part, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0)), part.getvalue())
    return buffer.getvalue()


def unpack_entropy(data: bytes) -> LatentCoder:
    """Inverse of `pack_entropy`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        log_gain, medians = arrays["log_gain"], arrays["medians"].astype(np.int64)
        if "layers" not in arrays:
            return FactorizedCoder(log_gain, medians, _frequencies(arrays, "y"))
        return HyperpriorCoder(
            log_gain=log_gain,
            scale_shift=arrays["scale_shift"].astype(np.int64),
            thresholds=arrays["thresholds"],
            medians=medians,
            layers=_layers(arrays),
            z_tables=[Table(part) for part in _frequencies(arrays, "z")],
            y_tables=[Table(part) for part in _frequencies(arrays, "y")],
        )


def _hyperprior_arrays(coder: HyperpriorCoder) -> Arrays:
    arrays: Arrays = {
        "log_gain": coder.log_gain,
        "scale_shift": coder.scale_shift.astype(np.int32),
        "thresholds": coder.thresholds,
        "medians": coder.medians.astype(np.int32),
        "layers": np.array([_kind(layer) for layer in coder.layers]),
    }
    arrays |= _frequency_arrays("y", [table.frequencies for table in coder.y_tables])
    arrays |= _frequency_arrays("z", [table.frequencies for table in coder.z_tables])
    for i, layer in enumerate(coder.layers):
        if isinstance(layer, exact.Convolution | exact.TransposedConvolution):
            arrays[f"weight{i}"] = layer.weight.astype(np.int32)
            arrays[f"bias{i}"] = layer.bias.astype(np.int64)
    return arrays


def _frequency_arrays(name: str, frequencies: Any) -> Arrays:
    return {
        f"{name}_frequencies": np.concatenate(frequencies).astype(np.int32),
        f"{name}_lengths": np.array([len(f) for f in frequencies], np.int32),
    }


def _frequencies(arrays: NpzFile, name: str) -> list[NDArray[np.int64]]:
    ends = np.cumsum(arrays[f"{name}_lengths"])[:-1]
    return np.split(arrays[f"{name}_frequencies"].astype(np.int64), ends)


def _layers(arrays: NpzFile) -> list[exact.Layer]:
    layers: list[exact.Layer] = []
    for i, kind in enumerate(arrays["layers"]):
        name, _, number = str(kind).partition(" ")
        if name in ("conv", "deconv"):
            make = exact.Convolution if name == "conv" else exact.TransposedConvolution
            layers.append(make(arrays[f"weight{i}"].astype(float), arrays[f"bias{i}"].astype(float)))
        elif name == "leaky":
            layers.append(exact.LeakyReLU(int(number)))
        elif name == "shuffle":
            layers.append(exact.PixelShuffle())
        else:
            raise ModelError(f"the model has a layer {name!r} that this program does not know")
    return layers


def _kind(layer: exact.Layer) -> str:
    if isinstance(layer, exact.Convolution):
        return "conv"
    if isinstance(layer, exact.TransposedConvolution):
        return "deconv"
    if isinstance(layer, exact.LeakyReLU):
        return f"leaky {layer.slope}"
    return "shuffle"
