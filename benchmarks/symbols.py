"""The same symbols from PyTorch as from ONNX Runtime: results/symbols.json.

    python benchmarks/symbols.py FOLDER WEIGHTS.pt [--model NAME]

For every layer of every picture at qualities 1 to 4: (a) the hyper-synthesis run by PyTorch's float64 convolutions
instead of numpy's products must give the very scales and means that the file was coded with; (b) analysis and
hyper-analysis run by PyTorch in float32 should round to the symbols in the file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from compass.codec.layer import codec_of, finish_layer, predict_layer, to_planes
from compass.model import exact
from compass.model import model as models
from compass.model.hyperprior import HyperpriorCoder
from compass.model.latent import Floats, gain
from compass.model.model import PictureCodec
from compass.nets.exact import run_by_torch
from compass.nets.hyperprior import HyperpriorCodec
from compass.picture.pyramid import Pixels, pyramid, sizes_from_scales
from compass.training.export import round_to_half
from compass.training.run import build, load_parts
from options import command_line

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights")
    parser.add_argument("--model", default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    net = build("fast").eval()
    load_parts(net, [options.weights])
    round_to_half(net)
    model = models.load(options.model, threads=1)

    totals = {"layers": 0, "symbols": 0, "conditions_that_differ": 0, "symbols_that_differ": 0}
    for path in sorted(options.folder.glob("*.png")):
        with Image.open(path) as source:
            picture = source.convert("RGB")
        targets = pyramid(picture, sizes_from_scales(picture.size, (1 / 4, 1 / 2, 1)))
        for quality in (1, 2, 3, 4):
            below: Pixels | None = None
            for target in targets:
                prediction = predict_layer(model, below, target.shape[:2])
                ours, theirs = codec_of(model, below), net.base if below is None else net.residual
                coded = ours.encode(to_planes(target), quality * 32, prediction)
                compare(ours, theirs, coded.payload, to_planes(target), prediction, quality * 32, totals)
                below = finish_layer(coded.picture, "RGB")
    report = {
        "command": command_line(),
        "model": model.name,
        **totals,
    }
    (ROOT / "results" / "symbols.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(totals))


def compare(
    ours: PictureCodec, theirs: HyperpriorCodec, payload: bytes,
    picture: Floats, prediction: Floats | None, code: int, totals: dict[str, int],
) -> None:  # fmt: skip
    symbols, z, values = ours.decode_latent(payload, picture.shape[1:], code)
    coder = ours.latent
    assert isinstance(coder, HyperpriorCoder)
    with torch.no_grad():
        x = picture if prediction is None else picture - prediction
        seen = [torch.from_numpy(prediction)[None]] if theirs.conditional else []
        y = theirs.g_a(torch.from_numpy(x)[None], *seen) * torch.from_numpy(gain(coder, code))
        z_torch = torch.round(theirs.h_a(y))[0].numpy().astype(np.int64)
    means = values - symbols
    raw, raw_torch = (run(coder.layers, exact.from_symbols(z, coder.medians)) for run in (exact.run, run_by_torch))
    totals["layers"] += 1
    totals["symbols"] += symbols.size + z.size
    totals["conditions_that_differ"] += int((raw != raw_torch).sum())
    totals["symbols_that_differ"] += int((z != z_torch).sum())
    totals["symbols_that_differ"] += int((symbols != np.rint(y[0].numpy() - means)).sum())


if __name__ == "__main__":
    main()
