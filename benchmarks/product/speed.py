"""Seconds and peak memory of whole processes, start-up time, cost per pixel: results/speed.json.

python benchmarks/product/speed.py [--image FILE] [--runs 5]
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from compass.evaluation.records import command_line, write_record
from options import COMPASS, RESULTS, ROOT, parser, read_rgb, run_process
from records import CallRecord, ModelSize, Multiplications, Operation, ProcessRecord, Speed

ENCODE: Operation = {"operation": "encode", "layers": 3}
DECODE_SMALLEST: Operation = {"operation": "decode", "layer": 0}
DECODE_LARGEST: Operation = {"operation": "decode", "layer": 2}
SIZE = (512, 768)  # of a layer whose multiplications are counted
RATIOS = (1.3, 2.0, 4.0)


def main() -> None:
    arguments = parser(__doc__, RESULTS / "speed.json")
    arguments.add_argument("--image", type=Path, default=ROOT / "examples" / "kodim23.png")
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--profiles", default="fast,paper", help="of the networks whose cost is counted")
    options = arguments.parse_args()
    # First, while this process holds little: a child's peak memory starts from that of its parent.
    processes = time_processes(options.image, options.model, options.runs)
    report: Speed = {
        "command": command_line(),
        "picture": options.image.name,
        "runs": options.runs,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "processes": processes,
        "calls": time_calls(options.image, options.model, options.runs),
        "models": model_sizes(),
        "multiplications": [row for profile in options.profiles.split(",") for row in multiplications(profile)],
    }
    write_record(report, options.out, rows=("processes", "calls", "models", "multiplications"))


def time_processes(image: Path, model: str | None, runs: int) -> list[ProcessRecord]:
    """The commands of the codec, and what starting them takes."""
    chosen = ["--model", model] if model else []
    with tempfile.TemporaryDirectory() as folder:
        coded, decoded = f"{folder}/coded.cmps", f"{folder}/decoded.png"
        decode = [*COMPASS, "decode", coded, decoded, "--force", *chosen]
        commands: list[tuple[Operation, list[str]]] = [
            (ENCODE, [*COMPASS, "encode", str(image), coded, "--force", *chosen]),
            (DECODE_SMALLEST, [*decode, "--layer", "0"]),
            (DECODE_LARGEST, decode),
            ({"operation": "info"}, [*COMPASS, "info", coded]),
            ({"operation": "import"}, [sys.executable, "-c", "import compass"]),
            ({"operation": "help"}, [*COMPASS, "--help"]),
            ({"operation": "python"}, [sys.executable, "-c", ""]),
        ]
        return [time_process(operation, command, runs) for operation, command in commands]


def time_process(operation: Operation, command: list[str], runs: int) -> ProcessRecord:
    """Median wall seconds and the largest peak memory of a command as a whole process."""
    seconds, peak = [], 0
    for _ in range(runs):
        taken, usage = run_process(command)
        seconds.append(taken)
        peak = max(peak, usage.ru_maxrss)
    return {**operation, "seconds": round(statistics.median(seconds), 3), "peak_mb": round(peak / 1024, 1)}


def time_calls(path: Path, model: str | None, runs: int) -> list[CallRecord]:
    """The calls of the codec once everything is loaded."""
    import compass

    image = read_rgb(path)
    data = compass.encode(image, model=model)
    calls: list[tuple[Operation, Callable[[], object]]] = [
        (ENCODE, lambda: compass.encode(image, model=model)),
        (DECODE_SMALLEST, lambda: compass.decode(data, 0, model=model)),
        (DECODE_LARGEST, lambda: compass.decode(data, model=model)),
    ]
    return [{**operation, "seconds": time_call(call, runs)} for operation, call in calls]


def time_call(call: Callable[[], object], runs: int) -> float:
    """Median seconds, after one call that counts for nothing."""
    seconds = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return round(statistics.median(seconds[1:]), 3)


def model_sizes() -> list[ModelSize]:
    """The models of the package."""
    from compass.model import store

    found = [entry for entry in store.installed() if entry.place == "package"]
    return [{"name": entry.manifest.name, "bytes": entry.path.stat().st_size} for entry in found]


def multiplications(profile: str) -> list[Multiplications]:
    """Cost of a profile's networks; of its enhancement layers, by their ratio to the layer below."""
    from compass.nets.macs import decode_macs, encode_macs, predict_macs
    from compass.training.run import build

    net = build(profile)
    height, width = SIZE

    def row(layer: str, operation: str, macs: int) -> Multiplications:
        kmac = macs / (height * width * 1000)
        return {"profile": profile, "layer": layer, "operation": operation, "kmac_per_pixel": kmac}

    rows = [row("base", "encode", encode_macs(net.base, height, width))]
    rows.append(row("base", "decode", decode_macs(net.base, height, width)))
    if net.residual is not None:
        residual = decode_macs(net.residual, height, width)
        for ratio in RATIOS:
            macs = residual + predict_macs(net, height, width, ratio)
            rows.append({**row("enhancement", "decode", macs), "ratio": ratio})
    return rows


if __name__ == "__main__":
    main()
