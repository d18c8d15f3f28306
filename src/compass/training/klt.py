"""Start transforms as a Karhunen-Loeve transform of 16x16 blocks: skips the first hours of training.

The linear layers take the transform; the residual blocks of `fast` start at zero, GDN starts close to the identity.
So the untrained codec is a block transform codec with its energy compacted into the first channels.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.nets.fast import Analysis, Synthesis
from compass.nets.hyperprior_codec import HyperpriorCodec

KLT_LAYERS = ("g_a.enter", "g_a.leave", "g_s.enter", "g_s.leave")
_STRIDED_LAYERS = re.compile(r"g_[as]\.\d+\.(weight|bias)")  # of the paper's transforms
KLT_RATE_FACTOR = 0.2  # these start near a good place: at the full learning rate they leave it first

_FEATURES = 0.5  # size of features between strided layers
IMAGE_MEAN = 0.5  # of an image; residuals have none


def starts_as_klt(name: str) -> bool:
    """Whether `start_from_klt` sets this parameter of a codec."""
    return name.startswith(KLT_LAYERS) or _STRIDED_LAYERS.fullmatch(name) is not None


def start_from_klt(codec: nn.Module, samples: Tensor, mean: float = IMAGE_MEAN) -> None:
    """Sets g_a and g_s of a codec from sample images [B, 3, H, W], sides divisible by 16."""
    g_a, g_s = codec.g_a, codec.g_s
    if isinstance(g_a, nn.Sequential) and isinstance(g_s, nn.Sequential):
        _start_strided(g_a, g_s, samples - mean, mean)
        if isinstance(codec, HyperpriorCodec) and not codec.log_scale:
            start_scales(codec, samples[:256])
        return
    if not isinstance(g_a, Analysis) or not isinstance(g_s, Synthesis):
        raise TypeError("only the transforms of `fast` and of the paper start from a KLT")
    enter, leave = g_s.enter[0], g_s.leave[0]
    assert isinstance(enter, nn.Conv2d)
    assert isinstance(leave, nn.Conv2d)
    channels, latent = g_a.enter.out_channels, g_a.leave.out_channels
    with torch.no_grad():
        blocks = F.pixel_unshuffle(samples - mean, 8)
        first = principal_axes(blocks, channels)  # [channels, 192]
        g_a.enter.weight.copy_(first[:, :, None, None])
        g_a.enter.bias.copy_(-mean * first.sum(dim=1))  # type: ignore[union-attr]
        leave.weight.copy_(first.T[:, :, None, None])
        leave.bias.fill_(mean)  # type: ignore[union-attr]

        features = F.conv2d(blocks, first[:, :, None, None])
        second = principal_axes(F.pixel_unshuffle(features, 2), latent)  # [latent, channels * 4], order c, dy, dx
        g_a.leave.weight.copy_(second.reshape(latent, channels, 2, 2))
        g_a.leave.bias.zero_()  # type: ignore[union-attr]
        enter.weight.copy_(second.T[:, :, None, None])
        enter.bias.zero_()  # type: ignore[union-attr]


def _start_strided(g_a: nn.Sequential, g_s: nn.Sequential, features: Tensor, mean: float) -> None:
    """Start the transforms of the paper: each strided layer takes the principal axes of 2x2 positions.

    Two taps a side of a kernel do that; the synthesis is the transpose of the analysis. A layer with more channels
    than there are axes keeps its random kernels for the others, and the next does not see them yet. Features are so
    small that GDN starts close to the identity.
    """
    pairs = strided_pairs(g_a, g_s)
    last = len(pairs) - 1
    with torch.no_grad():
        for i, (down, up) in enumerate(pairs):
            seen = features.shape[1]
            blocks = F.pixel_unshuffle(features, 2)
            axes = principal_axes(blocks, min(4 * seen, down.out_channels))
            features = F.conv2d(blocks, axes[:, :, None, None])
            count = len(axes)
            kernel = axes.reshape(count, seen, 2, 2)
            small = _FEATURES if i == 0 else 1 / _FEATURES if i == last else 1.0
            down.weight[:count] = 0.0
            down.weight[:count, :seen, 2:4, 2:4] = small * kernel
            down.bias[:count] = 0.0  # type: ignore[index]
            first = up.in_channels - down.out_channels  # channels of a scalable codec that come from the layer below
            up.weight[:, :seen] = 0.0
            up.weight[first : first + count, :seen, 2:4, 2:4] = kernel / small
            up.bias[:seen] = 0.0  # type: ignore[index]
        enter, leave = pairs[0]
        enter.bias[:] -= mean * enter.weight.sum(dim=(1, 2, 3))  # type: ignore[index]
        leave.bias.fill_(mean)  # type: ignore[union-attr]


def strided_pairs(g_a: nn.Sequential, g_s: nn.Sequential) -> list[tuple[nn.Conv2d, nn.ConvTranspose2d]]:
    """The layers of the paper's transforms that mirror each other, from the image to the latent."""
    downs = [layer for layer in g_a if isinstance(layer, nn.Conv2d)]
    ups = [layer for layer in g_s if isinstance(layer, nn.ConvTranspose2d)]
    return list(zip(downs, reversed(ups), strict=True))


def start_scales(codec: HyperpriorCodec, samples: Tensor, first: int = 0) -> None:
    """Lets the hyper-synthesis begin with each channel's spread at the middle quality; `first`: the first of them.

    Beside scales that start near zero, latents of a block transform would cost so many bits that no gradient is left.
    """
    last = codec.h_s[-1]  # type: ignore[index]
    with torch.no_grad():
        spread = codec.g_a(samples).square().mean(dim=(0, 2, 3)).sqrt()
        if codec.gain is not None:
            spread *= codec.gain.log_gain[3].exp()
        last.bias[first : codec.latent_channels] = spread[first:]


def recentre_for_residuals(codec: nn.Module) -> None:
    """Lets a codec trained on images start as a residual codec: x means 0.5 + x from here on.

    Exact but for what the paper's transforms see beyond the border, which was black and is nothing now.
    """
    g_a, g_s = codec.g_a, codec.g_s
    enter = g_a[0] if isinstance(g_a, nn.Sequential) else g_a.enter  # type: ignore[union-attr]
    leave = g_s[-1] if isinstance(g_s, nn.Sequential) else g_s.leave[0]  # type: ignore[union-attr, index]
    assert isinstance(enter, nn.Conv2d)
    assert isinstance(leave, nn.Conv2d | nn.ConvTranspose2d)
    assert enter.bias is not None
    assert leave.bias is not None
    with torch.no_grad():
        enter.bias += IMAGE_MEAN * enter.weight.sum(dim=(1, 2, 3))
        leave.bias -= IMAGE_MEAN


def principal_axes(x: Tensor, count: int) -> Tensor:
    """The `count` leading eigenvectors of the channel covariance of x [B, C, h, w], as rows [count, C]."""
    flat = x.permute(1, 0, 2, 3).reshape(x.shape[1], -1).double()
    _, vectors = torch.linalg.eigh(flat @ flat.T / flat.shape[1])
    return vectors.flip(1)[:, :count].T.float().contiguous()
