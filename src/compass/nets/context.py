"""Context within a latent: what is decoded of it already corrects scales and means of the rest.

Scales are logarithmic here: fractional levels of the table. The networks hold only layers that
`compass.entropy.operations` can run in integers.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.entropy.steps import PHASES, Group, Place, phase_mask
from compass.nets.functional import round_ste

MAX_MAGNITUDE = 15  # larger symbols count as this


def magnitude(symbols: Tensor) -> Tensor:
    """log2(1 + |s|), of symbols up to `MAX_MAGNITUDE`."""
    return torch.log2(1.0 + symbols.abs().clamp(max=MAX_MAGNITUDE))


class GroupContext(nn.Module):
    """Networks of one group: `scales` sees magnitudes in the groups before, those of a phase the phases before."""

    def __init__(self, group: Group, before: int, hidden: int) -> None:
        """before: channels of all groups before."""
        super().__init__()
        later = range(1, group.phases)
        self.scales = _network(before, hidden, group.channels, 1) if before else None
        self.phase_scales = nn.ModuleList(_network(group.channels, hidden, group.channels, 3) for _ in later)
        self.phase_means = nn.ModuleList(_network(group.channels, hidden, group.channels, 3) for _ in later)


class LatentContext(nn.Module):
    """Context of all groups. Fresh, it corrects nothing."""

    def __init__(self, groups: Sequence[Group], hidden: int) -> None:
        super().__init__()
        self.groups = tuple(groups)
        starts = [0, *itertools.accumulate(group.channels for group in groups)]
        self.contexts = nn.ModuleList(
            GroupContext(group, before, hidden) for group, before in zip(groups, starts, strict=False)
        )

    def forward(self, y: Tensor, scales: Tensor, means: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """y, what the hyperprior says of its scales and means, all [B, M, h, w] -> quantised y, scales, means.

        Gradients pass through the quantised values, not through the magnitudes.
        """
        sizes = [group.channels for group in self.groups]
        quantised: list[Tensor] = []
        magnitudes: list[Tensor] = []
        corrected: list[tuple[Tensor, Tensor]] = []
        parts = zip(*(torch.split(x, sizes, 1) for x in (y, scales, means)), strict=True)
        for i, (own, scale, mean) in enumerate(parts):
            context = self.contexts[i]
            assert isinstance(context, GroupContext)
            if context.scales is not None:
                scale = scale + context.scales(torch.cat(magnitudes, 1))
            phases = PHASES[self.groups[i].phases]
            done, symbols = torch.zeros_like(own), torch.zeros_like(own)
            for phase, places in enumerate(phases):
                if phase:
                    seen = magnitude(symbols)
                    scale = scale + _at(places, context.phase_scales[phase - 1], seen)
                    mean = mean + _at(places, context.phase_means[phase - 1], done)
                here = torch.from_numpy(phase_mask(places, (own.shape[2], own.shape[3]))).to(own)
                rounded = round_ste(own - mean)
                done = done + here * (rounded + mean)
                symbols = symbols + here * rounded.detach()
            quantised.append(done)
            magnitudes.append(magnitude(symbols))
            corrected.append((scale, mean))
        return torch.cat(quantised, 1), torch.cat([c[0] for c in corrected], 1), torch.cat([c[1] for c in corrected], 1)


def _network(inputs: int, hidden: int, outputs: int, kernel: int) -> nn.Sequential:
    network = nn.Sequential(
        nn.Conv2d(inputs, hidden, kernel, padding=kernel // 2), nn.ReLU(), nn.Conv2d(hidden, outputs, 1)
    )
    nn.init.zeros_(network[-1].weight)  # type: ignore[arg-type]
    nn.init.zeros_(network[-1].bias)  # type: ignore[arg-type]
    return network


def _at(places: Sequence[Place], network: nn.Module, x: Tensor) -> Tensor:
    """Output of a network of one 3x3 and one pointwise layer at the places, zero elsewhere."""
    assert isinstance(network, nn.Sequential)
    first, *rest = network
    last = rest[-1]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(last, nn.Conv2d)
    padded = F.pad(x, (1, 1, 1, 1))
    result = x.new_zeros((x.shape[0], last.out_channels, *x.shape[2:]))
    for row, column in places:
        if row < x.shape[2] and column < x.shape[3]:
            part = F.conv2d(padded[:, :, row:, column:], first.weight, first.bias, stride=2)
            for layer in rest:
                part = layer(part)
            result[:, :, row::2, column::2] = part
    return result
