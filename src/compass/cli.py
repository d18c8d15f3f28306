"""The `compass` command. Options only: the work is done in `compass.api` and below."""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compass import cli_bench, cli_dataset, cli_extras, cli_models, cli_serve
from compass.attempt import HINT, NO_MEMORY
from compass.cli_files import Files, Jobs, OutDir, named, plan, progress_bar, run, say
from compass.cli_options import (
    Effort,
    Force,
    Input,
    KeepSuffix,
    MaxPixels,
    MetadataPlace,
    ModelName,
    Output,
    Quality,
    Scales,
    Sizes,
    Strict,
    Strip,
    TargetPsnr,
    TargetSize,
    Threads,
    encoding,
    parse_crop,
    path_of,
    region,
)
from compass.errors import CompassError, CutFileWarning, FormatError, InputError, ModelNotFoundError
from compass.processes import end_cleanly

if TYPE_CHECKING:
    from compass.layered_file import LayeredFile

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text, in which "[default: 3]" stands
    context_settings={"help_option_names": ["-h", "--help"]},
    help="One file holds an image at any number of sizes; its first bytes are the small image.",
)


@app.command()
def encode(
    files: Files,
    out_dir: OutDir = None,
    scales: Scales = None,
    sizes: Sizes = None,
    quality: Quality = None,
    target_size: TargetSize = None,
    target_psnr: TargetPsnr = None,
    effort: Effort = 1,
    roi: Annotated[
        str | None,
        typer.Option(
            help="Region of interest, from --effort 2 on: X,Y,WIDTH,HEIGHT[,WEIGHT], or an image that is white there."
            " At the same quality the rest gets worse and the file smaller, with --target-size the region gets better."
        ),
    ] = None,
    roi_weight: Annotated[
        float | None,
        typer.Option(min=1, max=1000, help="How much more errors count in it than elsewhere. [default: 8]"),
    ] = None,
    metadata: MetadataPlace = "auto",
    strip: Strip = False,
    model: ModelName = None,
    threads: Threads = 0,
    max_pixels: MaxPixels = None,
    jobs: Jobs = 1,
    keep_suffix: KeepSuffix = False,
    force: Force = False,
) -> None:
    """Code an image into one layered file, or with --out-dir any number of them."""
    options = encoding(scales, sizes, quality, target_size, target_psnr, effort, metadata, strip, model)
    options["threads"] = 1 if jobs > 1 else threads
    if roi is not None and effort == 1:
        raise typer.BadParameter("--roi takes an --effort of 2 or more")
    if roi is None and roi_weight is not None:
        raise typer.BadParameter("--roi-weight takes a region, --roi")
    if roi is not None and path_of(roi) == Path("-") and Path("-") in files:
        raise typer.BadParameter("standard input is either the image or the mask of its region")

    from compass.picture.files import IMAGE_SUFFIXES, limit_pixels, readable_suffixes

    planned = plan(files, out_dir, ".cmps", readable_suffixes, keep_suffix)
    for _, target in planned.pairs:
        suffix = target.suffix.lower()
        if suffix in IMAGE_SUFFIXES or (suffix not in ("", ".cmps") and suffix in readable_suffixes()):
            raise InputError(f"{target} has the name of another kind of image: a layered file ends in .cmps")
    if roi is not None:
        limit_pixels(max_pixels)
        options |= region(roi, roi_weight)
    shown = effort > 1 and not planned.batch and target_size is None and target_psnr is None
    run(partial(_encode_file, options, shown, max_pixels, force), planned, jobs, force)


def _encode_file(
    options: dict[str, Any], shown: bool, max_pixels: int | None, force: bool, source: Path, target: Path
) -> None:
    from compass import api
    from compass.files import write_bytes
    from compass.picture.files import limit_pixels, read_image

    limit_pixels(max_pixels)
    try:
        image = read_image(source)
    except InputError:
        if source.suffix.lower() == ".cmps" and source.is_file():
            raise InputError(f"{source} is a layered file, and not an image: compass decode makes one of it") from None
        raise
    with progress_bar(shown) as progress:
        data = api.encode(image, progress=progress, **options)
    write_bytes(data, target, replace=force)


