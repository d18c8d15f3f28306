"""Processor time and memory by stage, by size and beside other codecs: results/bench.json and results/bench.md.

python benchmarks/product/bench.py [--image FILE] [--megapixels 0.4,3,12,48]

Everything on one thread; processor seconds, so that other work on the machine counts for little, and the least of the
runs. Large images are the one given, repeated.
"""

from __future__ import annotations

import io
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from compass.evaluation.document import Section, Table, Text, to_markdown
from compass.evaluation.records import command_line, write_record
from options import COMPASS, RESULTS, ROOT, parser, read_rgb, run_process, seconds_of

if TYPE_CHECKING:
    from PIL import Image

    from stages import StageRecord

REGION = "512x512"
PEERS: dict[str, dict[str, Any]] = {
    "AVIF": {"quality": 60},
    "WebP": {"quality": 80},
    "JPEG2000": {"quality_mode": "rates", "quality_layers": [40], "irreversible": True},
    "JPEG": {"quality": 75},
}


# Programs that decode a file IN to an image, OUT.png or OUT.ppm.
DECODERS = {
    "AVIF": "avifdec --jobs 1 IN OUT.png",
    "WebP": "dwebp -quiet IN -o OUT.png",
    "JPEG2000": "opj_decompress -quiet -i IN -o OUT.png",
    "JPEG": "djpeg -outfile OUT.ppm IN",
}
SUFFIXES = {"AVIF": "avif", "WebP": "webp", "JPEG2000": "jp2", "JPEG": "jpg"}


class ProcessRecord(TypedDict):
    """A command on an image of some size, as a whole process."""

    megapixels: float
    operation: str
    user_seconds: float
    system_seconds: float
    peak_mb: float


class PeerRecord(TypedDict):
    """Decoding by another codec, in a process that has everything loaded."""

    codec: str
    bytes: int
    milliseconds: float
    process_milliseconds: float | None  # of a program that starts, decodes and writes; None if there is none


class Bench(TypedDict):
    """results/bench.json."""

    command: str
    image: str
    machine: str
    processors: int | None
    peak_gflops: float  # of a large matrix product in numpy
    stages: list[StageRecord]
    processes: list[ProcessRecord]
    peers: list[PeerRecord]
    throughput_of_two: float  # of two processes, by that of one


def main() -> None:
    arguments = parser(__doc__, RESULTS / "bench.json")
    arguments.add_argument("--image", type=Path, default=ROOT / "examples" / "kodim23.png")
    arguments.add_argument("--megapixels", default="0.4,3,12,48")
    options = arguments.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    sizes = [float(text) for text in options.megapixels.split(",")]
    # First, while this process holds little: a child's peak memory starts from that of its parent.
    processes = [row for size in sizes for row in time_size(options.image, size, options.model)]
    from stages import peak_gflops, time_stages

    image = read_rgb(options.image)
    report: Bench = {
        "command": command_line(),
        "image": options.image.name,
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "peak_gflops": round(peak_gflops(), 1),
        "stages": time_stages(image, options.model),
        "processes": processes,
        "peers": [peer for codec, settings in PEERS.items() for peer in time_peer(image, codec, settings)],
        "throughput_of_two": round(throughput_of_two(options.image, options.model), 2),
    }
    write_record(report, options.out, rows=("stages", "processes", "peers"))
    options.out.with_suffix(".md").write_text(to_markdown("Processor time and memory", sections(report)))


def time_size(path: Path, megapixels: float, model: str | None) -> list[ProcessRecord]:
    """The commands on the image, repeated to so many pixels."""
    chosen = ["--threads", "1", "--force"] + (["--model", model] if model else [])
    width = round(math.sqrt(megapixels * 1e6 * 4 / 3) / 16) * 16
    height = width * 3 // 4
    with tempfile.TemporaryDirectory() as folder:
        source, coded, decoded = (f"{folder}/{name}" for name in ("image.png", "coded.cmps", "decoded.png"))
        script = (
            "import sys; from PIL import Image; one = Image.open(sys.argv[1]).convert('RGB');"
            f"big = Image.new('RGB', ({width}, {height}));"
            f"[big.paste(one, (x, y)) for y in range(0, {height}, one.height) for x in range(0, {width}, one.width)];"
            "big.save(sys.argv[2], compress_level=1)"
        )
        subprocess.run([sys.executable, "-c", script, str(path), source], check=True)
        decode = [*COMPASS, "decode", coded, decoded, *chosen]
        crop = f"{width // 3},{height // 3},{REGION.replace('x', ',')}"
        commands = {
            "encode": [*COMPASS, "encode", source, coded, *chosen],
            "decode": decode,
            "decode, layer 0": [*decode, "--layer", "0"],
            f"decode, {REGION} of the largest": [*decode, "--crop", crop],
        }
        if width < 900:
            commands.popitem()
        return [time_process(megapixels, operation, command) for operation, command in commands.items()]


