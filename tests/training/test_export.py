"""The graphs of a model file compute what the networks do, at sizes other than those they were traced with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from compass.entropy import operations as exact
from compass.entropy.hyperprior import HyperpriorModel
from compass.errors import InputError, ModelError
from compass.model.predictor import Part, Predictor
from compass.nets.exact_by_torch import run_by_torch
from compass.nets.liff import LIFF
from compass.nets.liif import LIIF
from compass.nets.predictor import BicubicPredictor, SeparablePredictor, axis_tensors
from compass.nets.profiles import PROFILES
from compass.picture.window import Window
from compass.training.exact import hyperprior_model
from compass.training.export import export_model
from compass.training.graphs import predictor_graph
from compass.training.rounding import round_weights
from compass.training.run import build


@pytest.mark.parametrize("make", [LIFF, LIIF, SeparablePredictor, BicubicPredictor])
def test_predictors(make):
    torch.manual_seed(0)
    predictor = make()
    if isinstance(predictor, SeparablePredictor):
        nn.init.normal_(predictor.leave.weight, std=0.1)
    for parameter in predictor.parameters():  # as in a model file
        parameter.data = parameter.data.half().float()
    predict = Predictor(predictor_graph(predictor.eval()), threads=1)
    for small, large in (((12, 17), (12, 17)), ((9, 8), (13, 30)), ((5, 21), (31, 22)), ((1, 1), (3, 2))):
        x = torch.rand(1, 3, *small)
        with torch.no_grad():
            expected = predictor(x, axis_tensors(small[0], large[0]), axis_tensors(small[1], large[1]))
        assert np.allclose(predict(Part.whole(x[0].numpy()), large), expected[0].numpy(), atol=2e-5)


@pytest.mark.parametrize("conditional", [False, True])
def test_transforms_of_a_whole_model(tiny_net, exported_model, conditional):
    """Encoder and decoder networks of the base, and of the residual codec, which also sees the prediction."""
    x, prediction = torch.rand(1, 3, 37, 50), torch.rand(1, 3, 37, 50)
    codec, net = (exported_model.residual, tiny_net.residual) if conditional else (exported_model.base, tiny_net.base)
    seen = [prediction] if conditional else []
    quality = torch.tensor([2.0])
    with torch.no_grad():
        y = net.g_a(x, *seen) * net.gain(quality)
        z = net.h_a(y)
        quantised, _, _ = net.entropy_parameters(y, net.entropy_bottleneck.quantise(z), net.gain.shift(quality))
    context = prediction[0].numpy() if conditional else None
    image = x[0].numpy() + (context if conditional else 0)
    unscaled = codec.analyse(image, context)
    ours, hyper = codec.scaled(unscaled, 64)
    assert np.allclose(ours, y[0].numpy(), atol=1e-4)
    assert np.allclose(hyper, z[0].numpy(), atol=1e-4)
    coded = codec.encode(unscaled, 64)
    differ = np.abs(coded.decoded.values - quantised[0].numpy()) > 0.1
    assert differ.mean() < 0.01  # a symbol on the edge may round the other way
    with torch.no_grad():
        expected = net.g_s(torch.from_numpy(coded.decoded.values)[None] / net.gain(quality), *seen)[0, :, :37, :50]
    planes = codec.synthesise(coded.decoded.values, (37, 50), 64, context)
    assert np.allclose(planes, expected.numpy() + (context if conditional else 0), atol=1e-4)
    assert np.array_equal(codec.decode(coded.payload, (3, 4), 64).values, coded.decoded.values)


def test_networks_are_not_made_with_a_negative_number_of_threads():
    from compass.model.runtime import Network

    with pytest.raises(InputError, match="-1 threads are impossible"):
        Network(b"", "predictor", -1)


def test_symbols_agree_between_onnx_runtime_and_torch(parrots, tiny_net, exported_model):
    """PyTorch's analysis, with the exact hyper-synthesis run by PyTorch, yields the symbols that the file holds."""
    codec = exported_model.base
    x = np.asarray(parrots).transpose(2, 0, 1).astype(np.float32) / 255
    coded = codec.encode(codec.analyse(x), 96)
    decoded = codec.decode(coded.payload, (15, 20), 96)
    model = codec.entropy_model
    assert isinstance(model, HyperpriorModel)
    with torch.no_grad():
        y = tiny_net.base.g_a(torch.from_numpy(x)[None]) * torch.from_numpy(model.gain(96))
        z_torch = torch.round(tiny_net.base.h_a(y))[0].numpy().astype(np.int64)
    assert np.array_equal(decoded.hyper_symbols, z_torch)
    scales, fixed_means = model.conditions(decoded, 96, run_by_torch)
    means = fixed_means / 2**exact.ACTIVATION_BITS
    assert all(np.array_equal(a, b) for a, b in zip((scales, fixed_means), model.conditions(decoded, 96), strict=True))
    assert np.array_equal(decoded.values, (decoded.symbols + means).astype(np.float32))
    assert np.array_equal(decoded.symbols, np.rint(y[0].numpy() - means.astype(np.float32)).astype(np.int32))


