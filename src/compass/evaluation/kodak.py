"""The codec on a folder of pictures: three layers, single layer and simulcast of its own base codec.

Files are kept, and every layer of every file is decoded again in fresh processes, with one and with two threads.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from compass.bitstream import container
from compass.codec.encoder import EncodedLayer, encode_layers
from compass.evaluation.metrics import psnr
from compass.model import model as models
from compass.picture.pyramid import Pixels, pyramid, sizes_from_scales

SCALES = (1 / 4, 1 / 2, 1)
Row = dict[str, Any]


def measure_picture(path: Path, quality: float, model: str | None, keep: Path) -> Row:
    """Encodes one picture every way at one quality. Bytes are those of real files."""
    loaded = models.load(model, threads=1)
    with Image.open(path) as source:
        picture = source.convert("RGB")
    sizes = sizes_from_scales(picture.size, SCALES)
    targets = pyramid(picture, sizes)
    started = time.perf_counter()
    data, layers = encode_layers(picture, sizes, [quality] * len(sizes), loaded)
    seconds = time.perf_counter() - started
    target = keep / f"{path.stem}-q{quality:g}.cmps"
    target.write_bytes(data)

    header = container.read_header(data)
    rows = []
    for k, (size, layer) in enumerate(zip(sizes, layers, strict=True)):
        alone_data, (alone,) = _alone(targets[k], quality, loaded)
        rows.append(
            {
                "width": size[0],
                "height": size[1],
                "accumulated_bytes": header.span(k)[1],
                "payload_bytes": len(layer.payload),
                "ideal_bytes": layer.ideal_bits / 8,
                "psnr_rgb": psnr(layer.picture, targets[k]),
                "sha256": _digest(layer.picture),
                "alone_bytes": len(alone_data),
                "alone_psnr_rgb": psnr(alone.picture, targets[k]),
            }
        )
    return {"picture": path.name, "quality": quality, "header_bytes": header.size, "encode_s": seconds, "layers": rows}


def _alone(target: Pixels, quality: float, model: models.Model) -> tuple[bytes, list[EncodedLayer]]:
    """One layer of a pyramid coded on its own by the base codec."""
    picture = Image.fromarray(target)
    return encode_layers(picture, [picture.size], [quality], model)


def _digest(pixels: Pixels) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


_VERIFY = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
import compass
wanted = json.load(sys.stdin)
wrong = []
for name, digests in wanted.items():
    data = Path(name).read_bytes()
    for k, digest in enumerate(digests):
        pixels = np.asarray(compass.decode(data, k, model=sys.argv[1] or None, threads=int(sys.argv[2])))
        if hashlib.sha256(pixels.tobytes()).hexdigest() != digest:
            wrong.append(f"{name} layer {k}")
print(json.dumps(wrong))
"""


def verify(rows: list[Row], keep: Path, model: str | None, threads: int) -> list[str]:
    """Layers that a fresh process decodes to anything but the encoder's own pictures: none, if all is well."""
    wanted = {
        str(keep / f"{Path(row['picture']).stem}-q{row['quality']:g}.cmps"): [x["sha256"] for x in row["layers"]]
        for row in rows
    }
    result = subprocess.run(
        [sys.executable, "-c", _VERIFY, model or "", str(threads)],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=True,
    )
    return list(json.loads(result.stdout))


def measure(folder: Path, qualities: list[float], model: str | None, keep: Path, processes: int) -> list[Row]:
    """Rows of all pictures of a folder at all qualities, in order."""
    keep.mkdir(parents=True, exist_ok=True)
    jobs = [(path, q, model, keep) for q in qualities for path in sorted(folder.glob("*.png"))]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(measure_picture, *zip(*jobs, strict=True)))


def means(rows: list[Row]) -> list[Row]:
    """Per quality: means over pictures of bytes, bits per pixel and PSNR, per layer."""
    table = []
    for quality in sorted({row["quality"] for row in rows}):
        group = [row for row in rows if row["quality"] == quality]
        layers = []
        for k in range(len(group[0]["layers"])):
            parts = [row["layers"][k] for row in group]
            pixels = [p["width"] * p["height"] for p in parts]

            def bpp(name: str, parts: list[Row] = parts, pixels: list[int] = pixels) -> float:
                return float(np.mean([8 * p[name] / n for p, n in zip(parts, pixels, strict=True)]))

            simulcast = [sum(x["alone_bytes"] for x in row["layers"][: k + 1]) for row in group]
            layers.append(
                {
                    "bytes": float(np.mean([p["accumulated_bytes"] for p in parts])),
                    "bpp": bpp("accumulated_bytes"),
                    "psnr_rgb": float(np.mean([p["psnr_rgb"] for p in parts])),
                    "alone_bytes": float(np.mean([p["alone_bytes"] for p in parts])),
                    "alone_bpp": bpp("alone_bytes"),
                    "alone_psnr_rgb": float(np.mean([p["alone_psnr_rgb"] for p in parts])),
                    "simulcast_bpp": float(np.mean([8 * s / n for s, n in zip(simulcast, pixels, strict=True)])),
                }
            )
        table.append({"quality": quality, "layers": layers})
    return table
