"""The learned scalable codec of Mei, Cheng, Luo, et al. (2021), spatial case: a peer of the paper.

Every layer is twice the size of the one below. The lower layer's latent predicts that of the next, which codes the
difference; the synthesis sees the lower latent once more, enlarged. The original codes latents with factorized priors;
the enhanced version, which the COMPASS paper made for its comparison, has mean-scale hyperpriors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from compass.nets.factorized_codec import FactorizedCodec
from compass.nets.gdn import GDN
from compass.nets.hyperprior_codec import HyperpriorCodec, Transforms
from compass.nets.layered import Codec, LayeredNet, LayerOutput
from compass.nets.paper import analysis, conv, deconv, hyper_transforms, synthesis

LAYERS = 3


class LatentPrediction(nn.Module):
    """Latent [B, a, h, w] of a layer -> prediction [B, c, 2h, 2w] of the next one's. Fresh, it predicts nothing."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.down = nn.Sequential(conv(inputs, channels), GDN(channels))
        self.first = nn.Sequential(conv(channels, channels, stride=1), GDN(channels))
        self.second = nn.Sequential(conv(channels, channels, stride=1), GDN(channels))
        self.third = conv(channels, channels, stride=1)
        self.fourth = nn.Sequential(conv(channels, channels, stride=1), GDN(channels))
        self.fifth = conv(channels, channels, stride=1)
        self.up = nn.Sequential(deconv(channels, channels), GDN(channels, inverse=True))
        self.leave = deconv(channels, channels)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, y: Tensor) -> Tensor:
        x2 = self.first(self.down(y))
        x4 = self.third(self.second(x2))
        x6 = self.fifth(self.fourth(x4 + x2))
        return self.leave(self.up(x6 + x4 + x2))


class MeiNet(LayeredNet):
    """Codes up to three layers, each twice the size of the one below; they are trained as one."""

    def __init__(self, channels: int = 96, enhanced: bool = False, variable_rate: bool = True) -> None:
        super().__init__()
        make = _mean_scale if enhanced else _factorized
        inputs = [channels] + [2 * channels] * (LAYERS - 1)  # of the synthesis of each layer
        self.layers = nn.ModuleList(make(channels, count, variable_rate) for count in inputs)
        self.predictions = nn.ModuleList(LatentPrediction(count, channels) for count in inputs[:-1])
        self.enlarge = nn.ModuleList(
            nn.Sequential(
                deconv(count, channels), conv(channels, channels, stride=1), conv(channels, channels, stride=1)
            )
            for count in inputs[:-1]
        )

    def forward(self, pyramid: list[Tensor], qualities: list[Tensor | None]) -> list[LayerOutput]:
        outputs: list[LayerOutput] = []
        lower: Tensor | None = None
        for k, (image, quality) in enumerate(zip(pyramid, qualities, strict=True)):
            codec = self.layers[k]
            assert isinstance(codec, Codec)
            y = codec.g_a(image).float()
            prediction, enlarged = self.from_lower(k, lower, y.shape)
            residual, bits_y, bits_z = codec.code(y - prediction, quality)
            lower = self.latent(residual + prediction, enlarged)
            decoded = codec.g_s(lower).float()[:, :, : image.shape[2], : image.shape[3]]
            outputs.append(LayerOutput(decoded, None, bits_y, bits_z))
        return outputs

    def from_lower(self, k: int, lower: Tensor | None, shape: torch.Size) -> tuple[Tensor | float, Tensor | None]:
        """Prediction of the latent of layer k, and the lower latent enlarged to its size; nothing for layer 0."""
        if lower is None:
            return 0.0, None
        prediction, enlarged = self.predictions[k - 1](lower), self.enlarge[k - 1](lower)
        return prediction.float()[:, :, : shape[2], : shape[3]], enlarged.float()[:, :, : shape[2], : shape[3]]

    @staticmethod
    def latent(values: Tensor, enlarged: Tensor | None) -> Tensor:
        """What the synthesis of a layer, and the layer above, see: what is decoded of it, behind the lower latent."""
        return values if enlarged is None else torch.cat((enlarged, values), 1)


def _factorized(channels: int, inputs: int, variable_rate: bool) -> FactorizedCodec:
    codec = FactorizedCodec(channels, channels, variable_rate)
    codec.g_s[0] = deconv(inputs, channels)
    return codec


def _mean_scale(channels: int, inputs: int, variable_rate: bool) -> HyperpriorCodec:
    h_a, h_s = hyper_transforms(channels, channels)
    g_a, g_s = analysis(channels, channels), synthesis(channels, channels)
    g_s[0] = deconv(inputs, channels)
    return HyperpriorCodec(Transforms(g_a, g_s, h_a, h_s, channels, channels, log_scale=False), variable_rate)
