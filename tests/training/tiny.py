"""The `tiny` networks.

`python -m tests.training.tiny conformance/tiny.model` makes the model file of the conformance files. Other machines
may round its weights in another way; conformance/make.py must run after it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from compass.nets.layered import CompassNet
from compass.training.export import export_model
from compass.training.klt import start_from_klt
from compass.training.run import build
from tests.conftest import PARROTS


def tiny_net() -> CompassNet:
    """Untrained on top of a block transform; what starts at zero in them is not."""
    with Image.open(PARROTS) as image:
        parrots = image.convert("RGB")
    torch.manual_seed(1)
    net = build("tiny").eval()
    x = torch.from_numpy(np.array(parrots)).permute(2, 0, 1)[None].float() / 255
    start_from_klt(net.base, x[:, :, :240, :320])
    start_from_klt(net.residual, x[:, :, :240, :320], mean=0.0)
    for layer in (net.predictor.leave, net.residual.g_a.condition.view, net.residual.g_s.condition.view):
        nn.init.normal_(layer.weight, std=0.01)
    for codec in (net.base, net.residual):
        for name, parameter in codec.context.named_parameters():
            if name.endswith("2.weight"):
                nn.init.normal_(parameter, std=0.2)
    return net


if __name__ == "__main__":
    export_model(tiny_net(), Path(sys.argv[1]), "tiny", {"note": "for tests: untrained but for a block transform"})