def time_process(megapixels: float, operation: str, command: list[str]) -> ProcessRecord:
    runs = []
    for _ in range(3 if megapixels < 10 else 1):
        _, usage = run_process(command)
        runs.append((usage.ru_utime, usage.ru_stime, usage.ru_maxrss / 1024))
    user, system, peak = min(runs)
    return {
        "megapixels": megapixels,
        "operation": operation,
        "user_seconds": round(user, 2),
        "system_seconds": round(system, 2),
        "peak_mb": round(peak),
    }


def time_peer(image: Image.Image, codec: str, arguments: dict[str, Any]) -> list[PeerRecord]:
    """Decoding by Pillow's codec, and by the program of its own; nothing if this Pillow has none."""
    from PIL import Image

    buffer = io.BytesIO()
    try:
        image.save(buffer, codec, **arguments)
    except (KeyError, OSError):
        return []

    def decode() -> None:
        with Image.open(io.BytesIO(buffer.getvalue())) as opened:
            opened.load()

    milliseconds = round(1000 * seconds_of(decode), 1)
    return [
        {
            "codec": codec,
            "bytes": len(buffer.getvalue()),
            "milliseconds": milliseconds,
            "process_milliseconds": time_program(codec, buffer.getvalue()),
        }
    ]


def time_program(codec: str, data: bytes) -> float | None:
    """Least processor milliseconds of the program that decodes a file; None if it is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"in.{SUFFIXES[codec]}"
        source.write_bytes(data)
        names = {"IN": str(source), "OUT.png": f"{folder}/out.png", "OUT.ppm": f"{folder}/out.ppm"}
        command = [names.get(word, word) for word in DECODERS[codec].split()]
        if shutil.which(command[0]) is None:
            return None
        used = [run_process(command)[1] for _ in range(5)]
        return round(1000 * min(usage.ru_utime + usage.ru_stime for usage in used), 1)


_LOOP = """
import sys, time, compass
from pathlib import Path
data, model = Path(sys.argv[1]).read_bytes(), sys.argv[2] or None
compass.decode(data, model=model, threads=1)
print("ready", flush=True)
sys.stdin.readline()
started = time.perf_counter()
for _ in range(20):
    compass.decode(data, model=model, threads=1)
print(time.perf_counter() - started)
"""


def throughput_of_two(path: Path, model: str | None) -> float:
    """Pictures a second that two processes decode, by those that one does."""
    with tempfile.TemporaryDirectory() as folder:
        coded = f"{folder}/coded.cmps"
        subprocess.run([*COMPASS, "encode", str(path), coded, *(["--model", model] if model else [])], check=True)
        command = [sys.executable, "-c", _LOOP, coded, model or ""]

        def run(count: int) -> float:
            processes = [
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                for _ in range(count)
            ]
            for process in processes:
                assert process.stdout is not None
                process.stdout.readline()
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
            return max(float(process.communicate()[0]) for process in processes)

        return 2 * run(1) / run(2)


def sections(report: Bench) -> list[Section]:
    """The tables."""
    stages = Table(
        ["call", "stage", "milliseconds", "GFLOP/s", "of a matrix product"],
        [
            [
                row["call"],
                row["stage"],
                f"{row['milliseconds']:.1f}",
                "" if row["gflops"] is None else f"{row['gflops']:.0f}",
                "" if row["gflops"] is None else f"{100 * row['gflops'] / report['peak_gflops']:.0f} %",
            ]
            for row in report["stages"]
        ],
    )
    processes = Table(
        ["megapixels", "command", "user seconds", "system seconds", "microseconds a pixel", "peak memory, MB"],
        [
            [
                f"{row['megapixels']:g}",
                row["operation"],
                f"{row['user_seconds']:.2f}",
                f"{row['system_seconds']:.2f}",
                f"{(row['user_seconds'] + row['system_seconds']) / row['megapixels']:.2f}",
                f"{row['peak_mb']:.0f}",
            ]
            for row in report["processes"]
        ],
    )
    peers = Table(
        ["codec", "bytes", "milliseconds", "its program, a process"],
        [
            [
                row["codec"],
                str(row["bytes"]),
                f"{row['milliseconds']:.1f}",
                "" if row["process_milliseconds"] is None else f"{row['process_milliseconds']:.1f}",
            ]
            for row in report["peers"]
        ],
    )
    where = f"`{report['command']}` on {report['machine']}, one thread, processor time."
    product = f"A product of 1024x1024 matrices in numpy reaches {report['peak_gflops']:.0f} GFLOP/s here."
    two = f"Two processes decode {report['throughput_of_two']:.2f} times as many pictures in a second as one."
    return [
        Section("Stages", [Text(f"{where} {report['image']} in layers 1/4, 1/2, 1, all loaded. {product}"), stages]),
        Section("Sizes", [Text("The command line as a process, reading and writing PNG."), processes, Text(two)]),
        Section(
            "Beside other codecs",
            [
                Text(
                    f"Decoding {report['image']} by Pillow, all loaded; as processes avifdec, dwebp and"
                    " opj_decompress, which write PNG as ours does, and djpeg."
                ),
                peers,
            ],
        ),
    ]


if __name__ == "__main__":
    main()
