"""Models for the decoder in browsers; that decoder's own tests are in web/test."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest

from compass.errors import ModelError
from compass.model.file import ModelFile, write_model
from compass.model.web import web_parts
from tests.command import compass as command


def arrays_of(content: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    assert content[:4] == b"CMPW"
    length = struct.unpack_from("<I", content, 4)[0]
    header = json.loads(content[8 : 8 + length])
    body = zlib.decompress(content[8 + length :])
    arrays, position = {}, 0
    for name, kind, shape in header["arrays"]:
        dtype = np.dtype(kind).newbyteorder("<")
        size = dtype.itemsize * int(np.prod(shape))
        planes = np.frombuffer(body, np.uint8, size, position).reshape(dtype.itemsize, -1)
        arrays[name] = np.ascontiguousarray(planes.T).reshape(-1).view(dtype).reshape(shape)
        position += size
    assert position == len(body)
    return header, arrays


def test_parts_hold_what_the_model_does(tiny_model, tiny_model_path):
    parts = web_parts(ModelFile(tiny_model_path))
    assert list(parts) == ["base", "residual"]
    for part, content in parts.items():
        header, arrays = arrays_of(content)
        assert (header["part"], header["model"]) == (part, tiny_model.hash.hex())
        model = getattr(tiny_model, part).entropy_model
        assert np.array_equal(arrays["log_gain"], model.log_gain)
        assert np.array_equal(arrays["thresholds"], model.thresholds)
        assert np.array_equal(arrays["hyper_synthesis.0.weight"], model.hyper_synthesis[0].weight)
        assert [step["kind"] for step in header["networks"]["hyper_synthesis"]][:2] == ["convolution", "pixel_shuffle"]
        assert arrays["synthesis.enter.0.weight"].dtype == np.float16
        assert ("predictor.taps.weight" in arrays) == (part == "residual")


def test_a_model_of_other_networks_is_refused(tiny_model_path, tmp_path):
    members = dict(ModelFile(tiny_model_path).members)
    members["decoder/base/synthesis.onnx"] = members["encoder/base/analysis.onnx"]
    write_model(tmp_path / "other.model", "other", members, {})
    with pytest.raises(ModelError, match="the model other is not of the profile that browsers can decode"):
        web_parts(ModelFile(tmp_path / "other.model"))


def test_the_command_writes_both_files(tiny_model_path, tmp_path):
    result = command("models", "web", "out/web", "--model", tiny_model_path, cwd=tmp_path)
    assert result.returncode == 0
    names = sorted(path.name for path in (tmp_path / "out" / "web").iterdir())
    prefix = ModelFile(tiny_model_path).manifest.hash.hex()
    assert names == [f"{prefix}-base.bin", f"{prefix}-residual.bin"]
    (tmp_path / "file").write_text("")
    failed = command("models", "web", "file", "--model", tiny_model_path, cwd=tmp_path)
    assert (failed.returncode, failed.stderr) == (1, "compass: file cannot be made: File exists\n")
