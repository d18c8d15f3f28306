"""Arguments and options that commands share, and what their texts mean."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from compass.errors import InputError


def path_of(text: str) -> Path:
    """`-` alone is standard input or output; a file of that name is `./-`."""
    if text in ("/dev/stdin", "/dev/stdout"):
        return Path("-")
    return Path(text).absolute() if text != "-" and Path(text) == Path("-") else Path(text)


Input = Annotated[Path, typer.Argument(parser=path_of, metavar="IN", help="A file; - is standard input.")]
Output = Annotated[
    Path,
    typer.Argument(
        parser=path_of, metavar="OUT", help="A file that does not exist, unless with --force; - is standard output."
    ),
]
ModelName = Annotated[str | None, typer.Option("--model", help="Name or hash of an installed model, or a model file.")]
Threads = Annotated[int, typer.Option(min=0, max=1024, help="Threads of the networks; 0: one per processor.")]
MaxPixels = Annotated[
    int | None,
    typer.Option(min=0, help="Refuse images of more, before anything is held in memory; 0: none. [default: 178956970]"),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite OUT.")]
KeepSuffix = Annotated[
    bool, typer.Option("--keep-suffix", help="Name files after all of an image's name: a.png becomes a.png.cmps.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Fail where a cut file would cause a warning.")]
Scales = Annotated[
    str | None,
    typer.Option(help="Ascending fractions of the image's size. [default: 1/4,1/2,1, or 1 with a one-layer model]"),
]
Sizes = Annotated[str | None, typer.Option(help="Ascending sizes instead: 320,800x600 (no height: by aspect).")]
Quality = Annotated[
    str | None,
    typer.Option("-q", "--quality", help="0 (small) to 6 (good), or one per layer: 2,3,4. [default: 3]"),
]
TargetSize = Annotated[
    str | None, typer.Option(help="The best file of at most this size instead: 50kB, 1.5MB, 700 (bytes).")
]
TargetPsnr = Annotated[
    float | None, typer.Option(help="The smallest file whose largest layer has this PSNR in dB instead.")
]
Effort = Annotated[
    int, typer.Option("-e", "--effort", min=1, max=9, help="1 (fast) to 9: search for fewer bytes, a better image.")
]
MetadataPlace = Annotated[
    str, typer.Option(help="Colour profile, EXIF, XMP: front, back, none, or auto (profiles but sRGB in front).")
]
Strip = Annotated[bool, typer.Option("--strip", help="Drop them: the same as --metadata none.")]
CropsOf = Annotated[
    list[Path] | None, typer.Option(help="Show a crop of an image, all codecs at equal bits; may be repeated.")
]
Against = Annotated[str, typer.Option(help="Codecs beside this one in the crops.")]
AGAINST = "simulcast-webp,simulcast-avif"
Programs = Annotated[
    list[Path] | None, typer.Option(help="Folders of programs that are not on the path; may be repeated.")
]


def add_to_path(programs: list[Path] | None) -> None:
    """Lets programs in these folders be found first."""
    os.environ["PATH"] = os.pathsep.join([*(str(path.resolve()) for path in programs or []), os.environ["PATH"]])


def check_target(target: Path, force: bool) -> None:
    """Raises InputError if there is a file already that is not to be overwritten, or if OUT is a terminal."""
    if target == Path("-") and sys.stdout is not None and sys.stdout.isatty():
        raise InputError("images are not written to a terminal: name OUT, or redirect standard output")
    try:
        exists = target != Path("-") and target.exists() and not target.is_char_device()
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror}") from None
    if exists and not force:
        raise InputError(f"{target} exists already; --force overwrites it")


def encoding(
    scales: str | None,
    sizes: str | None,
    quality: str | None,
    target_size: str | None,
    target_psnr: float | None,
    effort: int,
    metadata: str,
    strip: bool,
    model: str | None,
) -> dict[str, Any]:
    """Options of `compass.encode` from those of commands."""
    if sum(option is not None for option in (quality, target_size, target_psnr)) > 1:
        raise typer.BadParameter("give only one of --quality, --target-size and --target-psnr")
    if scales is not None and sizes is not None:
        raise typer.BadParameter("give either --scales or --sizes")
    if strip and metadata not in ("auto", "none"):
        raise typer.BadParameter("give either --strip or --metadata")
    qualities = None if quality is None else [parse_number(text, "quality") for text in quality.split(",")]
    return {
        "scales": None if scales is None else [parse_number(text, "scale") for text in scales.split(",")],
        "quality": qualities[0] if qualities is not None and len(qualities) == 1 else qualities,
        "sizes": None if sizes is None else [parse_size(text) for text in sizes.split(",")],
        "target_size": None if target_size is None else parse_bytes(target_size),
        "target_psnr": target_psnr,
        "effort": effort,
        "metadata": "none" if strip else metadata,
        "model": model,
    }


def parse_number(text: str, what: str) -> float:
    """A number or a fraction."""
    numerator, slash, denominator = text.partition("/")
    try:
        return float(numerator) / float(denominator) if slash else float(numerator)
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(f"{text!r} is not a {what}") from None


def parse_bytes(text: str) -> int:
    """A size like 700, 50kB or 1.5MB in bytes."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]+)?)\s*(|k|M|G)(i?)B?", text.strip(), re.IGNORECASE)
    if not match:
        raise typer.BadParameter(f"{text!r} is not a size in bytes like 700, 50kB or 1.5MB")
    unit = (1024 if match[3] else 1000) ** ("", "k", "m", "g").index(match[2].lower())
    return int(float(match[1]) * unit)


def parse_size(text: str) -> tuple[int, int | None]:
    """Width and height of 320x200; no height of 320x or 320."""
    width, _, height = text.partition("x")
    if not re.fullmatch(r"[0-9]{1,7}(x([0-9]{1,7})?)?", text):
        raise typer.BadParameter(f"{text!r} is not a size like 320, 320x or 320x200")
    return int(width), int(height) if height else None


def region(text: str, weight: float | None) -> dict[str, Any]:
    """Options of `compass.encode` for a region of interest: X,Y,WIDTH,HEIGHT[,WEIGHT], or the name of a mask.

    weight: given apart. A text with commas is a box, unless there is a file of that name.
    """
    if "," in text and not os.path.exists(text):
        *box, last = text.split(",")
        if len(box) == 4:
            if weight is not None:
                raise typer.BadParameter("give the weight of a region in --roi or in --roi-weight")
            text, weight = ",".join(box), parse_number(last.strip(), "weight")
        chosen: Any = parse_crop(text, "a region of interest like 0,0,640,480 or, with its weight, 0,0,640,480,8")
    else:
        from compass.picture.files import read_image

        chosen = read_image(path_of(text))
    return {"roi": chosen} | ({} if weight is None else {"roi_weight": weight})


def parse_crop(text: str, what: str = "a part of an image like 0,0,640,480") -> tuple[int, int, int, int]:
    """Left, upper, right and lower edge of X,Y,WIDTH,HEIGHT; what: said of a text that is something else."""
    if not re.fullmatch(r"[0-9]{1,7}(,[0-9]{1,7}){3}", text := text.replace(" ", "")):
        raise typer.BadParameter(f"{text!r} is not {what}")
    left, top, width, height = map(int, text.split(","))
    return left, top, left + width, top + height
