"""Start the `fast` transforms as a Karhunen-Loeve transform of 16x16 blocks: skips the first hours of training.

The linear layers take the transform, the residual blocks start at zero, so the untrained codec is a block
transform codec with its energy compacted into the first channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.nets.fast import Analysis, Synthesis

KLT_LAYERS = ("g_a.enter", "g_a.leave", "g_s.enter", "g_s.leave")
KLT_RATE_FACTOR = 0.2  # these start near a good place: at the full learning rate they leave it first

_MEAN = 0.5  # of an image; residuals have none


def start_from_klt(codec: nn.Module, samples: Tensor, mean: float = _MEAN) -> None:
    """Sets g_a and g_s of a `fast` codec from sample images [B, 3, H, W], sides divisible by 16."""
    g_a, g_s = codec.g_a, codec.g_s
    if not isinstance(g_a, Analysis) or not isinstance(g_s, Synthesis):
        raise TypeError("only the transforms of the fast profile start from a KLT")
    enter, leave = g_s.enter[0], g_s.leave[0]
    assert isinstance(enter, nn.Conv2d)
    assert isinstance(leave, nn.Conv2d)
    channels, latent = g_a.enter.out_channels, g_a.leave.out_channels
    with torch.no_grad():
        blocks = F.pixel_unshuffle(samples - mean, 8)
        first = _principal_axes(blocks, channels)  # [channels, 192]
        g_a.enter.weight.copy_(first[:, :, None, None])
        g_a.enter.bias.copy_(-mean * first.sum(dim=1))  # type: ignore[union-attr]
        leave.weight.copy_(first.T[:, :, None, None])
        leave.bias.fill_(mean)  # type: ignore[union-attr]

        features = F.conv2d(blocks, first[:, :, None, None])
        second = _principal_axes(F.pixel_unshuffle(features, 2), latent)  # [latent, channels * 4], order c, dy, dx
        g_a.leave.weight.copy_(second.reshape(latent, channels, 2, 2))
        g_a.leave.bias.zero_()  # type: ignore[union-attr]
        enter.weight.copy_(second.T[:, :, None, None])
        enter.bias.zero_()  # type: ignore[union-attr]


def recentre_for_residuals(codec: nn.Module) -> None:
    """Lets a `fast` codec trained on images start as a residual codec: x means 0.5 + x from here on."""
    g_a, g_s = codec.g_a, codec.g_s
    if not isinstance(g_a, Analysis) or not isinstance(g_s, Synthesis):
        return
    leave = g_s.leave[0]
    assert isinstance(leave, nn.Conv2d)
    assert g_a.enter.bias is not None
    assert leave.bias is not None
    with torch.no_grad():
        g_a.enter.bias += _MEAN * g_a.enter.weight.sum(dim=(1, 2, 3))
        leave.bias -= _MEAN


def _principal_axes(x: Tensor, count: int) -> Tensor:
    """The `count` leading eigenvectors of the channel covariance of x [B, C, h, w], as rows [count, C]."""
    flat = x.permute(1, 0, 2, 3).reshape(x.shape[1], -1).double()
    _, vectors = torch.linalg.eigh(flat @ flat.T / flat.shape[1])
    return vectors.flip(1)[:, :count].T.float().contiguous()
