"""The paper's grid of two and three layers, ratios beyond training, and many layers: results/grid.json.

    python benchmarks/grid.py FOLDER [--model NAME] [--processes 2] [--middles 2.0]

Every case of `compass.evaluation.grid` on every picture at qualities 1 to 4, and every size alone by the base codec.
"""

from __future__ import annotations

import json
from pathlib import Path

from compass.evaluation.grid import MIDDLES, measure
from compass.model import model as models
from options import command_line, describe, folder_parser

RESULT = Path(__file__).parent.parent / "results" / "grid.json"


def main() -> None:
    parser = folder_parser()
    parser.add_argument(
        "--middles", default=",".join(map(str, MIDDLES)), help="ratios of the middle one of three layers"
    )
    options = parser.parse_args()
    middles = [float(x) for x in options.middles.split(",")]
    rows = measure(options.folder, [1.0, 2.0, 3.0, 4.0], options.model, options.processes, middles)
    report = {
        "command": command_line(),
        "data_set": options.folder.name,
        "model": describe(models.load(options.model)),
        "grid": rows,
    }
    RESULT.write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
