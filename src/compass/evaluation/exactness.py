"""Files decoded again in fresh processes: every layer must be the picture that the encoder saw, to the last bit."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from compass.codec.encoder import encode_layers
from compass.model import store
from compass.picture.files import read_picture
from compass.picture.pyramid import Pixels, sizes_from_scales

SCALES = (1 / 4, 1 / 2, 1)
Row = dict[str, Any]


def encode_all(
    pictures: list[Path], qualities: list[float], model: str | None, keep: Path, processes: int
) -> list[Row]:
    """Three-layer files of all pictures at all qualities, kept in a folder; a row for each.

    Rows hold the file's path and, by layer, the digest of the encoder's own reconstruction, payload bytes and the sum
    of -log2 p in bytes.
    """
    keep.mkdir(parents=True, exist_ok=True)
    jobs = [(path, q, model, keep) for q in qualities for path in pictures]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(_encode, *zip(*jobs, strict=True)))


def _encode(path: Path, quality: float, model: str | None, keep: Path) -> Row:
    picture = read_picture(path).convert("RGB")
    sizes = sizes_from_scales(picture.size, SCALES)
    data, layers = encode_layers(picture, sizes, [quality] * len(sizes), store.load(model, threads=1))
    file = keep / f"{path.stem}-q{quality:g}.cmps"
    file.write_bytes(data)
    return {
        "file": str(file),
        "layers": [
            {"sha256": _digest(x.pixels), "payload_bytes": len(x.payload), "ideal_bytes": x.ideal_bits / 8}
            for x in layers
        ],
    }


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
    with compass.open(name, model=sys.argv[1] or None, threads=int(sys.argv[2])) as opened:
        for k, digest in enumerate(digests):
            if hashlib.sha256(np.asarray(opened.decode(k)).tobytes()).hexdigest() != digest:
                wrong.append(f"{Path(name).name} layer {k}")
print(json.dumps(wrong))
"""


def verify(rows: list[Row], model: str | None, threads: int) -> list[str]:
    """Layers that a fresh process decodes to anything but the encoder's own pictures: none, if all is well."""
    wanted = {row["file"]: [layer["sha256"] for layer in row["layers"]] for row in rows}
    result = subprocess.run(
        [sys.executable, "-c", _VERIFY, model or "", str(threads)],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=True,
    )
    return list(json.loads(result.stdout))
