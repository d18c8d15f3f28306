"""Commands that need an extra: training and exporting models, measuring codecs, reports."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

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
from compass.errors import InputError, warn

_FITTED_IMAGES = 300  # that tables are fitted to: the first ones
_COMPARED_IMAGES = 16  # that a model file is compared with its networks by
_GREAT_LOSS = 0.003  # of cost; a good file costs about what its networks do (docs/development/log.md)


def train(
    stage: Annotated[str, typer.Argument(help="base, predictor, residual, joint or layers.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; a run found there is resumed.")],
    data: Annotated[list[Path], typer.Option(help="Folders or tar shards of training images; may be repeated.")],
    valid: Annotated[list[Path] | None, typer.Option(help="Folders of validation images.")] = None,
    profile: Annotated[str, typer.Option(help="fast, paper, factorized, mei, ...")] = "fast",
    start: Annotated[
        list[str] | None,
        typer.Option(
            help="Weights to start from: FILE, PART=FILE, PART=OTHER:FILE (another part's), or PART=narrow:FILE "
            "(of a narrower profile)."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Budget in steps.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.001, help="Budget in minutes of training.")] = None,
    pause: Annotated[
        float | None, typer.Option(min=0.001, help="Stop after so many minutes; the same command goes on from there.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    final: Annotated[
        float, typer.Option(min=0, max=1, help="Learning rate at the end, of the peak; 1 keeps it constant.")
    ] = 0.02,
    crop: Annotated[int, typer.Option(min=16, help="Side of the training crops.")] = 128,
    batch: Annotated[int, typer.Option(min=1, help="Crops per step.")] = 8,
    seed: Annotated[int, typer.Option(help="Of all random draws.")] = 0,
    quality: Annotated[
        float | None, typer.Option(min=0, max=6, help="Train this quality alone: a fixed-lambda model.")
    ] = None,
    ema: Annotated[float, typer.Option(min=0, max=1, help="Decay of the averaged weights, per step.")] = 0.999,
    warmup: Annotated[int, typer.Option(min=1, help="Steps over which the learning rate rises.")] = 200,
    precision: Annotated[str | None, typer.Option(help="bf16 or fp32; default bf16 on a GPU, fp32 on a CPU.")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Use torch.compile (needs a C++ compiler).")] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Read at most so many images.")] = None,
    subsampled: Annotated[float, typer.Option(min=0, max=1, help="Share of crops with the chroma of 4:2:0.")] = 0.0,
) -> None:
    """Train one stage of a model (needs the extra "train"). On several GPUs: torchrun -m -- compass train ..."""
    if (steps is None) == (minutes is None):
        raise typer.BadParameter("give a budget: either --steps or --minutes")
    run = _import_extra("training.run", "train")
    schedule = _import_extra("training.loop", "train").Schedule(
        steps or 0, minutes, rate, warmup=warmup, final=final, ema=ema, seed=seed
    )
    figures = run.train(
        run.Run(
            stage, profile, data, valid or [], out, schedule, crop, batch, start or [],
            threads=threads, limit=limit, quality=quality, precision=precision, compile=compile,
            pause=pause, subsampled=subsampled,
        )
    )  # fmt: skip
    if figures:
        typer.echo(json.dumps(figures))


def export(
    weights: Annotated[Path, typer.Argument(help="weights.pt of a training run.")],
    target: Annotated[Path, typer.Argument(help="The model file to write, NAME.model.")],
    profile: Annotated[str, typer.Option(help="Profile of the weights.")] = "fast",
    card: Annotated[Path | None, typer.Option(help="JSON with what the model card should say.")] = None,
    start: Annotated[list[str] | None, typer.Option(help="Parts to take from other runs, PART=FILE.")] = None,
    base_only: Annotated[bool, typer.Option(help="Leave out the enhancement layers.")] = False,
    quality: Annotated[float | None, typer.Option(min=0, max=6, help="The only one that it was trained for.")] = None,
    fit: Annotated[list[Path] | None, typer.Option(help="Folders or shards of images to fit tables to.")] = None,
    valid: Annotated[
        list[Path] | None, typer.Option(help="Folders or shards of images to compare the file with the networks by.")
    ] = None,
    force: Force = False,
) -> None:
    """Turn trained weights into a model file (needs the extra "train")."""
    check_target(target, force)
    run, exporting = _import_extra("training.run", "train"), _import_extra("training.export", "train")
    net = run.build(profile)
    run.load_parts(net, [str(weights), *(start or [])])
    try:
        details = json.loads(card.read_text()) if card else {}
    except (OSError, ValueError) as error:
        raise InputError(f"{card} is no card in JSON: {error}") from None
    details = {"profile": profile, **({} if quality is None else {"quality": quality}), **details}
    name = str(details.pop("name", target.stem))
    read_images = _import_extra("training.data", "train").read_images
    comparison = None
    if valid:
        comparison = _import_extra("training.file_cost", "train").Comparison(
            net, read_images(valid, _COMPARED_IMAGES), details.get("quality"), base_only
        )
    images = read_images(fit, _FITTED_IMAGES) if fit else None
    exporting.export_model(net, target, name, details, base_only, replace=force, fit=images)
    if comparison:
        costs = comparison.with_file(target)
        typer.echo(json.dumps(costs._asdict()))
        if costs.loss > _GREAT_LOSS:
            warn(f"{target} costs {100 * costs.loss:.2f} % more than the networks that it was made of")


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of images.")],
    codec: Annotated[str, typer.Option(help="compass, jpeg2000, simulcast-webp, single-avif, ...")],
    out: Annotated[Path, typer.Option(help="The file of results, JSON.")],
    scales: Annotated[str, typer.Option(help="Ascending fractions of the image's size.")] = "1/4,1/2,1",
    qualities: Annotated[
        str | None, typer.Option(help="In the codec's own measure: 1,2,3,4. [default: the codec's usual ones]")
    ] = None,
    model: ModelName = None,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut layer sizes off to whole pixels instead of rounding them.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="Images measured at once.")] = 1,
    programs: Programs = None,
    force: Force = False,
) -> None:
    """Measure a codec on a folder of images: bytes, PSNR, MS-SSIM, seconds (needs the extra "eval")."""
    check_target(out, force)
    parsed_scales = tuple(parse_number(text, "scale") for text in scales.split(","))
    add_to_path(programs)
    chosen = () if qualities is None else tuple(parse_number(text, "quality") for text in qualities.split(","))
    module = _import_extra("evaluation.evaluate", "eval")
    work = module.Evaluation(folder, codec, parsed_scales, chosen, model, truncate)
    command = f"compass evaluate {folder.name} --codec {codec} --scales {scales}"
    command += f" --qualities {qualities}" if qualities else ""
    command += f" --model {Path(model).name}" if model else ""
    command += " --truncate" if truncate else ""
    if not sys.stderr.isatty():
        module.evaluate(work, out, command, processes)
        return
    with typer.progressbar(length=1, label=codec, file=sys.stderr) as bar:

        def progress(done: int, of: int) -> None:
            bar.length = of
            bar.update(done - bar.pos)

        module.evaluate(work, out, command, processes, progress)


def report(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Results of evaluate, or recorded points.")],
    out: Annotated[Path, typer.Option(help="A folder, for report.md and report.html.")],
    qualities: Annotated[
        str | None, typer.Option(help="Of this project's codec, those that count in a BD-rate: 1,2,3,4. [default: all]")
    ] = None,
    layers_of: Annotated[
        list[Path] | None, typer.Option(help="Show an image in three layers; may be repeated.")
    ] = None,
    crops_of: CropsOf = None,
    against: Against = AGAINST,
    model: ModelName = None,
    force: Force = False,
) -> None:
    """Turn files of results into tables, curves and images (needs the extra "eval")."""
    check_target(out / "report.html", force)
    chosen = () if qualities is None else tuple(parse_number(text, "quality") for text in qualities.split(","))
    module, visuals = _import_extra("evaluation.report", "eval"), _import_extra("evaluation.visuals", "eval")
    from compass.evaluation.codecs import registry
    from compass.evaluation.document import write_report
    from compass.evaluation.results import read_results

    others = [registry.find_beside(name, model) for name in against.split(",")] if crops_of else []
    sections = module.comparisons(read_results(files), chosen)
    sections += [section for path in layers_of or [] for section in visuals.all_layers(path, model=model)]
    sections += [visuals.crops(path, others, model) for path in crops_of or []]
    write_report(sections, out)


def _import_extra(module: str, extra: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"compass.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("compass"):
            raise
        raise InputError(f"this needs {error.name}: install compass-codec[{extra}]") from None
