"""Seconds and peak memory of whole processes, start-up time, cost per pixel: results/speed.json.

python benchmarks/speed.py [PICTURE]
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from options import COMPASS

ROOT = Path(__file__).parent.parent
RUNS = 5


def main() -> None:
    picture = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "examples" / "kodim23.png"
    work = ROOT / "build"
    work.mkdir(exist_ok=True)
    coded, decoded = str(work / "speed.cmps"), str(work / "speed.png")
    report = {
        "command": "python benchmarks/speed.py",
        "picture": picture.name,
        "runs": RUNS,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "encode, three layers": timed([*COMPASS, "encode", str(picture), coded, "--force"]),
        "decode, layer 0": timed([*COMPASS, "decode", coded, decoded, "--layer", "0", "--force"]),
        "decode, layer 2": timed([*COMPASS, "decode", coded, decoded, "--force"]),
        "info": timed([*COMPASS, "info", coded]),
        "import compass": timed([sys.executable, "-c", "import compass"]),
        "compass --help": timed([*COMPASS, "--help"]),
        "python alone": timed([sys.executable, "-c", ""]),
    }
    report |= in_this_process(picture)  # last: a child's peak memory starts from that of its parent
    (ROOT / "results" / "speed.json").write_text(json.dumps(report, indent=1) + "\n")


def timed(command: list[str]) -> dict[str, float]:
    """Median wall seconds and the largest peak memory of a command as a whole process."""
    seconds, peak = [], 0
    for _ in range(RUNS):
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - started)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{command} failed")
        peak = max(peak, usage.ru_maxrss)
    return {"seconds": round(statistics.median(seconds), 3), "peak_MB": round(peak / 1024, 1)}


def in_this_process(picture: Path) -> dict[str, Any]:
    """What needs the package itself: seconds of calls, cost per pixel, sizes of the models."""
    from compass.model import model as models
    from compass.nets.macs import kmac_per_pixel
    from compass.training.run import build

    return {
        "inside one process": inside(picture),
        "model_bytes": {name: path.stat().st_size for name, path in models.shipped().items()},
        "kmac_per_pixel": {name: kmac_per_pixel(build(name)) for name in ("fast", "paper")},
    }


def inside(picture: Path) -> dict[str, float]:
    """Median seconds of calls once everything is loaded."""
    from PIL import Image

    import compass

    with Image.open(picture) as source:
        image = source.convert("RGB")
    data = compass.encode(image)
    figures: dict[str, float] = {}
    for name, call in (
        ("encode, three layers", lambda: compass.encode(image)),
        ("decode, layer 0", lambda: compass.decode(data, 0)),
        ("decode, layer 2", lambda: compass.decode(data, 2)),
    ):
        seconds = []
        for _ in range(RUNS + 1):
            started = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - started)
        figures[name] = round(statistics.median(seconds[1:]), 3)
    return figures


if __name__ == "__main__":
    main()
