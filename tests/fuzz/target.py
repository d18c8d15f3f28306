"""What fuzzers call: anything may come in, and only the package's own errors may come out."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from PIL import Image

import compass.pillow  # noqa: F401
from compass.errors import CompassError
from compass.layered_file import LayeredFile
from compass.model import store
from compass.model.model import Model
from compass.picture.files import image_bytes

MODEL = Path(__file__).parent.parent.parent / "conformance" / "tiny.model"
SUFFIXES = (".png", ".tif", ".jpg", ".webp")
MAX_PIXELS = 1 << 14  # half of what may be decoded: a bomb is stopped by Pillow's limit, not by time


@contextmanager
def setting(check_sums: bool):
    """The tiny model for every file, few pixels, and on wish no checksums: a fuzzer does not find them."""
    model = Model(MODEL, threads=1)

    def load_for(*_: object) -> Model:  # no mocks: they would keep every argument
        return model

    def matches(*_: object) -> bool:
        return True

    with mock.patch.object(Image, "MAX_IMAGE_PIXELS", MAX_PIXELS), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patches = [mock.patch.object(store, "load_for", load_for)]
        if not check_sums:
            patches.append(mock.patch("compass.bitstream.checksum.matches", matches))
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()


def open_and_decode(data: bytes) -> bool:
    """Reads all that there is in a file. Whether it was one, at least to its first layer."""
    try:
        with LayeredFile(data) as opened:
            opened.info()
            image = opened.decode()
            assert image.size in opened.sizes
            assert opened.decode(0).size == opened.sizes[0]
            assert opened.decode(width=5).size[0] == 5
            part = LayeredFile(opened.extract(0))
            assert (part.whole_layers, part.sizes) == (max(1, part.whole_layers), opened.sizes)
            with contextlib.suppress(CompassError):  # a format that cannot hold it
                image_bytes(image, Path("x" + SUFFIXES[len(data) % len(SUFFIXES)]))
        _open_by_pillow(data)
        return True
    except CompassError as error:
        text = str(error)
        assert text
        assert "\n" not in text
        return False


def _open_by_pillow(data: bytes) -> None:
    with (
        contextlib.suppress(OSError, Image.DecompressionBombError),
        Image.open(io.BytesIO(data), formats=["COMPASS"]) as image,
    ):
        image.layer = 0
        image.load()


def seeds() -> list[bytes]:
    """Files to start from."""
    return [path.read_bytes() for path in sorted((Path(__file__).parent / "corpus").iterdir())]


if __name__ == "__main__":  # replay: python -m tests.fuzz.target FILE...
    for name in sys.argv[1:]:
        with setting(check_sums=not os.environ.get("NO_CHECKSUMS")):
            print(name, open_and_decode(Path(name).read_bytes()))
