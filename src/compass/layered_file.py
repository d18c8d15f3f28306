"""A layered file that is read piece by piece: its header first, then the bytes of those layers that are asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from PIL import Image

from compass import arguments
from compass.arguments import whole_number
from compass.bitstream import boxes, container
from compass.bitstream.container import CELL
from compass.bitstream.source import BytesSource, Source, source_of
from compass.codec.decoder import FileDecoder
from compass.codec.metadata import from_boxes
from compass.codec.threads import each_within
from compass.entropy import quality as quality_scale
from compass.errors import CutFileWarning, FormatError, InputError, warn
from compass.files import open_bytes
from compass.model import store
from compass.picture.bands import Bands
from compass.picture.metadata import Metadata
from compass.picture.pyramid import Size, height_by_aspect
from compass.picture.window import Window, window_of

_WORK = 2  # pixels that may be worked on, for each of the limit
_BOX = "a box is four whole numbers (left, upper, right, lower)"


class LayeredFile:
    """An open file; see `compass.open`. Usable in a `with` statement; of several threads one decodes at a time."""

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes],
        *,
        model: str | Path | None = None,
        threads: int = 0,
    ) -> None:
        self._model_name, self._threads = model, threads
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()
        self._made: FileDecoder | None = None
        if isinstance(source, (str, os.PathLike)):
            source = self._file = open_bytes(Path(source))
        try:
            if isinstance(source, (bytes, bytearray, memoryview)):
                self._source: Source = BytesSource(bytes(source))
            elif hasattr(source, "read"):
                self._source = source_of(source)
            else:
                raise arguments.broken("a file is a path, bytes or an open binary file", source)
            self.header = container.read_header(self._source)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file, if it was opened here."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> LayeredFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def sizes(self) -> list[Size]:
        """(width, height) of every layer, the smallest first."""
        return [(entry.width, entry.height) for entry in self.header.layers]

    @property
    def size(self) -> Size:
        """(width, height) of the largest layer."""
        return self.sizes[-1]

    @property
    def mode(self) -> str:
        """Pillow's mode of the image: RGB, L, RGBA or LA."""
        return self.header.mode

    @property
    def whole_layers(self) -> int:
        """How many layers there are to their last byte."""
        return sum(self.header.span(k)[1] <= self._source.size for k in range(len(self.sizes)))

    @property
    def layers_promised(self) -> int:
        """How many layers the file should have: all, or up to the one that it ends with, as `extract` makes it."""
        whole = self.whole_layers
        return whole if whole and self._source.size == self._end_of_layers else len(self.sizes)

    @property
    def _end_of_layers(self) -> int:
        """The byte after the last whole layer; that after the header if there is none."""
        whole = self.whole_layers
        return self.header.span(whole - 1)[1] if whole else self.header.size

    def fitting_layer(self, width: float, height: float = 1) -> int | None:
        """The smallest layer of at least this size, None if there is none."""
        return next((k for k, (w, h) in enumerate(self.sizes) if w >= width and h >= height), None)

    def decode(
        self, layer: int | None = None, *, width: int | None = None, box: tuple[int, int, int, int] | None = None
    ) -> Image.Image:
        """A layer as a Pillow image, by default the largest that is whole; warns if the file is cut within a layer.

        width: instead, the image at this width, made of the smallest layer that is at least as wide, or of the
        largest if it must be enlarged. box: only this
        part of the layer, (left, upper, right, lower) in its pixels as in `Image.crop`; of a large layer only the
        bytes that it needs are read. Metadata in front of the layers is in every image's `info`, what follows the
        layers in that of the largest alone.
        Raises FormatError on damaged data, InputError if there is no such layer or part, ModelError if the model that
        the file names is not installed.
        """
        if width is None:
            return self.bands(layer, box=box).image()
        if box is not None or layer is not None:
            raise InputError("a width can be given neither with a box nor with a layer")
        return self._at_width(width)

    def bands(
        self, layer: int | None = None, *, width: int | None = None, box: tuple[int, int, int, int] | None = None
    ) -> Bands:
        """What `decode` returns, from top to bottom: bands of rows, each decoded when it is asked for.

        An image at a width is decoded first. The file must stay open until the last band is there. Raises what `decode`
        does; what is damaged may show after the first bands.
        """
        if width is not None:
            return Bands.of(self.decode(layer, width=width, box=box))
        if box is not None and layer is None and self.whole_layers < len(self.sizes):
            raise InputError("the file has not all of its layers: say which layer the part is of")
        layer = self._chosen(layer)
        size = self.sizes[layer]
        if box is None:
            window = Window(0, 0, size[1], size[0])
            _check_pixel_limit(self.sizes[: layer + 1])
        else:
            window = window_of(arguments.box(box, _BOX), size, "the box", "a layer")
            _check_pixel_limit([(width, height) for height, width in self._decoder.worked_on(layer, window)])
        metadata = self.metadata(layer)
        made = each_within(lambda: self._lock, self._decoder.bands(layer, window))  # the decoder remembers
        return Bands(self.mode, (window.width, window.height), metadata.as_info, made)

    @property
    def _decoder(self) -> FileDecoder:
        with self._lock:
            if self._made is None:
                model = store.load_for(self.header.model_hash, self._model_name, self._threads)
                self._made = FileDecoder(self._source, self.header, model)
            return self._made

    def _chosen(self, layer: int | None) -> int:
        """The layer asked for, or the largest that is whole, with a warning if another one is cut."""
        count, whole = len(self.sizes), self.whole_layers
        if layer is not None:
            if not 0 <= whole_number(layer, "a layer is given by its number") < count:
                raise InputError(f"there is no layer {layer}: the file has layers 0 to {count - 1}")
            return layer  # reading it says what is missing
        if whole == 0:
            raise FormatError("the file ends before its first layer does")
        if whole < self.layers_promised:
            text = f"the file is cut within layer {whole}: layer {whole - 1} is the last whole one"
            warn(text, CutFileWarning)
        return whole - 1

    def _at_width(self, width: int) -> Image.Image:
        if whole_number(width, "a width is a whole number of pixels") < 1:
            raise InputError(f"a width of {width} is impossible")
        height = height_by_aspect(width, self.size)
        _check_pixel_limit([(width, height)])
        layer = self.fitting_layer(width)
        image = self.decode(layer if layer is not None and layer < self.whole_layers else None)
        if image.size == (width, height):
            return image
        resized = image.resize((width, height), Image.Resampling.BICUBIC)
        resized.info = image.info
        return resized

    def metadata(self, layer: int) -> Metadata:
        """Metadata that belongs to a layer, see `decode`.

        Warns if what follows the layers is no whole box to its end. Raises FormatError if a box in front is damaged.
        """
        if layer < len(self.sizes) - 1:
            return from_boxes(boxes.read_front(self._source, self.header.size, self.header.boxes))
        return from_boxes(self._all_boxes()[0])

    def _all_boxes(self) -> tuple[list[boxes.Box], int]:
        """All boxes, and where the last one ends; warns and raises as `metadata` does."""
        found, end = container.read_boxes(self._source, self.header)
        if end < self._source.size:
            warn(self._left_over(end), CutFileWarning)
        return found, end

    def _left_over(self, end: int) -> str:
        count = self._source.size - end
        last = "last byte is" if count == 1 else f"last {count} bytes are"
        return f"the file is cut, damaged or added to after its layers: its {last} no whole box of metadata"

    def extract(self, layer: int) -> bytes:
        """Cut the file after a layer, which makes a valid file; after the last one, with all boxes that are whole.

        Warns, and raises FormatError and InputError, as `decode` does.
        """
        layer = self._chosen(layer)
        for k in range(layer + 1):
            container.read_layer(self._source, self.header, k)
        if layer < len(self.sizes) - 1:
            boxes.read_front(self._source, self.header.size, self.header.boxes)
            return self._source.read_at(0, self.header.span(layer)[1])
        return self._source.read_at(0, self._all_boxes()[1])

    def verify(self) -> None:
        """Raises FormatError unless every layer and box is there and has the checksum that the file states."""
        for k in range(len(self.sizes)):
            container.read_layer(self._source, self.header, k)
        _, end = container.read_boxes(self._source, self.header)
        if end < self._source.size:
            raise FormatError(self._left_over(end))

    def info(self) -> dict[str, Any]:
        """What the file says of itself: sizes, qualities and byte positions of all layers, boxes, the model.

        `cut`: whether it ends elsewhere than at the end of a layer or box; `left_over`: bytes at its end that are of
        none that is whole.
        """
        rows = []
        for k, entry in enumerate(self.header.layers):
            start, end = self.header.span(k)
            rows.append(
                {
                    "index": k,
                    "width": entry.width,
                    "height": entry.height,
                    "quality": quality_scale.from_code(entry.quality_code),
                    "offset": start,
                    "length": end - start,
                    "opacity_length": entry.alpha_length,
                    "accumulated_bytes": end,
                    "crc32": f"{entry.crc32:08x}",
                    "complete": end <= self._source.size,
                }
            )
        front = [{"type": boxes.name_of(box.kind), "length": box.length, "place": "front"} for box in self.header.boxes]
        after: list[boxes.Box] = []
        end = self._end_of_layers
        if rows[-1]["complete"]:
            after, end = boxes.read_back(self._source, end)
        back = [{"type": boxes.name_of(box.kind), "length": len(box.content), "place": "back"} for box in after]
        model = store.find_hash(self.header.model_hash)
        return {
            "format_version": container.VERSION,
            "model": {"name": model and model.manifest.name, "hash": self.header.model_hash.hex()},
            "width": self.size[0],
            "height": self.size[1],
            "mode": self.mode,
            "layers": rows,
            "boxes": front + back,
            "cut": not rows[0]["complete"] or end < self._source.size,
            "left_over": self._source.size - end,
        }


def _check_pixel_limit(sizes: Sequence[Size]) -> None:
    """Refuses an image beyond twice Pillow's MAX_IMAGE_PIXELS, its own limit, and more than twice as much work.

    Work are the pixels of all layers that are needed, in whole cells: a row of pixels costs as much as sixteen.
    Raises FormatError.
    """
    if Image.MAX_IMAGE_PIXELS is None:
        return
    limit = 2 * Image.MAX_IMAGE_PIXELS
    width, height = sizes[-1]
    if width * height > limit:
        raise FormatError(f"an image of {width}x{height} is beyond the limit of {limit:.0f} pixels")
    work = sum(CELL**2 * -(-width // CELL) * -(-height // CELL) for width, height in sizes)
    if work > _WORK * limit:
        layers = f" in {len(sizes)} layers" if len(sizes) > 1 else ""
        raise FormatError(
            f"an image of {width}x{height}{layers} takes work on {work} pixels, and the limit of {limit:.0f} allows"
            f" {_WORK * limit:.0f}"
        )
