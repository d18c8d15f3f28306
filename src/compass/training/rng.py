"""The random numbers of one training step. They depend on seed and step alone, so a run resumes exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Share:
    """Which part of every batch a process trains on: `rank` of `count` equal parts."""

    rank: int = 0
    count: int = 1


class StepRNG:
    """Numbers for one step: from `host` what all processes must agree on, on the device what each sample has to itself.

    Several processes together draw what one process with the whole batch rng: each takes its own rows.
    """

    def __init__(self, seed: int, step: int, device: torch.device, share: Share | None = None) -> None:
        self.host = np.random.default_rng((seed, step))
        self._share = share or Share()
        self._generator = torch.Generator(device).manual_seed(int(self.host.integers(2**62)))
        noise = int(self.host.integers(2**62))
        torch.manual_seed(noise + self._share.rank)  # of the noise inside the networks

    def uniform(self, rows: int, columns: int = 1) -> Tensor:
        """[rows, columns] in [0, 1), one row per sample of this process, on the device."""
        device = self._generator.device
        whole = torch.rand(rows * self._share.count, columns, generator=self._generator, device=device)
        return whole[self._share.rank * rows : (self._share.rank + 1) * rows]
