"""What damage, kills and odd pictures do: results/robustness.md.

    python benchmarks/robustness.py PICTURE [--cmyk-profile FILE] [--kills 100] [--wide 4000x3000]
    python benchmarks/robustness.py --fuzz-log FILE... --fuzz-work FOLDER [--note TEXT]

The second makes the section on fuzzing alone, of the logs and the folder of an hour of tests/fuzz/fuzz_decode.py;
coverage is measured again on what it kept. The first leaves it as it is.
"""

from __future__ import annotations

import argparse
import collections
import io
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from PIL import Image

import compass
from compass.errors import CompassError
from odd_pictures import contact_sheet, make, round_trip
from options import COMPASS, command_line, table

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "results" / "robustness.md"
FUZZING = "## Coverage-guided fuzzing of decode and info"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("picture", type=Path, nargs="?")
    parser.add_argument("--fuzz-log", type=Path, nargs="+")
    parser.add_argument("--fuzz-work", type=Path)
    parser.add_argument("--note", default="", help="what to say of the failures")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--cmyk-profile", type=Path)
    parser.add_argument("--wide", default="4000x3000")
    options = parser.parse_args()
    if options.fuzz_log:
        before, *_ = RESULT.read_text().partition(FUZZING)
        RESULT.write_text(
            before + "\n".join(fuzzing(options.fuzz_log, options.fuzz_work, options.note)).rstrip() + "\n"
        )
        return
    with Image.open(options.picture) as source:
        picture = source.convert("RGB")
    lines = ["# Robustness", "", f"Made by `{command_line()}`.", ""]
    lines += flips(picture)
    lines += kills(options.picture, options.kills)
    lines += odd(picture, options.cmyk_profile)
    lines += reads(picture.resize(tuple(map(int, options.wide.split("x")))))
    lines += last_fuzzing()
    RESULT.write_text("\n".join(lines).rstrip() + "\n")


def fuzzing(logs: list[Path], work: Path | None, note: str) -> list[str]:
    """The figures of a run of the coverage-guided fuzzer."""
    text = "\n".join(log.read_text(errors="replace") for log in logs)
    units, rates = (
        [int(n) for n in re.findall(rf"stat::{name}: +(\d+)", text)]
        for name in ("number_of_executed_units", "average_exec_per_sec")
    )
    assert len(units) == len(logs), "a run is not over"
    minutes = sum(n / rate for n, rate in zip(units, rates, strict=True)) / 60
    slowest = re.findall(r"slowest case: ([\d.]+) s", text)
    failures = len(re.findall(r"^SUMMARY: libFuzzer", text, re.MULTILINE))
    rows = [
        ["executions", f"{sum(units):,} in {minutes:.0f} minutes"],
        ["failures", str(failures)],
        ["slowest case", f"{max(map(float, slowest)):.3f} s of the processor"],
    ]
    if work:
        rows += [["peak memory of replaying all that it kept", f"{replay_memory(work)} MB"]]
        rows += [[f"lines of {name} reached", share] for name, share in coverage(work).items()]
    return [
        FUZZING,
        "",
        "`tests/fuzz/fuzz_decode.py`: atheris, checksums switched off, the tiny model of the tests. "
        f"Summed up by `{command_line()}`.",
        "",
        *table(["", ""], rows),
        *([note, ""] if note else []),
        "The packages hold the writing side, too, which fuzzing of decoding does not reach.",
        "",
    ]


def last_fuzzing() -> list[str]:
    """The section as it is: an hour is not spent again for the other figures."""
    _, heading, rest = RESULT.read_text().partition(FUZZING) if RESULT.exists() else ("", "", "")
    return [heading + rest] if heading else []


def corpus(work: Path) -> list[str]:
    return [str(path) for path in (*work.iterdir(), *(ROOT / "tests" / "fuzz" / "corpus").iterdir())]


