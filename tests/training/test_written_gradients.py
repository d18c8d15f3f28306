"""Gradients written by hand, for the speed of training, against automatic differentiation of the definitions."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from compass.nets.fast import GatedSiLU
from compass.nets.gdn import GDN
from compass.nets.nearest import at_nearest, products_at_nearest
from compass.nets.paper import conv, deconv


def assert_same_gradients(ours: torch.Tensor, expected: torch.Tensor, leaves: tuple[torch.Tensor, ...]) -> None:
    weights = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, leaves, weights), torch.autograd.grad(expected, leaves, weights), strict=True
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1)])
@pytest.mark.parametrize("make", [partial(conv, stride=1), conv, deconv])
def test_half_precision_makes_true_gradients_of_the_smallest_inputs(size, make):
    torch.manual_seed(0)
    layer = make(128, 128).to(memory_format=torch.channels_last)
    x = torch.randn(2, 128, *size)
    gradients = []
    for half in (False, True):
        layer.zero_grad()
        torch.full((10_000_000,), 3e38)  # for what reads memory before it writes to it
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            layer(x).float().square().sum().backward()
        gradients.append(layer.weight.grad.clone())
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0.03 * gradients[0].abs().max().item())


@pytest.mark.parametrize("inverse", [False, True])
def test_gdn_in_training_is_gdn(inverse):
    """The written-out gradient against automatic differentiation of the definition, and by finite differences."""
    torch.manual_seed(0)
    gdn = GDN(5, inverse).double()
    with torch.no_grad():
        gdn.beta += torch.rand(5)
        gdn.gamma += torch.rand(5, 5)
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True)
    norm = F.conv2d(x * x, (gdn.gamma**2 - 2.0**-36)[:, :, None, None], gdn.beta**2 - 2.0**-36)
    expected = x * norm**0.5 if inverse else x * norm**-0.5
    ours = gdn(x)
    with torch.no_grad():
        assert torch.allclose(gdn(x), ours)
    assert torch.allclose(ours, expected)
    assert_same_gradients(ours, expected, (x, gdn.gamma, gdn.beta))
    assert torch.autograd.gradcheck(gdn, x)


def test_gated_silu_in_training_is_its_definition():
    x = torch.randn(40, dtype=torch.float64, requires_grad=True)
    gated = GatedSiLU()
    assert torch.allclose(gated(x), x * torch.sigmoid(4 * x))
    with torch.no_grad():
        assert torch.allclose(gated(x), x * torch.sigmoid(4 * x))
    assert torch.autograd.gradcheck(gated, x)


@pytest.mark.parametrize(("kernel", "stride"), [(5, 2), (3, 1)])
def test_deconv_in_training_is_a_transposed_convolution(kernel, stride):
    torch.manual_seed(0)
    layer = deconv(3, 4, kernel, stride).double()
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    expected = F.conv_transpose2d(x, layer.weight, layer.bias, stride, kernel // 2, stride - 1)
    ours = layer(x)
    assert torch.equal(ours, expected)
    with torch.no_grad():
        assert torch.equal(layer(x), expected)
    assert_same_gradients(ours, expected, (x, layer.weight, layer.bias))


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [0, 0, 1, 2, 2, 3, 4, 4, 4], [1, 1, 3]])
def test_what_lies_in_a_pixel_gives_it_its_gradient(rows):
    torch.manual_seed(0)
    rows, columns = torch.tensor(rows), torch.tensor([0, 1, 1, 2, 3, 3])
    x = torch.randn(2, 5, 4, 3, dtype=torch.float64, requires_grad=True)
    filters = torch.randn(2, 5, 4, 2 * 3, dtype=torch.float64, requires_grad=True)

    def enlarge(x):
        return at_nearest(x, rows, columns)

    def products(x, filters):
        return products_at_nearest(x, filters, rows, columns)

    high = enlarge(x).detach().requires_grad_()
    assert torch.equal(high, x[:, rows][:, :, columns])
    seen = filters[:, rows][:, :, columns].unflatten(3, (2, 3))
    torch.testing.assert_close(products(high, filters), torch.einsum("bhwn,bhwkn->bhwk", high, seen))
    with torch.no_grad():
        assert torch.equal(enlarge(x), high)
        torch.testing.assert_close(products(high, filters), torch.einsum("bhwn,bhwkn->bhwk", high, seen))
    assert torch.autograd.gradcheck(enlarge, x)
    assert torch.autograd.gradcheck(products, (high, filters))
