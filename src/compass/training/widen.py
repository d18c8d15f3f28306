"""Weights of a narrow codec as the start of a wider one of the same structure, which then codes as the narrow one did.

What the narrow codec knew stays where it was, and hears nothing of the new channels at first. These hear of it through
random kernels; where they would be coded they begin at zero, with the density of the narrow codec's last channel.

There they would stay: a decoder that does not use a latent gives it no reason to say anything, and one that says
nothing is not worth using. `wake` lets new latents of a base codec begin as a block transform codec of their own, for
what the narrow codec leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compass.nets.gdn import GDN
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.training.klt import IMAGE_MEAN, principal_axes, start_scales, strided_pairs

_QUALITY = 4.0  # at which new latents are made for what is left out
_LINEAR = 2.0**-10  # of GDN, so little that new features pass as they are
_CODED = re.compile(r"(g_a|h_a|h_s)\.\d+")  # the last of these make what is coded, or how


def widen(codec: nn.Module, narrow: Mapping[str, Tensor]) -> bool:
    """Start a codec of the paper's kind, all of whose weights are set; False if `narrow` are none of a narrower one."""
    wide = codec.state_dict()
    if not isinstance(getattr(codec, "g_a", None), nn.Sequential) or wide.keys() != narrow.keys():
        return False
    if not all(_fits(wide[name], narrow[name]) for name in wide):
        return False
    last = _last_layers(codec)
    with torch.no_grad():
        for name, tensor in wide.items():
            path, _, kind = name.rpartition(".")
            owner = codec.get_submodule(path)
            halves = 2 if path == last.get("h_s") else 1  # h_s yields scales, then means
            silent = path in last.values()
            axis = 1 if isinstance(owner, nn.ConvTranspose2d) and kind == "weight" else 0
            if path.startswith("gain"):
                axis = 1  # [qualities, channels]
            unheard = 2.0**-18 if isinstance(owner, GDN) else 0.0  # GDN holds square roots, never below this
            if path == "entropy_bottleneck":
                tensor.copy_(narrow[name][-1].expand_as(tensor))
            parts = zip(tensor.chunk(halves, axis), narrow[name].chunk(halves, axis), strict=True)
            for new, old in parts:
                _place(new, old, axis, kind in ("weight", "gamma"), silent, unheard)
    return True


def _fits(wide: Tensor, narrow: Tensor) -> bool:
    return wide.ndim == narrow.ndim and all(a >= b for a, b in zip(wide.shape, narrow.shape, strict=True))


def _last_layers(codec: nn.Module) -> dict[str, str]:
    """The last layer of each transform whose outputs are coded."""
    layers = (nn.Conv2d, nn.ConvTranspose2d)
    paths = [name for name, module in codec.named_modules() if _CODED.fullmatch(name) and isinstance(module, layers)]
    return {path.partition(".")[0]: path for path in paths}


def _place(new: Tensor, old: Tensor, axis: int, has_inputs: bool, silent: bool, unheard: float) -> None:
    """Old values into the corner of new ones; axis: of the output channels, the inputs of a weight being the other."""
    if silent:
        new.zero_()
    outputs = new.narrow(axis, 0, old.shape[axis])
    if has_inputs:
        outputs.fill_(unheard)
        outputs = outputs.narrow(1 - axis, 0, old.shape[1 - axis])
    outputs.copy_(old)


def asleep(codec: nn.Module) -> bool:
    """Whether there are latents that `widen` has left silent."""
    if not isinstance(codec.g_a, nn.Sequential):
        return False
    last = codec.g_a[-1]
    assert isinstance(last, nn.Conv2d)
    return not bool(last.weight.flatten(1).any(dim=1).all())


