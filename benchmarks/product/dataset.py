"""`compass encode-all` on a data set: speed of both kinds of workers, and what is left when they are killed.

    python benchmarks/product/dataset.py FOLDER [--images 2000] [--side 256]

Makes a data set of parts of the images of FOLDER, codes it by processes, then on a Ray cluster of this machine: there
two workers are killed at random times, and then the coordinator, which is begun again. Needs the extra cluster;
nothing else should run. Writes results/dataset.md.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from compass.evaluation.document import Section, Table, Text, to_markdown
from compass.evaluation.records import command_line
from compass.files import write_bytes
from options import COMPASS, RESULTS, folder_parser, read_rgb

KILLED = 2  # workers


def main() -> None:
    parser = folder_parser(__doc__, RESULTS / "dataset.md")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=256)
    options = parser.parse_args()
    chosen = ["--model", str(Path(options.model).resolve())] if options.model else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_images(options.folder, folder / "in", options.images, options.side)
        with cluster(options.processes):
            runs = {
                "processes": ["--jobs", str(options.processes)],
                "Ray": ["--ray", "auto"],
            }
            seconds = {kind: timed(folder, kind, [*chosen, *how]) for kind, how in runs.items()}
            story = killed(folder, [*chosen, *runs["Ray"]], seconds["Ray"])
        same = {kind: manifest(folder / kind) == manifest(folder / "processes") for kind in ("Ray", "killed")}
        files = sum(1 for _ in (folder / "killed").rglob("*.cmps"))
        others = [path.name for path in (folder / "killed").iterdir() if path.is_file()]
    head = ["workers", "images", "seconds", "images a second and core", "files as by processes"]
    rows = [
        [
            kind,
            str(options.images),
            f"{took:.1f}",
            f"{options.images / took / options.processes:.2f}",
            "" if kind not in same else "all" if same[kind] else "NOT all",
        ]
        for kind, took in seconds.items()
    ]
    text = (
        f"Parts of {options.side}x{options.side} pixels, three layers each, quality 3; every file is decoded again for"
        f" its PSNR. {options.processes} cores, start of all processes counted, that of the cluster not."
    )
    ending = (
        f"{files} files for {options.images} images, beside them {', '.join(others)}, which names each image once;"
        f" hashes, sizes and PSNR are {'those' if same['killed'] else 'NOT those'} of the run by processes."
    )
    sections = [
        Section("Speed", [Text(text), Table(head, rows)]),
        Section("Killed", [Text(f"The same on Ray: {'; '.join(story)}. {ending}")]),
    ]
    write_bytes(to_markdown("Data sets", sections, f"Made by `{command_line()}`.").encode(), options.out)


def make_images(source: Path, folder: Path, count: int, side: int) -> None:
    """Parts of images, at random places, in ten folders."""
    images = [read_rgb(path) for path in sorted(source.iterdir()) if path.suffix in (".png", ".jpg", ".webp")]
    rng = np.random.default_rng(0)
    for n in range(count):
        image = images[n % len(images)]
        left, top = (int(rng.integers(0, max(1, length - side))) for length in image.size)
        path = folder / str(n % 10) / f"{n:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = image.crop((left, top, min(left + side, image.width), min(top + side, image.height)))
        part.save(path, compress_level=1)


@contextmanager
def cluster(cores: int) -> Iterator[None]:
    """A Ray cluster of this machine."""
    ray = str(Path(COMPASS[0]).parent / "ray")
    command = [ray, "start", "--head", f"--num-cpus={cores}", "--include-dashboard=false", "--disable-usage-stats"]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([ray, "stop", "--force"], check=False, capture_output=True)


def timed(folder: Path, target: str, options: list[str]) -> float:
    """Seconds of a run. Raises RuntimeError if it fails."""
    started = time.perf_counter()
    command = [*COMPASS, "encode-all", "in", target, *options]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr)
    return time.perf_counter() - started


def killed(folder: Path, options: list[str], seconds: float) -> list[str]:
    """Codes all with workers and coordinator killed on the way, and says what happened."""
    rng, story = random.Random(0), []
    command = [*COMPASS, "encode-all", "in", "killed", *options]
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as coordinator:
        for moment in sorted(rng.uniform(0.2, 0.6) * seconds for _ in range(KILLED)):
            time.sleep(max(0.0, started + moment - time.perf_counter()))
            if workers := wait_for_workers(coordinator):
                os.kill(rng.choice(workers), signal.SIGKILL)
                story.append(f"a worker killed after {count(folder)} files")
        time.sleep(max(0.0, started + 0.75 * seconds - time.perf_counter()))
        coordinator.kill()
    story.append(f"the coordinator killed after {count(folder)} files")
    time.sleep(2)  # until its workers have ended
    kept = count(folder)
    before = {path: path.stat().st_mtime_ns for path in (folder / "killed").rglob("*.cmps")}
    timed(folder, "killed", options)
    again = sum(path.stat().st_mtime_ns != written for path, written in before.items())
    story.append(f"begun again with {kept} files there, of which {again}, not yet in the manifest, were written again")
    return story


def count(folder: Path) -> int:
    return sum(1 for _ in (folder / "killed").rglob("*.cmps"))


def wait_for_workers(coordinator: subprocess.Popen[bytes]) -> list[int]:
    """Process numbers of Ray's workers that are at work; none if the coordinator ends before there are any."""
    while coordinator.poll() is None:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if path.read_bytes().startswith(b"ray::compass_task"):
                    found.append(int(path.parent.name))
            except OSError:
                continue
        if found:
            return found
        time.sleep(0.05)
    return []


def manifest(folder: Path) -> list[dict[str, object]]:
    """What a manifest says of each image. Raises ValueError if any failed."""
    records = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    if any(record["error"] for record in records):
        raise ValueError(f"images failed in {folder}")
    return records


if __name__ == "__main__":
    main()
