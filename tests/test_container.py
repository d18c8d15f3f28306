"""The container: sizes, prefixes, and every way a header can lie."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compass.bitstream import container
from compass.bitstream.boxes import Box
from compass.bitstream.container import LayerData
from compass.errors import FormatError
from compass.picture.pyramid import height_by_aspect

HASH = b"\x01\x02\x03\x04"
THREE = [
    LayerData(192, 128, 96, b"a" * 300),
    LayerData(384, 256, 96, b"b" * 2000),
    LayerData(768, 512, 96, b"c" * 9000),
]
WITH_ALPHA = [layer._replace(alpha=bytes((k,)) * (5 + k)) for k, layer in enumerate(THREE)]
BOXES = [Box(b"ICCP", b"profile" * 20), Box(b"zzzz", b"of a later version")]


def sealed(body: bytes) -> bytes:
    """A header with a right checksum."""
    return body + zlib.crc32(body).to_bytes(4, "little")


def test_header_of_a_usual_file_is_small():
    header = container.read_header(container.write(HASH, "RGB", THREE))
    fixed = 4 + 1 + 4 + 1 + 1 + 2 + 2 + 4
    assert fixed <= 24
    assert header.size == fixed + 3 * 8 + 1  # eight bytes a layer, and one for the quality that all share


@st.composite
def layer_tables(draw):
    width, height, layers = 1, 1, []
    for _ in range(draw(st.integers(1, 32))):
        width += draw(st.integers(0, 5000))
        height += draw(st.integers(0, 5000))
        layers.append(LayerData(width, height, draw(st.integers(0, 192)), draw(st.binary(max_size=40))))
    if draw(st.booleans()):
        layers = [layer._replace(alpha=draw(st.binary(max_size=40))) for layer in layers]
    return layers


some_boxes = st.lists(st.builds(Box, st.binary(min_size=4, max_size=4), st.binary(max_size=300)), max_size=3)


@given(layer_tables(), st.sampled_from(container.COLOURS), some_boxes, some_boxes)
def test_round_trip(layers, colour, front, back):
    data = container.write(HASH, colour, layers, front, back)
    header = container.read_header(data)
    assert container.read_boxes(data, header) == (front + back, len(data))
    assert header.model_hash == HASH
    assert header.colour == colour
    for k, (width, height, quality_code, payload, alpha) in enumerate(layers):
        entry = header.layers[k]
        assert (entry.width, entry.height, entry.quality_code) == (width, height, quality_code)
        assert container.read_layer(data, header, k) == (payload, alpha or b"")


def test_a_prefix_that_ends_on_a_layer_boundary_is_a_valid_file():
    data = container.write(HASH, "RGB", THREE)
    header = container.read_header(data)
    prefix = data[: header.span(1)[1]]
    assert container.read_header(prefix) == header
    assert container.read_payload(prefix, header, 1) == THREE[1].payload
    with pytest.raises(FormatError, match="ends before layer 2"):
        container.read_payload(prefix, header, 2)


def test_boxes_after_the_last_layer_do_not_touch_it():
    data = container.write(HASH, "RGB", THREE, back=BOXES)
    assert data.startswith(container.write(HASH, "RGB", THREE))
    header = container.read_header(data)
    assert container.read_payload(data, header, 2) == THREE[2].payload
    first = len(container.write(HASH, "RGB", THREE, back=BOXES[:1]))
    for cut in range(1, len(data) - header.span(2)[1]):
        whole = len(data) - cut >= first
        expected = (BOXES[:1], first) if whole else ([], header.span(2)[1])
        assert container.read_boxes(data[:-cut], header) == expected
    for more in (b"\n", bytes(500), b"PNG is what this is not", data, BOXES[0].kind + b"\xff" * 9):
        assert container.read_boxes(data + more, header) == (BOXES, len(data))
    many = container.write(HASH, "RGB", THREE, back=BOXES * 40)
    found, end = container.read_boxes(many, header)
    assert (found, many[:end]) == ((BOXES * 40)[:64], container.write(HASH, "RGB", THREE, back=(BOXES * 40)[:64]))


@pytest.mark.slow
@pytest.mark.parametrize("layers", [THREE, WITH_ALPHA], ids=["opaque", "alpha"])
def test_every_single_bit_is_guarded(layers):
    """A flip anywhere: an error, or bytes at the end that are no whole box."""
    data = container.write(HASH, "L", layers, BOXES, BOXES)
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            header = container.read_header(bytes(damaged))
            for k in range(3):
                container.read_layer(bytes(damaged), header, k)
            _, end = container.read_boxes(bytes(damaged), header)
        except FormatError:
            continue
        assert end < len(data)
        assert bit // 8 >= header.span(2)[1]


def test_every_cut_within_the_header_is_an_error():
    data = container.write(HASH, "RGB", THREE)
    for length in range(container.read_header(data).size):
        with pytest.raises(FormatError, match="empty" if length == 0 else "ends within its header"):
            container.read_header(data[:length])


def test_damaged_payload():
    data = bytearray(container.write(HASH, "RGB", THREE))
    data[-1] ^= 1
    header = container.read_header(bytes(data))
    with pytest.raises(FormatError, match="layer 2 is damaged"):
        container.read_payload(bytes(data), header, 2)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x89PNG\r\n\x1a\n", "not a COMPASS file"),
        (container.MAGIC + b"\x03", "format version 3"),
        (sealed(container.MAGIC + b"\x02" + HASH + b"\x00\x00\x05\x05"), "lists 0 layers"),
        (sealed(container.MAGIC + b"\x02" + HASH + b"\x10\x01\x05\x05\x16\x20\x00" + bytes(4)), "unknown colour"),
        (sealed(container.MAGIC + b"\x02" + HASH + b"\x08\x01\x00\x05\x05\x16\x20\x00" + bytes(4)), "no size"),
        (sealed(container.MAGIC + b"\x02" + HASH + b"\x00\x01\x05\x05\x14\x00" + bytes(4)), "no quality"),
        (sealed(container.MAGIC + b"\x02" + HASH + b"\x00\x01\x06\x05\x16\x20\x00" + bytes(4)), "image's size"),
        (sealed(container.MAGIC + b"\x02" + HASH + b"\x00\x01\x00\x00\x02\x20\x00" + bytes(4)), "smaller than"),
        (
            sealed(container.MAGIC + b"\x02" + HASH + b"\x00\x01\x05\x05\x16\xc1\x00" + bytes(4)),
            "quality that does not",
        ),
        (container.MAGIC + b"\x02" + HASH + b"\x00\x01" + b"\xff" * 9, "too large"),
        (container.MAGIC + b"\x02" + HASH + b"\x00\x01" + b"\x80" * 9, "does not end"),
    ],
)
def test_refusals(body, message):
    with pytest.raises(FormatError, match=message):
        container.read_header(body)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (192, 128), (100, 67), (768, 512)])
def test_height_by_aspect(width, height):
    assert height_by_aspect(width, (768, 512)) == height
