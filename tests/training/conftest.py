"""Networks and images for tests that need PyTorch; without it this folder is passed over."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

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
def tiny_net():
    """The networks of `tests.training.tiny`."""
    from tests.training import tiny

    return tiny.tiny_net()


@pytest.fixture(scope="session")
def exported_model(tiny_net, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The model file of `tiny_net`."""
    from compass.training.export import export_model

    path = tmp_path_factory.mktemp("model") / "exported.model"
    export_model(tiny_net, path, "exported", {})
    return Model(path, threads=1)
