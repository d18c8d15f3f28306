"""The command `python -m paper`, run at the root of the repository."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, cast

import typer

from compass.cli_options import (
    AGAINST,
    Against,
    CropsOf,
    Force,
    ModelName,
    Programs,
    add_to_path,
    check_target,
    parse_number,
)
from compass.entropy.quality import MAX_QUALITY
from compass.errors import CompassError
from compass.evaluation.codecs import registry
from compass.evaluation.codecs.contract import LayeredCodec
from compass.evaluation.document import write_report
from compass.evaluation.evaluate import Evaluation, evaluate, image_paths
from compass.evaluation.journal import measure_all
from compass.evaluation.records import command_line, describe, write_record
from compass.evaluation.report import SUBJECT, comparisons
from compass.evaluation.results import read_results
from compass.evaluation.visuals import all_layers, crops
from compass.model import store
from paper import exactness, grid
from paper.ablation import ablation_section
from paper.report import paper_sections
from paper.tables import QUALITIES

RESULTS = Path("results")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Reproduce the COMPASS paper (ICCV 2023): its grid of layers and ratios, its tables beside our figures.",
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder of images.")]
Processes = Annotated[int, typer.Option(min=1, help="Images coded at once.")]


@app.command("grid")
def run_grid(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="The file of results, JSON.")] = RESULTS / "grid.json",
    model: ModelName = None,
    processes: Processes = 2,
    middles: Annotated[str, typer.Option(help="Ratios of the middle one of three layers to the base.")] = ",".join(
        map(str, grid.MIDDLES)
    ),
    many: Annotated[bool, typer.Option(help="Also files of 3 to 9 layers, each as much larger than the last.")] = True,
    mei: Annotated[
        str | None, typer.Option(help="PROFILE=FILE: measure weights of the codec of Mei et al. instead.")
    ] = None,
    padded: Annotated[
        bool, typer.Option("--padded", help="Measure sizes alone, black around them, as CompressAI's evaluation does.")
    ] = False,
) -> None:
    """Measure two, three and many layers and ratios beyond training at qualities 1 to 4, and every size alone.

    What is measured is kept beside OUT until all is, so that a grid that was interrupted goes on.
    """
    if mei and (model or padded):
        raise typer.BadParameter("--mei measures other networks, that code no size alone: not with --model, --padded")
    ratios = [parse_number(text, "ratio") for text in middles.split(",")]
    cases = grid.pyramids(ratios, many)
    # what Mei's codec enlarges, codes and reduces again has the PSNR of a higher quality
    qualities = (0.0, *QUALITIES) if mei else QUALITIES
    what: dict[str, object] = {"data_set": folder.name, "qualities": qualities}
    coder: grid.Coder
    if mei:
        codec = _mei(mei)
        coder, name = grid.OfPeer(codec), codec.name
        what["settings"] = codec.settings()
    else:
        loaded = store.load(model)
        coder = grid.Padded(model) if padded else grid.OfModel(model)
        name = loaded.name.removesuffix("-small") if loaded.one_layer else SUBJECT  # as the paper's tables have it
        what["model"] = describe(loaded)
        if padded:
            name, what["padded"] = f"{name}-padded", True
    jobs = [(path, quality) for path in image_paths(folder) for quality in qualities]
    part = out.with_name(out.name + ".part")
    measure = partial(grid.measure, coder=coder, pyramids=cases)
    rows = measure_all(measure, jobs, processes, part, {**what, "cases": cases})
    curves = [result.to_curve() for result in grid.results(cast("list[grid.Row]", rows), folder.name, name)]
    report = {"command": command_line(), **what, "curves": curves, "pictures": rows}
    write_record(report, out, rows=("curves", "pictures"))
    part.unlink()


@app.command()
def exact(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="The file of results, JSON.")] = RESULTS / "exact.json",
    model: ModelName = None,
    processes: Processes = 2,
    qualities: Annotated[str, typer.Option(help="Qualities to code at.")] = ",".join(map(str, range(MAX_QUALITY + 1))),
    keep: Annotated[Path, typer.Option(help="A folder for the coded files.")] = Path("build/exact"),
) -> None:
    """Decode every layer of every file again in fresh processes, with one thread and with two, and compare."""
    chosen = [parse_number(text, "quality") for text in qualities.split(",")]
    record = {"command": command_line(), "model": describe(store.load(model))}
    files = exactness.encode_all(image_paths(folder), chosen, model, keep, processes)
    write_record({**record, **exactness.check(files, model)}, out)


@app.command("mei")
def run_mei(
    weights: Annotated[Path, typer.Argument(help="weights.pt of a training run of the stage layers.")],
    folder: Folder,
    profile: Annotated[str, typer.Option(help="Profile of the weights: mei, mei-enhanced, or one of -small.")],
    out: Annotated[Path, typer.Option(help="The file of results, JSON.")],
    scales: Annotated[str, typer.Option(help="Ascending fractions of the image's size.")] = "1/4,1/2,1",
    processes: Processes = 1,
) -> None:
    """Measure the scalable codec of Mei et al. at qualities 1 to 4 (needs the extra "train")."""
    from paper.mei import find

    fractions = tuple(parse_number(text, "scale") for text in scales.split(","))
    work = Evaluation(folder, find(profile, weights), fractions, truncate=True)
    evaluate(work, out, command_line(), processes)


@app.command()
def report(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Results of the grid and of evaluate, recorded points.")
    ],
    out: Annotated[Path, typer.Option(help="A folder, for report.md and report.html.")] = RESULTS,
    stand_in: Annotated[
        str | None, typer.Option(help="A data set to fill those of the paper's tables with, whose own is absent.")
    ] = None,
    layers_of: Annotated[
        list[Path] | None, typer.Option(help="Show an image's layers, 3 to 9 of them; may be repeated.")
    ] = None,
    crops_of: CropsOf = None,
    against: Against = AGAINST,
    mei: Annotated[
        list[str] | None, typer.Option(help="PROFILE=FILE, weights of a codec of Mei et al. for the crops.")
    ] = None,
    programs: Programs = None,
    cards: Annotated[
        list[Path] | None, typer.Option("--card", help="Card of trained weights, for a table of them all.")
    ] = None,
    liif: Annotated[
        Path | None, typer.Option(help="Results of evaluate with LIIF in LIFF's place, for supplement B.6.")
    ] = None,
    model: ModelName = None,
    mean_scale_base: Annotated[
        bool, typer.Option("--mean-scale-base", help="Our base codec is the paper's: its rows are filled with ours.")
    ] = False,
    force: Force = False,
) -> None:
    """Write the paper's tables with our figures beside them, comparisons of all codecs, curves and images."""
    check_target(out / "report.html", force)
    add_to_path(programs)
    others = _codecs(against.split(","), mei or [], model) if crops_of else []
    results = read_results(files)
    sections = [*comparisons(results, QUALITIES), *paper_sections(results, stand_in, mean_scale_base)]
    if cards:
        from paper.models import models_section

        sections += models_section(cards)
    if liif:
        sections.append(ablation_section(results, read_results([liif]), RESULTS / "predictors.json"))
    for path in layers_of or []:
        sections += all_layers(path, grid.MANY_LAYERS, model)
    sections += [crops(path, others, model) for path in crops_of or []]
    write_report(sections, out)


def _codecs(names: Sequence[str], mei: Sequence[str], model: str | None) -> list[LayeredCodec]:
    """Codecs by their names; of this project's own those of `model`, of Mei et al. those of `mei`."""
    known = {codec.name: codec for codec in map(_mei, mei)}
    return [known.get(name) or registry.find_beside(name, model) for name in names]


def _mei(text: str) -> LayeredCodec:
    """The codec of Mei et al. from PROFILE=FILE, at any quality."""
    from paper.mei import find

    profile, _, weights = text.partition("=")
    return find(profile, Path(weights), range(MAX_QUALITY + 1))


def main() -> None:
    """Entry point: one sentence and exit code 1 for anything wrong with the input, 2 for wrong usage."""
    try:
        app(prog_name="python -m paper")
    except CompassError as error:
        typer.echo(f"paper: {error}", err=True)
        sys.exit(1)
