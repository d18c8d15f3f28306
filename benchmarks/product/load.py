"""`compass serve` under load: requests a second, how long they take, memory: results/serve.md.

python benchmarks/product/load.py PICTURE [--seconds 20] [--minutes 10] [--megapixels 12]

The picture is encoded as it is and enlarged. Needs wrk (github.com/wg/wrk); nothing else should run.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import compass
from compass.evaluation.document import Section, Table, Text, to_markdown
from compass.evaluation.records import command_line
from compass.files import write_bytes
from options import COMPASS, RESULTS, image_parser, read_rgb

CLIENTS = (1, 8, 32)
WORKERS = 2
# Parts of 256x256 pixels of the answer, anywhere, of any of the first five scales of a viewer.
TILES = """
math.randomseed(1)
request = function()
  local scale = 2 ^ math.random(0, %(scales)d)
  local side = math.min(256 * scale, %(width)d, %(height)d)
  local x, y = math.random(0, %(width)d - side), math.random(0, %(height)d - side)
  local out = math.floor(side / scale)
  return wrk.format("GET", string.format("/iiif/%(name)s/%%d,%%d,%%d,%%d/%%d,/0/default.jpg", x, y, side, side, out))
end
"""
SAME = """
request = function() return wrk.format("GET", "/iiif/%(name)s/full/!%(small)d,%(small)d/0/default.jpg") end
"""


class Load(NamedTuple):
    """What came of so many clients asking as fast as they are answered."""

    per_second: float
    median: str
    slowest: str  # of a hundred
    failed: int


def main() -> None:
    parser = image_parser(__doc__, RESULTS / "serve.md")
    parser.add_argument("--seconds", type=int, default=20, help="of each measurement")
    parser.add_argument("--minutes", type=float, default=10, help="of the measurement of memory")
    parser.add_argument("--megapixels", type=float, default=12)
    options = parser.parse_args()
    image = read_rgb(options.image)
    factor = (options.megapixels * 1e6 / (image.width * image.height)) ** 0.5
    large = image.resize((round(image.width * factor), round(image.height * factor)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, each in (("small", image), ("large", large)):
            (folder / f"{title}.cmps").write_bytes(compass.encode(each, [1 / 8, 1 / 4, 1 / 2, 1], model=options.model))
        fields = {
            title: {
                "name": title,
                "width": each.width,
                "height": each.height,
                "scales": scales,
                "small": each.width // 4,
            }
            for title, each, scales in (("small", image, 1), ("large", large, 4))
        }
        kinds = {
            "the same small image, from the cache": SAME % fields["small"],
            f"parts of a {image.width}x{image.height} image": TILES % fields["small"],
            f"parts of a {large.width}x{large.height} image": TILES % fields["large"],
        }
        rows = []
        for kind, script in kinds.items():
            for clients in CLIENTS:
                with serving(folder, options.model) as (url, _):
                    found = load(url, script, clients, options.seconds, folder)
                rows.append(
                    [kind, str(clients), f"{found.per_second:.1f}", found.median, found.slowest, str(found.failed)]
                )
        memory = memory_over(folder, options.model, kinds[list(kinds)[-1]], options.minutes)
    head = ["asked for", "clients", "requests a second", "median", "99 of 100 within", "failed"]
    text = (
        f"`compass serve --jobs {WORKERS}` on two cores that wrk uses, too; each time {options.seconds} s against a new"
        " server. Parts have 256x256 pixels, at random places and of random scales, so that nearly all are decoded."
    )
    minutes = [f"{minute:g}" for minute, _ in memory]
    sections = [
        Section("Requests", [Text(text), Table(head, rows)]),
        Section(
            "Memory",
            [
                Text("Of the process, with 8 clients that ask for parts of the large image, cache of 16 MB."),
                Table(["minutes", *minutes], [["MB", *(f"{megabytes:.0f}" for _, megabytes in memory)]]),
            ],
        ),
    ]
    write_bytes(to_markdown("The server", sections, f"Made by `{command_line()}`.").encode(), options.out)


@contextmanager
def serving(folder: Path, model: str | None) -> Iterator[tuple[str, int]]:
    """The URL and the process number of a server."""
    chosen = ["--model", model] if model else []
    command = [*COMPASS, "serve", str(folder), "--port", "0", "--jobs", str(WORKERS), "--cache", "16MB", *chosen]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"is at (http://\S+)", line):
                yield found[1], process.pid
                break
    finally:
        process.terminate()
        process.communicate()


def load(url: str, script: str, clients: int, seconds: float, folder: Path) -> Load:
    """Raises RuntimeError if nothing was answered."""
    path = folder / "requests.lua"
    path.write_text(script)
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--timeout", "60s", "--latency", "-s", str(path), url]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate, median, slowest = (
        re.search(pattern, said) for pattern in (r"Requests/sec:\s+([\d.]+)", r"50%\s+(\S+)", r"99%\s+(\S+)")
    )
    if not rate or not median or not slowest:
        raise RuntimeError(said)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return Load(float(rate[1]), median[1], slowest[1], int(failed[1]) if failed else 0)


def memory_over(folder: Path, model: str | None, script: str, minutes: float) -> list[tuple[float, float]]:
    """(minutes, MB) as time goes on."""
    found = []
    with serving(folder, model) as (url, process):
        urlopen(f"{url}/iiif/large/info.json").read()
        for step in range(6):
            found.append((round(step * minutes / 5, 2), resident(process)))
            if step < 5:
                load(url, script, 8, max(1.0, 60 * minutes / 5), folder)
                time.sleep(0.5)
    return found


def resident(process: int) -> float:
    """MB of memory that a process holds."""
    status = Path(f"/proc/{process}/status").read_text()
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+)", status)
    return int(kilobytes) / 1000


if __name__ == "__main__":
    main()
