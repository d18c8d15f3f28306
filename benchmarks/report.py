"""Turns results/*.json into results/README.md, its plots, the table of figures in README.md and the model's card.

python benchmarks/report.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compass.evaluation.report import read_results
from compass.evaluation.results import same_scales
from options import table
from report_inside import exactness_section, layers_section, predictors_section, shapes_section, speed_section
from report_rates import (
    base_section,
    bd_section,
    grid_section,
    kodak_section,
    plot,
    plot_base,
    points_of,
    summarise,
)  # fmt: skip

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
CARD = ROOT / "docs" / "models" / "fast.json"
BEGIN, END = "<!-- figures: made by benchmarks/report.py -->", "<!-- end of figures -->"


def main() -> None:
    three, single = load("kodak/compass.json"), load("kodak/single-compass.json")
    exact, shapes, speed, symbols = (load(f"{name}.json") for name in ("exact", "shapes", "speed", "symbols"))
    published = load("anchors/published.json")["codecs"]
    recorded = {path.stem: read_results([path])[0] for path in sorted((RESULTS / "recorded").glob("*.json"))}
    peers = {name: peer for name, peer in recorded.items() if same_scales(peer.scales, (1 / 4, 1 / 2, 1))}
    # Its recorded points are of eight pictures and an encoder that was far worse.
    peers["avif-layered"] = read_results([RESULTS / "kodak" / "avif-layered.json"])[0]
    layered, alone = (read_results([RESULTS / "kodak" / f"{name}.json"])[0] for name in ("compass", "single-compass"))
    models = ("compass", "mean-scale", "factorized")
    files = {name: RESULTS / "kodak" / f"single-{name}.json" for name in models}
    bases = {name: read_results([path])[0] for name, path in files.items() if path.exists()}
    commands = {name: load(f"kodak/single-{name}.json")["environment"]["command"] for name in bases}
    anchor = points_of(published["mbt2018-mean"])
    summary = summarise(layered, alone, anchor)

    plot(layered, alone, published, peers)
    plot_base(bases, published)
    text = "\n".join(
        [
            "# Results",
            "",
            f"Model `{three['settings']['model']}` ({three['settings']['hash']}). Made by `make results KODAK=FOLDER`; "
            "rates are those of real files, PSNR is RGB, of 8-bit pictures, averaged over the pictures.",
            "",
            *kodak_section(three, single),
            *bd_section(summary, published, peers, anchor),
            *base_section(bases, commands, published, [recorded[f"simulcast-{n}"] for n in ("avif", "hevc", "webp")]),
            *grid_section(load("grid.json")),
            *layers_section(load("layers.json")),
            *(predictors_section(load("predictors.json")) if (RESULTS / "predictors.json").exists() else []),
            *exactness_section(exact, symbols),
            *shapes_section(shapes),
            *speed_section(speed),
        ]
    )
    (RESULTS / "README.md").write_text(text + "\n")
    update_readme(summary, three, exact, shapes, speed)
    update_card(three, single)


def load(name: str) -> dict[str, Any]:
    return dict(json.loads((RESULTS / name).read_text()))


def update_readme(
    summary: dict[str, float], three: dict[str, Any], exact: dict[str, Any], shapes: dict[str, Any],
    speed: dict[str, Any],
) -> None:  # fmt: skip
    q3 = next(mean for mean in three["means"] if mean["quality"] == 3)["layers"]
    costs = speed["kmac_per_pixel"]["fast"]
    inside = speed["inside one process"]
    differ = sum(len(names) for names in exact["layers_that_differ"].values())
    rows = [
        ["Kodak at quality 3: bytes up to the layers at 1/4, 1/2, 1",
         ", ".join(f"{x['accumulated_bytes']:.0f}" for x in q3)],
        ["PSNR of these layers, dB", ", ".join(f"{x['psnr-rgb']:.2f}" for x in q3)],
        ["three layers, all bytes, against one file per layer of the same codec", pct(summary["three to simulcast"])],
        ["three layers, all bytes, against a single layer of the same codec", pct(summary["three to single"])],
        ["single layer against the published mean-scale hyperprior", pct(summary["single"])],
        ["three layers, all bytes, against the same", pct(summary["three"])],
        ["layers that a fresh process decodes to other pixels than the encoder's",
         f"{differ} of {len(exact['layers_that_differ']) * exact['layers']}"],
        ["header of a three-layer file", f"{shapes['rows'][2]['header_bytes']} bytes"],
        ["encode three layers / decode the largest, 768x512, 2 processors",
         f"{inside['encode, three layers']:.2f} s / {inside['decode, layer 2']:.2f} s"],
        ["decoder, kMAC per pixel: base / enhancement layer at 2x", f"{costs['base decode']:.1f} / "
         f"{costs['enhancement decode 2x']:.1f}"],
        ["shipped model", f"{speed['model_bytes']['fast'] / 1e6:.1f} MB"],
    ]  # fmt: skip
    path = ROOT / "README.md"
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text("\n".join([before + BEGIN, "", *table(["what", "measured"], rows)]) + END + after)


def update_card(three: dict[str, Any], single: dict[str, Any]) -> None:
    """The measured points in the card of the default model; it gets into the model file when that is next exported."""
    alone = {mean["quality"]: mean["layers"][-1] for mean in single["means"]}
    card = json.loads(CARD.read_text())
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
    CARD.write_text(json.dumps(card, indent=1) + "\n")


def pct(value: float) -> str:
    return f"{value:+.1f} % BD-rate"


if __name__ == "__main__":
    main()
