"""Checkpoints of CompressAI."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from compass.nets.compressai import load_compressai
from compass.nets.factorized_codec import FactorizedCodec
from compass.nets.hyperprior_codec import HyperpriorCodec
from compass.nets.paper import paper_transforms


def compressai_state(codec: torch.nn.Module, naming: str) -> dict[str, torch.Tensor]:
    """A state dict with the keys and shapes that CompressAI publishes, filled with this codec's weights."""
    state = {}
    for key, value in codec.state_dict().items():
        for ours, theirs in (("_matrix", "matrices"), ("_bias", "biases"), ("_factor", "factors")):
            if naming != "middle" and key.startswith(f"entropy_bottleneck.{ours}"):
                underscore = "_" if naming == "first" else ""
                key = f"entropy_bottleneck.{underscore}{theirs}.{key[-1]}"
        state[key] = value
        if key.endswith((".beta", ".gamma")):
            state[f"{key}_reparam.pedestal"] = torch.tensor([2.0**-36])
            state[f"{key}_reparam.lower_bound.bound"] = torch.tensor([1e-3])
    channels = state["entropy_bottleneck.quantiles"].shape[0]
    for part in ("entropy_bottleneck", "gaussian_conditional"):
        state[f"{part}._offset"] = torch.zeros(channels, dtype=torch.int32)
        state[f"{part}._quantized_cdf"] = torch.zeros(channels, 20, dtype=torch.int32)
        state[f"{part}._cdf_length"] = torch.zeros(channels, dtype=torch.int32)
        state[f"{part}.likelihood_lower_bound.bound"] = torch.tensor([1e-9])
    state["entropy_bottleneck.target"] = torch.zeros(3)
    state["gaussian_conditional.scale_table"] = torch.zeros(64)
    state["gaussian_conditional.lower_bound_scale.bound"] = torch.tensor([0.11])
    return state


def reference_analysis(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """g_a written out from CompressAI's definition of its layers: convolution, then GDN with its reparametrisation."""
    for i in range(0, 7, 2):
        x = F.conv2d(x, state[f"g_a.{i}.weight"], state[f"g_a.{i}.bias"], stride=2, padding=2)
        if i < 6:
            beta = torch.clamp(state[f"g_a.{i + 1}.beta"], min=(1e-6 + 2.0**-36) ** 0.5) ** 2 - 2.0**-36
            gamma = torch.clamp(state[f"g_a.{i + 1}.gamma"], min=2.0**-18) ** 2 - 2.0**-36
            norm = torch.einsum("ij,bjhw->bihw", gamma, x**2) + beta[:, None, None]
            x = x / torch.sqrt(norm)
    return x


@pytest.mark.parametrize("naming", ["first", "middle", "latest"])
@pytest.mark.parametrize("kind", ["mbt2018-mean", "bmshj2018-factorized"])
def test_compressai_checkpoints_load(kind, naming):
    torch.manual_seed(3)

    def make() -> torch.nn.Module:
        if kind == "mbt2018-mean":
            return HyperpriorCodec(paper_transforms(), variable_rate=False)
        return FactorizedCodec(variable_rate=False)

    source = make()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(0.02 * torch.rand_like(parameter))
    state = compressai_state(source, naming)
    target = make()
    load_compressai(target, state)
    x = torch.rand(1, 3, 64, 80)
    with torch.no_grad():
        a, b = source.eval()(x), target.eval()(x)
        assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True))
        assert torch.allclose(target.g_a(x), reference_analysis(state, x), atol=1e-5)


def test_a_checkpoint_of_another_network_is_refused():
    state = compressai_state(FactorizedCodec(64, 96, variable_rate=False), "latest")
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_compressai(FactorizedCodec(variable_rate=False), state)
