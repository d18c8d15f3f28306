"""The same files on other machines and versions: symbols must be equal, pixels nearly: results/machines.md.

    python benchmarks/product/machines.py PICTURE... [--files 100] [--only NAME...]

Emulated by qemu-user (Debian's package qemu-user): x86-64 without AVX, without AVX2, without AVX-512, and Arm. For Arm,
and for a Python newer than this one, Python is unpacked of Debian's packages and the wheels of the package index are
installed beside it, into build/machines. The lowest versions that are declared are those of `make check-lowest`. What
is not there is left out, and said.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import compass
from compass.evaluation.document import Section, Table, Text, to_markdown
from compass.evaluation.records import command_line
from compass.files import write_bytes
from compass.processes import processors
from options import RESULTS, ROOT

PLACE = ROOT / "build" / "machines"
PROBE = str(Path(__file__).with_name("probe.py"))
CROP = 64, 64  # pixels of a file: emulation is a hundred times slower
VERSIONS = {"Python": "python", "numpy": "numpy", "ONNX Runtime": "onnxruntime"}
ENCODED = 3  # images that every machine encodes, too
LIBRARIES = (
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libssl3", "libffi8", "libbz2-1.0", "liblzma5"),
    *("libuuid1",),
)
NEWER_LIBRARIES = (*(name for name in LIBRARIES if name != "libssl3"), "libssl3t64", "libzstd1")
WHEELS = ("numpy", "pillow", "onnxruntime", "threadpoolctl", "typer", "platformdirs", "fsspec")
NEWEST = "3.14"  # Python
# The runtime asks the system, not the processor, and fails where emulation does not answer.
CPU_INFO = (
    "processor\t: 0\nFeatures\t: fp asimd crc32 atomics asimdhp asimddp\nCPU architecture: 8\nCPU part\t: 0xd0c\n\n"
)


@dataclass(frozen=True)
class Machine:
    """How Python is run on a machine."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        paths = os.pathsep.join([str(ROOT / "src"), *self.environment.get("PYTHONPATH", "").split(os.pathsep)])
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **self.environment}
        models = os.pathsep.join(str(ROOT / folder) for folder in ("conformance", "models"))
        environment |= {"PYTHONPATH": paths.rstrip(os.pathsep), "COMPASS_MODELS": models}
        command = [*self.command, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=RESULTS / "machines.md")
    parser.add_argument("--files", type=int, default=100, help="that are decoded, beside those of conformance/")
    parser.add_argument("--only", nargs="+", default=[], help="parts of the names of machines")
    options = parser.parse_args()
    said: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(options.images, folder / "in", options.files)
        here = Machine("this one", [sys.executable])
        reference = probe(here, folder)
        chosen = [m for m in machines(said) if any(part in m.name for part in options.only or [m.name])]
        with ThreadPoolExecutor(processors()) as pool:  # of processes of one thread each
            rows = list(pool.map(lambda machine: compared(machine, here, reference, folder), chosen))
    head = ["machine", "Python", "numpy", "ONNX Runtime", "entropy coder"]
    head += [
        "differing symbols",
        "differing samples",
        "by at most",
        "encoded to the same bytes",
        "those decode the same",
    ]
    layers = sum(map(len, reference["files"].values()))
    versions = ", ".join(f"{name} {reference[key]}" for name, key in VERSIONS.items())
    text = (
        f"{len(reference['files'])} files, {layers} layers, decoded on each machine and compared with this one"
        f" ({reference['machine']}, {versions}). Symbols: layers in which any differs. {ENCODED} images are encoded on"
        " each, too, and decoded here: symbols must be those that the machine itself finds."
    )
    sections = [Section("Machines and versions", [Text(text), Table(head, rows), *map(Text, said)])]
    made = f"Made by `{command_line()}` on {datetime.date.today():%Y-%m-%d}."
    write_bytes(to_markdown("The same on every machine", sections, made).encode(), options.out)


