"""Where the time of a training step goes: the operators by their own time, and what the whole step achieves.

python benchmarks/training/profile_step.py DATA [--stage base] [--profile fast] [--precision bf16]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from compass.training.device import open_device
from compass.training.loop import Schedule
from compass.training.run import Run, build_for_training, make_trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder or tar shard of images")
    parser.add_argument("--stage", default="base")
    parser.add_argument("--profile", default="fast")
    parser.add_argument("--precision", default=None)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10, help="that are timed")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    device = open_device(options.precision, 1, options.compile)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(
            options.stage, options.profile, [options.data], [], Path(folder), Schedule(1, None, 1e-4), options.crop,
            options.batch, [], limit=64,
        )  # fmt: skip
        trainer = make_trainer(run, build_for_training(options.profile), device)
    flops, peak = trainer._count_flops(), device.peak_flops()
    if options.compile:
        trainer.stage.compile_parts()
    for _ in range(3):
        trainer._step(0.0)
    device.wait()
    started = time.perf_counter()
    for _ in range(options.steps):
        trainer._step(0.0)
    device.wait()
    seconds = (time.perf_counter() - started) / options.steps
    pixels = options.batch * options.crop**2
    speed = f"{1e3 * seconds:.1f} ms a step, {pixels / seconds / 1e3:.0f} kpixel/s"
    print(f"{device.torch_device}, {device.precision}: {speed}")
    print(f"{flops / 1e9:.1f} GFLOP a step, peak {peak / 1e9:.0f} GFLOP/s (a matrix product), ", end="")
    print(f"MFU {100 * flops / seconds / peak:.0f} %")
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.torch_device.type == "cuda" else [])
    with profile(activities=activities) as profiled:
        for _ in range(options.steps):
            trainer._step(0.0)
        device.wait()
    key = "self_cuda_time_total" if device.torch_device.type == "cuda" else "self_cpu_time_total"
    print(profiled.key_averages().table(sort_by=key, row_limit=15, max_name_column_width=45))


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
