"""Entropy coding: what comes out is what went in, at the price that the tables promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compass.entropy.ans import Decoder, Encoder
from compass.entropy.tables import FrequencyTable, quantise_probabilities
from compass.errors import FormatError, InputError


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


@pytest.mark.parametrize("count", [0, 1, 10, 100, 10_000])
def test_size_is_the_ideal_one_within_a_percent_or_eight_bytes(count):
    rng = np.random.default_rng(count)
    encoder = Encoder()
    encoder.put(np.round(rng.laplace(0, 2, count)).astype(int), TABLES[1])
    ideal = encoder.ideal_bits() / 8
    assert ideal - 1 <= len(encoder.finish()) <= max(ideal + 8, ideal * 1.01)


def test_the_coder_uses_exactly_our_integer_frequencies():
    # A symbol of frequency f costs 24 - log2 f bits: with 200,000 copies a unit of f = 3 would show as 47,000 bits.
    frequencies = np.array([3, (1 << 24) - 12, 5, 4], np.int64)
    table = FrequencyTable(frequencies)
    for value, frequency in ((-1, 3), (1, 5)):
        encoder = Encoder()
        encoder.put(np.full(200_000, value), table)
        encoder.put(
            np.arange(-9, 10), TABLES[2]
        )  # coded first: an empty coder takes first symbols of tables for nothing
        expected = encoder.ideal_bits()
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
