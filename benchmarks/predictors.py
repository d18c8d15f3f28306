"""What inter-layer predictors cost: results/predictors.json.

    python benchmarks/predictors.py [--threads 1]

LIFF of the paper, LIIF (the ablation of supplement B.6), and the predictor of `fast`: multiplications per pixel, and
milliseconds of their graphs on ONNX Runtime for a layer of 768x512 (medians of three). Neither depends on weights.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

from compass.model.model import Predictor
from compass.nets.macs import predict_macs
from compass.training.export import predictor_graph
from compass.training.run import build
from options import command_line

RESULT = Path(__file__).parent.parent / "results" / "predictors.json"
SIZE = (512, 768)
RATIOS = (1.2, 2.0, 4.0)
PREDICTORS = {"LIFF": "paper", "LIIF": "paper-liif", "fast": "fast"}
RUNS = 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    report = {"command": command_line(), "size": f"{SIZE[1]}x{SIZE[0]}", "threads": options.threads, "rows": []}
    for name, profile in PREDICTORS.items():
        net = build(profile).eval()
        assert net.predictor is not None
        predict = Predictor(predictor_graph(net.predictor), options.threads)
        for ratio in RATIOS:
            row = {
                "predictor": name,
                "ratio": ratio,
                "kmac_per_pixel": round(predict_macs(net, *SIZE, ratio) / SIZE[0] / SIZE[1] / 1000, 1),
                "milliseconds": round(milliseconds(predict, ratio), 1),
            }
            report["rows"].append(row)
            print(row, flush=True)
    RESULT.write_text(json.dumps(report, indent=1) + "\n")


def milliseconds(predict: Predictor, ratio: float) -> float:
    """Median of a prediction of `SIZE`, after one that counts for nothing."""
    lower = np.random.default_rng(0).random((3, round(SIZE[0] / ratio), round(SIZE[1] / ratio)), np.float32)
    seconds = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        predict(lower, SIZE)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds[1:])


if __name__ == "__main__":
    main()