@app.command()
def decode(
    files: Files,
    out_dir: OutDir = None,
    layer: Annotated[int | None, typer.Option(help="Layer to decode, 0 the smallest; default the largest.")] = None,
    width: Annotated[
        int | None,
        typer.Option(
            min=1, help="Decode to this width, from the smallest layer that is as wide, or enlarged from the largest."
        ),
    ] = None,
    crop: Annotated[
        str | None, typer.Option(help="Decode only this part of the layer: X,Y,WIDTH,HEIGHT in its pixels.")
    ] = None,
    strip: Annotated[bool, typer.Option("--strip", help="Leave out colour profile, EXIF and XMP.")] = False,
    background: Annotated[
        str | None, typer.Option(help="Colour behind an image with alpha: white, #fff8e0; needed for JPEG.")
    ] = None,
    output_quality: Annotated[
        int | None, typer.Option(min=0, max=100, help="Of a JPEG, WebP or AVIF that is written.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(help="Where OUT is not named, or is -: png, jpg, webp, avif, tif, bmp or ppm. [default: png]"),
    ] = None,
    strict: Strict = False,
    model: ModelName = None,
    threads: Threads = 0,
    max_pixels: MaxPixels = None,
    jobs: Jobs = 1,
    force: Force = False,
) -> None:
    """Decode one layer of a file to an image; the extension of OUT names its format."""
    if layer is not None and width is not None:
        raise typer.BadParameter("give either --layer or --width")
    if crop is not None and width is not None:
        raise typer.BadParameter("give either --crop or --width")
    box = None if crop is None else parse_crop(crop)
    from compass.files import STANDARD
    from compass.picture.files import IMAGE_SUFFIXES, format_of

    suffix = f".{to or 'png'}"
    if suffix not in IMAGE_SUFFIXES:
        written = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        raise typer.BadParameter(f"{to!r} is not a format that is written, as are {written}")
    wanted = format_of(Path(f"x{suffix}"))
    planned = plan(files, out_dir, suffix, lambda: (".cmps",))
    for _, target in planned.pairs:
        named_format = wanted if target == STANDARD else format_of(target)
        if to is not None and named_format != wanted:
            raise typer.BadParameter(f"{target} names another format than --to {to}")
    which = {"layer": layer, "width": width, "box": box}
    opening = {"model": model, "threads": 1 if jobs > 1 else threads}
    writing = {"strip": strip, "background": background, "quality": output_quality, "replace": force, "piped": suffix}
    run(partial(_decode_file, which, opening, writing, strict, max_pixels), planned, jobs, force)


def _decode_file(
    which: dict[str, Any],
    opening: dict[str, Any],
    writing: dict[str, Any],
    strict: bool,
    max_pixels: int | None,
    source: Path,
    target: Path,
) -> None:
    from compass.picture.files import flattened, limit_pixels, write_image

    limit_pixels(max_pixels)
    with _open(source, **opening) as opened:
        with warnings.catch_warnings():
            if strict:
                warnings.simplefilter("error", CutFileWarning)
            try:
                image = opened.bands(**which)
            except CutFileWarning as warning:
                raise FormatError(str(warning)) from None
        if writing["strip"]:
            image = replace(image, info={})
        if writing["background"] is not None:
            image = flattened(image, writing["background"])
        write_image(image, target, writing["replace"], writing["quality"], writing["piped"])


@app.command()
def info(
    files: Annotated[list[Path], typer.Argument(parser=path_of, metavar="IN...", help="Files; - is standard input.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="For machines: an object, of several files a list of them.")
    ] = False,
) -> None:
    """Show the layers of files: sizes, qualities, bytes."""
    found: list[tuple[Path, dict[str, Any]]] = []
    for source in files:
        try:
            with named(source), _open(source) as opened:
                found.append((source, opened.info()))
        except CompassError as error:
            if len(files) == 1:
                raise
            say(str(error))
    if as_json:
        shown = [figures for _, figures in found]
        typer.echo(json.dumps(shown if len(files) > 1 else shown[0], indent=1))
    else:
        for source, figures in found:
            if len(files) > 1:
                typer.echo(f"{source}:")
            _show(figures)
    if failed := len(files) - len(found):
        raise InputError(f"{failed} of {len(files)} files failed")


def _show(figures: dict[str, Any]) -> None:
    name = figures["model"]["name"] or "not installed"
    typer.echo(f"{figures['width']}x{figures['height']} {figures['mode']}, model {name} ({figures['model']['hash']})")
    typer.echo("layer       size  quality     bytes  bytes so far")
    missing = "(cut off)" if figures["cut"] else "(not in this file)"
    for row in figures["layers"]:
        size = f"{row['width']}x{row['height']}"
        line = f"{row['index']:5} {size:>10} {row['quality']:8g} {row['length']:9} {row['accumulated_bytes']:13}"
        if not row["complete"]:
            line, missing = f"{line}  {missing}", "(not in this file)"
        typer.echo(line)
    for box in figures["boxes"]:
        where = "in front of the layers" if box["place"] == "front" else "after the layers"
        typer.echo(f"{box['type']}, {box['length']} bytes {where}")
    if figures["layers"][-1]["complete"] and figures["cut"]:
        typer.echo(f"bytes at the end that are no whole box of metadata: {figures['left_over']}")


@app.command()
def extract(
    source: Input,
    target: Output,
    layer: Annotated[int, typer.Option(help="Last layer to keep.")],
    force: Force = False,
) -> None:
    """Cut a file after a layer, without coding anything again."""
    run(partial(_extract_file, layer, force), plan([source, target], None, ".cmps", lambda: (".cmps",)), 1, force)


def _extract_file(layer: int, force: bool, source: Path, target: Path) -> None:
    from compass.files import write_bytes

    with _open(source) as opened:
        data = opened.extract(layer)
    write_bytes(data, target, replace=force)


for command in (
    cli_extras.train,
    cli_extras.export,
    cli_extras.evaluate,
    cli_extras.report,
    cli_bench.bench,
    cli_serve.serve,
    cli_dataset.encode_all,
):
    app.command()(command)
app.add_typer(cli_models.app, name="models")


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        import compass
        from compass.entropy.ans import coder_name

        typer.echo(f"compass {compass.__version__} (entropy coder: {coder_name()})")
        raise typer.Exit


def main() -> None:
    """Entry point: one sentence and exit code 1 for anything wrong with the input, 2 for wrong usage."""
    warnings.showwarning = _show_warning
    end_cleanly()
    try:
        app()
    except ModelNotFoundError as error:
        typer.echo(f"compass: {error}: {HINT}", err=True)
        sys.exit(1)
    except (CompassError, Warning) as error:  # the latter where Python is told to take warnings for errors
        typer.echo(f"compass: {error}", err=True)
        sys.exit(1)
    except OSError as error:  # of standard output
        typer.echo(f"compass: {error.strerror or error}", err=True)
        sys.exit(1)
    except MemoryError:
        typer.echo(f"compass: {NO_MEMORY}", err=True)
        sys.exit(1)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(f"compass: {message}", err=True)


def _open(source: Path, **options: Any) -> LayeredFile:
    from compass.files import STANDARD, read_bytes
    from compass.layered_file import LayeredFile

    return LayeredFile(read_bytes(source) if source == STANDARD else source, **options)
