"""Turns results/*.json into results/README.md, its plots, the table of figures in README.md and the model's card.

python benchmarks/product/report.py
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from compass.codec.refine import MAX_EFFORT
from compass.errors import InputError
from compass.evaluation.bdrate import bd_rate
from compass.evaluation.document import Section, Table, percent, to_markdown
from compass.evaluation.results import Points, Result, read_results, same_scales
from compass.files import write_bytes
from options import RESULTS, ROOT
from records import Shapes, Speed
from report_effort import AtEffort, effort_section, plot_effort, seconds_of_images
from report_grid import many_layers_section
from report_inside import exactness_section, layers_section, predictors_section, shapes_section, speed_section
from report_rates import (
    ANCHOR,
    QUALITIES,
    Summary,
    base_section,
    bd_section,
    kodak_section,
    plot_base,
    plot_layers,
    summarise,
)  # fmt: skip

SHVC = "shvc-3layer-2x-best"
CARD = ROOT / "docs" / "development" / "models" / "fast.json"
BEGIN, END = "<!-- figures: made by benchmarks/product/report.py -->", "<!-- end of figures -->"
_FIGURES = re.compile(rf"<!-- figures: made by [^>]* -->.*?{END}", re.DOTALL)


class Inputs:
    """The files of a folder of results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, name: str) -> Any:
        """The content of a file. Raises InputError if it cannot be read."""
        path = self.folder / name
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read: {error}") from None

    def result(self, name: str) -> Result:
        """The only result of a file."""
        (result,) = read_results([self.folder / name])
        return result

    def published(self) -> dict[str, Result]:
        """Published curves by their short names."""
        name = "anchors/published.json"
        return dict(zip(self.load(name)["codecs"], read_results([self.folder / name]), strict=True))

    def recorded(self) -> dict[str, Result]:
        """Recorded points by the names of their files."""
        paths = sorted((self.folder / "recorded").glob("*.json"))
        return dict(zip([path.stem for path in paths], read_results(paths), strict=True))

    def efforts(self) -> dict[int, AtEffort]:
        """Three layers, and the largest alone where it was measured, by effort."""
        found = {}
        for effort in range(1, MAX_EFFORT + 1):
            name = "compass" if effort == 1 else f"compass-effort-{effort}"
            three, single = f"kodak/{name}.json", f"kodak/single-{name}.json"
            if (self.folder / three).exists():
                alone = self.result(single) if (self.folder / single).exists() else None
                found[effort] = AtEffort(self.result(three), *seconds_of_images(self.load(three)), alone)
        return found

    def bases(self) -> dict[str, Result]:
        """Base codecs alone, of the models that were measured."""
        files = {name: f"kodak/single-{name}.json" for name in ("compass", "mean-scale", "factorized")}
        return {name: self.result(file) for name, file in files.items() if (self.folder / file).exists()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the files")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of README.md and its plots")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="whose table of figures is replaced")
    parser.add_argument("--card", type=Path, default=CARD, help="the model's card, whose points are replaced")
    options = parser.parse_args()
    inputs = Inputs(options.results)
    three, single = inputs.load("kodak/compass.json"), inputs.load("kodak/single-compass.json")
    layered, alone = inputs.result("kodak/compass.json"), inputs.result("kodak/single-compass.json")
    published, recorded, bases = inputs.published(), inputs.recorded(), inputs.bases()
    peers = {name: peer for name, peer in recorded.items() if same_scales(peer.scales, (1 / 4, 1 / 2, 1))}
    # Its recorded points are of eight images and an encoder that was far worse.
    peers["avif-layered"] = inputs.result("kodak/avif-layered.json")
    small = [recorded[f"simulcast-{name}"] for name in ("avif", "hevc", "webp")]
    commands = {name: inputs.load(f"kodak/single-{name}.json")["environment"]["command"] for name in bases}
    summary = summarise(layered, alone, published[ANCHOR].final)

    plot_layers(layered, alone, published, peers, options.out / "kodak.svg")
    plot_base(bases, published, options.out / "base.svg")
    efforts = inputs.efforts()
    plot_effort(efforts, options.out / "effort.svg")
    sections = [
        kodak_section(three, single),
        bd_section(summary, published, peers),
        base_section(bases, commands, published, small),
        effort_section(efforts, published[ANCHOR].final, peers[SHVC].final, inputs.load("effort.json")),
        *inside_sections(inputs),
    ]
    introduction = (
        f"Model `{three['settings']['model']}` ({three['settings']['hash']}). Made by `make results KODAK=FOLDER`; "
        "rates are those of real files, PSNR is RGB, of 8-bit images, averaged over the images."
    )
    write_bytes(to_markdown("Results", sections, introduction).encode(), options.out / "README.md")
    update_readme(options.readme, figures(summary, three, inputs, efforts, published[ANCHOR].final))
    update_card(options.card, three, single)


