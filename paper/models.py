"""The trained models of the comparison in one table: their size, what a pixel costs, what they were trained on.

A card is a JSON file beside a file of weights: `profile`, `part` (base, layers, or what is added to a base),
`core_minutes`, `pixels`, `validation` with its `cost`, and `curve`, pairs of pixels seen and cost on the way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from compass.entropy.latent import latent_size
from compass.errors import InputError
from compass.evaluation import plots
from compass.evaluation.document import Figure, Section, Table, Text
from compass.nets.layered import Codec, CompassNet
from compass.nets.macs import analysis_macs, count_macs, decode_macs, encode_macs, entropy_macs, predict_macs
from compass.nets.mei import MeiNet
from compass.training.run import build_for_training

HEIGHT, WIDTH = 512, 768


class Cost(NamedTuple):
    """What one layer takes."""

    layer: str
    parameters: int
    encode: float  # thousand multiply-accumulates a pixel of the layer, what the decoder does included
    decode: float


def costs(profile: str, part: str) -> list[Cost]:
    """Of a base layer, and of an enhancement layer twice the size of the one below, as far as the part has them.

    Raises InputError if there is no such profile, or if it has no such part.
    """
    net = build_for_training(profile)
    if isinstance(net, MeiNet):
        return [_base(net.layers[0]), _mei(net)]
    assert isinstance(net, CompassNet)
    if part == "base":
        return [_base(net.base)]
    residual, predictor = net.residual, net.predictor
    if residual is None or predictor is None:
        raise InputError(f"the profile {profile} is a base codec alone: its part is base, not {part}")
    below = predict_macs(net, HEIGHT, WIDTH, 2.0)
    encode, decode = (below + macs(residual, HEIGHT, WIDTH) for macs in (encode_macs, decode_macs))
    return [_cost("enhancement", [residual, predictor], encode, decode)]


def _base(codec: nn.Module) -> Cost:
    assert isinstance(codec, Codec)
    return _cost("base", [codec], encode_macs(codec, HEIGHT, WIDTH), decode_macs(codec, HEIGHT, WIDTH))


def _cost(layer: str, modules: Iterable[nn.Module], encode: int, decode: int) -> Cost:
    parameters = sum(p.numel() for module in modules for p in module.parameters())
    pixels = 1000 * HEIGHT * WIDTH
    return Cost(layer, parameters, encode / pixels, decode / pixels)


def _mei(net: MeiNet) -> Cost:
    """The first layer above the base."""
    codec = net.layers[1]
    assert isinstance(codec, Codec)
    y = torch.zeros(1, codec.latent_channels, latent_size(HEIGHT), latent_size(WIDTH))
    lower = torch.zeros(1, codec.latent_channels, latent_size(HEIGHT // 2), latent_size(WIDTH // 2))
    decode = entropy_macs(codec, y)
    decode += count_macs(lambda: net.from_lower(1, lower, y.shape))
    decode += count_macs(lambda: codec.g_s(net.latent(y, y)))
    modules = [codec, net.predictions[0], net.enlarge[0]]
    return _cost("enhancement", modules, analysis_macs(codec, HEIGHT, WIDTH) + decode, decode)


class Card(NamedTuple):
    """What is known of a file of weights."""

    name: str
    profile: str
    part: str
    trained: Sequence[str]  # core minutes, billions of pixels, cost
    curve: Sequence[tuple[float, float]]  # billions of pixels, cost


def models_section(cards: Sequence[Path]) -> list[Section]:
    """A table of all cards, and how the cost fell. Raises InputError if a file is no card."""
    rows, lines = [], []
    for card in map(_read, cards):
        for i, cost in enumerate(costs(card.profile, card.part)):
            size = [cost.layer, f"{cost.parameters:,}", f"{cost.encode:.1f}", f"{cost.decode:.1f}"]
            rows.append([card.name, *size, *(card.trained if i == 0 else [""] * len(card.trained))])
        lines += [plots.Line(card.name, list(card.curve), ".-")] if card.curve else []
    head = ["weights", "layer", "parameters", "encode, kMAC a pixel", "decode", "core minutes", "Gpixel seen", "cost"]
    note = (
        "Multiplications are for a pixel of the layer itself, an enhancement layer being twice the size of the one "
        "below. The cost is bpp + lambda 255^2 MSE on validation images: of a base that of the whole image alone, of "
        "layers the mean over those that were trained, so only weights of one kind compare by it."
    )
    figures = [Figure(plots.trainings(lines))] if lines else []
    return [Section("Models, and what they were trained on", [Text(note), Table(head, rows, right=True), *figures])]


def _read(path: Path) -> Card:
    try:
        card: dict[str, Any] = json.loads(path.read_text())
        trained = [f"{card['core_minutes']:,}", f"{card['pixels'] / 1e9:.2f}", f"{card['validation']['cost']:.4g}"]
        curve = [(pixels / 1e9, cost) for pixels, cost in card.get("curve", [])]
        return Card(path.stem, card["profile"], card["part"], trained, curve)
    except KeyError as error:
        raise InputError(f"{path} is no card: it has no {error}") from None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is no card in JSON: {error}") from None
