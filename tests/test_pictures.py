"""Images of every mode, with and without alpha, through the codec and back."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

import compass
from compass.bitstream import container
from compass.bitstream.alpha import decode_alpha, encode_alpha
from compass.errors import FormatError, InputError
from compass.picture.fidelity import psnr
from compass.picture.files import read_image, write_image
from profiles import cmyk_profile

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def faded(parrots: Image.Image) -> Image.Image:
    image = parrots.convert("RGBA")
    alpha = np.asarray(Image.linear_gradient("L").resize(image.size)).copy()
    alpha[:40] = 0
    image.putalpha(Image.fromarray(alpha))
    return image


@pytest.mark.parametrize(("mode", "result"), [("RGBA", "RGBA"), ("LA", "LA"), ("PA", "RGBA"), ("La", "LA")])
def test_opacity_is_kept_without_loss_in_every_layer(mode, result, coded, parrots):
    image = faded(parrots)
    image = image.quantize(64).convert("PA") if mode == "PA" else image.convert("LA").convert(mode)
    if mode == "RGBA":
        image = faded(parrots)
    small, large = coded(image, 0), coded(image, 1)
    assert (small.mode, large.mode) == (result, result)
    expected = image.convert(result)
    assert large.getchannel("A").tobytes() == expected.getchannel("A").tobytes()
    assert (
        small.getchannel("A").tobytes()
        == expected.resize((160, 120), Image.Resampling.BICUBIC).getchannel("A").tobytes()
    )


def test_colours_that_nobody_sees_cost_nothing_and_bleed_nowhere(coded, parrots, tiny_model_path):
    image = faded(parrots)
    pixels = np.array(image)
    noise = pixels.copy()
    unseen = pixels[:, :, 3] == 0
    noise[unseen, :3] = np.random.default_rng(0).integers(0, 256, (int(unseen.sum()), 3))
    plain, noisy = (compass.encode(Image.fromarray(p), [0.5, 1], 4, tiny_model_path) for p in (pixels, noise))
    assert plain == noisy
    shown = np.asarray(compass.decode(noisy, model=tiny_model_path))
    seen = ~unseen
    assert psnr(shown[seen][:, :3], pixels[seen][:, :3]) > 25


def test_full_opacity_is_dropped(coded, parrots):
    assert coded(parrots.convert("RGBA")).mode == "RGB"


def test_a_transparent_colour_becomes_opacity(coded, parrots):
    for mode, result in (("RGB", "RGBA"), ("L", "LA"), ("P", "RGBA"), ("1", "LA")):
        image = parrots.quantize(8) if mode == "P" else parrots.convert(mode)
        image.info["transparency"] = image.getpixel((0, 0))
        decoded = coded(image)
        assert decoded.mode == result
        expected = image.convert(result).getchannel("A")
        assert expected.getextrema() == (0, 255)
        assert decoded.getchannel("A").tobytes() == expected.tobytes()


@pytest.mark.parametrize("mode", ["1", "P", "YCbCr", "HSV", "RGBX", "L"])
def test_other_modes_are_converted(mode, coded, parrots):
    image = parrots.quantize(200) if mode == "P" else parrots.convert(mode, dither=Image.Dither.NONE)
    expected = image.convert("L" if mode in ("1", "L") else "RGB")
    decoded = coded(image)
    assert decoded.mode == expected.mode
    assert psnr(np.asarray(decoded), np.asarray(expected)) > (15 if mode == "1" else 22)


def test_16_bits_become_8_with_a_warning(coded, parrots):
    grey = np.asarray(parrots.convert("L"))
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    with pytest.warns(UserWarning, match="16 bits a channel and is coded with 8"):
        decoded = coded(wide)
    assert decoded.tobytes() == coded(parrots.convert("L")).tobytes()
    wide.info["transparency"] = int(grey[0, 0]) * 257
    with pytest.warns(UserWarning, match="16 bits"):
        decoded = coded(wide)
    assert np.array_equal(np.asarray(decoded.getchannel("A")) == 0, grey == grey[0, 0])
    with pytest.raises(InputError, match="outside 0 to 65535"):
        coded(Image.fromarray(np.full((8, 8), 70000, np.int32)))


def test_16_bits_of_colour_are_seen_in_the_file(tmp_path):
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + bytes(range(48)) for _ in range(8))
    head = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "wide.png").write_bytes(data)
    with pytest.warns(UserWarning, match="16 bits"):
        assert read_image(tmp_path / "wide.png").size == (8, 8)


def test_cmyk_needs_a_profile(coded, parrots):
    with pytest.raises(InputError, match="mode CMYK without a colour profile"):
        coded(parrots.convert("CMYK"))
    image = parrots.convert("CMYK")
    image.info["icc_profile"] = SRGB  # of three channels: no profile of a CMYK image
    with pytest.raises(InputError, match="the colour profile of this CMYK image cannot be used"):
        coded(image)


def test_cmyk_by_its_profile(coded, parrots):
    image = parrots.convert("CMYK")
    image.info["icc_profile"] = cmyk_profile()
    decoded = coded(image)
    assert decoded.mode == "RGB"
    assert "icc_profile" not in decoded.info  # it is sRGB now
    red, green, blue = (
        np.asarray(coded(_inks(profile=cmyk_profile(), inks=inks))).reshape(-1, 3).mean(axis=0)
        for inks in ((0, 255, 255, 0), (255, 0, 255, 0), (255, 255, 0, 0))
    )
    assert red[0] > red[1:].max() + 100
    assert green[1] > green[[0, 2]].max() + 100
    assert blue[2] > blue[:2].max() + 100


def _inks(profile: bytes, inks: tuple[int, ...]) -> Image.Image:
    image = Image.new("CMYK", (32, 32), inks)
    image.info["icc_profile"] = profile
    return image


def test_lab_by_its_profile(coded, parrots):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(parrots, srgb, lab, outputMode="LAB")
    image.info["icc_profile"] = ImageCms.ImageCmsProfile(lab).tobytes()
    decoded = coded(image)
    assert psnr(np.asarray(decoded), np.asarray(parrots)) > 22
    assert "icc_profile" not in decoded.info  # it is sRGB now


@pytest.mark.parametrize("suffix", [".bmp", ".ppm", ".jpg"])
def test_opacity_is_not_dropped_where_it_cannot_be_written(suffix, parrots, tmp_path):
    with pytest.raises(
        InputError, match=r"out\.(bmp|ppm|jpg): the image has alpha, which \w+ cannot hold: give it a background"
    ):
        write_image(faded(parrots), tmp_path / ("out" + suffix))
    assert not any(tmp_path.iterdir())


def test_coded_opacity():
    alpha = np.random.default_rng(0).integers(0, 256, (7, 5), np.uint8)
    data = encode_alpha(alpha)
    assert np.array_equal(decode_alpha(data, (7, 5)), alpha)
    for size in ((7, 6), (6, 5), (1, 1)):
        with pytest.raises(FormatError, match="does not have the layer's size"):
            decode_alpha(data, size)
    for damaged in (b"", data[:-1], data + b"x", b"\xff" * 9):
        with pytest.raises(FormatError, match="the alpha of a layer is damaged"):
            decode_alpha(damaged, (7, 5))


def test_a_bomb_of_opacity_is_not_inflated(tiny_model_path, parrots):
    data = compass.encode(faded(parrots), [0.1], 0, tiny_model_path)
    header = container.read_header(data)
    entry = header.layers[0]
    payload = container.read_payload(data, header, 0)
    import zlib

    bomb = container.LayerData(entry.width, entry.height, entry.quality_code, payload, zlib.compress(bytes(10**8)))
    with pytest.raises(FormatError, match="does not have the layer's size"):
        compass.decode(container.write(header.model_hash, "RGB", [bomb]), model=tiny_model_path)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_thin_pictures(size, coded, parrots):
    assert coded(parrots.resize(size), scales=(0.3, 1)).size == size


def test_progressive_and_truncated_jpeg(parrots, coded, tmp_path):
    parrots.save(tmp_path / "p.jpg", progressive=True)
    assert coded(read_image(tmp_path / "p.jpg")).size == (320, 240)
    data = (tmp_path / "p.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut.jpg cannot be read: image file is truncated"):
        read_image(tmp_path / "cut.jpg")


def test_bytes_of_a_picture_from_standard_input(parrots, tiny_model_path, tmp_path):
    import subprocess
    import sys

    buffer = io.BytesIO()
    parrots.save(buffer, "PNG")
    command = [sys.executable, "-m", "compass"]
    model = ["--model", str(tiny_model_path)]
    coded = subprocess.run(
        [*command, "encode", "-", "-", "-q", "1", *model], input=buffer.getvalue(), capture_output=True
    )
    assert (coded.returncode, coded.stderr) == (0, b"")
    assert coded.stdout == compass.encode(parrots, None, 1, tiny_model_path)
    for arguments in (["decode", "-", "-", "--layer", "0", *model], ["extract", "-", "-", "--layer", "0"]):
        result = subprocess.run([*command, *arguments], input=coded.stdout, capture_output=True)
        assert (result.returncode, result.stderr) == (0, b"")
        if arguments[0] == "decode":
            assert Image.open(io.BytesIO(result.stdout)).size == (80, 60)
        else:
            assert coded.stdout.startswith(result.stdout)


def png_with_transparent_colour(bits, kind, rows, transparent):
    """A PNG of 32x32 whose rows are bytes as the file has them."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 32, 32, bits, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = (b"IHDR", header), (b"tRNS", transparent), (b"IDAT", data), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks)


