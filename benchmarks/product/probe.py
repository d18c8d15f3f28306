"""What one machine makes of a folder: python probe.py FOLDER OUT. Run by machines.py, on machines that may be emulated.

Of every layer of FOLDER/*.cmps the digest of its symbols, to OUT/probe.json, and its pixels, to OUT/NAME.K.rgb; every
FOLDER/*.png is encoded to OUT/NAME.cmps. Needs what the package needs, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import PIL
from PIL import Image

import compass
from compass.bitstream import container
from compass.entropy.ans import coder_name
from compass.model import store
from compass.model.model import Model


def main() -> None:
    folder, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    files = {path.stem: probed(path, out) for path in sorted(folder.glob("*.cmps"))}
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            data = compass.encode(image.convert("RGB"), [0.5, 1], 3, threads=1)
        (out / f"{path.stem}.cmps").write_bytes(data)
    found = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
        "pillow": PIL.__version__,
        "coder": coder_name(),
        "files": files,
    }
    (out / "probe.json").write_text(json.dumps(found))


def probed(path: Path, out: Path) -> list[str]:
    """Digests of the symbols of all layers."""
    data = path.read_bytes()
    header = container.read_header(data)
    model = store.load_for(header.model_hash, threads=1)
    for k in range(len(header.layers)):
        image = compass.decode(data, k, threads=1)
        (out / f"{path.stem}.{k}.rgb").write_bytes(image.tobytes())
    return [symbols_of(data, header, k, model) for k in range(len(header.layers))]


def symbols_of(data: bytes, header: container.Header, k: int, model: Model) -> str:
    """SHA-256 of the symbols of all tiles of a layer, of each those of z before those of y."""
    codec, entry = model.residual if k else model.base, header.layers[k]
    streams, digest = container.open_streams(data, header, k), hashlib.sha256()
    for i, tile in enumerate(header.tiles(k)):
        latent = codec.decode(streams.read(i), tile.size, entry.quality_code)
        digest.update(latent.hyper_symbols.astype("<i4").tobytes() + latent.symbols.astype("<i4").tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