def wake(codec: nn.Module, samples: Tensor) -> None:
    """Gives latents that `widen` has left silent something to say.

    samples: images [B, 3, H, W], sides divisible by 16. Beside the narrow codec the new features carry the principal
    axes of what it leaves out, 2x2 positions a layer, and the new latents are the linear function of the image that
    predicts it best (reduced-rank regression: Izenman, Journal of Multivariate Analysis 1975).
    """
    assert isinstance(codec.g_a, nn.Sequential)
    assert isinstance(codec.g_s, nn.Sequential)
    *pairs, (last, enter) = strided_pairs(codec.g_a, codec.g_s)
    old = int(last.weight.flatten(1).any(dim=1).sum())  # latents
    image_down, image_up = pairs[0]
    first = int(image_up.weight.flatten(1).any(dim=1).sum())  # feature that no pixel hears of
    with torch.no_grad():
        seen, left = samples - IMAGE_MEAN, samples - _coded(codec, samples)
        begin = 0
        seen, left = F.pixel_unshuffle(seen, 2), F.pixel_unshuffle(left, 2)
        for down, up in pairs:
            axes = principal_axes(left, min(left.shape[1], down.out_channels - first))
            _connect(down, up, (begin, first), axes, axes.T)
            seen, left = [F.pixel_unshuffle(F.conv2d(x, axes[:, :, None, None]), 2) for x in (seen, left)]
            begin = first
        image_down.bias[first:] -= IMAGE_MEAN * image_down.weight[first:].sum(dim=(1, 2, 3))  # type: ignore[index]
        encoder, decoder = _best_linear(seen, left, last.out_channels - old)
        _connect(last, enter, (first, old), encoder, decoder)
        for layer in (*codec.g_a, *codec.g_s):
            if isinstance(layer, GDN):
                layer.gamma[first:, first:] = _LINEAR**0.5 * torch.eye(len(layer.beta) - first)
        if isinstance(codec, HyperpriorCodec) and not codec.log_scale:
            start_scales(codec, samples[:256], old)


def _coded(codec: nn.Module, images: Tensor) -> Tensor:
    """What the codec makes of images at the quality that new latents are made for."""
    training = codec.training
    codec.eval()
    variable = codec.gain is not None
    made = [codec(x, x.new_full((len(x),), _QUALITY) if variable else None).image for x in torch.split(images, 16)]
    codec.train(training)
    return torch.cat(made)


def _connect(down: nn.Conv2d, up: nn.ConvTranspose2d, begin: tuple[int, int], encoder: Tensor, decoder: Tensor) -> None:
    """A linear path through two layers that mirror each other, between channels `begin` below and above.

    encoder [k, 4 C], decoder [4 C, k]: of 2x2 positions of the C channels below.
    """
    below, above = begin
    count, channels = len(encoder), encoder.shape[1] // 4
    down.weight[above : above + count] = 0.0
    down.weight[above : above + count, below : below + channels, 2:4, 2:4] = encoder.reshape(count, channels, 2, 2)
    down.bias[above : above + count] = 0.0  # type: ignore[index]
    if below:  # else these are the image, which the narrow codec makes
        up.weight[:, below : below + channels] = 0.0
        up.bias[below : below + channels] = 0.0  # type: ignore[index]
    up.weight[above:] = 0.0
    up.weight[above : above + count, below : below + channels, 2:4, 2:4] = decoder.T.reshape(count, channels, 2, 2)


def _best_linear(x: Tensor, y: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(encoder [rank, X], decoder [Y, rank]) of the least squared error of decoder @ encoder @ x against y.

    x [B, X, h, w], y [B, Y, h, w]. The decoder is orthonormal: errors of the code are errors of y.
    """
    a, b = (t.transpose(0, 1).flatten(1).double() for t in (x, y))
    power = a @ a.T
    power += 1e-6 * power.trace() / len(power) * torch.eye(len(power), device=power.device)
    regression = torch.linalg.solve(power, a @ b.T).T
    axes = torch.linalg.svd(regression @ torch.linalg.cholesky(power), full_matrices=False).U[:, :rank]
    return (axes.T @ regression).float(), axes.float()
