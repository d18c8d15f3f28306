"""The device of a training run: its arithmetic, its peak speed, and the other processes of the run."""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass
from importlib import import_module

import torch
from torch import Tensor, distributed

from compass.errors import InputError
from compass.training.rng import Share

PRECISIONS = ("fp32", "bf16")
_KERNELS = 8192  # that are kept for their shapes: layers of random sizes have more than the 1,024 of the default
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's mallopt


@dataclass(frozen=True)
class TrainingDevice:
    """Device and arithmetic of one process, and its share of every batch."""

    torch_device: torch.device
    precision: str  # of convolutions and matrix products, one of PRECISIONS; weights and rates stay in fp32
    share: Share
    compile: bool = False  # what has fixed shapes is compiled by torch.compile

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.torch_device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def peak_flops(self) -> float:
        """Operations per second of a large matrix product, measured: what the device can do at best."""
        side = 8192 if self.torch_device.type == "cuda" else 1024
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        a = torch.ones(side, side, device=self.torch_device, dtype=dtype)
        best = float("inf")
        for _ in range(5):
            self.wait()
            started = time.perf_counter()
            a @ a
            self.wait()
            best = min(best, time.perf_counter() - started)
        return 2 * side**3 / best

    def wait(self) -> None:
        """Block until all work that was queued on the device is done."""
        if self.torch_device.type == "cuda":
            torch.cuda.synchronize(self.torch_device)

    def agree(self, value: float) -> float:
        """Broadcast the value of the first process to all processes, and return it."""
        if self.share.count == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.torch_device)
        distributed.broadcast(shared, 0)
        return float(shared.item())

    def mean(self, values: list[Tensor]) -> list[float]:
        """Average each of these scalars over all processes."""
        stacked = torch.stack([value.detach().float() for value in values])
        if self.share.count > 1:
            distributed.all_reduce(stacked)
        return [float(value) for value in stacked / self.share.count]


def open_device(precision: str | None, threads: int, compile: bool = False) -> TrainingDevice:
    """The device of this process, a GPU if there is one, and its share of the batch if `torchrun` started it.

    precision: by default bf16 on a GPU, fp32 on a CPU. Raises InputError if there is no such precision.
    """
    torch.set_num_threads(threads)
    keep_freed_memory()
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(_KERNELS))  # read when the first kernel is made
    count = int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
    if precision is None:
        precision = "bf16" if device.type == "cuda" else "fp32"
    if precision not in PRECISIONS:
        raise InputError(f"there is no precision {precision!r}, only {', '.join(PRECISIONS)}")
    if count > 1 and not distributed.is_initialized():
        # DistributedDataParallel imports it. Imported later it holds the group's threads until the interpreter ends,
        # and one that then still has a tensor to give back aborts the process.
        import_module("torch._dynamo")
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return TrainingDevice(device, precision, Share(int(os.environ.get("RANK", "0")), count), compile)


def keep_freed_memory() -> None:
    """Lets the C library reuse what tensors free, where it is glibc.

    By default it hands large blocks back at once, and every step pays for having the same pages mapped and cleared.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def close_device() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
