"""The decoder for browsers against this one, its speed, and from how many images on its download pays: results/web.md.

    make web && python benchmarks/product/web.py FOLDER [--count 20]

FOLDER: of images. Needs Node.js and Chromium; nothing else should run.
"""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import compass
from compass.bitstream import container
from compass.evaluation.document import Section, Table, Text, to_markdown
from compass.evaluation.records import command_line, describe
from compass.files import write_bytes
from compass.model import store
from compass.model.model import Model
from compass.model.web import web_parts
from compass.picture.fidelity import psnr
from options import RESULTS, ROOT, folder_parser, read_rgb
from peers import PEERS, at_psnr
from probe import symbols_of

QUALITY = 3
MEASURE = ["node", str(ROOT / "web" / "scripts" / "measure.mjs")]


class Bytes(NamedTuple):
    """Bytes of an image: in one file with all layers, and of each peer for every layer, at its PSNR."""

    compass: int
    peers: dict[str, list[int]]


def main() -> None:
    parser = folder_parser(__doc__, RESULTS / "web.md")
    parser.add_argument("--count", type=int, default=20, help="of the images, the first so many")
    options = parser.parse_args()
    model = store.load(options.model, threads=1)
    paths = sorted(path for path in options.folder.iterdir() if path.suffix == ".png")[: options.count]
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as models:
        sizes = [prepare(path, Path(name), model) for path in paths]
        for part, content in web_parts(model.file).items():
            (Path(models) / f"{model.hash.hex()}-{part}.bin").write_bytes(content)
        command = [*MEASURE, name, models]
        measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    sections = [
        size_section(measured["sizes"], model),
        speed_section(measured),
        exactness_section(measured),
        worth_section(measured["sizes"], sizes, model),
    ]
    text = to_markdown("In the browser", sections, f"Made by `{command_line()}`, model {describe(model)['hash']}.")
    write_bytes(text.encode(), options.out)


def prepare(path: Path, folder: Path, model: Model) -> Bytes:
    """Writes NAME.cmps, NAME.K.rgb and NAME.json for the other decoders."""
    original = read_rgb(path)
    data = compass.encode(original, quality=QUALITY, model=model.path, threads=1)
    (folder / f"{path.stem}.cmps").write_bytes(data)
    header = container.read_header(data)
    layers: list[dict[str, str]] = []
    peers: dict[str, list[int]] = {peer: [] for peer in PEERS}
    for k, entry in enumerate(header.layers):
        image = compass.decode(data, k, model=model.path, threads=1)
        (folder / f"{path.stem}.{k}.rgb").write_bytes(image.tobytes())
        layers.append({"symbols": symbols_of(data, header, k, model)})
        wanted = original.resize((entry.width, entry.height), Image.Resampling.BICUBIC)
        fidelity = psnr(np.asarray(image), np.asarray(wanted))
        for peer in PEERS:
            peers[peer].append(len(at_psnr(wanted, peer, fidelity)))
    (folder / f"{path.stem}.json").write_text(json.dumps(layers))
    return Bytes(len(data), peers)


def size_section(sizes: dict[str, Any], model: Model) -> Section:
    own = [part for part in sizes["models"] if part["name"].startswith(model.hash.hex())]
    rows = [["script, with the WebAssembly in it", sizes["script"]["bytes"], sizes["script"]["brotli"]]]
    rows += [[part["name"], part["bytes"], part["brotli"]] for part in own]
    first = rows[0][2] + own[0]["brotli"]
    rows += [["until the small image", "", first], ["all", "", sum(row[2] for row in rows)]]
    text = f"The WebAssembly has {sizes['wasm']:,} bytes. Models are compressed in their files: a server need not."
    table = Table(["", "bytes", "by brotli"], [[str(name), *map(_number, counts)] for name, *counts in rows])
    return Section("What is downloaded", [Text(text), table])


def speed_section(measured: dict[str, Any]) -> Section:
    found = measured["chromium"]
    head = [
        "layer",
        "cold: milliseconds since the page was opened",
        "warm: milliseconds to decode it from the one below",
    ]
    rows = [
        [str(k), f"{cold:.0f}", f"{warm:.0f}"]
        for k, (cold, warm) in enumerate(zip(found["cold"], found["warm"], strict=True))
    ]
    text = (
        f"Headless Chromium {found['version']} on this machine, {found['file']} in three layers, median of"
        f" {found['runs']}: a page with one `<compass-image>`, everything from a server on the same machine, each time"
        f" with an empty cache: {found['coldBytes']:,} bytes in all, since that server does not compress. On two"
        " processors two workers decode parts of the largest layer. In Node.js, on one thread, WebAssembly holds"
        f" {measured['node']['megabytes']:.0f} MB after all images of the section below."
    )
    return Section("Speed", [Text(text), Table(head, rows)])


def exactness_section(measured: dict[str, Any]) -> Section:
    layers = [layer for file in measured["node"]["files"] for layer in file["layers"]]
    found = measured["chromium"]
    rows = [
        [
            "layers whose symbols differ from Python's",
            f"{sum(not layer['symbolsEqual'] for layer in layers)} of {len(layers)}",
        ],
        [
            "samples that differ from Python's",
            f"{sum(layer['differing'] for layer in layers):,} of {sum(layer['samples'] for layer in layers):,}",
        ],
        ["by at most", str(max(layer["most"] for layer in layers))],
        [
            "layers whose pixels in Chromium are not Node's to the bit",
            f"{found['layersUnequal']} of {found['layersCompared']}",
        ],
    ]
    text = f"{len(measured['node']['files'])} files of three layers, decoded by Python, Node.js and Chromium."
    return Section("The same image", [Text(text), Table(["", ""], rows)])


def worth_section(sizes: dict[str, Any], images: list[Bytes], model: Model) -> Section:
    own = [part["brotli"] for part in sizes["models"] if part["name"].startswith(model.hash.hex())]
    download = sizes["script"]["brotli"] + sum(own)
    mean = sum(image.compass for image in images) / len(images)
    rows = [["one COMPASS file of three sizes", f"{mean:,.0f}", ""]]
    for peer in PEERS:
        for name, first in (
            (f"one {peer.upper()} of the largest size", -1),
            (f"{peer.upper()}s of the three sizes", 0),
        ):
            others = sum(sum(image.peers[peer][first:]) for image in images) / len(images)
            pays = str(math.ceil(download / (others - mean))) if others > mean else "never"
            rows.append([name, f"{others:,.0f}", pays])
    text = (
        f"The same images at quality {QUALITY}; peers by Pillow at its default speed, the smallest file with the PSNR"
        f" of each layer, in RGB. The decoder and both parts of its model are {download:,} bytes, loaded once and then"
        " cached: whoever sees fewer images than the last column says is served better by the others. These are images"
        " of 768x512; larger ones save more each."
    )
    return Section(
        "From how many images on it pays", [Text(text), Table(["", "bytes an image", "images until it pays"], rows)]
    )


def _number(count: int | str) -> str:
    return f"{count:,}" if isinstance(count, int) else count


if __name__ == "__main__":
    main()
