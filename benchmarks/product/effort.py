"""What effort costs and brings, and what a region of interest does: results/effort.json and results/region.jpg.

python benchmarks/product/effort.py PICTURE [--region 470,80,160,160]

Every effort as a process on one thread; nothing else should run. BD-rates of efforts come from `make effort`.
"""

from __future__ import annotations

import tempfile
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

import compass
from compass.cli_options import parse_crop
from compass.codec.refine import MAX_EFFORT
from compass.evaluation.bdrate import bd_rate
from compass.evaluation.records import command_line, describe, write_record
from compass.files import write_bytes
from compass.model import store
from compass.model.model import Model
from compass.picture.fidelity import psnr
from compass.picture.pyramid import Pixels
from options import COMPASS, RESULTS, image_parser, read_rgb, run_process
from records import Effort, Region

QUALITY = 3
QUALITIES = (1, 2, 3, 4)
REGION_EFFORT = 5


def main() -> None:
    parser = image_parser(__doc__, RESULTS / "effort.json")
    parser.add_argument("--region", default="470,80,160,160", help="X,Y,WIDTH,HEIGHT")
    parser.add_argument("--picture", type=Path, default=RESULTS / "region.jpg", help="where the picture is written")
    options = parser.parse_args()
    image, model = read_rgb(options.image), store.load(options.model, threads=1)
    rows = [measure(effort, options.image, image, model) for effort in range(1, MAX_EFFORT + 1)]
    region = measure_region(parse_crop(options.region), image, model, options.picture)
    content = {
        "command": command_line(),
        "model": describe(model),
        "picture": options.image.name,
        "quality": QUALITY,
        "region": region,
        "efforts": rows,
    }
    write_record(content, options.out, rows=("efforts",))


def measure(effort: int, path: Path, image: Image.Image, model: Model) -> Effort:
    """One process at one effort."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "out.cmps"
        options = ["-q", str(QUALITY), "-e", str(effort), "--threads", "1", "--model", str(model.path)]
        _, usage = run_process([*COMPASS, "encode", str(path), str(file), *options])
        data = file.read_bytes()
    return {
        "effort": effort,
        "seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(usage.ru_maxrss / 1024),
        "bytes": len(data),
        "psnr": round(psnr(decoded(data, model), np.asarray(image)), 3),
    }


def measure_region(box: tuple[int, int, int, int], image: Image.Image, model: Model, out: Path) -> Region:
    """Bytes and PSNR inside a region, with and without the encoder knowing of it; and a picture of both."""
    left, upper, right, lower = box
    inside = np.asarray(image.crop(box))

    def point(data: bytes) -> tuple[float, float]:
        return len(data), psnr(decoded(data, model)[upper:lower, left:right], inside)

    encode = partial(compass.encode, image, model=model.path, effort=REGION_EFFORT, threads=1)
    plain = [encode(quality=q) for q in QUALITIES]
    with_region = [encode(quality=q, roi=box) for q in QUALITIES]
    shown = with_region[QUALITIES.index(QUALITY)]
    same = encode(target_size=len(shown))
    pair = np.concatenate([decoded(same, model), decoded(shown, model)], axis=1)
    buffer = BytesIO()
    Image.fromarray(pair).save(buffer, "JPEG", quality=92)
    write_bytes(buffer.getvalue(), out)
    before, after = ([point(data) for data in files] for files in (plain, with_region))
    return {
        "box": [left, upper, right - left, lower - upper],
        "effort": REGION_EFFORT,
        "plain": [(int(size), round(fidelity, 3)) for size, fidelity in before],
        "with_region": [(int(size), round(fidelity, 3)) for size, fidelity in after],
        "bd_rate": round(bd_rate(before, after), 2),
        "same_bytes": [len(same), *(round(point(data)[1], 3) for data in (same, shown))],
    }


def decoded(data: bytes, model: Model) -> Pixels:
    """The largest layer."""
    return np.asarray(compass.decode(data, model=model.path, threads=1))


if __name__ == "__main__":
    main()
