"""Ten thousand mutated files: an error of one sentence, or an image; nothing else."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.target import open_and_decode, seeds, setting

SEEDS = seeds()


@st.composite
def mutated(draw):
    """A seed with a few bytes changed, put in or taken out, and perhaps its end cut off."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    near_the_start = draw(st.booleans())
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, min(len(data), 60) if near_the_start else len(data)))
        change = draw(st.sampled_from(["set", "put in", "take out", "flip"]))
        if change == "put in":
            data[position:position] = draw(st.binary(min_size=1, max_size=6))
        elif change == "take out":
            del data[position : position + draw(st.integers(1, 6))]
        elif position < len(data):
            data[position] = (
                draw(st.integers(0, 255)) if change == "set" else data[position] ^ 1 << draw(st.integers(0, 7))
            )
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data)


@pytest.mark.slow
@pytest.mark.parametrize("check_sums", [False, True], ids=["behind the checksums", "as users meet them"])
def test_mutated_files(check_sums):
    decoded = 0

    @settings(
        max_examples=5000, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(mutated())
    def run(data):
        nonlocal decoded
        decoded += open_and_decode(data)

    with setting(check_sums):
        run()
    assert decoded > (20 if check_sums else 250)  # the others were refused


def test_the_seeds_themselves_decode():
    with setting(check_sums=True):
        assert all(open_and_decode(data) for data in SEEDS)