def replay_memory(work: Path) -> int:
    command = [sys.executable, "-m", "tests.fuzz.target", *corpus(work)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={"NO_CHECKSUMS": "1"})
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def coverage(work: Path) -> dict[str, str]:
    """Lines of each package that replaying all files of a folder and the seeds reaches, in per cent."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        run = [sys.executable, "-m", "coverage"]
        replay = ["run", f"--data-file={data}", "-m", "tests.fuzz.target", *corpus(work)]
        subprocess.run([*run, *replay], cwd=ROOT, check=True, capture_output=True, env={"NO_CHECKSUMS": "1"})
        shares = {}
        for package in ("bitstream", "codec", "codec/decoder.py", "codec/layer.py", "opened.py"):
            where = f"*/compass/{package}" + ("" if package.endswith(".py") else "/*")
            report = [*run, "report", f"--data-file={data}", f"--include={where}", "--format=total"]
            total = subprocess.run(report, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
            shares[package] = f"{total} %"
        return shares


def flips(picture: Image.Image) -> list[str]:
    """Every bit of one small file, turned over."""
    small = picture.resize((48, 32)).convert("RGBA")
    small.putalpha(Image.linear_gradient("L").resize(small.size))
    small.info.update(icc_profile=b"a profile", xmp=b"<x/>")
    data = compass.encode(small, [0.25, 0.5, 1], 1)
    expected = compass.decode(data)
    outcomes: collections.Counter[str] = collections.Counter()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        outcomes[outcome(bytes(damaged), expected)] += 1
    assert sum(outcomes.values()) == 8 * len(data)
    rows = [[name, str(count)] for name, count in outcomes.most_common()]
    text = f"A file of {len(data)} bytes: three layers with opacity, a profile in front, XMP at the end."
    return ["## Every single bit flipped", "", text, "", *table(["what decoding said", "flips"], rows)]


def outcome(data: bytes, expected: Image.Image) -> str:
    """What a damaged file decodes to, numbers left out."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            picture = compass.decode(data)
        except CompassError as error:
            return re.sub(r"'.*'|\b(?=[0-9a-f]*\d)[0-9a-f]+\b", "N", str(error))
    if caught:
        return f"warning: {caught[0].message}"
    same = picture.tobytes() == expected.tobytes() and picture.info == expected.info
    return "nothing, and the picture is the same" if same else "NOTHING, AND THE PICTURE IS ANOTHER ONE"


def kills(path: Path, count: int) -> list[str]:
    """Whole processes of encode and decode, killed at random moments."""
    rng = random.Random(0)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([*COMPASS, "encode", path, folder / "whole.cmps"], check=True)
        subprocess.run([*COMPASS, "decode", folder / "whole.cmps", folder / "whole.png"], check=True)
        for verb, source, suffix in (("encode", path, ".cmps"), ("decode", folder / "whole.cmps", ".png")):
            command = [*COMPASS, verb, source, folder / f"out{suffix}"]
            whole = (folder / f"whole{suffix}").read_bytes()
            started = time.perf_counter()
            subprocess.run(command, check=True)
            duration = time.perf_counter() - started
            absent = complete = partial = 0
            for _ in range(count):
                (folder / f"out{suffix}").unlink(missing_ok=True)
                process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
                time.sleep(rng.uniform(0, 1.1 * duration))
                process.kill()
                process.wait()
                if not (folder / f"out{suffix}").exists():
                    absent += 1
                elif (folder / f"out{suffix}").read_bytes() == whole:
                    complete += 1
                else:
                    partial += 1
            rows.append([verb, str(absent), str(complete), str(partial)])
    head = ["killed", "no output", "whole output", "anything else under the final name"]
    return [f"## `kill -9` at {count} random moments", "", *table(head, rows)]


def odd(picture: Image.Image, profile: Path | None) -> list[str]:
    """Round trips of odd pictures by the command line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [
            round_trip(folder, picture_name)
            for picture_name in make(picture, folder, profile.read_bytes() if profile else None)
        ]
        contact_sheet(folder, rows).save(ROOT / "results" / "odd-pictures.png", optimize=True)
    keys = ["picture", "in", "exit code", "out", "psnr", "opacity", "message"]
    cells = [[str(row.get(key, "")).replace("|", "/") for key in keys] for row in rows]
    text = "Two layers at quality 4, by the command line; PSNR in dB of what is seen, against what Pillow reads."
    return [
        "## Odd pictures",
        "",
        text,
        "",
        *table(keys, cells),
        "![What went in, and what came out](odd-pictures.png)",
        "",
    ]


def reads(picture: Image.Image) -> list[str]:
    """Bytes that each layer of a large file needs, counted below `compass.open`."""
    data = compass.encode(picture, [1 / 16, 1 / 4, 1], 2)
    rows = []
    for layer in range(3):
        reader = Counting(data)
        with compass.open(reader) as opened:
            shown = opened.decode(layer)
        size = f"{shown.width}x{shown.height}"
        rows.append([str(layer), size, f"{reader.count:,}", f"{100 * reader.count / len(data):.2f} %"])
    text = f"A picture of {picture.width}x{picture.height}, {len(data):,} bytes in layers of 1/16, 1/4 and 1."
    return [
        "## Bytes read through `compass.open`",
        "",
        text,
        "",
        *table(["layer", "size", "bytes read", "of the file"], rows),
    ]


class Counting(io.BytesIO):
    """Counts what is read of it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        part = super().read(size)
        self.count += len(part)
        return part


if __name__ == "__main__":
    main()
