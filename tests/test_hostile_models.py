"""Model files come from anywhere: whatever is wrong with one is one sentence, and costs little time and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import compass
from compass.errors import ModelError
from tests.conftest import CONFORMANCE
from tests.hostile_models import HOSTILE

FILE = (CONFORMANCE / "example.cmps").read_bytes()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_model_is_refused_in_one_sentence(name, tmp_path):
    write, sentence = HOSTILE[name]
    path = tmp_path / "hostile.model"
    write(path)
    with pytest.raises(ModelError) as raised:
        compass.decode(FILE, model=path)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_model_is_not_installed(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    HOSTILE[name][0](tmp_path / "hostile.model")
    if "shape" in name or "output" in name:  # what a graph yields is seen when it is run
        pytest.skip("the graph can be run")
    with pytest.raises(ModelError):
        compass.models.add(tmp_path / "hostile.model")
    assert not (tmp_path / "data").exists()


_REFUSE = """
import sys
import compass
from compass.errors import ModelError
try:
    compass.decode(open(sys.argv[1], "rb").read(), model=sys.argv[2])
except ModelError:
    lines = open("/proc/self/status").read().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read there")
@pytest.mark.parametrize("name", ["bomb", "lying bomb", "loop", "huge array"])
def test_a_hostile_model_takes_little_memory(name, tmp_path):
    path = tmp_path / "hostile.model"
    HOSTILE[name][0](path)
    command = [sys.executable, "-c", _REFUSE, str(CONFORMANCE / "example.cmps"), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 300_000  # kilobytes
