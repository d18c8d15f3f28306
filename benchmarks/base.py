"""The base codec of a model alone: results/base.json, an entry per model.

    python benchmarks/base.py FOLDER [--model NAME] [--processes 2]

Codes every picture of FOLDER in one layer at 13 qualities, whole and at 1/2 and 1/4 of its size.
"""

from __future__ import annotations

import json
from pathlib import Path

from compass.evaluation.single_layer import measure
from compass.model import model as models
from compass.model.quality import MAX_QUALITY
from options import command_line, folder_parser

RESULT = Path(__file__).parent.parent / "results" / "base.json"
SCALES = [0.25, 0.5, 1.0]


def main() -> None:
    options = folder_parser().parse_args()
    model = models.load(options.model)
    fixed = "quality" in model.card
    qualities = [model.default_quality] if fixed else [q / 2 for q in range(2 * MAX_QUALITY + 1)]
    entry = {
        "command": command_line(),
        "hash": model.hash.hex(),
        "pictures": len(list(options.folder.glob("*.png"))),
        "rows": measure(options.folder, SCALES, qualities, options.model, options.processes),
    }
    report = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    report[model.name] = entry
    RESULT.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
