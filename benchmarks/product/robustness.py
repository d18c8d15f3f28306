"""What damage, kills and odd images do: results/robustness.md.

    python benchmarks/product/robustness.py PICTURE [--kills 100] [--wide 4000x3000]
    python benchmarks/product/robustness.py --fuzz-log FILE... --fuzz-work FOLDER [--note TEXT]

The second makes the section on fuzzing alone, of the logs and the folder of an hour of tests/fuzz/fuzz_decode.py;
coverage is measured again on what it kept. The first leaves it as it is.
"""

from __future__ import annotations

import collections
import io
import itertools
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

import colours
import compass
from compass.errors import CompassError, InputError
from compass.evaluation.document import Section, Table, Text, to_markdown
from compass.evaluation.records import command_line
from compass.files import write_bytes
from odd_pictures import contact_sheet, make, round_trip
from options import COMPASS, RESULTS, ROOT, parser, read_rgb

FUZZING = "Coverage-guided fuzzing of decode and info"
SHEET = "odd-images.png"
_COVERED = ("bitstream", "codec", "entropy", "codec/decoder.py", "codec/layer.py", "layered_file.py")


def main() -> None:
    arguments = parser(__doc__, RESULTS / "robustness.md")
    arguments.add_argument("image", type=Path, nargs="?")
    arguments.add_argument("--fuzz-log", type=Path, nargs="+")
    arguments.add_argument("--fuzz-work", type=Path)
    arguments.add_argument("--note", default="", help="what to say of the failures")
    arguments.add_argument("--kills", type=int, default=100)
    arguments.add_argument("--every", type=int, default=1, metavar="N", help="flip only every N-th bit")
    arguments.add_argument("--odd", type=int, metavar="N", help="only the first N odd images")
    arguments.add_argument("--wide", default="4000x3000", help="size of a large image")
    options = arguments.parse_args()
    if options.fuzz_log:
        text = last(options.out)[0] + fuzzing(options.fuzz_log, options.fuzz_work, options.note).markdown() + "\n"
    elif options.image is None:
        arguments.error("give an image, or logs of the fuzzer")
    else:
        image, model = read_rgb(options.image), options.model
        width, height = map(int, options.wide.split("x"))
        wide = image.resize((width, height))
        sections = [
            flips(image, options.every, model),
            kills(options.image, options.kills, model),
            odd(image, options.odd, options.out.parent / SHEET, model),
            colours_of(image),
            reads(wide, model),
        ]
        text = to_markdown("Robustness", sections, f"Made by `{command_line()}`.") + last(options.out)[1]
    write_bytes(text.encode(), options.out)


def last(path: Path) -> tuple[str, str]:
    """The file as it is: up to the section on fuzzing, and that section (an hour is not spent again for the others)."""
    before, heading, after = (path.read_text() if path.exists() else "").partition(f"## {FUZZING}\n")
    return before, "\n" + heading + after if heading else ""


