"""Model files that somebody might make to do harm. Each is a variation of the tiny model, with digests that fit.

`python -m tests.hostile_models` decodes a file with each, in a process of its own: results/hostile-models.json has the
sentence that it ends with, its seconds and its peak memory.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compass.model.file import Manifest, Member, ModelFile, digest, write_model
from compass.model.predictor import SEPARABLE_OUTPUTS
from compass.model.protobuf import written

TINY = Path(__file__).parent.parent / "conformance" / "tiny.model"
BIN, DESCRIPTION = "decoder/base/entropy.bin", "decoder/base/entropy.json"
SYNTHESIS, PREDICTOR = "decoder/base/synthesis.onnx", "decoder/predictor.onnx"
Writer = Callable[[Path], None]


# Protocol buffers and ONNX, as far as hostile graphs need them


def message(*fields: tuple[int, int | str | bytes]) -> bytes:
    """Fields by number."""
    return b"".join(written(*field) for field in fields)


def graph(
    *nodes: bytes, initializers: tuple[bytes, ...] = (), inputs: str = "y", outputs: tuple[str, ...] = ("x",)
) -> bytes:
    """A model of one graph, operators of ONNX 17."""
    parts = [(1, node) for node in nodes] + [(2, "g")] + [(5, tensor) for tensor in initializers]
    parts += [(11, value(inputs)), *((12, value(output)) for output in outputs)]
    return message((1, 8), (8, message((1, ""), (2, 17))), (7, message(*parts)))


def value(name: str) -> bytes:
    """A float value of four unknown sides."""
    shape = message(*[(1, message((2, f"{name}{i}"))) for i in range(4)])
    return message((1, name), (2, message((1, message((1, 1), (2, shape))))))


def node(
    operator: str, inputs: tuple[str, ...] = ("y",), output: str = "x", attributes: tuple[bytes, ...] = ()
) -> bytes:
    named = [(1, name) for name in inputs]
    return message(*named, (2, output), (4, operator), *[(5, attribute) for attribute in attributes])


def floats(name: str, values: list[float]) -> bytes:
    """A tensor of one axis."""
    return message((1, len(values)), (2, 1), (8, name), (9, struct.pack(f"<{len(values)}f", *values)))


def file_tensor(name: str, path: str) -> bytes:
    """A tensor that takes its content from another file."""
    location = message((1, "location"), (2, path))
    return message((1, 16), (2, 1), (8, name), (13, location), (14, 1))


# Variations


def changed(changes: dict[str, bytes | None]) -> Writer:
    """The tiny model with members replaced, or left out where the content is None."""

    def write(path: Path) -> None:
        source = ModelFile(TINY)
        members = {**source.members, **changes}
        kept = {name: content for name, content in members.items() if content is not None}
        write_model(path, "tiny", kept, {}, source.manifest.hash)

    return write


def described(change: Callable[[dict], None]) -> Writer:
    """The tiny model with another description of its entropy model."""

    def write(path: Path) -> None:
        description = json.loads(ModelFile(TINY).read(DESCRIPTION))
        change(description)
        changed({DESCRIPTION: json.dumps(description).encode()})(path)

    return write


def with_arrays(name: str, kind: str, number: float) -> Writer:
    """The tiny model with the first value of an array replaced."""

    def write(path: Path) -> None:
        source = ModelFile(TINY)
        description, content = json.loads(source.read(DESCRIPTION)), bytearray(source.read(BIN))
        entry = description["arrays"][name]
        if entry["type"] != kind:  # rewritten in the wanted type behind all others
            count, small = len(content), {"int8": "b", "int16": "h", "int32": "i", "int64": "q", "float64": "d"}
            total = 1
            for side in entry["shape"]:
                total *= side
            values = struct.unpack_from(f"<{total}{small[entry['type']]}", content, entry["offset"])
            content += struct.pack(f"<{total}{small[kind]}", *values)
            entry["type"], entry["offset"] = kind, count
        struct.pack_into({"float64": "<d", "int64": "<q"}[kind], content, entry["offset"], number)
        changed({DESCRIPTION: json.dumps(description).encode(), BIN: bytes(content)})(path)

    return write


def bomb(path: Path) -> None:
    """A member of three gigabytes in three megabytes, whose size the manifest states truly."""
    _write_bomb(path, stated=3 << 30)


def lying_bomb(path: Path) -> None:
    """A member that inflates to far more than manifest and archive state."""
    _write_bomb(path, stated=1 << 16)


def _write_bomb(path: Path, stated: int) -> None:
    block = 64 << 20
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    part = deflater.compress(bytes(block)) + deflater.flush(zlib.Z_FULL_FLUSH)
    packed = part * ((3 << 30) // block) + deflater.flush()
    source = ModelFile(TINY)
    table = {**source.manifest.members, BIN: Member(stated, "0" * 64)}
    manifest = Manifest("tiny", source.manifest.hash, digest(table), table, {})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", manifest.as_json())
        for name, content in source.members.items():
            if name != BIN:
                archive.writestr(name, content)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        end = archive.start_dir
        count = len(archive.namelist()) + 1
    name = BIN.encode()
    sizes = struct.pack("<III", 0, len(packed), stated)
    local = b"PK\3\4" + struct.pack("<HHHHH", 20, 0, 8, 0, 33) + sizes + struct.pack("<HH", len(name), 0) + name
    central = b"PK\1\2" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 33) + sizes
    central += struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, end) + name
    directory = data[end : data.rindex(b"PK\5\6")] + central
    tail = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), end + len(local) + len(packed), 0)
    path.write_bytes(data[:end] + local + packed + directory + tail)


def rewritten(change: Callable[[dict[str, bytes]], list[tuple[str, bytes]]]) -> Writer:
    """The tiny model's archive with its entries changed behind the manifest's back."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(TINY) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that are there twice
            for name, content in change(entries):
                archive.writestr(name, content)

    return write


