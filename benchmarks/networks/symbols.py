"""The same symbols from PyTorch as from ONNX Runtime: results/symbols.json.

    python benchmarks/networks/symbols.py FOLDER WEIGHTS.pt [--model NAME] [--profile fast]

For every layer of every image at qualities 1 to 4: (a) the hyper-synthesis run by PyTorch's float64 convolutions
instead of numpy's products must give the very scales and means that the file was coded with; (b) analysis and
hyper-analysis run by PyTorch in float32 should round to the symbols in the file.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from compass.codec.latent import Latent
from compass.codec.layer import DecodedLayer, Layer, to_planes
from compass.entropy import operations
from compass.entropy.hyperprior import HyperpriorModel
from compass.entropy.latent import DecodedLatent, EntropyModel, Floats
from compass.entropy.quality import to_code
from compass.evaluation.evaluate import image_paths
from compass.evaluation.records import command_line, write_record
from compass.model import store
from compass.model.model import Model
from compass.nets.exact_by_torch import run_by_torch
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.layered import CompassNet
from compass.picture.files import read_image
from compass.picture.pyramid import Pixels, pyramid, sizes_from_scales
from compass.picture.window import Window
from compass.training.rounding import round_weights
from compass.training.run import build, load_parts

RESULT = Path(__file__).parents[2] / "results" / "symbols.json"
QUALITIES = (1.0, 2.0, 3.0, 4.0)


@dataclass
class Totals:
    """Counts over all layers."""

    layers: int = 0
    symbols: int = 0
    conditions_that_differ: int = 0  # scales and means
    symbols_that_differ: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of images")
    parser.add_argument("weights", help="weights.pt that the model was exported from")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--model", help="name or hash of an installed model, or a model file")
    parser.add_argument("--profile", default="fast", help="of the weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    net = build(options.profile).eval()
    load_parts(net, [options.weights])
    round_weights(net)
    model = store.load(options.model, threads=1)
    totals = Totals()
    for path in image_paths(options.folder):
        image = read_image(path).convert("RGB")
        targets = pyramid(image, sizes_from_scales(image.size, (1 / 4, 1 / 2, 1)))
        for quality in QUALITIES:
            compare_layers(model, net, targets, to_code(quality), totals)
    write_record({"command": command_line(), "model": model.name, **asdict(totals)}, options.out)


def compare_layers(model: Model, net: CompassNet, targets: list[Pixels], code: int, totals: Totals) -> None:
    """Codes a pyramid layer by layer, and adds what differs."""
    below: DecodedLayer | None = None
    for target in targets:
        layer = Layer(model, target.shape[:2], code, below=below)
        whole = Window.whole(layer.size)
        theirs = net.base if layer.is_base else net.residual
        assert isinstance(theirs, HyperpriorCodec)
        decoded = layer.codec.encode(layer.analyse(whole, target), code).decoded
        compare(layer.codec.entropy_model, theirs, decoded, to_planes(target), layer.predict(whole), code, totals)
        below = layer.decode(whole, Latent.whole(decoded.values))


def compare(
    ours: EntropyModel, theirs: HyperpriorCodec, latent: DecodedLatent, planes: Floats, prediction: Floats | None,
    code: int, totals: Totals,
) -> None:  # fmt: skip
    """Adds what differs in one layer."""
    assert isinstance(ours, HyperpriorModel)
    with torch.no_grad():
        x = planes if prediction is None else planes - prediction
        seen = [torch.from_numpy(prediction)[None]] if theirs.conditional and prediction is not None else []
        y = theirs.g_a(torch.from_numpy(x)[None], *seen) * torch.from_numpy(ours.gain(code))
        z = np.rint(theirs.h_a(y)[0].numpy() - operations.to_float(ours.medians)[:, None, None]).astype(np.int64)
    conditions, by_torch = (ours.conditions(latent, code, run) for run in (operations.run, run_by_torch))
    means = operations.to_float(conditions[1]).astype(np.float32)
    totals.layers += 1
    totals.symbols += latent.symbols.size + latent.hyper_symbols.size
    totals.conditions_that_differ += sum(int((a != b).sum()) for a, b in zip(conditions, by_torch, strict=True))
    totals.symbols_that_differ += int((latent.hyper_symbols != z).sum())
    totals.symbols_that_differ += int((latent.symbols != np.rint(y[0].numpy() - means)).sum())


if __name__ == "__main__":
    main()
