"""Networks and images for tests that need PyTorch; without it this folder is passed over."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compass.model.model import Model

if find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("torch")


def save_crops(image: Image.Image, folder: Path) -> None:
    """Three images of 160x160 to train on."""
    for i in range(3):
        image.crop((i * 40, i * 20, i * 40 + 160, i * 20 + 160)).save(folder / f"{i}.png")


@pytest.fixture
def crops_folder(parrots: Image.Image, tmp_path: Path) -> Path:
    """A folder of images to train on."""
    path = tmp_path / "pictures"
    path.mkdir()
    save_crops(parrots, path)
    return path


@pytest.fixture(scope="session")
def tiny_net(parrots: Image.Image):
    """The untrained `tiny` networks on top of a block transform; what starts at zero in them is not."""
    import torch

    from compass.training.klt import start_from_klt
    from compass.training.run import build

    torch.manual_seed(1)
    net = build("tiny").eval()
    x = torch.from_numpy(np.array(parrots)).permute(2, 0, 1)[None].float() / 255
    start_from_klt(net.base, x[:, :, :240, :320])
    start_from_klt(net.residual, x[:, :, :240, :320], mean=0.0)
    for layer in (net.predictor.leave, net.residual.g_a.condition.view, net.residual.g_s.condition.view):
        torch.nn.init.normal_(layer.weight, std=0.01)
    return net


@pytest.fixture(scope="session")
def exported_model(tiny_net, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The model file of `tiny_net`."""
    from compass.training.export import export_model

    path = tmp_path_factory.mktemp("model") / "exported.model"
    export_model(tiny_net, path, "exported", {})
    return Model(path, threads=1)
