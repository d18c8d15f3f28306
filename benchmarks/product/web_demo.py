"""Files for the demo page of web/: python benchmarks/product/web_demo.py FOLDER PICTURE...

Each photograph as NAME.cmps in three layers, and as one AVIF and one JPEG, the smallest with at least the PSNR of its
largest layer; pictures.json says how large all are.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import compass.pillow  # Pillow opens its files, too
from options import read_rgb
from peers import PEERS, at_psnr, psnr_of

QUALITY = 3
_SUFFIXES = {"compass": "cmps", "avif": "avif", "jpeg": "jpg"}


def main() -> None:
    folder, *paths = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for path in paths:
        original = read_rgb(path)
        files = {"compass": compass.encode(original, quality=QUALITY)}
        fidelities = {"compass": psnr_of(files["compass"], original)}
        for peer in PEERS:
            files[peer] = at_psnr(original, peer, fidelities["compass"])
            fidelities[peer] = psnr_of(files[peer], original)
        for kind, data in files.items():
            (folder / f"{path.stem}.{_SUFFIXES[kind]}").write_bytes(data)
        pictures.append(
            {
                "name": path.stem,
                "width": original.width,
                "height": original.height,
                "psnr": fidelities,
                "bytes": {kind: len(data) for kind, data in files.items()},
            }
        )
    (folder / "pictures.json").write_text(json.dumps(pictures, indent=1))


if __name__ == "__main__":
    main()
