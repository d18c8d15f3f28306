"""What the colours of an image mean, on the way in and on the way out."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, features

import compass
from colours import MODES, PROFILES, SUFFIXES, image_of, seen, written
from compass.errors import InputError
from compass.picture.colour import profile_fits
from compass.picture.files import image_of_bytes, read_image, write_image
from compass.picture.metadata import Metadata
from compass.picture.modes import to_codable
from profiles import wide_profile
from tests.command import compass as run


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("mode", MODES)
def test_what_is_written_fits_itself(mode, name, suffix, parrots, tmp_path):
    """Every mode, profile and format: the file that is written looks like what was given, or it is said."""
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    outcome = written(image_of(mode, PROFILES[name], parrots), tmp_path / f"x{suffix}")
    if mode == "CMYK" and name != "inks":
        assert outcome.path is None
        assert "CMYK" in outcome.said
        return
    assert outcome.fits
    assert ("it is left out" in outcome.said) == (
        (mode != "CMYK" and not profile_fits(mode, PROFILES[name]))
        or (suffix in (".bmp", ".ppm") and name in ("wide", "grey"))
    )
    if "will look wrong" not in outcome.said:
        assert outcome.difference < (5 if suffix in (".jpg", ".webp", ".avif") else 0.5)
    assert read_image(outcome.path).size == (64, 48)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(image: Image.Image, *chunks: bytes) -> bytes:
    """A PNG with chunks after its header."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    data = buffer.getvalue()
    return data[:33] + b"".join(chunks) + data[33:]


def primaries(*xy: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(100000 * v) for v in xy)))


REC709 = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
ADOBE = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
GAMMA_1, GAMMA_22 = (chunk(b"gAMA", struct.pack(">I", value)) for value in (100000, 45455))


@pytest.mark.parametrize("mode", MODES[:4])
def test_a_png_of_linear_light(mode, parrots):
    linear = image_of(mode, None, parrots)
    coded = image_of_bytes(png(linear, GAMMA_1), "x.png")
    grey = np.arange(256) / 255
    encoded = np.rint(255 * np.where(grey <= 0.0031308, 12.92 * grey, 1.055 * grey ** (1 / 2.4) - 0.055))
    expected = encoded[np.asarray(linear.convert(mode.removesuffix("A")))]
    assert coded.mode == mode
    assert np.array_equal(np.asarray(coded.convert(mode.removesuffix("A"))), expected)
    if mode.endswith("A"):
        assert coded.getchannel("A").tobytes() == linear.getchannel("A").tobytes()


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (GAMMA_22,),
        (GAMMA_22, primaries(*REC709)),
        (chunk(b"sRGB", b"\0"), GAMMA_1),
        (chunk(b"cICP", bytes((1, 13, 0, 1))),),
        (primaries(*[0] * 8),),
    ],
)
def test_a_png_of_srgb(chunks, parrots):
    assert image_of_bytes(png(parrots, *chunks), "x.png").tobytes() == parrots.tobytes()


def test_a_png_of_other_primaries(parrots):
    """As the profile of the same colours says."""
    coded = image_of_bytes(png(parrots, GAMMA_22, primaries(*ADOBE)), "x.png")
    image = parrots.copy()
    image.info["icc_profile"] = wide_profile()
    difference = np.abs(seen(image) - np.asarray(coded).astype(int))
    assert difference.mean() < 1.5  # the profile's gamma is 2.2, sRGB's curve is not quite
    assert np.abs(np.asarray(parrots).astype(int) - seen(image)).mean() > 3


@pytest.mark.parametrize(("code", "name"), [((9, 16), "PQ"), ((9, 18), "HLG"), ((12, 13), "transfer 13, primaries 12")])
def test_a_png_of_colours_by_code(code, name, parrots, tmp_path):
    (tmp_path / "x.png").write_bytes(png(parrots, chunk(b"cICP", bytes((*code, 0, 1)))))
    with pytest.raises(InputError, match=rf"x\.png: the image states colours by a code \({name}\)"):
        read_image(tmp_path / "x.png")


def test_a_profile_in_a_png_counts_more_than_its_chunks(parrots):
    buffer = io.BytesIO()
    parrots.save(buffer, "PNG", icc_profile=PROFILES["sRGB"])
    data = buffer.getvalue()
    coded = image_of_bytes(data[:33] + GAMMA_1 + data[33:], "x.png")
    assert coded.tobytes() == parrots.tobytes()
    assert coded.info["icc_profile"] == PROFILES["sRGB"]


def test_frames_that_are_left_out_are_said(parrots, tmp_path):
    small = parrots.resize((20, 15))
    for name in ("x.gif", "x.webp", "x.tif", "x.png"):
        small.save(tmp_path / name, save_all=True, append_images=[small.rotate(90), small.rotate(180)])
        with pytest.warns(UserWarning, match="the first of 3 frames is coded"):
            read_image(tmp_path / name)


