"""`compass.open`: what is read of a file, widths, cut files, pipes, bands."""

from __future__ import annotations

import gc
import io
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import compass
from compass.bitstream import boxes, container
from compass.bitstream.source import source_of
from compass.errors import CutFileWarning, FormatError, InputError
from tests.command import compass as run


class CountingReader(io.BytesIO):
    """Remembers which bytes were read, and gives few at a time, as a socket may."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.spans: list[tuple[int, int]] = []

    def read(self, size: int | None = -1) -> bytes:
        start = self.tell()
        part = super().read(min(size, 1000))
        self.spans.append((start, self.tell()))
        return part

    @property
    def total(self) -> int:
        return sum(end - start for start, end in self.spans)


@pytest.fixture(scope="module")
def data(parrots, tiny_model_path) -> bytes:
    return compass.encode(parrots, [0.25, 0.5, 1], 4, tiny_model_path)


def test_only_the_bytes_of_the_layers_asked_for_are_read(data, tiny_model_path):
    header = container.read_header(data)
    for layer in range(3):
        reader = CountingReader(data)
        with compass.open(reader, model=tiny_model_path) as opened:
            assert opened.sizes == [(80, 60), (160, 120), (320, 240)]
            assert (opened.size, opened.mode) == ((320, 240), "RGB")
            assert reader.total <= 64  # the header
            image = opened.decode(layer)
        assert max(end for _, end in reader.spans) == header.span(layer)[1]
        assert reader.total <= header.span(layer)[1] + 64
        assert image.tobytes() == compass.decode(data, layer, model=tiny_model_path).tobytes()


def test_one_layer_after_another_reads_and_decodes_nothing_twice(data, tiny_model_path):
    reader = CountingReader(data)
    with compass.open(reader, model=tiny_model_path) as opened:
        images = [opened.decode(layer) for layer in range(3)]
        assert reader.total <= len(data) + 64
        again = opened.decode(1)
    assert [p.size for p in images] == [(80, 60), (160, 120), (320, 240)]
    for k, image in enumerate(images):
        assert image.tobytes() == compass.decode(data, k, model=tiny_model_path).tobytes()
    assert again.tobytes() == images[1].tobytes()


def test_paths_files_and_positions(data, tiny_model_path, tmp_path):
    path = tmp_path / "p.cmps"
    path.write_bytes(b"before" + data)
    with path.open("rb") as file:
        file.seek(6)
        with compass.open(file, model=tiny_model_path) as opened:
            assert opened.info() == compass.info(data)
        assert not file.closed
    path.write_bytes(data)
    for source in (path, str(path), bytearray(data), memoryview(data)):
        with compass.open(source, model=tiny_model_path) as opened:
            assert opened.decode(0).size == (80, 60)
    with pytest.raises(InputError, match="missing cannot be read: No such file"):
        compass.open(tmp_path / "missing")
    for other in (None, 3, [path], object()):
        with pytest.raises(InputError, match="a file is a path, bytes or an open binary file, not "):
            compass.open(other)
    with pytest.raises(InputError, match="cannot be read in pieces"):
        compass.open(SimpleNamespace(read=io.BytesIO(data).read))
    with pytest.raises(FormatError, match="the file is empty"):
        compass.open(io.BytesIO())


@pytest.mark.parametrize(("width", "layer"), [(1, 0), (79, 0), (80, 0), (81, 1), (160, 1), (200, 2), (500, 2)])
def test_width(width, layer, data, tiny_model_path):
    reader = CountingReader(data)
    with compass.open(reader, model=tiny_model_path) as opened:
        image = opened.decode(width=width)
    size = (width, max(1, round(width * 0.75 + 1e-9)))
    assert image.size == size
    expected = compass.decode(data, layer, model=tiny_model_path)
    assert image.tobytes() == expected.resize(size, Image.Resampling.BICUBIC).tobytes()
    assert max(end for _, end in reader.spans) == container.read_header(data).span(layer)[1]


def test_files_that_are_none(data, tmp_path):
    path = tmp_path / "p.cmps"
    path.write_bytes(data)
    with path.open(encoding="latin1") as text, pytest.raises(InputError, match="it does not give bytes"):
        compass.open(text)
    with path.open("rb") as file:
        opened = compass.open(file)
    with pytest.raises(InputError, match="seek of closed file"):
        opened.extract(0)
    with pytest.raises(InputError, match="null"):
        compass.open("a\0b")


def test_extract_checks_what_it_passes_on(parrots, tiny_model_path):
    image = parrots.copy()
    image.info.update(icc_profile=b"a profile", xmp=b"<x/>")
    data = compass.encode(image, [0.1, 0.2], 1, tiny_model_path)
    assert compass.extract(data, 1) == data
    damaged = data.replace(b"a profile", b"a PROFILE")
    with pytest.raises(FormatError, match="the box 'ICCP' is damaged"):
        compass.extract(damaged, 0)
    for bad in (data.replace(b"<x/>", b"<X/>"), data[:-1]):
        with pytest.warns(CutFileWarning, match="after its layers: its last 1[23] bytes are no whole box"):
            assert compass.extract(bad, 1) == data[: compass.info(data)["layers"][1]["accumulated_bytes"]]
    with pytest.warns(CutFileWarning, match="its last byte is no whole box"):
        assert compass.extract(data + b"\n", 1) == data


def test_types_of_boxes_are_shown_without_control_characters(parrots, tiny_model_path, tmp_path):
    data = compass.encode(parrots, [0.1], 1, tiny_model_path)
    box = b"\x1b[2J"
    (tmp_path / "p.cmps").write_bytes(data + boxes.write_back([boxes.Box(box, b"")]))
    assert compass.info((tmp_path / "p.cmps").read_bytes())["boxes"][0]["type"] == r"\x1b[2J"
    assert "\x1b" not in run("info", "p.cmps", cwd=tmp_path).stdout


def test_a_path_is_closed_again(data, tiny_model_path, tmp_path):
    (tmp_path / "a.cmps").write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        compass.decode(tmp_path / "a.cmps", 0, model=tiny_model_path)
        compass.info(tmp_path / "a.cmps")
        compass.extract(tmp_path / "a.cmps", 0)
        gc.collect()


def test_many_large_layers_are_one_large_picture(tiny_model_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100 * 100)
    layers = [container.LayerData(90, 90, 96, b"")] * 5
    data = container.write(b"hash", "RGB", layers)
    text = "an image of 90x90 in 5 layers takes work on 46080 pixels, and the limit of 20000 allows 40000"
    with pytest.raises(FormatError, match=text):
        compass.decode(data)


def test_bad_widths(data, tiny_model_path, tmp_path):
    with compass.open(data, model=tiny_model_path) as opened:
        with pytest.raises(InputError, match="a width of 0 is impossible"):
            opened.decode(width=0)
        with pytest.raises(FormatError, match="beyond the limit"):
            opened.decode(width=30000)
    (tmp_path / "p.cmps").write_bytes(data)
    result = run("decode", "p.cmps", "o.png", "--width", 100, "--model", tiny_model_path, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    with Image.open(tmp_path / "o.png") as image:
        assert image.size == (100, 75)
    assert run("decode", "p.cmps", "q.png", "--width", 100, "--layer", 0, cwd=tmp_path).returncode == 2


def test_a_cut_file_is_a_warning_or_with_strict_an_error(data, tiny_model_path, tmp_path):
    (tmp_path / "cut.cmps").write_bytes(data[:-5])
    command = ("decode", "cut.cmps", "o.png", "--model", tiny_model_path)
    result = run(*command, "--strict", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr == "compass: cut.cmps: the file is cut within layer 2: layer 1 is the last whole one\n"
    assert not (tmp_path / "o.png").exists()
    assert run(*command, cwd=tmp_path).returncode == 0
    whole = container.read_header(data).span(1)[1]
    (tmp_path / "cut.cmps").write_bytes(data[:whole])  # between layers: a valid file
    assert run(*command, "--strict", "--force", cwd=tmp_path).stderr == ""


def test_what_follows_the_layers_costs_no_image(parrots, tiny_model_path, tmp_path):
    """Metadata that is cut or damaged, or bytes that something else appended: a warning, with --strict an error."""
    image = parrots.copy()
    image.info["xmp"] = b"<x/>"
    data = compass.encode(image, [0.5], 1, tiny_model_path)
    good = compass.decode(data, model=tiny_model_path)
    assert (compass.info(data)["cut"], compass.info(data)["left_over"]) == (False, 0)
    box = len(data) - compass.info(data)["layers"][-1]["accumulated_bytes"]
    for bad, kept, left_over in [
        (data[:-1], False, box - 1),
        (data[:-1] + bytes([data[-1] ^ 1]), False, box),
        (data + b"\n", True, 1),
        (data + bytes(500), True, 500),
    ]:
        with pytest.warns(CutFileWarning, match="cut, damaged or added to after its layers: its last"):
            decoded = compass.decode(bad, model=tiny_model_path)
        assert np.array_equal(np.asarray(decoded), np.asarray(good))
        assert ("xmp" in decoded.info) == kept
        assert (compass.info(bad)["cut"], compass.info(bad)["left_over"]) == (True, left_over)
        (tmp_path / "x.cmps").write_bytes(bad)
        shown = run("info", "x.cmps", cwd=tmp_path)
        assert shown.stdout.endswith(f"\nbytes at the end that are no whole box of metadata: {left_over}\n")
        command = ("decode", "x.cmps", "x.png", "--model", tiny_model_path, "--force")
        assert [run(*command, *strict, cwd=tmp_path).returncode for strict in ((), ("--strict",))] == [0, 1]


def test_threads_share_an_open_file(data, tiny_model_path, tmp_path):
    (tmp_path / "x.cmps").write_bytes(data)
    expected = [np.asarray(compass.decode(data, k, model=tiny_model_path)) for k in range(3)]
    with compass.open(tmp_path / "x.cmps", model=tiny_model_path, threads=1) as opened, ThreadPoolExecutor(8) as pool:
        for layer, image in pool.map(lambda k: (k, opened.decode(k)), [0, 2, 1] * 8):
            assert np.array_equal(np.asarray(image), expected[layer])


@pytest.mark.parametrize("command", [("info",), ("decode", "{out}.png"), ("extract", "{out}.cmps", "--layer", "0")])
def test_pipes_and_their_like(command, data, tiny_model_path, tmp_path):
    """What cannot seek is read whole: a named pipe, a process substitution, standard input."""
    name, *rest = (part.format(out=tmp_path / "o") for part in command)
    if name == "decode":
        rest += ["--model", str(tiny_model_path)]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    by_pipe = run(name, str(pipe), *rest, cwd=tmp_path)
    writer.join()
    assert (by_pipe.returncode, by_pipe.stderr) == (0, "")


def test_a_pipe_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("compass.bitstream.source.MAX_PIPED", 1 << 20)
    with pytest.raises(InputError, match="longer than 1 MiB"), open("/dev/zero", "rb") as zeros:
        source_of(Unseekable(zeros))


class Unseekable(io.RawIOBase):
    """A file as a pipe gives it."""

    def __init__(self, file):
        self.file = file

    def readable(self):
        return True

    def read(self, size=-1):
        return self.file.read(size)


def test_long_rows_are_counted_in_cells(tiny_model_path, monkeypatch):
    """A row of pixels is worked on in cells of 16 rows."""
    layer = container.LayerData(100_000, 1, 96, b"")
    data = container.write(bytes(4), "RGB", [layer])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 350_000)
    with pytest.raises(FormatError, match="an image of 100000x1 takes work on 1600000 pixels"):
        compass.decode(data, model=tiny_model_path)


def test_a_raw_pipe_gives_few_bytes_at_once(data, tiny_model_path):
    class Few(Unseekable):
        def read(self, size=-1):
            return self.file.read(min(size, 1000))

    opened = compass.open(Few(io.BytesIO(data)), model=tiny_model_path)
    assert opened.whole_layers == 3

    class Text(io.StringIO):
        def seekable(self):
            return False

    with pytest.raises(InputError, match="does not give bytes"):
        compass.open(Text("text"))


def test_bands_are_what_is_decoded(data, tiny_model_path):
    with compass.open(data, model=tiny_model_path) as opened:
        for layer in range(3):
            whole = np.asarray(opened.decode(layer))
            assert np.array_equal(np.concatenate(list(opened.bands(layer).pixels)), whole)
        part = np.concatenate(list(opened.bands(2, box=(13, 7, 201, 99)).pixels))
        assert np.array_equal(part, whole[7:99, 13:201])


def test_bands_may_be_changed_mixed_and_left(data, tiny_model_path, monkeypatch):
    monkeypatch.setattr("compass.codec.layer.WINDOW", (64, 64))  # several bands
    with compass.open(data, model=tiny_model_path) as opened:
        wholes = [np.asarray(opened.decode(layer)) for layer in range(3)]
        for layer in range(2):
            for band in opened.bands(layer).pixels:
                band[:] = 0  # the caller's own
        first, second = iter(opened.bands(2).pixels), iter(opened.bands(2).pixels)
        next(iter(opened.bands(2).pixels))  # and no more of it
        mixed = [(next(first), next(second)) for _ in range(2)]
        assert len(mixed[0][0]) < wholes[2].shape[0]
        for which, rest in ((0, first), (1, second)):
            found = np.concatenate([*(pair[which] for pair in mixed), *rest])
            assert np.array_equal(found, wholes[2])
        assert all(np.array_equal(opened.decode(layer), wholes[layer]) for layer in range(3))
