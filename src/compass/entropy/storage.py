"""Entropy models as they are stored: a description for JSON, and arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compass.entropy import operations
from compass.entropy.arrays import Arrays, pack_arrays, unpack_arrays
from compass.entropy.factorized import TABLE_EVERY, FactorizedModel
from compass.entropy.hyperprior import GroupModel, HyperpriorModel, Network
from compass.entropy.latent import EntropyModel
from compass.entropy.operations import OPERATIONS, Convolution, Integers, Operation
from compass.entropy.quality import LAMBDAS, MAX_CODE
from compass.entropy.scales import SCALE_LEVELS
from compass.entropy.steps import PHASES, Group
from compass.entropy.tables import FrequencyTable
from compass.errors import ModelError

Description = dict[str, Any]
_UPSCALE = 4  # of h_s: y has at most so many positions per position of z and axis
_MAX_LOG_GAIN = 30.0


def pack_entropy_model(model: EntropyModel) -> tuple[Description, bytes]:
    """Description and bytes of an entropy model: its kind, the operations of its networks, and all arrays."""
    parts = model.parts()
    description: Description = {"kind": model.kind}
    arrays = dict(parts.arrays)
    for name, network in parts.networks.items():
        description[name], kernels = _pack_operations(name, network)
        arrays |= kernels
    for name, tables in parts.tables.items():
        arrays |= _pack_tables(name, tables)
    description["arrays"], content = pack_arrays(arrays)
    return description, content


def unpack_entropy_model(description: Any, content: bytes) -> EntropyModel:
    """Inverse of `pack_entropy_model`.

    Raises ModelError on an unknown kind, on arrays that are missing or do not fit each other, and on numbers beyond
    what exact arithmetic can hold.
    """
    try:
        make = _MAKERS.get(description["kind"])
        if make is None:
            raise ValueError(f"its kind {description['kind']!r} is unknown to this program")
        return make(description, unpack_arrays(description["arrays"], content))
    except (KeyError, TypeError, ValueError, OverflowError, IndexError, AttributeError) as error:
        raise ModelError(f"the entropy model is damaged: {error}") from None


def _hyperprior(description: Description, arrays: Arrays) -> HyperpriorModel:
    networks = {
        name: _unpack_operations(name, steps, arrays)
        for name, steps in description.items()
        if name == "hyper_synthesis" or name.startswith("groups.")
    }
    hyper_synthesis = networks.pop("hyper_synthesis")
    groups = _groups(arrays["groups"], networks) if "groups" in arrays else []
    model = HyperpriorModel(
        log_gain=_log_gain(arrays),
        scale_shift=_fixed_point(arrays, "scale_shift"),
        thresholds=_fixed_point(arrays, "thresholds"),
        medians=_fixed_point(arrays, "medians"),
        hyper_synthesis=hyper_synthesis,
        z_tables=_unpack_tables(arrays, "z"),
        y_tables=_unpack_tables(arrays, "y"),
        groups=groups,
        magnitudes=_fixed_point(arrays, "magnitudes") if groups else np.zeros(1, np.int64),
        offset_tables=_unpack_tables(arrays, "offset") if "offset_lengths" in arrays else (),
    )
    m, n = model.channels, model.hyper_channels
    _require(model.scale_shift.shape == (len(LAMBDAS), m) and model.medians.ndim == 1, "shapes")
    _require(model.thresholds.shape == (SCALE_LEVELS - 1,) and np.all(np.diff(model.thresholds) > 0), "thresholds")
    _require(len(model.z_tables) == n > 0 and len(model.y_tables) == SCALE_LEVELS, "number of tables")
    _require(operations.output_shape(hyper_synthesis, (n, 1, 1)) == (2 * m, _UPSCALE, _UPSCALE), "hyper-synthesis")
    operations.check_range(hyper_synthesis)
    _require(_can_choose(model.offset_tables), "tables of offsets")
    _require(model.magnitudes.ndim == 1 and len(model.magnitudes) > 0, "magnitudes")
    _require(not groups or sum(part.group.channels for part in groups) == m, "groups")
    _require(model.context_networks().keys() == networks.keys(), "networks of groups")
    _check_groups(groups)
    return model


def _can_choose(tables: Sequence[FrequencyTable]) -> bool:
    """Whether tables of offsets, if there are any, are as many as the first can name, and alike."""
    return not tables or (0 < len(tables) - 1 <= tables[0].reach and len({table.reach for table in tables[1:]}) == 1)


def _groups(array: NDArray[np.int64], networks: Mapping[str, Network]) -> list[GroupModel]:
    _require(array.ndim == 2 and array.shape[1] == 2 and len(array) > 0, "groups")
    groups = []
    for i, (channels, phases) in enumerate(array.tolist()):
        _require(channels > 0 and phases in PHASES, "groups")
        later = range(1, phases)
        groups.append(
            GroupModel(
                Group(channels, phases),
                networks[f"groups.{i}.scales"] if i else (),
                [networks[f"groups.{i}.phase_scales.{p}"] for p in later],
                [networks[f"groups.{i}.phase_means.{p}"] for p in later],
            )
        )
    return groups


def _check_groups(groups: Sequence[GroupModel]) -> None:
    before = 0
    for model in groups:
        channels = model.group.channels
        shapes = [(model.scales, before)] if before else []
        shapes += [(network, channels) for network in (*model.phase_scales, *model.phase_means)]
        for network, inputs in shapes:
            _require(operations.output_shape(network, (inputs, 1, 1)) == (channels, 1, 1), "networks of groups")
            operations.check_range(network)
        for network in (*model.phase_scales, *model.phase_means):  # runs at single places: one step sees neighbours
            first, *rest = network
            _require(isinstance(first, Convolution), "networks of groups")
            _require(all(step.pointwise for step in rest), "networks of groups")
        before += channels


def _factorized(_: Description, arrays: Arrays) -> FactorizedModel:
    model = FactorizedModel(_log_gain(arrays), _fixed_point(arrays, "medians"), _unpack_tables(arrays, "y"))
    _require(model.medians.shape == (model.channels,), "medians")
    _require(len(model.tables) == model.channels * (MAX_CODE // TABLE_EVERY + 1), "number of tables")
    return model


_MAKERS = {HyperpriorModel.kind: _hyperprior, FactorizedModel.kind: _factorized}


def _log_gain(arrays: Arrays) -> NDArray[np.float64]:
    log_gain = arrays["log_gain"].astype(np.float64)
    _require(log_gain.ndim == 2 and len(log_gain) == len(LAMBDAS) and log_gain.shape[1] > 0, "gains")
    _require(bool(np.all(np.abs(log_gain) < _MAX_LOG_GAIN)), "gains")
    return log_gain


def _fixed_point(arrays: Arrays, name: str) -> Integers:
    array = arrays[name]
    limit = operations.ACTIVATION_LIMIT
    _require(array.dtype == np.int64 and bool(np.all((-limit <= array) & (array <= limit))), name)
    return array


def _require(holds: bool | np.bool, what: str) -> None:
    if not holds:
        raise ValueError(f"its {what} cannot be right")


def _pack_operations(name: str, steps: Sequence[Operation]) -> tuple[list[Description], dict[str, NDArray[Any]]]:
    """For each operation its kind and numbers; its arrays, which are whole numbers, as `NAME.INDEX.FIELD`."""
    described: list[Description] = []
    arrays: dict[str, NDArray[Any]] = {}
    for i, step in enumerate(steps):
        described.append({"kind": step.kind})
        for field in dataclasses.fields(step):  # type: ignore[arg-type]
            value = getattr(step, field.name)
            if isinstance(value, np.ndarray):
                arrays[f"{name}.{i}.{field.name}"] = value.astype(np.int64)
            else:
                described[-1][field.name] = value
    return described, arrays


def _unpack_operations(name: str, described: Sequence[Description], arrays: Arrays) -> list[Operation]:
    steps = []
    for i, entry in enumerate(described):
        operation = OPERATIONS.get(entry["kind"])
        if operation is None:
            raise ValueError(f"its operation {entry['kind']!r} is unknown to this program")
        values: dict[str, Any] = {}
        for field in dataclasses.fields(operation):  # type: ignore[arg-type]
            stored = arrays.get(f"{name}.{i}.{field.name}")
            if field.type == "int":
                values[field.name] = entry[field.name]
                _require(type(values[field.name]) is int, f"{name}.{i}.{field.name}")
                continue
            if stored is None:
                raise KeyError(f"{name}.{i}.{field.name}")
            _require(stored.dtype == np.int64, f"{name}.{i}.{field.name}")
            values[field.name] = stored.astype(np.float64)
        steps.append(operation(**values))
    return steps


def _pack_tables(name: str, tables: Sequence[FrequencyTable]) -> dict[str, NDArray[Any]]:
    """Frequencies of all tables, one after another, and how many each has."""
    return {
        f"{name}_frequencies": np.concatenate([table.frequencies for table in tables]),
        f"{name}_lengths": np.array([len(table.frequencies) for table in tables]),
    }


def _unpack_tables(arrays: Arrays, name: str) -> list[FrequencyTable]:
    frequencies, lengths = arrays[f"{name}_frequencies"], arrays[f"{name}_lengths"]
    _require(frequencies.dtype == lengths.dtype == np.int64, "tables")
    _require(frequencies.ndim == lengths.ndim == 1 and np.all(lengths >= 2), "tables")
    _require(int(lengths.sum()) == len(frequencies), "tables")
    return [FrequencyTable(part) for part in np.split(frequencies, np.cumsum(lengths)[:-1])]
