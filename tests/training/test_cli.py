"""Commands of training on bad input: one sentence, exit code 1, no file."""

from __future__ import annotations

import pytest

from tests.command import compass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "base", "--out", "o", "--data", "missing", "--steps", "1"), "missing does not exist"),
        (("train", "nonesuch", "--out", "o", "--data", ".", "--steps", "1"), "there is no stage 'nonesuch'"),
        (("train", "base", "--profile", "x", "--out", "o", "--data", ".", "--steps", "1"), "no profile 'x'"),
        (("export", "missing", "o.model"), "missing cannot be loaded: No such file"),
    ],
)
def test_bad_input_gives_one_sentence_and_leaves_nothing(arguments, message, tmp_path):
    result = compass(*arguments, cwd=tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert message in result.stderr
    assert not any(tmp_path.iterdir())