def inside_sections(inputs: Inputs) -> list[Section]:
    """Layers, exactness, shapes and time."""
    grid = "grid.json"
    return [
        many_layers_section(inputs.load(grid), read_results([inputs.folder / grid])),
        layers_section(inputs.load("layers.json")),
        predictors_section(inputs.load("predictors.json"), inputs.load("reference.json")),
        exactness_section(inputs.load("exact.json"), inputs.load("symbols.json")),
        shapes_section(inputs.load("shapes.json")),
        speed_section(inputs.load("speed.json")),
    ]


def figures(
    summary: Summary, three: dict[str, Any], inputs: Inputs, efforts: dict[int, AtEffort], anchor: Points
) -> Table:
    """What README.md shows."""
    q3 = next(mean for mean in three["means"] if mean["quality"] == 3)["layers"]
    exact = inputs.load("exact.json")
    shapes: Shapes = inputs.load("shapes.json")
    speed: Speed = inputs.load("speed.json")
    differ = sum(len(decoding["layers_that_differ"]) for decoding in exact["decodings"])
    three_layers = next(row for row in shapes["rows"] if row["name"] == "3 layers")
    encoding = next(row["seconds"] for row in speed["calls"] if row.get("layers") == 3)
    decoding = next(row["seconds"] for row in speed["calls"] if row.get("layer") == 2)
    decoders = [row for row in speed["multiplications"] if row["profile"] == "fast" and row["operation"] == "decode"]
    base = next(row["kmac_per_pixel"] for row in decoders if row["layer"] == "base")
    enhancement = next(row["kmac_per_pixel"] for row in decoders if row.get("ratio") == 2)
    model = next(row["bytes"] for row in speed["models"] if row["name"] == "fast")
    top = max(efforts)
    points = efforts[top].three.points(-1, QUALITIES)
    saved, tried = bd_rate(efforts[1].three.points(-1, QUALITIES), points), bd_rate(anchor, points)
    rows = [
        ["Kodak at quality 3: bytes up to the layers at 1/4, 1/2, 1",
         ", ".join(f"{x['accumulated_bytes']:.0f}" for x in q3)],
        ["PSNR of these layers, dB", ", ".join(f"{x['psnr-rgb']:.2f}" for x in q3)],
        ["three layers, all bytes, against one file per layer of the same codec", bd(summary.three_to_simulcast)],
        ["three layers, all bytes, against a single layer of the same codec", bd(summary.three_to_single)],
        ["single layer against the published mean-scale hyperprior", bd(summary.single)],
        ["three layers, all bytes, against the same", bd(summary.three)],
        [f"three layers at effort {top}: against effort 1, and against the same", f"{percent(saved)}, {bd(tried)}"],
        ["layers that a fresh process decodes to other pixels than the encoder's",
         f"{differ} of {len(exact['decodings']) * exact['layers']}"],
        ["header of a three-layer file", f"{three_layers['header_bytes']} bytes"],
        ["encode three layers / decode the largest, 768x512, 2 processors", f"{encoding:.2f} s / {decoding:.2f} s"],
        ["decoder, kMAC per pixel: base / enhancement layer at 2x", f"{base:.1f} / {enhancement:.1f}"],
        ["shipped model", f"{model / 1e6:.1f} MB"],
    ]  # fmt: skip
    return Table(["what", "measured"], rows)


def bd(rate: float) -> str:
    return f"{percent(rate)} BD-rate"


def update_readme(path: Path, table: Table) -> None:
    """Puts a table between the two marks of a README. Raises InputError if it has none."""
    text = path.read_text()
    if not _FIGURES.search(text):
        raise InputError(f"{path} has no place for the table of figures")
    write_bytes(_FIGURES.sub(lambda _: f"{BEGIN}\n\n{table.markdown()}\n{END}", text).encode(), path)


def update_card(path: Path, three: dict[str, Any], single: dict[str, Any]) -> None:
    """The measured points in the card of the default model; it gets into the model file when that is next exported."""
    alone = {mean["quality"]: mean["layers"][-1] for mean in single["means"]}
    card = json.loads(path.read_text())
    card["kodak"] = [
        {
            "quality": mean["quality"],
            "bpp": round(mean["layers"][-1]["bpp"], 4),
            "psnr_rgb": round(mean["layers"][-1]["psnr-rgb"], 2),
            "single_layer_bpp": round(alone[mean["quality"]]["bpp"], 4),
            "single_layer_psnr_rgb": round(alone[mean["quality"]]["psnr-rgb"], 2),
        }
        for mean in three["means"]
    ]
    write_bytes((json.dumps(card, indent=1) + "\n").encode(), path)


if __name__ == "__main__":
    main()
