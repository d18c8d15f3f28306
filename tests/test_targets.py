"""Targets of size and PSNR, and the search for the quality that meets them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import compass
from compass.codec.encoder import LayerEncoder
from compass.codec.layer import DecodedLayer
from compass.codec.search import _last_below, encode_to_psnr, encode_to_size
from compass.errors import InputError
from compass.picture.fidelity import psnr
from tests.command import compass as run
from tests.conftest import PARROTS


@pytest.mark.parametrize("scales", [[1], [0.25, 0.5, 1]])
def test_target_size(scales, parrots, tiny_model_path):
    sizes = {q: len(compass.encode(parrots, scales, q, tiny_model_path)) for q in (1.0, 1 + 1 / 32, 4.0)}
    target = sizes[1.0]
    found = compass.encode(parrots, scales, target_size=target, model=tiny_model_path)
    assert len(found) <= target
    quality = compass.info(found)["layers"][0]["quality"]
    next_one = compass.encode(parrots, scales, quality + 1 / 32, tiny_model_path)
    assert len(next_one) > target
    for bad in (0, -5):
        with pytest.raises(InputError, match=f"no file of {bad} bytes is possible"):
            compass.encode(parrots, scales, target_size=bad, model=tiny_model_path)
    with pytest.raises(InputError, match=r"no file of 10 bytes is possible: the smallest has \d+"):
        compass.encode(parrots, scales, target_size=10, model=tiny_model_path)
    best = compass.encode(parrots, scales, target_size=10**9, model=tiny_model_path)
    assert compass.info(best)["layers"][0]["quality"] == 6


def test_target_psnr(parrots, tiny_model_path):
    def fidelity(data):
        return psnr(np.asarray(compass.decode(data, model=tiny_model_path)), np.asarray(parrots))

    worst, best = (fidelity(compass.encode(parrots, [0.5, 1], q, tiny_model_path)) for q in (0, 6))
    target = (worst + best) / 2
    found = compass.encode(parrots, [0.5, 1], target_psnr=target, model=tiny_model_path)
    assert fidelity(found) >= target
    quality = compass.info(found)["layers"][0]["quality"]
    assert fidelity(compass.encode(parrots, [0.5, 1], quality - 1 / 32, tiny_model_path)) < target
    with pytest.raises(InputError, match=r"a PSNR of 99 dB is beyond the best that is possible here, \d+\.\d\d dB"):
        compass.encode(parrots, [0.5, 1], target_psnr=99, model=tiny_model_path)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="cannot be aimed at"):
            compass.encode(parrots, target_psnr=bad, model=tiny_model_path)
    with pytest.raises(InputError, match="only one of"):
        compass.encode(parrots, quality=3, target_psnr=30, model=tiny_model_path)


def test_a_picture_without_any_loss_is_no_trap(tiny_model):
    """A PSNR that is infinite at some qualities."""

    class Lossless(LayerEncoder):
        def encode(self, qualities, front=(), back=()):
            data, (layer,) = super().encode(qualities, front, back)
            if qualities[0] > 4:
                layer.decoded = DecodedLayer.whole(self.targets[0].pixels)
            return data, [layer]

    encoder = Lossless(Image.new("RGB", (16, 16), (115, 105, 125)), [(16, 16)], tiny_model)
    found = encode_to_psnr(encoder, 99)
    assert compass.info(found)["layers"][0]["quality"] == 4 + 1 / 32


def test_the_search_is_short_and_analyses_the_base_once(parrots, tiny_model, monkeypatch):
    counts = {"base": 0, "residual": 0}
    for name in counts:
        codec = getattr(tiny_model, name)

        def counted(*arguments, _original=codec.analyse, _name=name):
            counts[_name] += 1
            return _original(*arguments)

        monkeypatch.setattr(codec, "analyse", counted)
    encode_to_size(LayerEncoder(parrots, [(160, 120), (320, 240)], tiny_model), 15_000)
    assert counts["base"] == 1
    assert counts["residual"] <= 10


@pytest.mark.parametrize("edge", [-1, 0, 1, 50, 191, 192, 500])
def test_the_last_value_below(edge):
    for curve in (lambda code: code - edge - 0.5, lambda code: np.exp(code / 20) - np.exp((edge + 0.5) / 20)):
        asked = []

        def excess(code, curve=curve, asked=asked):
            asked.append(code)
            return float(curve(code))

        assert _last_below(excess) == (None if edge < 0 else min(edge, 192))
        assert len(asked) == len(set(asked)) <= 14


def test_the_command_line_of_targets(tiny_model_path, tmp_path):
    model = ("--model", tiny_model_path)
    for text, limit in (("20kB", 20_000), ("0.02MB", 20_000), ("20KiB", 20_480), ("20000", 20_000)):
        result = run("encode", PARROTS, "o.cmps", "--target-size", text, "--force", *model, cwd=tmp_path)
        assert (result.returncode, result.stderr) == (0, "")
        assert limit * 0.9 < (tmp_path / "o.cmps").stat().st_size <= limit
    assert run("encode", PARROTS, "p.cmps", "--target-psnr", 24, *model, cwd=tmp_path).returncode == 0
    assert run("encode", PARROTS, "q.cmps", "--target-size", "much", *model, cwd=tmp_path).returncode == 2
    assert run("encode", PARROTS, "q.cmps", "--target-size", "1", "-q", "1", *model, cwd=tmp_path).returncode == 2
