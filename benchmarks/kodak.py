"""Rate and distortion of the shipped model on a folder of pictures: results/kodak.json.

    python benchmarks/kodak.py FOLDER [--model NAME] [--qualities 1,2,3,4] [--processes 2]

Encodes every picture in three layers (1/4, 1/2, 1), and each size alone by the base codec; keeps the files under
build/kodak, and decodes every layer of them again in fresh processes with one and with two threads.
"""

from __future__ import annotations

import json
import platform
from importlib import metadata
from pathlib import Path

from compass.evaluation.kodak import means, measure, verify
from compass.model import model as models
from options import command_line, describe, folder_parser

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = folder_parser()
    parser.add_argument("--qualities", default="0,1,2,3,4,5,6")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "kodak.json")
    options = parser.parse_args()

    keep = ROOT / "build" / "kodak"
    qualities = [float(q) for q in options.qualities.split(",")]
    rows = measure(options.folder, qualities, options.model, keep, options.processes)
    wrong = {threads: verify(rows, keep, options.model, threads) for threads in (1, 2)}
    model = models.load(options.model)
    report = {
        "command": command_line(),
        "model": describe(model),
        "environment": environment(),
        "pictures": len({row["picture"] for row in rows}),
        "layers_decoded_again": {str(t): sum(len(row["layers"]) for row in rows) for t in wrong},
        "layers_that_differ": {str(t): names for t, names in wrong.items()},
        "means": means(rows),
        "rows": rows,
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({k: report[k] for k in ("layers_decoded_again", "layers_that_differ")}))


def environment() -> dict[str, str]:
    packages = ("compass-codec", "numpy", "pillow", "onnxruntime", "constriction")
    return {"python": platform.python_version(), "machine": platform.machine()} | {
        name: metadata.version(name) for name in packages
    }


if __name__ == "__main__":
    main()
