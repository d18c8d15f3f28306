"""The `compass` command. Options only: the work is done in `compass.api`, `compass.training` and below."""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compass.errors import CompassError, CutFileWarning, InputError

if TYPE_CHECKING:
    from compass.opened import LayeredFile

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One file holds a picture at any number of sizes; its first bytes are the small picture.",
)


def _path(text: str) -> Path:
    """`-` alone is standard input or output; a file of that name is `./-`."""
    return Path(text).absolute() if text != "-" and Path(text) == Path("-") else Path(text)


Input = Annotated[Path, typer.Argument(parser=_path, metavar="IN", help="A file; - is standard input.")]
Output = Annotated[
    Path,
    typer.Argument(
        parser=_path, metavar="OUT", help="A file that does not exist, unless with --force; - is standard output."
    ),
]
ModelName = Annotated[str | None, typer.Option("--model", help="A shipped model's name, or a model file.")]
Threads = Annotated[int, typer.Option(min=0, max=1024, help="Threads of the networks; 0: one per processor.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite OUT.")]
Strict = Annotated[bool, typer.Option("--strict", help="Fail where a cut file would cause a warning.")]


@app.command()
def encode(
    source: Input,
    target: Output,
    scales: Annotated[
        str | None,
        typer.Option(
            help="Ascending fractions of the picture's size. [default: 1/4,1/2,1, or 1 with a one-layer model]"
        ),
    ] = None,
    sizes: Annotated[
        str | None, typer.Option(help="Ascending sizes instead: 320x,800x600 (no height: by aspect).")
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option("-q", "--quality", help="0 (small) to 6 (good), or one per layer: 2,3,4. [default: 3]"),
    ] = None,
    target_size: Annotated[
        str | None, typer.Option(help="The best file of at most this size instead: 50kB, 1.5MB, 700 (bytes).")
    ] = None,
    target_psnr: Annotated[
        float | None, typer.Option(help="The smallest file whose largest layer has this PSNR in dB instead.")
    ] = None,
    metadata: Annotated[
        str, typer.Option(help="Colour profile, EXIF, XMP: front, back, none, or auto (profiles but sRGB in front).")
    ] = "auto",
    strip: Annotated[bool, typer.Option("--strip", help="Drop them: the same as --metadata none.")] = False,
    model: ModelName = None,
    threads: Threads = 0,
    force: Force = False,
) -> None:
    """Code a picture into one layered file."""
    _check_target(target, force)
    parsed_sizes = None if sizes is None else [_parse_size(text) for text in sizes.split(",")]
    parsed_scales = None if scales is None else [_parse_number(text, "scale") for text in scales.split(",")]
    qualities = None if quality is None else [_parse_number(text, "quality") for text in quality.split(",")]
    parsed_target = None if target_size is None else _parse_bytes(target_size)
    if sum(option is not None for option in (quality, target_size, target_psnr)) > 1:
        raise typer.BadParameter("give only one of --quality, --target-size and --target-psnr")

    from compass import api
    from compass.picture.files import read_picture, write_bytes

    data = api.encode(
        read_picture(source),
        parsed_scales,
        qualities[0] if qualities is not None and len(qualities) == 1 else qualities,
        sizes=parsed_sizes,
        target_size=parsed_target,
        target_psnr=target_psnr,
        metadata="none" if strip else metadata,
        model=model,
        threads=threads,
    )
    write_bytes(data, target)


@app.command()
def decode(
    source: Input,
    target: Output,
    layer: Annotated[int | None, typer.Option(help="Layer to decode, 0 the smallest; default the largest.")] = None,
    width: Annotated[
        int | None, typer.Option(min=1, help="Decode to this width, from the smallest layer that is as wide.")
    ] = None,
    strict: Strict = False,
    model: ModelName = None,
    threads: Threads = 0,
    force: Force = False,
) -> None:
    """Decode one layer of a file to a picture; the extension of OUT names its format, - is PNG."""
    _check_target(target, force)
    if layer is not None and width is not None:
        raise typer.BadParameter("give either --layer or --width")
    from compass.picture.files import format_of, write_picture

    format_of(target)
    _set_strict(strict)
    with _open(source, model=model, threads=threads) as opened:
        write_picture(opened.decode(layer, width=width), target)


