"""The graphs of a model file compute what the networks do, at sizes other than those they were traced with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from compass.model.model import Model
from compass.model.model import _session as session
from compass.nets.liff import LIFF
from compass.nets.liif import LIIF
from compass.nets.predictor import BicubicPredictor, SeparablePredictor, axis_tensors
from compass.training.export import _predictor_graph as predictor_graph


class _ModelOf(Model):
    """A model that holds nothing but a predictor."""

    def __init__(self, predictor: nn.Module) -> None:
        self._members = {"residual/entropy.npz": b"", "predictor.onnx": predictor_graph(predictor.eval())}
        self._threads = 1


@pytest.mark.parametrize("make", [LIFF, LIIF, SeparablePredictor, BicubicPredictor])
def test_predictors(make):
    torch.manual_seed(0)
    predictor = make()
    if isinstance(predictor, SeparablePredictor):
        nn.init.normal_(predictor.leave.weight, std=0.1)
    for parameter in predictor.parameters():  # as in a model file
        parameter.data = parameter.data.half().float()
    model = _ModelOf(predictor)
    for small, large in (((12, 17), (12, 17)), ((9, 8), (13, 30)), ((5, 21), (31, 22)), ((1, 1), (3, 2))):
        x = torch.rand(1, 3, *small)
        with torch.no_grad():
            expected = predictor(x, axis_tensors(small[0], large[0]), axis_tensors(small[1], large[1]))
        assert np.allclose(model.predict(x[0].numpy(), large), expected[0].numpy(), atol=2e-5)


def test_transforms_of_a_whole_model(tiny_net, tiny_model):
    x = torch.rand(1, 3, 37, 50)
    for codec, net in ((tiny_model.base, tiny_net.base), (tiny_model.residual, tiny_net.residual)):
        with torch.no_grad():
            y = net.g_a(x) * net.gain(torch.tensor([2.0]))
            z = net.h_a(y)
        ours, hyper = codec.analyse(x[0].numpy(), 64)
        assert np.allclose(ours, y[0].numpy(), atol=1e-4)
        assert np.allclose(hyper, z[0].numpy(), atol=1e-4)


def test_sessions_are_not_made_with_a_negative_number_of_threads(tiny_model):
    from compass.errors import InputError

    with pytest.raises(InputError, match="-1 threads are impossible"):
        session(tiny_model._members["predictor.onnx"], -1)
