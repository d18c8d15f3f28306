"""Numbers of layers, ratios and sizes that a model codes, and what the container costs: results/shapes.json.

python benchmarks/product/shapes.py PICTURE
"""

from __future__ import annotations

import numpy as np
from PIL import Image

import compass
from compass.bitstream import container
from compass.bitstream.container import LayerData
from compass.bitstream.numbers import varint
from compass.codec.encoder import encode_layers
from compass.evaluation.records import command_line, write_record
from compass.model import store
from compass.model.model import Model
from compass.picture.pyramid import Size, sizes_from_scales
from options import RESULTS, image_parser, read_rgb
from records import Shape, Shapes

LAYERS = (1, 2, 3, 4, 5, 6, 9)
RATIOS = (1.0, 1.2, 1.37, 2, 2.8, 4, 6)
SIZES = ((1, 1), (7, 5), (333, 517), (2048, 1365))


def main() -> None:
    options = image_parser(__doc__, RESULTS / "shapes.json").parse_args()
    image, model = read_rgb(options.image), store.load(options.model)
    rows = []
    for count in LAYERS:  # from 1/4 up in equal steps of ratio
        scales = [4.0 ** (k / (count - 1) - 1) for k in range(count)] if count > 1 else [1.0]
        rows.append(measure(f"{count} layers", image, sizes_from_scales(image.size, scales), model))
    for ratio in RATIOS:
        rows.append(measure(f"ratio {ratio:g}", image, sizes_from_scales(image.size, [1 / ratio, 1]), model))
    for size in SIZES:
        resized = image.resize(size, Image.Resampling.BICUBIC)
        rows.append(measure(f"size {size[0]}x{size[1]}", resized, sizes_from_scales(size, [1 / 4, 1 / 2, 1]), model))
    report: Shapes = {"command": command_line(), "model": model.name, "rows": rows}
    write_record(report, options.out)


def measure(name: str, image: Image.Image, sizes: list[Size], model: Model, quality: float = 3) -> Shape:
    """Codes the image at these sizes, and decodes every layer again."""
    data, layers = encode_layers(image, sizes, [quality] * len(sizes), model)
    header = container.read_header(data)
    with compass.open(data, model=model.path) as opened:
        exact = all(np.array_equal(np.asarray(opened.decode(k)), layer.pixels) for k, layer in enumerate(layers))
    fixed = len(container.write(bytes(4), "RGB", [LayerData(*sizes[-1], 96, b"")])) - entry_bytes(sizes[-1])
    return {
        "name": name,
        "sizes": [f"{w}x{h}" for w, h in sizes],
        "file_bytes": len(data),
        "header_bytes": header.size,
        "fixed_bytes": fixed,
        "bytes_per_layer": (header.size - fixed) / len(layers),
        "payload_bytes": [len(layer.payload) for layer in layers],
        "ideal_bytes": [round(layer.ideal_bits / 8, 2) for layer in layers],
        "decodes_exactly": exact,
    }


def entry_bytes(size: Size) -> int:
    """Bytes of the table row of an empty layer: width and flags, quality, length, checksum."""
    return len(varint(size[0] << 2)) + 1 + 1 + 4


if __name__ == "__main__":
    main()
