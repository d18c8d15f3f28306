"""Every layer of every file decoded again in fresh processes, and what entropy coding costs: results/exact.json.

    python benchmarks/exact.py FOLDER [--model NAME] [--processes 2]

Three-layer files at the seven trained qualities are kept in build/exact; one process decodes them with one thread,
another with two.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from compass.evaluation.evaluate import picture_paths
from compass.evaluation.exactness import encode_all, verify
from compass.model import model as models
from compass.model.quality import MAX_QUALITY
from options import command_line, describe, folder_parser

ROOT = Path(__file__).parent.parent
THREADS = (1, 2)


def main() -> None:
    options = folder_parser().parse_args()
    qualities = [float(q) for q in range(MAX_QUALITY + 1)]
    rows = encode_all(
        picture_paths(options.folder), qualities, options.model, ROOT / "build" / "exact", options.processes
    )
    layers = [layer for row in rows for layer in row["layers"]]
    with ThreadPoolExecutor() as pool:  # each waits for a process of its own
        differ = pool.map(partial(verify, rows, options.model), THREADS)
    excess = [layer["payload_bytes"] - layer["ideal_bytes"] for layer in layers]
    report = {
        "command": command_line(),
        "model": describe(models.load(options.model)),
        "layers": len(layers),
        "layers_that_differ": {f"{n} thread(s)": names for n, names in zip(THREADS, differ, strict=True)},
        "payload_over_ideal_percent": round(100 * sum(excess) / sum(layer["ideal_bytes"] for layer in layers), 4),
        "largest_excess_bytes": round(max(excess), 2),
    }
    (ROOT / "results" / "exact.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
