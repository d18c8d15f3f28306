"""The paper's grid of two and three layers, ratios beyond training, and many layers: results/grid.json.

    python benchmarks/grid.py FOLDER [--model NAME] [--processes 2]

Every case of `compass.evaluation.grid` on every picture at qualities 1 to 4, and every size alone by the base codec.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from compass.evaluation.grid import bd_rates, measure
from compass.model import model as models

RESULT = Path(__file__).parent.parent / "results" / "grid.json"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default=None)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    rows = measure(options.folder, [1.0, 2.0, 3.0, 4.0], options.model, options.processes)
    rates = bd_rates(rows)
    report = {
        "command": " ".join(["python benchmarks/grid.py", *(Path(a).name for a in sys.argv[1:])]),
        "model": {"name": (model := models.load(options.model)).name, "hash": model.hash.hex()},
        "bd_rates": {name: {"single": round(a, 2), "simulcast": round(b, 2)} for name, (a, b) in rates.items()},
        "rows": rows,
    }
    RESULT.write_text(json.dumps(report) + "\n")
    print(json.dumps(report["bd_rates"], indent=1))


if __name__ == "__main__":
    main()
