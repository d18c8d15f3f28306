"""What the codec takes on the machine at hand."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from compass.cli_options import Effort, Input, ModelName, Threads


def bench(
    image: Input,
    quality: Annotated[float, typer.Option("-q", "--quality", min=0, max=6, help="Of all layers.")] = 3.0,
    effort: Effort = 1,
    runs: Annotated[int, typer.Option(min=1, help="Of each call, after one that counts for nothing.")] = 5,
    model: ModelName = None,
    threads: Threads = 1,
) -> None:
    """Time encoding and decoding of an image here, everything loaded: the median of some runs."""
    from compass import api
    from compass.picture.files import read_image

    picture = read_image(image)
    encode = partial(api.encode, picture, quality=quality, effort=effort, model=model, threads=threads)
    data = encode()
    layers = api.info(data)["layers"]
    calls: dict[str, tuple[int, Callable[[], object]]] = {"encode": (picture.width * picture.height, encode)}
    for row in layers:
        name = f"layer {row['index']}, {row['width']}x{row['height']}"
        decode = partial(api.decode, data, row["index"], model=model, threads=threads)
        calls[name] = row["width"] * row["height"], decode
    typer.echo(f"{picture.width}x{picture.height}, {len(data)} bytes in {len(layers)} layers, threads: {threads}")
    typer.echo(f"{'':>20} milliseconds  of the processor  megapixels a second")
    for name, (pixels, call) in calls.items():
        seconds, busy = _median_seconds(call, runs)
        typer.echo(f"{name:>20} {1000 * seconds:12.1f} {1000 * busy:17.1f} {pixels / seconds / 1e6:20.3g}")


def _median_seconds(call: Callable[[], object], runs: int) -> tuple[float, float]:
    """Of the clock and of the processor."""
    taken = []
    for _ in range(runs + 1):
        started = time.perf_counter(), time.process_time()
        call()
        taken.append((time.perf_counter() - started[0], time.process_time() - started[1]))
    clock, busy = zip(*taken[1:], strict=True)
    return statistics.median(clock), statistics.median(busy)
