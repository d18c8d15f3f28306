"""Orientation, colour profile, EXIF and XMP through the codec and back."""

from __future__ import annotations

import struct
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms, features
from PIL.PngImagePlugin import PngInfo

import compass
from compass.bitstream import container
from compass.bitstream.boxes import Box
from compass.errors import InputError
from compass.picture.exif import upright
from compass.picture.fidelity import psnr
from compass.picture.files import read_image, write_image
from compass.picture.metadata import Metadata
from tests.command import compass as run

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_forgotten(orientation, coded, parrots, tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = orientation, "two parrots"
    parrots.save(tmp_path / "p.png", exif=exif)
    decoded = coded(read_image(tmp_path / "p.png"))
    assert decoded.size == ((320, 240) if orientation < 5 else (240, 320))
    kept = Image.Exif()
    kept.load(decoded.info["exif"])
    assert kept[0x010E] == "two parrots"
    assert kept.get(0x0112, 1) == 1
    upright = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}[orientation]
    expected = parrots if upright is None else parrots.transpose(Image.Transpose(upright))
    assert psnr(np.asarray(decoded), np.asarray(expected)) > 22


METADATA = {"icc_profile": SRGB, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", "xmp": b"<x:xmpmeta/>"}


def test_metadata_places(parrots, tiny_model_path):
    image = parrots.copy()
    image.info.update(METADATA, icc_profile=b"a wide gamut")

    def sides(place):
        data = compass.encode(image, [0.5, 1], 1, tiny_model_path, metadata=place)
        boxes = compass.info(data)["boxes"]
        small = compass.decode(compass.extract(data, 0), model=tiny_model_path)
        assert compass.decode(data, 0, model=tiny_model_path).info == small.info
        found = {name: compass.decode(data, model=tiny_model_path).info.get(name) for name in METADATA}
        assert found == (dict.fromkeys(METADATA) if place == "none" else {**METADATA, "icc_profile": b"a wide gamut"})
        return [[b["type"] for b in boxes if b["place"] == side] for side in ("front", "back")], sorted(small.info)

    assert sides("auto") == ([["ICCP"], ["EXIF", "XMP"]], ["icc_profile"])
    assert sides("front") == ([["ICCP", "EXIF", "XMP"], []], ["exif", "icc_profile", "xmp"])
    assert sides("back") == ([[], ["ICCP", "EXIF", "XMP"]], [])
    assert sides("none") == ([[], []], [])
    image.info["icc_profile"] = SRGB
    assert compass.info(compass.encode(image, [1], 1, tiny_model_path))["boxes"][0]["place"] == "back"
    with pytest.raises(InputError, match="cannot be placed at 'middle'"):
        sides("middle")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif"])
def test_metadata_through_the_command_line(suffix, parrots, tiny_model_path, tmp_path):
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    exif = Image.Exif()
    exif[0x010E] = "two parrots"
    xmp = PngInfo()
    xmp.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    parrots.save(tmp_path / "in.png", exif=exif, icc_profile=SRGB, pnginfo=xmp)
    model = ("--model", tiny_model_path)
    assert run("encode", "in.png", "p.cmps", *model, cwd=tmp_path).stderr == ""
    assert run("decode", "p.cmps", "out" + suffix, *model, cwd=tmp_path).stderr == ""
    with Image.open(tmp_path / ("out" + suffix)) as written:
        assert written.info["icc_profile"] == SRGB
        assert written.getexif()[0x010E] == "two parrots"
        assert Metadata.of(written).xmp == b"<x:xmpmeta/>"
    assert "EXIF" in run("info", "p.cmps", cwd=tmp_path).stdout
    assert run("encode", "in.png", "s.cmps", "--strip", *model, cwd=tmp_path).stderr == ""
    assert "EXIF" not in run("info", "s.cmps", cwd=tmp_path).stdout


def test_exif_of_tiff_tags(parrots, coded, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "two parrots"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    parrots.save(tmp_path / "p.tif", exif=exif.tobytes())
    decoded = coded(read_image(tmp_path / "p.tif"))
    decoded.info["xmp"] = b"<x/>"
    write_image(decoded, tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as written:
        assert written.info["xmp"] == b"<x/>"
        tags = written.getexif()
        assert tags.get_ifd(0x8769) == {0x9003: "2026:01:01 00:00:00"}
    for kept in (decoded.getexif(), tags):
        assert kept[0x010E] == "two parrots"


@pytest.mark.parametrize("exif", [b"garbage here", b"M", b"MM\0*", b"MM\0*\0\0\0\x08\xff\xff"])
def test_exif_that_cannot_be_read_is_left_out_with_a_warning(exif, parrots, tiny_model_path, tmp_path):
    parrots.save(tmp_path / "p.jpg", exif=b"Exif\0\0" + exif)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = read_image(tmp_path / "p.jpg")
        data = compass.encode(image, [0.1], 1, tiny_model_path)
    assert compass.info(data)["boxes"] == [] or "exif" in image.info
    layer = container.LayerData(320, 240, 96, b"")
    header = container.read_header(data)
    layer = container.LayerData(32, 24, header.layers[0].quality_code, container.read_payload(data, header, 0))
    hostile = container.write(header.model_hash, "RGB", [layer], [Box(b"EXIF", exif)])
    (tmp_path / "h.cmps").write_bytes(hostile)
    for suffix in (".png", ".jpg", ".tif", ".webp"):
        result = run("decode", "h.cmps", "o" + suffix, "--model", tiny_model_path, cwd=tmp_path)
        assert result.returncode == 0
        assert "Traceback" not in result.stderr


def bomb(entries: int, size: int) -> bytes:
    """EXIF whose entries all name the same values."""
    start = 8 + 2 + 12 * entries + 4
    rows = b"".join(struct.pack(">HHII", 0x9000 + k, 7, size, start) for k in range(entries))
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", entries) + rows + bytes(4 + size)


@pytest.mark.parametrize("nested", [False, True])
def test_exif_whose_values_overlap_is_left_out_with_one_warning(nested, parrots, tiny_model_path):
    exif = bomb(3000, 100_000)
    if nested:
        inner = struct.pack(">HHHIII", 1, 0x8769, 4, 1, 26, 0)
        exif = exif[:4] + struct.pack(">I", 8) + inner + bytes(26 - 8 - len(inner)) + bomb(3000, 100_000)[8:]
    image = parrots.resize((32, 24))
    image.info["exif"] = b"Exif\0\0" + exif
    with pytest.warns(UserWarning, match="EXIF data cannot be read") as caught:
        data = compass.encode(image, [1], 1, tiny_model_path)
    assert len(caught) == 1
    assert compass.info(data)["boxes"] == []
    header = container.read_header(data)
    layer = container.LayerData(32, 24, header.layers[0].quality_code, container.read_payload(data, header, 0))
    hostile = container.write(header.model_hash, "RGB", [layer], [Box(b"EXIF", exif)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compass.extract(hostile, 0) == hostile  # nothing is looked into
    with pytest.warns(UserWarning, match="EXIF data cannot be read") as caught:
        assert "exif" not in compass.decode(hostile, model=tiny_model_path).info
    assert len(caught) == 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("place", [0, 1, 2])
def test_all_of_exif_but_its_orientation_stays_as_it_is(order, place):
    tags = [(0x010E, 2, 12, 62), (0x0131, 2, 3, 0x41420000), (0x9286, 7, 4, 7)]
    tags.insert(place, (0x0112, 3, 1, 6))
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)

    def directory(entries):
        return struct.pack(order + "H", len(entries)) + b"".join(struct.pack(order + "HHII", *e) for e in entries)

    exif = head + directory(tags) + bytes(4) + b"two parrots\0"
    kept = [tag for tag in tags if tag[0] != 0x0112]
    assert upright(exif) == head + directory(kept) + bytes(4 + 12) + b"two parrots\0"
    assert upright(upright(exif)) == upright(exif)
    tags = Image.Exif()
    tags.load(upright(exif))
    assert tags[0x010E] == "two parrots"


def test_an_orientation_in_a_file_is_ignored(parrots, tiny_model_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "two parrots"
    data = compass.encode(parrots, [0.1], 1, tiny_model_path)
    header = container.read_header(data)
    layer = container.LayerData(32, 24, header.layers[0].quality_code, container.read_payload(data, header, 0))
    written = container.write(header.model_hash, "RGB", [layer], [Box(b"EXIF", exif.tobytes())])
    decoded = compass.decode(written, model=tiny_model_path)
    assert decoded.size == (32, 24)
    assert 0x0112 not in decoded.getexif()
    assert decoded.getexif()[0x010E] == "two parrots"


def test_metadata_of_wrong_types_and_sizes(parrots, tiny_model_path):
    image = parrots.copy()
    image.info.update(icc_profile="text", exif=5, xmp=7)
    assert compass.info(compass.encode(image, [0.1], 1, tiny_model_path))["boxes"] == []
    image.info["xmp"] = bytes((1 << 24) + 1)
    with pytest.raises(InputError, match="the image's xmp has 16777217 bytes"):
        compass.encode(image, [0.1], 1, tiny_model_path)
    assert compass.encode(image, [0.1], 1, tiny_model_path, metadata="none")
    for size in ((0, 5), (5, 0)):
        with pytest.raises(InputError, match="the image has no pixels"):
            compass.encode(Image.new("I", size), model=tiny_model_path)


def test_a_linear_profile_called_srgb_matters():
    assert not Metadata(icc_profile=SRGB).profile_matters
    assert Metadata(icc_profile=SRGB.replace("sRGB".encode("utf-16-be"), "line".encode("utf-16-be"))).profile_matters
    assert Metadata(icc_profile=b"no profile").profile_matters