def prepare(paths: list[Path], folder: Path, count: int) -> None:
    """Files with one to three layers of crops of images, and those of the conformance set; PNGs to encode."""
    folder.mkdir()
    for path in (ROOT / "conformance").glob("*.cmps"):
        shutil.copy(path, folder)
    for n, crop in zip(range(count + ENCODED), crops(paths), strict=False):
        if n >= count:
            crop.save(folder / f"encode-{n}.png")
            continue
        scales = ([1], [0.5, 1], [0.3, 0.7, 1])[n % 3]
        (folder / f"crop-{n:03}.cmps").write_bytes(compass.encode(crop, scales, 1 + n % 9 / 2, threads=1))


def crops(paths: list[Path]) -> Iterator[Image.Image]:
    """Parts of images, at random places."""
    rng = np.random.default_rng(0)
    images = [Image.open(path).convert("RGB") for path in paths]
    while True:
        for image in images:
            left, top = (int(rng.integers(0, side - own)) for side, own in zip(image.size, CROP, strict=True))
            yield image.crop((left, top, left + CROP[0], top + CROP[1]))


def probe(machine: Machine, folder: Path) -> dict[str, Any]:
    """What probe.py finds on a machine, in a folder of the machine's name. Raises RuntimeError if it fails."""
    out = folder / machine.name
    result = machine.run(PROBE, str(folder / "in"), str(out))
    if result.returncode:
        raise RuntimeError(f"{machine.name}: {result.stderr}")
    found: dict[str, Any] = json.loads((out / "probe.json").read_text())
    return found


def compared(machine: Machine, here: Machine, reference: dict[str, Any], folder: Path) -> list[str]:
    found = probe(machine, folder)
    symbols = sum(
        own != other
        for name, digests in reference["files"].items()
        for own, other in zip(digests, found["files"][name], strict=True)
    )
    samples = differing = most = 0
    for path in (folder / here.name).glob("*.rgb"):
        a, b = (np.fromfile(folder / name / path.name, np.uint8).astype(int) for name in (here.name, machine.name))
        samples, differing = samples + a.size, differing + int((a != b).sum())
        most = max(most, int(np.abs(a - b).max(initial=0)))
    encoded = sorted(path.name for path in (folder / "in").glob("*.png"))
    files = [path.replace(".png", ".cmps") for path in encoded]
    same = sum((folder / here.name / f).read_bytes() == (folder / machine.name / f).read_bytes() for f in files)
    return [
        machine.name,
        *(found[key] for key in ("python", "numpy", "onnxruntime", "coder")),
        str(symbols),
        f"{differing:,} of {samples:,}",
        str(most),
        f"{same} of {len(files)}",
        f"{decoded_the_same(machine, here, folder, files)} of {len(files)}",
    ]


def decoded_the_same(machine: Machine, here: Machine, folder: Path, files: list[str]) -> int:
    """How many files that a machine has encoded have the same symbols on it and here."""
    again = folder / f"{machine.name} encoded"
    (again / "in").mkdir(parents=True)
    for name in files:
        shutil.copy(folder / machine.name / name, again / "in")
    there, own = probe(machine, again), probe(here, again)
    return sum(there["files"][name] == own["files"][name] for name in own["files"])


def machines(said: list[str]) -> Iterator[Machine]:
    """Those that can be run; what cannot is said."""
    emulator = shutil.which("qemu-x86_64")
    if emulator:
        python = os.path.realpath(sys.executable)
        site = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))}
        for cpu, lacks in (("Nehalem", "AVX"), ("SandyBridge", "AVX2"), ("Haswell", "AVX-512")):
            yield Machine(f"x86-64 without {lacks} ({cpu}, emulated)", [emulator, "-cpu", cpu, python], site)
    else:
        said.append("Not run: other processors, for want of qemu-user.")
    lowest = ROOT / ".venv" / "lowest" / "bin" / "python"
    if lowest.exists():
        yield Machine("the lowest versions", [str(lowest)])
    else:
        said.append("Not run: the lowest versions; `make check-lowest` installs them.")
    newest = newest_machine()
    if newest:
        yield newest
    else:
        said.append(f"Not run: Python {NEWEST}, for want of Debian's packages.")
    arm = arm_machine()
    if arm:
        yield arm
    else:
        said.append("Not run: Arm, for want of qemu-user or of Debian's packages.")


