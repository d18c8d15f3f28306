"""`compass encode-all`: a data set of images, on all cores or on a cluster."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from compass.cli_options import (
    Effort,
    KeepSuffix,
    MaxPixels,
    MetadataPlace,
    ModelName,
    Quality,
    Scales,
    Sizes,
    Strip,
    TargetPsnr,
    TargetSize,
    encoding,
)
from compass.errors import InputError


def encode_all(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A folder of images and of folders of them, or its URL.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="DEST", help="The folder of the files and their manifest, or its URL.")
    ],
    scales: Scales = None,
    sizes: Sizes = None,
    quality: Quality = None,
    target_size: TargetSize = None,
    target_psnr: TargetPsnr = None,
    effort: Effort = 1,
    metadata: MetadataPlace = "auto",
    strip: Strip = False,
    model: ModelName = None,
    max_pixels: MaxPixels = None,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=0, help="Images coded at once, each on one thread; 0: one per processor.")
    ] = 0,
    ray: Annotated[
        str | None,
        typer.Option(help="On a Ray cluster instead: its address, or auto (needs the extra cluster)."),
    ] = None,
    keep_suffix: KeepSuffix = False,
    force: Annotated[bool, typer.Option("--force", help="Encode again what is there already.")] = False,
) -> None:
    """Code all images of a folder into another, with a manifest; begun again, it does what is left to do.

    URLs are those of fsspec: s3://bucket/folder (needs s3fs), gs://, memory:// and others.
    """
    try:
        from compass.dataset.encode_all import Workers
        from compass.dataset.encode_all import encode_all as run
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is missing: pip install 'compass-codec[cluster]'") from None
    if ray is not None and jobs:
        raise typer.BadParameter("give either --jobs or --ray")
    options = encoding(scales, sizes, quality, target_size, target_psnr, effort, metadata, strip, model)
    workers = Workers(jobs or os.cpu_count() or 1, ray)
    with typer.progressbar(length=1, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def progress(done: int, of: int) -> None:
            bar.length = of
            bar.update(done - bar.pos)

        done = run(
            source,
            target,
            options,
            workers=workers,
            keep_suffix=keep_suffix,
            max_pixels=max_pixels,
            force=force,
            say=_say,
            progress=progress,
        )
    _say(
        f"{done.encoded} encoded, {done.kept} there already, {done.failed} failed; {target} holds {done.bytes:,} bytes"
        " in all and manifest.jsonl"
    )
    if done.failed:
        raise InputError(
            f"{done.failed} of {done.encoded + done.failed} images failed; the same command tries them again"
        )


def _say(text: str) -> None:
    typer.echo(f"compass: {text}", err=True)
