"""Entropy coding: what comes out is what went in, at the price that the tables promise."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from weakref import WeakKeyDictionary

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import compass
from compass.entropy import ans
from compass.entropy.ans import Decoder, Encoder, ideal_bits
from compass.entropy.latent import hyper_size
from compass.entropy.operations import to_float
from compass.entropy.steps import PHASES, phase_mask
from compass.entropy.storage import pack_entropy_model, unpack_entropy_model
from compass.entropy.tables import FrequencyTable, quantise_probabilities
from compass.errors import FormatError, InputError, ModelError


def laplace_table(reach: int, scale: float) -> FrequencyTable:
    p = np.exp(-np.abs(np.arange(-reach, reach + 1)) / scale)
    return FrequencyTable(quantise_probabilities(np.append(p / p.sum(), 1e-4)))


TABLES = [laplace_table(1, 0.2), laplace_table(7, 2.0), laplace_table(100, 30.0)]
VALUES = st.lists(st.integers(-(2**20) + 1, 2**20 - 1) | st.integers(-9, 9), max_size=60)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(VALUES, st.integers(0, 2)), max_size=5))
def test_round_trip_of_any_values_in_any_groups(groups):
    encoder = Encoder()
    for values, t in groups:
        encoder.put(np.array(values, np.int64), TABLES[t])
    decoder = Decoder(encoder.finish())
    for values, t in groups:
        assert decoder.get(len(values), TABLES[t]).tolist() == values
    decoder.finish()


@contextlib.contextmanager
def plain_coder():
    """As if constriction were not there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ans, "constriction", None)
        patch.setattr(ans, "_models", WeakKeyDictionary())
        yield


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(VALUES, st.integers(0, 2)), max_size=5))
def test_both_coders_make_the_same_bytes(groups):
    if ans.constriction is None:
        pytest.skip("there is one alone")
    encoder = Encoder()
    for values, t in groups:
        encoder.put(np.array(values, np.int64), TABLES[t])
    data = encoder.finish()
    with plain_coder():
        assert encoder.finish() == data
        decoder = Decoder(data)
        for values, t in groups:
            assert decoder.get(len(values), TABLES[t]).tolist() == values
        decoder.finish()


@pytest.mark.parametrize("data", [b"\1\2\3", b"\1" * 41])
def test_the_plain_coder_finds_damage(data):
    with plain_coder():
        decoder = Decoder(data)
        decoder.get(3, TABLES[1])
        with pytest.raises(FormatError, match="does not end"):
            decoder.finish()


def test_a_file_without_constriction(parrots, tiny_model_path):
    data = compass.encode(parrots, [0.5, 1], 3, tiny_model_path)
    image = compass.decode(data, model=tiny_model_path)
    with plain_coder():
        assert ans.coder_name() == "plain Python"
        assert compass.encode(parrots, [0.5, 1], 3, tiny_model_path) == data
        assert compass.decode(data, model=tiny_model_path).tobytes() == image.tobytes()


@pytest.mark.parametrize("count", [0, 1, 10, 100, 10_000])
def test_size_is_the_ideal_one_within_a_percent_or_eight_bytes(count):
    rng = np.random.default_rng(count)
    encoder = Encoder()
    values = np.round(rng.laplace(0, 2, count)).astype(int)
    encoder.put(values, TABLES[1])
    ideal = ideal_bits(values, TABLES[1]) / 8
    assert ideal - 1 <= len(encoder.finish()) <= max(ideal + 8, ideal * 1.01)


def test_the_coder_uses_exactly_our_integer_frequencies():
    # A symbol of frequency f costs 24 - log2 f bits: with 200,000 copies a unit of f = 3 would show as 47,000 bits.
    frequencies = np.array([3, (1 << 24) - 12, 5, 4], np.int64)
    table = FrequencyTable(frequencies)
    for value, frequency in ((-1, 3), (1, 5)):
        encoder = Encoder()
        # The second group is coded first: an empty coder takes first symbols of tables for nothing.
        groups = [(np.full(200_000, value), table), (np.arange(-9, 10), TABLES[2])]
        for group in groups:
            encoder.put(*group)
        expected = sum(ideal_bits(*group) for group in groups)
        assert expected == pytest.approx(200_000 * (24 - math.log2(frequency)), abs=300)
        assert len(encoder.finish()) * 8 == pytest.approx(expected, abs=64)


def test_quantised_probabilities_are_positive_and_sum_to_the_precision():
    f = quantise_probabilities(np.array([0.0, 0.9, 1e-30, 0.1]))
    assert f.min() == 1
    assert f.sum() == 1 << 24


def test_a_table_must_sum_to_the_precision():
    with pytest.raises(ValueError, match="sum to 2\\^24"):
        FrequencyTable(np.array([1, 2, 3, 4]))


def test_values_beyond_the_escape_are_refused_not_clipped():
    encoder = Encoder()
    encoder.put(np.array([2**20]), TABLES[0])
    with pytest.raises(InputError, match="too large"):
        encoder.finish()