@dataclass(frozen=True)
class Debian:
    """Python of Debian's packages, and wheels for it, unpacked into folders of their own."""

    architecture: str  # as Debian calls it
    machine: str  # as Python does
    python: str
    suite: str  # of Debian; empty for that of this machine
    libraries: tuple[str, ...]
    wheels: tuple[str, ...]
    constraints: tuple[str, ...] = ()  # options of pip

    @property
    def root(self) -> Path:
        return PLACE / f"{self.machine}-python{self.python}"

    @property
    def site(self) -> Path:
        return PLACE / f"{self.machine}-python{self.python}-site"

    @property
    def executable(self) -> Path:
        return self.root / "usr" / "bin" / f"python{self.python}"

    def install(self) -> bool:
        """Whether it is there, or could be fetched."""
        if not self.executable.exists() and not self._unpack():
            return False
        if not self.site.exists():
            self._install_wheels()
        return True

    def _unpack(self) -> bool:
        packages = self.root.with_name(f"{self.root.name}-packages")
        lists = packages / "lists"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        apt = ["apt-get", "-qq", "-o", f"APT::Architecture={self.architecture}"]
        if self.suite:
            sources = packages / "debian.sources"
            own = Path("/etc/apt/sources.list.d/debian.sources")
            if not own.exists():
                return False
            sources.write_text(
                re.sub(r"^Suites: \w+(?= |$).*", f"Suites: {self.suite}", own.read_text().split("\n\n")[0], flags=re.M)
            )
            apt += ["-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=-"]
            apt += ["-o", f"Dir::State::lists={lists}"]
        python = self.python
        names = (f"python{python}-minimal", f"libpython{python}-minimal", f"libpython{python}-stdlib", *self.libraries)
        for command in (
            ["dpkg", "--add-architecture", self.architecture],
            [*apt, "update"],
            [*apt, "download", *(f"{name}:{self.architecture}" for name in names)],
        ):
            if subprocess.run(command, cwd=packages, capture_output=True, check=False).returncode:
                return False
        for package in packages.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(package), str(self.root)], check=True)
        return True

    def _install_wheels(self) -> None:
        """Raises CalledProcessError if there are none."""
        platforms = [f"manylinux_2_{n}_{self.machine}" for n in (28, 27, 17)] + [f"manylinux2014_{self.machine}"]
        options = [option for name in platforms for option in ("--platform", name)]
        options += ["--python-version", self.python, "--implementation", "cp", "--only-binary=:all:"]
        pip = [sys.executable, "-m", "pip", "install", "-q", *self.constraints, "--target", str(self.site)]
        subprocess.run([*pip, *options, *self.wheels], check=True)


def newest_machine() -> Machine | None:
    """A newer Python with the newest of all, on this processor; None if that is not possible here."""
    newest = Debian("amd64", "x86_64", NEWEST, "forky", NEWER_LIBRARIES, (*WHEELS, "constriction"))
    if platform.machine() != "x86_64" or not shutil.which("apt-get") or not newest.install():
        return None
    libraries = [newest.root / folder / "x86_64-linux-gnu" for folder in ("usr/lib", "lib")]
    loader = next(path for folder in libraries for path in folder.glob("ld-linux-x86-64.so.2"))
    paths = os.pathsep.join(map(str, libraries))
    command = [str(loader), "--library-path", paths, str(newest.executable)]
    return Machine(
        f"Python {NEWEST}", command, {"PYTHONPATH": str(newest.site), "PYTHONHOME": str(newest.root / "usr")}
    )


def arm_machine() -> Machine | None:
    """Python for Arm under emulation; None if that is not possible here."""
    arm = Debian("arm64", "aarch64", "3.11", "", LIBRARIES, WHEELS, ("-c", str(ROOT / "constraints.txt")))
    emulator = shutil.which("qemu-aarch64")
    if not emulator or not shutil.which("apt-get") or not arm.install():
        return None
    for name, content in {
        "proc/cpuinfo": CPU_INFO,
        "sys/devices/system/cpu/possible": "0\n",
        "sys/devices/system/cpu/present": "0\n",
    }.items():
        (arm.root / name).parent.mkdir(parents=True, exist_ok=True)
        (arm.root / name).write_text(content)
    environment = {"QEMU_LD_PREFIX": str(arm.root), "PYTHONPATH": str(arm.site)}
    return Machine("Arm, 64 bits (emulated)", [emulator, str(arm.executable)], environment)


if __name__ == "__main__":
    main()