def _with_manifest(text: bytes) -> Writer:
    return rewritten(lambda entries: [("model.json", text), *((n, c) for n, c in entries.items() if n != "model.json")])


def _unknown_kind(description: dict) -> None:
    description["kind"] = "neural"


def _one_network_more(description: dict) -> None:
    description["groups.9.scales"] = []


def _slope_as_array(description: dict) -> None:
    next(step for step in description["hyper_synthesis"] if step["kind"] == "leaky_relu")["slope"] = [0]


def _overlapping(description: dict) -> None:
    description["arrays"] |= {f"copy{i}": description["arrays"]["y_frequencies"] for i in range(100)}


def _no_convolution(description: dict) -> None:
    description["groups.0.phase_scales.1"] = [{"kind": "leaky_relu", "slope": 0}]


def _huge_array(description: dict) -> None:
    description["arrays"]["medians"]["shape"] = [1 << 40]


_IF = message((1, "then_branch"), (6, message((2, "inner"))))
_TINY_GRAPH = graph(node("Identity"))

# Name: how to write it, and a part of the sentence that it must give when a file is decoded with it.
HOSTILE: dict[str, tuple[Writer, str]] = {
    "bomb": (bomb, "would have 3221225472 bytes"),
    "lying bomb": (lying_bomb, "its decoder/base/entropy.bin is damaged"),
    "loop": (changed({SYNTHESIS: graph(node("Loop", ("", "", "y")))}), "uses the operator 'Loop'"),
    "two operators": (
        changed({SYNTHESIS: graph(node("Identity") + message((4, "Erf")))}),
        "uses the operator 'Erf'",
    ),
    "graph in a graph": (changed({SYNTHESIS: graph(node("Identity", attributes=(_IF,)))}), "a graph within a graph"),
    "garbage graph": (changed({SYNTHESIS: b"\xff" * 1000}), "the model's base synthesis is refused"),
    "empty graph": (changed({SYNTHESIS: b""}), "is no ONNX graph"),
    "broken graph": (changed({SYNTHESIS: graph(node("Conv"))}), "the model's base synthesis cannot be run"),
    "local file": (
        changed({SYNTHESIS: graph(node("Add", ("y", "w")), initializers=(file_tensor("w", "/etc/passwd"),))}),
        "refers to weights in other files",
    ),
    "many fields": (changed({SYNTHESIS: graph(node("Identity")) + message((2, "x")) * 300_000}), "larger than any"),
    "infinite weight": (
        changed({SYNTHESIS: graph(node("Add", ("y", "w")), initializers=(floats("w", [1.0, float("inf")]),))}),
        "weights that are not finite",
    ),
    "tensor in pieces": (
        changed(
            {
                SYNTHESIS: graph(
                    node(
                        "Constant", (), "w", (message((1, "value"), (5, floats("w", [1.0])), (5, message((8, "v")))),)
                    ),
                    node("Add", ("y", "w")),
                )
            }
        ),
        "holds a tensor in pieces",
    ),
    "infinite output": (
        changed(
            {
                SYNTHESIS: graph(
                    node("Log", ("y",), "l"),
                    node("DepthToSpace", ("l",), "x", (message((1, "blocksize"), (3, 4), (20, 2)),)),
                )
            }
        ),
        "the model's base synthesis yields",
    ),
    "wrong shape": (changed({SYNTHESIS: _TINY_GRAPH}), "the model's base synthesis yields float32 of shape"),
    "wrong shape of a prediction": (
        changed({PREDICTOR: graph(node("Identity", ("x",), "p"), inputs="x", outputs=("p",))}),
        "the model's predictor yields float32 of shape",
    ),
    "wrong shapes of coefficients": (
        changed(
            {
                PREDICTOR: graph(
                    *(node("Identity", ("x",), name) for name in SEPARABLE_OUTPUTS),
                    inputs="x",
                    outputs=SEPARABLE_OUTPUTS,
                )
            }
        ),
        "the model's predictor yields float32 of shape",
    ),
    "no predictor": (changed({PREDICTOR: None}), "it has no decoder/predictor.onnx"),
    "no tables": (changed({BIN: None}), "it has no decoder/base/entropy.bin"),
    "NaN gain": (with_arrays("log_gain", "float64", float("nan")), "numbers that are not finite"),
    "huge gain": (with_arrays("log_gain", "float64", 700.0), "its gains cannot be right"),
    "huge weight": (with_arrays("hyper_synthesis.0.weight", "int64", 2**60), "too large for exact arithmetic"),
    "huge median": (with_arrays("medians", "int64", 2**62), "its medians cannot be right"),
    "table": (with_arrays("y_frequencies", "int64", 5), "sum to 2^24"),
    "groups": (with_arrays("groups", "int64", 5), "its groups cannot be right"),
    "huge magnitude": (with_arrays("magnitudes", "int64", 2**62), "its magnitudes cannot be right"),
    "network too few": (described(lambda d: d.pop("groups.0.phase_means.3")), "the entropy model is damaged"),
    "network too many": (described(_one_network_more), "its networks of groups cannot be right"),
    "network at a place": (described(_no_convolution), "its networks of groups cannot be right"),
    "unknown kind": (described(_unknown_kind), "'neural' is unknown"),
    "huge array": (described(_huge_array), "larger than the data"),
    "description": (changed({DESCRIPTION: b"[1, 2"}), "is no JSON"),
    "other description": (changed({DESCRIPTION: b"[1, 2]"}), "the entropy model is damaged"),
    "slope as an array": (described(_slope_as_array), "cannot be right"),
    "fractional weight": (with_arrays("hyper_synthesis.0.weight", "float64", 5.5), "cannot be right"),
    "overlapping arrays": (described(_overlapping), "larger than the data"),
    "deep description": (changed({DESCRIPTION: b"[" * 500_000}), "is no JSON"),
    "deep manifest": (_with_manifest(b"[" * 500_000), "is not a model file"),
    "manifest": (_with_manifest(b"{}"), "is not a model file"),
    "extra member": (rewritten(lambda e: [*e.items(), ("../../evil", b"x")]), "which it does not list"),
    "exchanged member": (rewritten(lambda e: list({**e, BIN: e[BIN][::-1]}.items())), "does not match its digest"),
    "twice": (rewritten(lambda e: [*e.items(), (BIN, e[BIN])]), "a member is there twice"),
}


def main() -> None:
    root = TINY.parent.parent
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (write, _) in [("none: the model itself", (changed({}), "")), *HOSTILE.items()]:
            path = Path(folder, "hostile.model")
            write(path)
            rows.append({"model": name, "file_bytes": path.stat().st_size, **measure(path)})
            print(rows[-1], flush=True)
    report = {"command": "python -m tests.hostile_models", "models": rows}
    (root / "results" / "hostile-models.json").write_text(json.dumps(report, indent=1) + "\n")


def measure(path: Path) -> dict[str, Any]:
    """One decode with a model, as a process: exit code, message, seconds, processor seconds, peak memory in MB."""
    source, target = TINY.parent / "example.cmps", path.with_name("out.png")
    command = [sys.executable, "-m", "compass", "decode", str(source), str(target), "--model", str(path), "--force"]
    started = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    return {
        "exit_code": os.waitstatus_to_exitcode(status),
        "message": message.strip().replace(str(path.parent), "...").replace(f"{source.parent}{os.sep}", ""),
        "seconds": round(time.perf_counter() - started, 2),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_MB": round(usage.ru_maxrss / 1024),
    }


if __name__ == "__main__":
    main()
