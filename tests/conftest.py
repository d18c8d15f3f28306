"""Shared images and a tiny model: untrained but for a block transform."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from PIL import Image

import compass
from compass.model.model import Model

ROOT = Path(__file__).parent.parent
# A shell that begins the tests in the background has them ignore Ctrl-C, and all processes that they begin.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PARROTS = ROOT / "tests" / "data" / "parrots.png"  # 320x240, from Kodak's image 23
CONFORMANCE = ROOT / "conformance"
TINY_MODEL = CONFORMANCE / "tiny.model"
RELEASED_MODELS = ROOT / "models"  # those of earlier releases, which are no longer in the package


@pytest.fixture(scope="session")
def parrots() -> Image.Image:
    with Image.open(PARROTS) as image:
        return image.convert("RGB")


@pytest.fixture(scope="session")
def tiny_model_path() -> Path:
    """A model file as users have them, made of such networks."""
    return TINY_MODEL


@pytest.fixture(scope="session")
def tiny_model(tiny_model_path: Path) -> Model:
    return Model(tiny_model_path, threads=1)


@pytest.fixture
def coded(tiny_model_path):
    """Codes an image and decodes a layer of it."""

    def code(image, layer=None, scales=(0.5, 1), **options):
        data = compass.encode(image, scales, 4, tiny_model_path, **options)
        return compass.decode(data, layer, model=tiny_model_path)

    return code


def images(folder: Path, names: str) -> None:
    """Writes photographs of these names (divided by spaces), 30 high, each a pixel wider than the one before."""
    folder.mkdir(exist_ok=True)
    with Image.open(PARROTS) as image:
        for i, name in enumerate(names.split()):
            image.convert("RGB").resize((40 + i, 30)).save(folder / name)
