"""The codec beside the networks of the paper as they are written down: results/reference.json.

    python benchmarks/product/reference.py PICTURE

Decoding the largest of three layers at ratios of 2, all loaded, on one thread, processor seconds. The reference is what
a decoder of the paper's networks takes in PyTorch with LIFF in its direct form, a filter per pixel from an MLP, and
without entropy coding; the others are whole decodes by the codec, `paper` with untrained weights, which take as long.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import compass
from compass.entropy.latent import hyper_size, latent_size
from compass.evaluation.records import command_line, write_record
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.layered import Codec, CompassNet, quantise_image
from compass.nets.liff import LIFF, unfold_features
from compass.nets.predictor import axis_tensors
from compass.training.export import export_model
from compass.training.run import build
from options import RESULTS, image_parser, read_rgb, seconds_of

SCALES = (1 / 4, 1 / 2, 1.0)
ROWS = 64  # of the larger image that the direct form works on at once: whole it takes gigabytes


def main() -> None:
    parser = image_parser(__doc__, RESULTS / "reference.json")
    parser.add_argument("--profile", default="paper", help="the reference's networks")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    image = read_rgb(options.image)
    net = build(options.profile).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "paper.model"
        export_model(net, path, "paper", {})
        calls: dict[str, Callable[[], object]] = {
            f"{options.profile}, PyTorch, LIFF in its direct form": lambda: decode_directly(
                net, image.height, image.width
            ),
            f"{options.profile}, this codec": decoder(image, path),
            "fast, this codec": decoder(image, options.model),
        }
        taken = {name: seconds_of(call, options.runs) for name, call in calls.items()}
    most = max(taken.values())
    rows = [{"what": k, "seconds": round(v, 3), "times_faster": round(most / v, 1)} for k, v in taken.items()]
    size = f"{image.width}x{image.height}"
    write_record({"command": command_line(), "size": size, "rows": rows}, options.out, rows=("rows",))


def decoder(image: Image.Image, model: str | Path | None) -> Callable[[], object]:
    data = compass.encode(image, SCALES, model=model, threads=1)
    return lambda: compass.decode(data, model=model, threads=1)


@torch.no_grad()
def decode_directly(net: CompassNet, height: int, width: int) -> Tensor:
    """What the networks make of latents that are all zero."""
    assert isinstance(net.predictor, LIFF)
    assert net.residual is not None
    layer: Tensor | None = None
    for scale in SCALES:
        size = (round(height * scale), round(width * scale))
        if layer is None:
            layer = synthesised(net.base, size)
        else:
            lower = quantise_image(layer)
            layer = predict_directly(net.predictor, lower, size) + synthesised(net.residual, size)
    assert layer is not None
    return layer


def synthesised(codec: Codec, size: tuple[int, int]) -> Tensor:
    assert isinstance(codec, HyperpriorCodec)
    y = torch.zeros(1, codec.latent_channels, *map(latent_size, size))
    z = torch.zeros(1, codec.hyper_channels, *map(hyper_size, y.shape[2:]))
    _, _, means = codec.entropy_parameters(y, z, 0.0)
    image: Tensor = codec.g_s(means)
    return image[:, :, : size[0], : size[1]]


def predict_directly(predictor: LIFF, lower: Tensor, size: tuple[int, int]) -> Tensor:
    """`LIFF.forward_direct`, on bands of rows."""
    rows, columns = axis_tensors(lower.shape[2], size[0]), axis_tensors(lower.shape[3], size[1])
    parts = []
    features = unfold_features(predictor.encoder, lower)
    for top in range(0, size[0], ROWS):
        parts.append(predictor.filtered(features, rows.part(slice(top, top + ROWS)), columns))
    return torch.cat(parts, dim=2)


if __name__ == "__main__":
    main()
