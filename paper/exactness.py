"""Files decoded again in fresh processes: every layer must be the image that the encoder saw, to the last bit."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np

from compass.codec.encoder import encode_layers
from compass.errors import CompassError
from compass.model import store
from compass.picture.files import read_image
from compass.picture.pyramid import Pixels, sizes_from_scales
from compass.processes import process_pool

SCALES = (1 / 4, 1 / 2, 1)


class CodedLayer(NamedTuple):
    """What the encoder knows of a layer."""

    sha256: str  # of its own reconstruction
    payload_bytes: int
    ideal_bytes: float  # sum of -log2 p


@dataclass(frozen=True)
class CodedFile:
    """A layered file that is kept to be decoded."""

    path: Path
    layers: list[CodedLayer]


class Difference(TypedDict):
    """A layer that was decoded to another image than the encoder's."""

    file: str
    layer: int


class Decoding(TypedDict):
    """All files decoded by one process."""

    threads: int
    layers_that_differ: list[Difference]


class Exactness(TypedDict):
    """Figures of a set of files."""

    layers: int
    decodings: list[Decoding]
    payload_over_ideal_percent: float
    largest_excess_bytes: float


def encode_all(
    images: Sequence[Path], qualities: Sequence[float], model: str | None, keep: Path, processes: int
) -> list[CodedFile]:
    """Three-layer files of all images at all qualities, kept in a folder."""
    keep.mkdir(parents=True, exist_ok=True)
    jobs = [(path, q, model, keep) for q in qualities for path in images]
    with process_pool(processes) as pool:
        return list(pool.map(_encode, *zip(*jobs, strict=True)))


def _encode(path: Path, quality: float, model: str | None, keep: Path) -> CodedFile:
    image = read_image(path).convert("RGB")
    sizes = sizes_from_scales(image.size, SCALES)
    data, layers = encode_layers(image, sizes, [quality] * len(sizes), store.load(model, threads=1))
    file = keep / f"{path.stem}-q{quality:g}.cmps"
    file.write_bytes(data)
    return CodedFile(file, [CodedLayer(_digest(x.pixels), len(x.payload), x.ideal_bits / 8) for x in layers])


def _digest(pixels: Pixels) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


_DECODE = """
import hashlib, json, sys
import numpy as np
import compass
wanted = json.load(sys.stdin)
wrong = []
for name, digests in wanted.items():
    with compass.open(name, model=sys.argv[1] or None, threads=int(sys.argv[2])) as opened:
        for k, digest in enumerate(digests):
            if hashlib.sha256(np.asarray(opened.decode(k)).tobytes()).hexdigest() != digest:
                wrong.append([name, k])
print(json.dumps(wrong))
"""


def decode_all(files: Sequence[CodedFile], model: str | None, threads: int) -> Decoding:
    """Decodes every layer in a fresh process. Raises CompassError if that process fails."""
    wanted = {str(file.path): [layer.sha256 for layer in file.layers] for file in files}
    command = [sys.executable, "-c", _DECODE, model or "", str(threads)]
    result = subprocess.run(command, input=json.dumps(wanted), capture_output=True, text=True, check=False)
    if result.returncode:
        raise CompassError(f"decoding failed: {(result.stderr.strip() or 'no message').splitlines()[-1]}")
    differences: list[Difference] = [{"file": Path(n).name, "layer": k} for n, k in json.loads(result.stdout)]
    return {"threads": threads, "layers_that_differ": differences}


def check(files: Sequence[CodedFile], model: str | None, threads: Sequence[int] = (1, 2)) -> Exactness:
    """Decodes all files by one process for each number of threads, and sums up what entropy coding costs."""
    with ThreadPoolExecutor() as pool:  # each waits for a process of its own
        decodings = list(pool.map(partial(decode_all, files, model), threads))
    layers = [layer for file in files for layer in file.layers]
    excess = [layer.payload_bytes - layer.ideal_bytes for layer in layers]
    return {
        "layers": len(layers),
        "decodings": decodings,
        "payload_over_ideal_percent": round(100 * sum(excess) / sum(layer.ideal_bytes for layer in layers), 4),
        "largest_excess_bytes": round(max(excess), 2),
    }