def test_leftover_data_is_an_error():
    encoder = Encoder()
    encoder.put(np.arange(-5, 5), TABLES[1])
    decoder = Decoder(encoder.finish())
    decoder.get(4, TABLES[1])
    with pytest.raises(FormatError, match="does not end"):
        decoder.finish()


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 7), (3, 5), (8, 6)])
@pytest.mark.parametrize("part", ["base", "residual"])
def test_a_latent_in_steps(part, size, tiny_model):
    """It comes back as it was coded, at the length that its conditions say."""
    model = getattr(tiny_model, part).entropy_model
    y, z = _latent(model, size)
    coded = model.encode(y, z, 80)
    decoded = model.decode(coded.payload, size, 80)
    assert all(np.array_equal(a, b) for a, b in zip(decoded, coded.decoded, strict=True))
    assert len(coded.payload) <= model.ideal_bits(coded.decoded, 80) / 8 + 8
    scales, means = model.conditions(decoded, 80)
    assert np.array_equal(decoded.symbols, np.rint(y - to_float(means).astype(np.float32)))
    assert scales.shape == y.shape


def test_no_step_sees_a_later_one(tiny_model):
    """A symbol changed at the end of the order changes the conditions of nothing; one at its start those of others."""
    model = tiny_model.base.entropy_model
    latent = model.encode(*_latent(model, (6, 6)), 80).decoded
    before = model.conditions(latent, 80)
    stop = 0
    for i, part in enumerate(model.groups):
        own = slice(stop, stop + part.group.channels)
        for phase, places in enumerate(PHASES[part.group.phases]):
            changed = latent.symbols.copy()
            changed[own, phase_mask(places, (6, 6))] += 9
            after = model.conditions(latent._replace(symbols=changed), 80)
            differ = np.zeros(changed.shape, bool)
            for a, b in zip(before, after, strict=True):
                differ |= a != b
            later = np.zeros(changed.shape, bool)
            later[own.stop :] = True
            for places_after in PHASES[part.group.phases][phase + 1 :]:
                later[own, phase_mask(places_after, (6, 6))] = True
            last = i == len(model.groups) - 1 and phase == part.group.phases - 1
            assert not (differ & ~later).any()
            assert differ.any() != last
        stop = own.stop


def test_channels_wider_than_expected_get_offsets(tiny_model):
    """They cost fewer bits than without, come back, and are what a search over all offsets finds."""
    model = tiny_model.residual.entropy_model
    y, z = _latent(model, (12, 10))
    y[5:9] *= 6
    coded = model.encode(y, z, 80)
    scales, _ = model.conditions(coded.decoded, 80)
    levels, offsets = model.levels(scales), model.offsets(coded.decoded.symbols, scales)
    assert min(offsets[5:9]) > 0
    assert np.array_equal(model.decode(coded.payload, (12, 10), 80).symbols, coded.decoded.symbols)
    without = dataclasses.replace(model, offset_tables=()).encode(y, z, 80)
    assert len(coded.payload) < len(without.payload)
    for channel in (0, 5, 8):
        bits = [
            model.costs(np.clip(levels[channel].astype(int) + offset, 0, 63), coded.decoded.symbols[channel]).sum()
            for offset in range(-4, 5)
        ]
        assert abs(int(np.argmin(bits)) - 4) >= abs(offsets[channel])  # coding an offset has its price


def test_offsets_that_do_not_pay_are_not_coded(tiny_model):
    model = tiny_model.base.entropy_model
    y, z = _latent(model, (1, 1))
    coded = model.encode(y, z, 80)
    scales, _ = model.conditions(coded.decoded, 80)
    assert not model.offsets(coded.decoded.symbols, scales).any()


@pytest.mark.parametrize("kept", [[0], [0, 1, 0], [0, 1, 2, 3, 1]])
def test_tables_of_offsets_that_cannot_be_right(kept, tiny_model):
    """None but that of the choice, of several reaches, more than can be chosen."""
    model = tiny_model.base.entropy_model
    wrong = dataclasses.replace(model, offset_tables=[model.offset_tables[k] for k in kept])
    with pytest.raises(ModelError, match="its tables of offsets cannot be right"):
        unpack_entropy_model(*pack_entropy_model(wrong))


@pytest.mark.parametrize("choice", [-1, 4])
def test_a_choice_of_no_table_is_damage(choice, tiny_model):
    model = tiny_model.base.entropy_model
    encoder = Encoder()
    for table in model.z_tables:
        encoder.put(np.zeros(1, int), table)
    encoder.put(np.array([choice]), model.offset_tables[0])
    with pytest.raises(FormatError, match="a table that the model has not"):
        model.decode(encoder.finish(), (1, 1), 80)


def _latent(model, size):
    rng = np.random.default_rng(3)
    y = (rng.laplace(0, 2, (model.channels, *size)) * model.gain(80) / model.gain(80).max()).astype(np.float32)
    z = rng.normal(0, 2, (model.hyper_channels, hyper_size(size[0]), hyper_size(size[1]))).astype(np.float32)
    return y, z