@pytest.mark.parametrize(
    ("bits", "left", "right", "transparent"),
    [
        (1, b"\xff\xff", b"\0\0", 1),
        (2, b"\xaa" * 4, b"\x55" * 4, 2),
        (4, b"\x77" * 8, b"\xcc" * 8, 7),
        (8, b"\x77" * 16, b"\xcc" * 16, 0x77),
        (16, b"\x77\x01" * 16, b"\x77\xcc" * 16, 0x7701),
    ],
)
def test_a_transparent_grey_of_any_depth(bits, left, right, transparent, tmp_path):
    (tmp_path / "x.png").write_bytes(
        png_with_transparent_colour(bits, 0, [left + right] * 32, struct.pack(">H", transparent))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of 16 bits
        image = read_image(tmp_path / "x.png")
    assert image.mode == "LA"
    alpha = np.asarray(image.getchannel("A"))
    assert (alpha[:, :16] == 0).all()
    assert (alpha[:, 16:] == 255).all()


def test_a_transparent_colour_of_16_bits_is_left_out_with_a_warning(tmp_path):
    rows = [b"\xff\xff\x80\x10\x20\x30" * 32] * 32
    data = png_with_transparent_colour(16, 2, rows, b"\xff\xff\x80\x10\x20\x30")
    (tmp_path / "x.png").write_bytes(data)
    with pytest.warns(UserWarning, match="has 16 bits") as caught:
        assert read_image(tmp_path / "x.png").mode == "RGB"
    assert sorted(str(w.message).split(" has 16 bits")[0] for w in caught) == [
        "the image",
        "the transparent colour of the image",
    ]


@pytest.mark.parametrize("smaller", [False, True])
def test_views_of_an_image_are_said_but_previews_are_not(smaller, parrots, tmp_path):
    other = parrots.resize((80, 60)) if smaller else parrots.rotate(180)
    parrots.save(tmp_path / "x.mpo", save_all=True, append_images=[other])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert read_image(tmp_path / "x.mpo").size == parrots.size
    assert [str(w.message) for w in caught] == ([] if smaller else ["the first of 2 views is coded"])
