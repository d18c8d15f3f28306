"""Gradients of exported synthesis networks, against those of PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compass.model.gradient import with_gradient
from compass.model.runtime import Network
from compass.nets.fast import fast_transforms
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.paper import paper_transforms
from compass.training.export import codec_members


def small(profile: str, conditional: bool = False) -> HyperpriorCodec:
    torch.manual_seed(0)
    if profile == "paper":
        return HyperpriorCodec(paper_transforms(n=12, m=16)).eval()
    codec = HyperpriorCodec(fast_transforms(16, 24, 8, 1, 2, 8, 8, (), conditional)).eval()
    for parameter in codec.g_s.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return codec


@pytest.mark.parametrize(("profile", "conditional"), [("fast", False), ("fast", True), ("paper", False)])
def test_derivatives_are_those_of_autograd(profile, conditional):
    codec = small(profile, conditional)
    y = torch.randn(1, codec.latent_channels, 3, 4, requires_grad=True)
    target, weight, prediction = torch.rand(1, 3, 48, 64), torch.rand(1, 1, 48, 64), torch.rand(1, 3, 48, 64)
    image = codec.g_s(y, prediction) if conditional else codec.g_s(y)
    error = (weight * (image - target) ** 2).sum()
    error.backward()
    graph = codec_members(codec, "base")["decoder/base/synthesis.onnx"]
    network = Network(with_gradient(graph, "synthesis"), "gradient", 1)
    feeds = {"y": y.detach(), "target": target, "weight": weight, "prediction": prediction}
    found, gradient = network.run({name: value.numpy() for name, value in feeds.items()})
    assert float(found) == pytest.approx(error.item(), rel=1e-3)
    expected = y.grad.numpy()
    assert np.abs(gradient - expected).max() < 5e-3 * np.abs(expected).max()