def test_windows_of_a_separable_prediction_are_parts_of_the_whole_one():
    torch.manual_seed(0)
    predictor = SeparablePredictor()
    nn.init.normal_(predictor.leave.weight, std=0.1)
    for block in predictor.blocks:
        for last in (block.spatial[-1], block.project):
            nn.init.normal_(last.weight, std=0.1)
    predict = Predictor(predictor_graph(predictor.eval()), threads=1)
    lower = Part.whole(np.random.default_rng(0).random((3, 203, 131), np.float32))
    for size in ((203, 131), (304, 150), (700, 599), (1500, 1100)):
        whole = predict(lower, size)
        for window in [*Window.whole(size).pieces(160, 288), Window(33, 5, 34, 6), Window(150, 0, 203, 131)]:
            seen = predict.seen(window, lower.size, size)
            rows, columns = seen.slices
            part = Part(lower.planes[:, rows, columns], seen, lower.size)
            rows, columns = window.slices
            assert np.array_equal(predict(part, size, window), whole[:, rows, columns])


def test_latents_that_are_too_large_are_refused(exported_model):
    codec = exported_model.base
    y = np.zeros((codec.entropy_model.channels, 2, 2), np.float32)
    for value in (2e6, 1e30, np.inf, np.nan):
        y[0, 0, 0] = value
        with pytest.raises(InputError, match="too large to be coded"):
            codec.entropy_model.encode(y, np.zeros((codec.entropy_model.hyper_channels, 1, 1), np.float32), 96)


def test_finite_outputs_whose_products_are_not(exported_model, monkeypatch):
    predict = exported_model.predict
    outputs = predict.network.run

    def huge(feeds):
        return [np.full_like(output, 3e38) for output in outputs(feeds)]

    monkeypatch.setattr(predict.network, "run", huge)
    with pytest.raises(ModelError, match="predictor yields numbers that are not finite"):
        predict(Part.whole(np.full((3, 8, 8), 0.5, np.float32)), (16, 16))


def test_rounded_weights_are_those_of_the_file_and_stay():
    """Weights of every size, the smallest and the largest ones too."""
    torch.manual_seed(0)
    net = PROFILES["tiny"].build()
    with torch.no_grad():
        for i, parameter in enumerate(net.parameters()):
            parameter.mul_(10.0 ** (i % 9 - 6))
        net.base.h_s[0].weight.fill_(0.9999)
        net.base.h_s[3].weight.zero_()
    round_weights(net)
    once = {name: parameter.clone() for name, parameter in net.named_parameters()}
    round_weights(net)
    assert all(torch.equal(once[name], parameter) for name, parameter in net.named_parameters())
    modules = [net.base.h_s, *(context.scales for context in net.base.context.contexts if context.scales)]
    model = hyperprior_model(net.base)
    networks = [model.hyper_synthesis, *(group.scales for group in model.groups if group.scales)]
    for module, network in zip(modules, networks, strict=True):
        for layer, operation in zip(module, network, strict=True):
            if isinstance(layer, nn.Conv2d):
                assert np.array_equal(operation.weight, layer.weight.detach().double().numpy() * 2**exact.WEIGHT_BITS)


@pytest.mark.parametrize("profile", ["tiny", "paper-small"])  # the latter with transposed convolutions
def test_a_large_weight_costs_those_of_other_outputs_no_precision(profile):
    """A network may have outputs of very different scales: levels of tables and means that a whole image depends on."""
    net = PROFILES[profile].build()
    integer = nn.ModuleList(m for name, m in net.base.named_children() if name in ("h_s", "context"))
    kernels = [m for m in integer.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert kernels
    small = []
    with torch.no_grad():
        for kernel in kernels:
            of_outputs(kernel)[0] *= 1000
            small.append(of_outputs(kernel)[1:].clone())
    round_weights(net)
    for kernel, before in zip(kernels, small, strict=True):
        error, most = (of_outputs(kernel)[1:] - before).abs().amax((1, 2, 3)), before.abs().amax((1, 2, 3))
        assert torch.all(error <= most / 2**8)


def of_outputs(kernel: nn.Conv2d | nn.ConvTranspose2d) -> torch.Tensor:
    """A view of the weights, outputs first."""
    return kernel.weight.transpose(0, 1) if isinstance(kernel, nn.ConvTranspose2d) else kernel.weight


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("context.contexts.0.phase_means.0.0.weight", "too large for exact"),
        ("gain.scale_shift", "scale_shift cannot be right"),
    ],
)
def test_weights_that_no_decoder_takes_are_not_exported(name, message, tmp_path):
    net = build("tiny")
    with torch.no_grad():
        net.base.get_parameter(name).fill_(1e9)
    with pytest.raises(InputError, match="these weights make no model file: .*" + message):
        export_model(net, tmp_path / "x.model", "x", {})
    assert list(tmp_path.iterdir()) == []