@app.command()
def info(
    source: Input,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show the layers of a file: sizes, qualities, bytes."""

    with _open(source) as opened:
        figures = opened.info()
    if as_json:
        typer.echo(json.dumps(figures, indent=1))
        return
    name = figures["model"]["name"] or "not installed"
    typer.echo(f"{figures['width']}x{figures['height']} {figures['mode']}, model {name} ({figures['model']['hash']})")
    typer.echo("layer       size  quality     bytes  bytes so far")
    for row in figures["layers"]:
        size = f"{row['width']}x{row['height']}"
        cut = "" if row["complete"] else "  (cut off)"
        typer.echo(
            f"{row['index']:5} {size:>10} {row['quality']:8g} {row['length']:9} {row['accumulated_bytes']:13}{cut}"
        )
    for box in figures["boxes"]:
        where = "in front of the layers" if box["place"] == "front" else "after the layers"
        typer.echo(f"{box['type']}, {box['length']} bytes {where}")


@app.command()
def extract(
    source: Input,
    target: Output,
    layer: Annotated[int, typer.Option(help="Last layer to keep.")],
    force: Force = False,
) -> None:
    """Cut a file after a layer, without coding anything again."""
    _check_target(target, force)
    from compass.picture.files import write_bytes

    with _open(source) as opened:
        write_bytes(opened.extract(layer), target)


@app.command()
def train(
    stage: Annotated[str, typer.Argument(help="base, predictor, residual or joint.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; a run found there is resumed.")],
    data: Annotated[list[Path], typer.Option(help="Folders or tar shards of training pictures; may be repeated.")],
    valid: Annotated[list[Path] | None, typer.Option(help="Folders of validation pictures.")] = None,
    profile: Annotated[str, typer.Option(help="fast, paper or tiny.")] = "fast",
    start: Annotated[
        list[str] | None,
        typer.Option(help="Weights to start from: FILE, PART=FILE, or PART=OTHER:FILE (another part's weights)."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Budget in steps.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.001, help="Budget in minutes of training.")] = None,
    pause: Annotated[
        float | None, typer.Option(min=0.001, help="Stop after so many minutes; the same command goes on from there.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
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
    limit: Annotated[int | None, typer.Option(min=1, help="Read at most so many pictures.")] = None,
) -> None:
    """Train one stage of a model (needs the extra "train"). On several GPUs: torchrun -m compass train ..."""
    if (steps is None) == (minutes is None):
        raise typer.BadParameter("give a budget: either --steps or --minutes")
    run = _import_extra("training.run", "train")
    schedule = _import_extra("training.loop", "train").Schedule(
        steps or 0, minutes, rate, warmup=warmup, ema=ema, seed=seed
    )
    figures = run.train(
        run.Run(
            stage, profile, data, valid or [], out, schedule, crop, batch, start or [],
            threads=threads, limit=limit, quality=quality, precision=precision, compile=compile,
            pause=pause,
        )
    )  # fmt: skip
    if figures:
        typer.echo(json.dumps(figures))


@app.command()
def export(
    weights: Annotated[Path, typer.Argument(help="weights.pt of a training run.")],
    target: Annotated[Path, typer.Argument(help="The model file to write, NAME.model.")],
    profile: Annotated[str, typer.Option(help="Profile of the weights.")] = "fast",
    card: Annotated[Path | None, typer.Option(help="JSON with what the model card should say.")] = None,
    start: Annotated[list[str] | None, typer.Option(help="Parts to take from other runs, PART=FILE.")] = None,
    base_only: Annotated[bool, typer.Option(help="Leave out the enhancement layers.")] = False,
    quality: Annotated[float | None, typer.Option(min=0, max=6, help="The only one that it was trained for.")] = None,
    force: Force = False,
) -> None:
    """Turn trained weights into a model file (needs the extra "train")."""
    _check_target(target, force)
    run, exporting = _import_extra("training.run", "train"), _import_extra("training.export", "train")
    net = run.build(profile)
    run.load_parts(net, [str(weights), *(start or [])])
    try:
        details = json.loads(card.read_text()) if card else {}
    except (OSError, ValueError) as error:
        raise InputError(f"{card} is no card in JSON: {error}") from None
    details = {"name": target.stem, "profile": profile, **({} if quality is None else {"quality": quality}), **details}
    exporting.export_model(net, target, details, base_only)


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of pictures.")],
    codec: Annotated[str, typer.Option(help="compass, jpeg2000, simulcast-webp, single-avif, ...")],
    out: Annotated[Path, typer.Option(help="The file of results, JSON.")],
    scales: Annotated[str, typer.Option(help="Ascending fractions of the picture's size.")] = "1/4,1/2,1",
    qualities: Annotated[
        str | None, typer.Option(help="In the codec's own measure: 1,2,3,4. [default: the codec's usual ones]")
    ] = None,
    model: ModelName = None,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut layer sizes off to whole pixels instead of rounding them.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="Pictures measured at once.")] = 1,
    programs: Annotated[
        list[Path] | None, typer.Option(help="Folders of programs that are not on the path; may be repeated.")
    ] = None,
    force: Force = False,
) -> None:
    """Measure a codec on a folder of pictures: bytes, PSNR, MS-SSIM, seconds (needs the extra "eval")."""
    _check_target(out, force)
    parsed_scales = tuple(_parse_number(text, "scale") for text in scales.split(","))
    os.environ["PATH"] = os.pathsep.join([*(str(path.resolve()) for path in programs or []), os.environ["PATH"]])
    chosen = () if qualities is None else tuple(_parse_number(text, "quality") for text in qualities.split(","))
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


@app.command()
def report(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Results of evaluate, or recorded points.")],
    out: Annotated[Path, typer.Option(help="A folder, for report.md and report.html.")],
    layers_of: Annotated[
        list[Path] | None, typer.Option(help="Show a picture's layers, 3 to 9 of them; may be repeated.")
    ] = None,
    crops_of: Annotated[
        list[Path] | None, typer.Option(help="Show a crop of a picture, all codecs at equal bits; may be repeated.")
    ] = None,
    against: Annotated[
        str, typer.Option(help="Codecs beside this one in the crops.")
    ] = "simulcast-webp,simulcast-avif",
    stand_in: Annotated[
        str | None, typer.Option(help="A data set to fill those of the paper's tables with, whose own is absent.")
    ] = None,
    model: ModelName = None,
    force: Force = False,
) -> None:
    """Turn files of results into tables, curves and pictures (needs the extra "eval")."""
    _check_target(out / "report.html", force)
    module, visuals = _import_extra("evaluation.report", "eval"), _import_extra("evaluation.visuals", "eval")
    results = module.read_results(files)
    shown = [visual for path in layers_of or [] for visual in visuals.all_layers(path, model)]
    shown += [visuals.crops(path, against.split(","), model) for path in crops_of or []]
    module.write_report(results, out, shown, stand_in)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        import compass

        typer.echo(f"compass {compass.__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point: one sentence and exit code 1 for anything wrong with the input, 2 for wrong usage."""
    warnings.showwarning = _show_warning
    try:
        app()
    except (CompassError, CutFileWarning) as error:
        typer.echo(f"compass: {error}", err=True)
        sys.exit(1)
    except OSError as error:  # of standard output
        typer.echo(f"compass: {error.strerror or error}", err=True)
        sys.exit(1)
    except MemoryError:
        typer.echo("compass: there is not enough memory for a picture of this size", err=True)
        sys.exit(1)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(f"compass: {message}", err=True)


def _open(source: Path, **options: Any) -> LayeredFile:
    from compass.opened import LayeredFile
    from compass.picture.files import STANDARD, read_bytes

    return LayeredFile(read_bytes(source) if source == STANDARD else source, **options)


def _set_strict(strict: bool) -> None:
    if strict:
        warnings.simplefilter("error", CutFileWarning)


def _check_target(target: Path, force: bool) -> None:
    try:
        exists = target != Path("-") and target.exists()
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror}") from None
    if exists and not force:
        raise InputError(f"{target} exists already; --force overwrites it")


def _parse_number(text: str, what: str) -> float:
    numerator, slash, denominator = text.partition("/")
    try:
        return float(numerator) / float(denominator) if slash else float(numerator)
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(f"{text!r} is not a {what}") from None


def _parse_bytes(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]+)?)\s*(|k|M|G)(i?)B?", text.strip(), re.IGNORECASE)
    if not match:
        raise typer.BadParameter(f"{text!r} is not a size in bytes like 700, 50kB or 1.5MB")
    unit = (1024 if match[3] else 1000) ** ("", "k", "m", "g").index(match[2].lower())
    return int(float(match[1]) * unit)


def _parse_size(text: str) -> tuple[int, int | None]:
    width, _, height = text.partition("x")
    if not re.fullmatch(r"[0-9]{1,7}x([0-9]{1,7})?", text):
        raise typer.BadParameter(f"{text!r} is not a size like 320x or 320x200")
    return int(width), int(height) if height else None


def _import_extra(module: str, extra: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"compass.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("compass"):
            raise
        raise InputError(f"this needs {error.name}: install compass-codec[{extra}]") from None