def test_grey_of_8_bits_in_32(parrots):
    grey = parrots.convert("L")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert to_codable(grey.convert("I")).tobytes() == grey.tobytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["exif", "xmp", "icc_profile"])
@pytest.mark.parametrize("length", [100, 70_000, 3_000_000])
def test_metadata_of_any_length(name, length, suffix, parrots, tmp_path):
    """It is written, or left out with a warning; and what is written can be read."""
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    image = parrots.resize((20, 15))
    if name == "exif":
        exif = Image.Exif()
        exif[0x010E] = "x" * length
        content = exif.tobytes()
    else:
        content = {"xmp": b"<x>" + b"y" * length + b"</x>", "icc_profile": PROFILES["sRGB"] + bytes(length)}[name]
    image.info[name] = content
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write_image(image, tmp_path / f"x{suffix}")
    again = Metadata.of(read_image(tmp_path / f"x{suffix}"))
    said = any(f"the {name} of" in str(warning.message) for warning in caught)
    if suffix in (".bmp", ".ppm"):
        assert again.given == {}
        assert not said
    elif said:
        assert length > 100
        assert again.given == {}
    else:
        assert set(again.given) == {name}


def test_decoding_on_a_background_and_without_metadata(parrots, tiny_model_path, tmp_path):
    image = parrots.copy()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(tmp_path / "in.png", icc_profile=PROFILES["sRGB"])
    model = ("--model", tiny_model_path, "--force")
    assert run("encode", "in.png", "x.cmps", *model, cwd=tmp_path).returncode == 0
    failed = run("decode", "x.cmps", "x.jpg", *model, cwd=tmp_path)
    assert "the image has alpha, which JPEG cannot hold: give it a background" in failed.stderr
    assert run("decode", "x.cmps", "x.jpg", "--background", "#00f", *model, cwd=tmp_path).returncode == 0
    with Image.open(tmp_path / "x.jpg") as written:
        assert written.info["icc_profile"] == PROFILES["sRGB"]
        assert np.asarray(written)[0, :, 2].mean() > 200  # the gradient begins with nothing
    assert run("decode", "x.cmps", "y.jpg", "--background", "blue", "--strip", *model, cwd=tmp_path).returncode == 0
    with Image.open(tmp_path / "y.jpg") as written:
        assert "icc_profile" not in written.info
    sizes = []
    for quality in ("10", "90"):
        options = ("--background", "white", "--output-quality", quality, *model)
        assert run("decode", "x.cmps", "z.jpg", *options, cwd=tmp_path).returncode == 0
        sizes.append((tmp_path / "z.jpg").stat().st_size)
    assert sizes[0] < sizes[1] / 2
    wrong = run("decode", "x.cmps", "w.png", "--background", "nocolour", *model, cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert "'nocolour' is not a colour" in wrong.stderr


def test_an_image_that_is_given_is_not_changed(parrots, tiny_model_path, tmp_path):
    image = image_of("L", wide_profile(), parrots)
    info = dict(image.info)
    with pytest.warns(UserWarning, match="the colour profile is for RGB, the image is L"):
        compass.encode(image, [1], 1, tiny_model_path)
    write_image(image, tmp_path / "x.webp")
    assert image.info == info
    assert image.mode == "L"


def test_colours_by_code_with_a_profile_are_those_of_the_profile(parrots):
    buffer = io.BytesIO()
    parrots.save(buffer, "PNG", icc_profile=wide_profile())
    data = buffer.getvalue()
    coded = image_of_bytes(data[:33] + chunk(b"cICP", bytes((12, 13, 0, 1))) + data[33:], "x.png")
    assert coded.info["icc_profile"] == wide_profile()


def test_an_opened_png_of_colours_by_code(parrots, tiny_model_path):
    data = png(parrots, chunk(b"cICP", bytes((9, 16, 0, 1))))
    with Image.open(io.BytesIO(data)) as image, pytest.raises(InputError, match="PQ"):
        compass.encode(image, [1], 1, tiny_model_path)


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".webp", ".png"])
def test_damage_behind_the_first_frame(suffix, parrots, tmp_path):
    """The first frame is all that is coded: what comes after it may be anything."""
    small = parrots.resize((40, 30))
    small.save(tmp_path / f"x{suffix}", save_all=True, append_images=[small.rotate(90), small.rotate(180)])
    data = (tmp_path / f"x{suffix}").read_bytes()
    for length in range(len(data) // 2, len(data), max(1, len(data) // 60)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(InputError):  # nothing else may come out
                assert image_of_bytes(data[:length], "x").size == (40, 30)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png", ".tif"])
def test_an_orientation_in_xmp(suffix, parrots, tmp_path):
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    )
    image = parrots.resize((64, 32))
    image.info["xmp"] = xmp
    write_image(image, tmp_path / f"x{suffix}")
    with Image.open(tmp_path / f"x{suffix}") as written:
        turned = written.getexif().get(0x0112, 1) == 6
    assert read_image(tmp_path / f"x{suffix}").size == ((32, 64) if turned else (64, 32))
