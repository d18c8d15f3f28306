"""What inter-layer predictors cost: results/predictors.json.

    python benchmarks/networks/predictors.py [--threads 1]

LIFF of the paper, LIIF (the ablation of supplement B.6), and the predictor of `fast`: multiplications per pixel, and
milliseconds of their graphs on ONNX Runtime for a layer of 768x512 (medians of three). Neither depends on weights.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import TypedDict

import numpy as np

from compass.evaluation.records import command_line, write_record
from compass.model.predictor import Part, Predictor
from compass.nets.macs import predict_macs
from compass.training.graphs import predictor_graph
from compass.training.run import build

RESULT = Path(__file__).parents[2] / "results" / "predictors.json"
RATIOS = (1.2, 2.0, 4.0)
PREDICTORS = {"LIFF": "paper", "LIIF": "paper-liif", "fast": "fast"}
RUNS = 3


class Row(TypedDict):
    """One predictor at one ratio to the layer below."""

    predictor: str
    ratio: float
    kmac_per_pixel: float
    milliseconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", default="768x512", help="of the layer that is predicted")
    parser.add_argument("--only", default=",".join(PREDICTORS), help="predictors by their names")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    rows = []
    for name in options.only.split(","):
        rows += measure(name, (height, width), options.threads)
    report = {"command": command_line(), "size": options.size, "threads": options.threads, "rows": rows}
    write_record(report, options.out, rows=("rows",))


def measure(name: str, size: tuple[int, int], threads: int) -> list[Row]:
    """One predictor at all ratios, for a layer of `size` = (height, width)."""
    net = build(PREDICTORS[name]).eval()
    assert net.predictor is not None
    predict = Predictor(predictor_graph(net.predictor), threads)
    return [
        {
            "predictor": name,
            "ratio": ratio,
            "kmac_per_pixel": round(predict_macs(net, *size, ratio) / size[0] / size[1] / 1000, 1),
            "milliseconds": round(milliseconds(predict, size, ratio), 1),
        }
        for ratio in RATIOS
    ]


def milliseconds(predict: Predictor, size: tuple[int, int], ratio: float) -> float:
    """Median of a prediction, after one that counts for nothing."""
    lower = np.random.default_rng(0).random((3, round(size[0] / ratio), round(size[1] / ratio)), np.float32)
    seconds = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        predict(Part.whole(lower), size)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds[1:])


if __name__ == "__main__":
    main()
