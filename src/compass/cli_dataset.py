"""`compass encode-all`: a data set of images, on all cores or on a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from compass.cli_files import progress_bar, say
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
from compass.processes import processors


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
        typer.Option(help="On a Ray cluster instead: its address, auto, or local (needs the extra cluster)."),
    ] = None,
    keep_suffix: KeepSuffix = False,
    force: Annotated[bool, typer.Option("--force", help="Encode again what is there already.")] = False,
) -> None:
    """Code all images of a folder into another, with a manifest; begun again, it does what is left to do.

    URLs are those of fsspec: s3://bucket/folder (needs s3fs), gs:// (gcsfs), sftp:// and others.
    """
    from compass.dataset.encode_all import Workers
    from compass.dataset.encode_all import encode_all as run

    if ray is not None and jobs:
        raise typer.BadParameter("give either --jobs or --ray")
    options = encoding(scales, sizes, quality, target_size, target_psnr, effort, metadata, strip, model)
    try:
        with progress_bar(True) as told:
            done = run(
                source,
                target,
                options,
                workers=Workers(jobs or processors(), ray),
                keep_suffix=keep_suffix,
                max_pixels=max_pixels,
                force=force,
                say=say,
                progress=lambda done, of: told(done / of) if told else None,
            )
    except (KeyboardInterrupt, SystemExit):  # by Ctrl-C or SIGTERM
        say("stopped: the same command goes on from here")
        raise
    say(
        f"{done.encoded} encoded, {done.kept} there already, {done.failed} failed; {target} holds {done.bytes:,} bytes"
        " in all and manifest.jsonl"
    )
    if done.failed:
        images = done.encoded + done.kept + done.failed
        raise InputError(f"{done.failed} of {images} images failed; the same command tries them again")
