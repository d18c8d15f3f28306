"""Pillow plugin: after `import compass.pillow`, Pillow opens and saves .cmps files.

    from PIL import Image
    import compass.pillow

    Image.open("photo.png").save("photo.cmps", scales=[0.25, 0.5, 1], quality=3)
    image = Image.open("photo.cmps")   # its size is known; nothing is decoded yet
    image.layer_sizes                  # [(192, 128), (384, 256), (768, 512)]
    image.draft("RGB", (300, 300))     # the smallest layer that fills this box, here 384x256
    image.layer = 0                    # or any layer by its number

`Image.thumbnail` calls `draft` by itself, with twice the size that was asked for: what is reduced by two looks better.
Tools that know nothing of layers find them as frames, the largest first. `Image.verify` checks the bytes of all layers.
As other images of several frames, one keeps its file open until it is closed, for layers that are chosen later: use
`with`, or `close`. `save` takes what `compass.encode` does, and icc_profile, exif and xmp.
"""

from __future__ import annotations

import math
import warnings
from typing import IO, Any

from PIL import Image, ImageFile

from compass import api
from compass.bitstream.container import MAGIC
from compass.errors import CompassError, CutFileWarning
from compass.layered_file import LayeredFile
from compass.picture.metadata import replace_info

FORMAT = "COMPASS"
_OPTIONS = (
    *("scales", "sizes", "quality", "target_size", "target_psnr"),
    *("effort", "roi", "roi_weight", "metadata", "model", "threads", "progress"),
)


class CompassImageFile(ImageFile.ImageFile):
    """An image whose size is that of its chosen layer, the largest one at first."""

    format = FORMAT
    format_description = "COMPASS layered image"
    _opened: LayeredFile
    _layer: int

    def _open(self) -> None:
        assert self.fp is not None
        try:
            self._opened = LayeredFile(self.fp)
        except CompassError as error:
            raise SyntaxError(str(error)) from None
        self._mode = self._opened.mode
        self._choose(len(self.layer_sizes) - 1)

    def load_seek(self, pos: int) -> None:
        """Says to `ImageFile.Parser` that this file cannot be decoded in passing."""

    @property
    def layer_sizes(self) -> list[tuple[int, int]]:
        """(width, height) of every layer, the smallest first; of a file that ends with a layer, those to that one."""
        return self._opened.sizes[: self._opened.layers_promised]

    @property
    def layer(self) -> int:
        """The layer that is, or will be, loaded. Another one can be chosen at any time until the file is closed."""
        return self._layer

    @layer.setter
    def layer(self, layer: int) -> None:
        if not 0 <= layer < len(self.layer_sizes):
            raise ValueError(f"there is no layer {layer}: the file has layers 0 to {len(self.layer_sizes) - 1}")
        if layer != self._layer:
            self._choose(layer)

    def _choose(self, layer: int) -> None:
        self._layer = layer
        self._size = self.layer_sizes[layer]
        self._exif = None  # what `getexif` keeps
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CutFileWarning)  # if the layer is cut too, `load` says so
            try:
                replace_info(self.info, self._opened.metadata(layer))
            except CompassError as error:
                raise SyntaxError(str(error)) from None
        # The one tile tells Pillow that pixels are still to be loaded.
        self.tile = [ImageFile._Tile("raw", (0, 0, *self._size), 0, self._mode)]

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Chooses the smallest layer that an image within a box of `size` can be reduced from. The mode stays.

        Before any pixel is loaded; afterwards nothing happens.
        """
        if not self.tile or size is None:
            return None
        width, height = self.layer_sizes[-1]
        scale = min(size[0] / width, size[1] / height)
        fitting = self._opened.fitting_layer(math.floor(width * scale), math.floor(height * scale))
        if fitting is not None and fitting < self._layer:
            self._choose(fitting)
            return self.mode, (0, 0, *self._size)
        return None

    @property
    def n_frames(self) -> int:
        """The number of layers."""
        return len(self.layer_sizes)

    @property
    def is_animated(self) -> bool:
        return False

    def seek(self, frame: int) -> None:
        """Chooses a layer, 0 being the largest. Raises EOFError if there is none."""
        if not 0 <= frame < self.n_frames:
            raise EOFError(f"there is no frame {frame}: the file has {self.n_frames} layers")
        self.layer = self.n_frames - 1 - frame

    def tell(self) -> int:
        return self.n_frames - 1 - self._layer

    def verify(self) -> None:
        """Raises OSError unless all layers are whole and undamaged. Like any image, it has to be opened again then."""
        try:
            self._opened.verify()
        except CompassError as error:
            raise OSError(str(error)) from None
        super().verify()

    def __reduce__(self) -> tuple[Any, ...]:
        """A plain image is what is pickled: the file is not."""
        return _plain, (self.mode, self.size, self.tobytes(), self.info)

    def load(self) -> Any:
        """Decodes the chosen layer.

        Raises OSError if the file is damaged or, unless ImageFile.LOAD_TRUNCATED_IMAGES is set, cut off before the
        layer's end; with it, the last whole layer is enlarged.
        """
        if self.tile:
            try:
                self.im = self._decoded().im
            except CompassError as error:
                raise OSError(str(error)) from None
            self.tile = []
        return Image.Image.load(self)

    def _decoded(self) -> Image.Image:
        opened = self._opened
        if opened.whole_layers <= self._layer and ImageFile.LOAD_TRUNCATED_IMAGES and opened.whole_layers:
            return opened.decode(opened.whole_layers - 1).resize(self.size, Image.Resampling.BICUBIC)
        return opened.decode(self._layer)


def _plain(mode: str, size: tuple[int, int], data: bytes, info: dict[Any, Any]) -> Image.Image:
    image = Image.frombytes(mode, size, data)
    image.info = info
    return image


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


def _save(image: Image.Image, file: IO[bytes], name: str | bytes) -> None:
    given: dict[str, Any] = dict(image.encoderinfo)
    options = {key: given[key] for key in _OPTIONS if given.get(key) is not None}
    source = image.copy()
    for key in ("icc_profile", "exif", "xmp"):
        if key in given:
            value = given[key]
            source.info[key] = value.tobytes() if isinstance(value, Image.Exif) else value
    try:
        file.write(api.encode(source, **options))
    except CompassError as error:
        raise OSError(str(error)) from None


Image.register_open(FORMAT, CompassImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, ".cmps")
Image.register_mime(FORMAT, "image/x-compass")