def fuzzing(logs: list[Path], work: Path | None, note: str) -> Section:
    """The figures of a run of the coverage-guided fuzzer. Raises InputError if it is not over."""
    text = "\n".join(log.read_text(errors="replace") for log in logs)
    units, rates = (
        [int(n) for n in re.findall(rf"stat::{name}: +(\d+)", text)]
        for name in ("number_of_executed_units", "average_exec_per_sec")
    )
    if len(units) != len(logs):
        raise InputError("a run of the fuzzer is not over")
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
    how = (
        "`tests/fuzz/fuzz_decode.py`: atheris, checksums switched off, the tiny model of the tests. "
        f"Summed up by `{command_line()}`."
    )
    limits = "The packages hold the writing side, too, which fuzzing of decoding does not reach."
    return Section(FUZZING, [Text(how), Table(["", ""], rows), Text(note), Text(limits)])


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
        for package in _COVERED:
            where = f"*/compass/{package}" + ("" if package.endswith(".py") else "/*")
            report = [*run, "report", f"--data-file={data}", f"--include={where}", "--format=total"]
            total = subprocess.run(report, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
            shares[package] = f"{total} %"
        return shares


def flips(image: Image.Image, every: int, model: str | None) -> Section:
    """Every bit of one small file, or every so many, turned over."""
    small = image.resize((48, 32)).convert("RGBA")
    small.putalpha(Image.linear_gradient("L").resize(small.size))
    small.info.update(icc_profile=b"a profile", xmp=b"<x/>")
    data = compass.encode(small, [0.25, 0.5, 1], 1, model)
    expected = compass.decode(data, model=model)
    outcomes: collections.Counter[str] = collections.Counter()
    for bit in range(0, 8 * len(data), every):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        outcomes[outcome(bytes(damaged), expected, model)] += 1
    rows = [[name, str(count)] for name, count in outcomes.most_common()]
    text = f"A file of {len(data)} bytes: three layers with alpha, a profile in front, XMP at the end."
    title = "Every single bit flipped" if every == 1 else f"Every {every}th bit flipped"
    return Section(title, [Text(text), Table(["what decoding said", "flips"], rows)])


def outcome(data: bytes, expected: Image.Image, model: str | None) -> str:
    """What a damaged file decodes to, numbers left out."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            image = compass.decode(data, model=model)
        except CompassError as error:
            return re.sub(r"'.*'|\b(?=[0-9a-f]*\d)[0-9a-f]+\b", "N", str(error))
    if caught:
        return f"warning: {caught[0].message}"
    same = image.tobytes() == expected.tobytes() and image.info == expected.info
    return "nothing, and the image is the same" if same else "NOTHING, AND THE PICTURE IS ANOTHER ONE"


def kills(path: Path, count: int, model: str | None) -> Section:
    """Whole processes of encode and decode, killed at random moments."""
    rng = random.Random(0)
    chosen = ["--model", model] if model else []
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        coded = str(folder / "whole.cmps")
        subprocess.run([*COMPASS, "encode", str(path), coded, *chosen], check=True)
        subprocess.run([*COMPASS, "decode", coded, str(folder / "whole.png"), *chosen], check=True)
        for verb, source, suffix in (("encode", str(path), ".cmps"), ("decode", coded, ".png")):
            command = [*COMPASS, verb, source, str(folder / f"out{suffix}"), *chosen]
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
    return Section(f"`kill -9` at {count} random moments", [Table(head, rows)])


def odd(image: Image.Image, count: int | None, sheet: Path, model: str | None) -> Section:
    """Round trips of odd images by the command line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = itertools.islice(make(image, folder), count)
        trips = [round_trip(folder, image_name, model) for image_name in names]
        contact_sheet(folder, trips).save(sheet, optimize=True)
    rows = []
    for trip in trips:
        fidelity = "" if trip.psnr is None else str(trip.psnr)
        cells = [trip.image, trip.before, str(trip.exit_code), trip.after, fidelity, trip.alpha, trip.message]
        rows.append([cell.replace("|", "/") for cell in cells])
    text = "Two layers at quality 4, by the command line; PSNR in dB of what is seen, against what Pillow reads."
    table = Table(["picture", "in", "exit code", "out", "psnr", "alpha", "message"], rows)
    return Section("Odd images", [Text(text), table, Text(f"![What went in, and what came out]({sheet.name})")])


def colours_of(image: Image.Image) -> Section:
    """Every mode, profile and format."""
    with tempfile.TemporaryDirectory() as folder:
        rows = colours.matrix(image, Path(folder))
    text = (
        "What a program sees that follows profiles, before and after: the mean difference, of 255, of a smooth image"
        " that is made codable and written (JPEG, WebP and AVIF at quality 95; white behind what a format cannot keep"
        " transparent). A profile that is left out is said in a warning, and inks without their profile are refused."
    )
    return Section("Colours", [Text(text), Table(["mode", "profile", *colours.SUFFIXES], rows)])


def reads(image: Image.Image, model: str | None) -> Section:
    """Bytes that each layer of a large file needs, counted below `compass.open`."""
    data = compass.encode(image, [1 / 16, 1 / 4, 1], 2, model)
    rows = []
    for layer in range(3):
        reader = Counting(data)
        with compass.open(reader, model=model) as opened:
            shown = opened.decode(layer)
        size = f"{shown.width}x{shown.height}"
        rows.append([str(layer), size, f"{reader.count:,}", f"{100 * reader.count / len(data):.2f} %"])
    text = f"An image of {image.width}x{image.height}, {len(data):,} bytes in layers of 1/16, 1/4 and 1."
    table = Table(["layer", "size", "bytes read", "of the file"], rows)
    return Section("Bytes read through `compass.open`", [Text(text), table])


class Counting(io.BytesIO):
    """Counts what is read of it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        part = super().read(size)
        self.count += len(part)
        return part


if __name__ == "__main__":
    main()
