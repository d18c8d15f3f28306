"""The command line as a user meets it: results, messages, exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compass.bitstream import container
from compass.bitstream.container import LayerData
from compass.picture.files import read_image
from tests.command import compass, compass_process
from tests.conftest import PARROTS, images


def test_encode_info_extract_decode(tiny_model_path, tmp_path):
    model = ("--model", tiny_model_path)
    options = ("--sizes", "80x,160x120,320x", "-q", "2,3,4.5", *model)
    result = compass_process("encode", PARROTS, "p.cmps", *options, cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

    figures = json.loads(compass("info", "p.cmps", "--json", cwd=tmp_path).stdout)
    assert [(row["width"], row["height"], row["quality"]) for row in figures["layers"]] == [
        (80, 60, 2.0),
        (160, 120, 3.0),
        (320, 240, 4.5),
    ]
    assert figures["layers"][-1]["accumulated_bytes"] == (tmp_path / "p.cmps").stat().st_size
    text = compass("info", "p.cmps", cwd=tmp_path).stdout
    assert "160x120" in text

    assert compass("extract", "p.cmps", "small.cmps", "--layer", 0, cwd=tmp_path).returncode == 0
    assert (tmp_path / "small.cmps").stat().st_size == figures["layers"][0]["accumulated_bytes"]
    assert compass("decode", "small.cmps", "a.png", *model, cwd=tmp_path).stderr == ""
    assert compass("decode", "p.cmps", "b.png", "--layer", 0, *model, cwd=tmp_path).returncode == 0
    a, b = (np.asarray(read_image(tmp_path / n)) for n in ("a.png", "b.png"))
    assert a.shape == (60, 80, 3)
    assert np.array_equal(a, b)


def test_scales_as_fractions(tiny_model_path, tmp_path):
    compass("encode", PARROTS, "p.cmps", "--scales", "1/8,0.5,1", "--model", tiny_model_path, cwd=tmp_path)
    figures = json.loads(compass("info", "p.cmps", "--json", cwd=tmp_path).stdout)
    assert [row["width"] for row in figures["layers"]] == [40, 160, 320]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("decode", PARROTS, "o.png"), 1, "not a COMPASS file"),
        (("decode", "empty", "o.png"), 1, "the file is empty"),
        (("decode", "missing", "o.png"), 1, "missing cannot be read: No such file or directory"),
        (("encode", "missing", "o.cmps"), 1, "missing cannot be read: No such file or directory"),
        (("encode", "text", "o.cmps"), 1, "text is not an image that can be read"),
        (("encode", PARROTS, "o.cmps", "--model", "nonesuch"), 1, "there is no model 'nonesuch'"),
        (("encode", PARROTS, "text"), 1, "text exists already; --force overwrites it"),
        (("encode", PARROTS, "no/folder/o.cmps"), 1, "cannot be written: No such file or directory"),
        (("encode", PARROTS, "o.cmps", "-q", "7"), 1, "quality 7 is outside 0 to 6"),
        (("encode", PARROTS, "o.cmps", "-q", "high"), 2, "'high' is not a quality"),
        (("encode", PARROTS, "o.cmps", "--sizes", "big"), 2, "'big' is not a size"),
        (("encode", PARROTS, "o.cmps", "--scales", "1/0"), 2, "'1/0' is not a scale"),
        (("encode",), 2, "Missing argument"),
        (("encode", PARROTS, "text", "empty"), 1, "3 files are given: name the folder to write to by --out-dir"),
        (("encode", PARROTS, "o.png"), 1, "o.png has the name of another kind of image"),
        (("encode", "folder"), 1, "folder is a folder: name the folder to write to"),
        (("encode", "folder", "--out-dir", "o"), 1, "there is nothing to read in folder"),
        (("encode", "-", "--out-dir", "o"), 1, "standard input has no name"),
        (("decode", "good.cmps", "good.cmps", "--force"), 1, "good.cmps would be written over what is read"),
        (("decode", "good.cmps", "--to", "gif"), 2, "'gif' is not a format that is written"),
        (("decode", "good.cmps", "--to", "../x"), 2, "'../x' is not a format that is written"),
        (("encode", PARROTS, "new.gif"), 1, "new.gif has the name of another kind of image"),
        (("encode", PARROTS, "o.cmps", "--sizes", "9x", "--scales", "1"), 2, "give either --scales or --sizes"),
        (("encode", PARROTS, "o.cmps", "--strip", "--metadata", "front"), 2, "give either --strip or --metadata"),
        (("decode", "good.cmps", "o.nonesuch"), 1, "images cannot be written as .nonesuch"),
        (("decode", "good.cmps", "o.png", "--layer", "5"), 1, "there is no layer 5: the file has layers 0 to 1"),
        (
            ("decode", "good.cmps", "o.png", "--crop", "60,0,9,9"),
            1,
            "60,0 to 69,9 (left, upper to right, lower) reaches beyond a layer of 64x48",
        ),
        (("decode", "good.cmps", "o.png", "--crop", "0,0,0,9"), 1, "is empty"),
        (("decode", "good.cmps", "o.png", "--crop", "0,0,9"), 2, "'0,0,9' is not a part of an image"),
        (("decode", "good.cmps", "o.png", "--crop", "0,0,9,9", "--width", "9"), 2, "give either --crop or --width"),
        (("extract", "good.cmps", "o.cmps", "--layer", "-1"), 1, "there is no layer -1"),
        (("train", "base", "--out", "o", "--data", "missing"), 2, "give a budget"),
        (("nonesuch",), 2, "No such command"),
        (("decode", "good.cmps", "o.ico"), 1, "images cannot be written as .ico"),
        (("decode", "good.cmps", "x" * 300 + ".png"), 1, "cannot be written: File name too long"),
        (("decode", "good.cmps", "fifo.png", "--force"), 1, "fifo.png is not a regular file"),
        (("encode", PARROTS, "o.cmps", "--threads", "3000000000"), 2, "1024"),
        (("encode", PARROTS, "o.cmps", "--sizes", "9" * 5000 + "x"), 2, "is not a size"),
        (("decode", "folder", "o.png"), 1, "folder cannot be read: Is a directory"),
        (("encode", "folder", "o.cmps"), 1, "folder cannot be read: Is a directory"),
        (("info", "bad/later.cmps"), 1, "the file has format version 3, this program reads version 2"),
        (
            ("decode", "bad/unknown.cmps", "o.png"),
            1,
            "which is not installed: install it with `compass models add`",
        ),
        (("decode", "bad/no layers.cmps", "o.png"), 1, "the header lists 0 layers"),
        (("decode", "bad/shrinking.cmps", "o.png"), 1, "layer 1 is smaller than it may be"),
        (("decode", "bad/long.cmps", "o.png"), 1, "the file ends before its first layer does"),
        (("info", "bad/wide.cmps"), 1, "a number in it is too large"),
        (("decode", "bad/pixels.cmps", "o.png"), 1, "an image of 1048576x1048576 is beyond the limit"),
        (
            ("extract", "bad/flipped.cmps", "o.cmps", "--layer", "0"),
            1,
            "layer 0 is damaged: its checksum does not match",
        ),
        (("encode", PARROTS, "o.cmps", "--metadata", "middle"), 1, "metadata cannot be placed at 'middle'"),
    ],
)
def test_bad_input_gives_one_sentence_and_leaves_nothing(arguments, code, message, parrots, tiny_model_path, tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("text")
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "folder").mkdir()
    write_bad_files(tmp_path / "bad")
    if "good.cmps" in arguments:
        made = compass("encode", PARROTS, "good.cmps", "--scales", "0.1,0.2", "--model", tiny_model_path, cwd=tmp_path)
        assert made.returncode == 0
        if arguments[0] == "decode":
            arguments += ("--model", tiny_model_path)
    if arguments[0] == "encode" and "--model" not in arguments:
        arguments += ("--model", tiny_model_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    result = compass(*arguments, cwd=tmp_path)
    assert result.returncode == code, result.stderr
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr
    if code == 1:
        assert result.stderr.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def write_bad_files(folder: Path) -> None:
    """Files whose checksums are right, and whose headers lie."""
    folder.mkdir()
    layer = LayerData(16, 16, 96, b"payload")
    good = container.write(b"\1\2\3\4", "RGB", [layer])

    def header(fields: bytes, start: bytes = good[:10]) -> bytes:
        return start + fields + zlib.crc32(start + fields).to_bytes(4, "little")

    huge = layer._replace(width=1 << 20, height=1 << 20)
    files = {
        "later": good[:4] + b"\3" + good[5:],
        "unknown": good,
        "no layers": header(bytes((0, 16, 16))),
        "shrinking": header(bytes((2, 16, 16, 66, 96, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0))),
        "long": header(bytes((1, 16, 16, 66, 96)) + b"\xff\xff\xff\xff\x0f" + bytes(4)),
        "wide": header(bytes((1,)) + b"\xff\xff\xff\xff\x0f" + bytes(9)),
        "pixels": container.write(b"\1\2\3\4", "RGB", [huge]),
        "flipped": good[:-1] + b"x",
    }
    for name, data in files.items():
        (folder / f"{name}.cmps").write_bytes(data)


def test_cut_file_warns_once_and_succeeds(tiny_model_path, tmp_path):
    compass("encode", PARROTS, "p.cmps", "--model", tiny_model_path, cwd=tmp_path)
    (tmp_path / "cut.cmps").write_bytes((tmp_path / "p.cmps").read_bytes()[:-5])
    result = compass("decode", "cut.cmps", "o.png", "--model", tiny_model_path, cwd=tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (0, 1)
    assert "cut within layer 2" in result.stderr
    with Image.open(tmp_path / "o.png") as image:
        assert image.size == (160, 120)
    rows = compass("info", "cut.cmps", cwd=tmp_path).stdout.splitlines()[2:]
    assert [row.endswith("(cut off)") for row in rows] == [False, False, True]
    compass("extract", "p.cmps", "small.cmps", "--layer", 0, cwd=tmp_path)
    rows = compass("info", "small.cmps", cwd=tmp_path).stdout.splitlines()[2:]
    assert [row.endswith("(not in this file)") for row in rows] == [False, True, True]
    assert json.loads(compass("info", "small.cmps", "--json", cwd=tmp_path).stdout)["cut"] is False


def test_info_shows_all_that_can_be_read(tiny_model_path, tmp_path):
    compass("encode", PARROTS, "p.cmps", "--model", tiny_model_path, "--scales", "0.1", cwd=tmp_path)
    (tmp_path / "bad.cmps").write_bytes(b"no")
    result = compass("info", "bad.cmps", "p.cmps", "none.cmps", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stdout.startswith("p.cmps:\n32x24 RGB")
    said = result.stderr.splitlines()
    assert said[0].startswith("compass: bad.cmps: ")
    assert said[1:] == [
        "compass: none.cmps cannot be read: No such file or directory",
        "compass: 2 of 3 files failed",
    ]
    shown = compass("info", "bad.cmps", "p.cmps", "--json", cwd=tmp_path)
    assert [figures["width"] for figures in json.loads(shown.stdout)] == [32]


def test_what_is_no_image_or_no_place_is_named(tiny_model_path, tmp_path):
    compass("encode", PARROTS, "p.cmps", "--model", tiny_model_path, "--scales", "0.1", cwd=tmp_path)
    result = compass("encode", "p.cmps", "q.cmps", cwd=tmp_path)
    assert (result.returncode, "p.cmps is a layered file, and not an image" in result.stderr) == (1, True)
    if os.path.exists("/dev/full"):
        result = compass("encode", PARROTS, "/dev/full", "--model", tiny_model_path, cwd=tmp_path)
        assert (result.returncode, result.stderr) == (
            1,
            "compass: /dev/full cannot be written: No space left on device\n",
        )


def test_version_and_help(tmp_path):
    assert compass_process("--version", cwd=tmp_path).stdout.startswith("compass 0.")
    result = compass_process("--help", cwd=tmp_path)
    assert all(name in result.stdout for name in ("encode", "decode", "info", "extract", "models", "train", "export"))


@pytest.mark.parametrize("arguments", [["-c", "import compass"], ["-m", "compass", "--help"]])
def test_start_up_loads_nothing_heavy(arguments):
    command = [sys.executable, "-X", "importtime", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    for heavy in ("numpy", "onnxruntime", "constriction", "torch", "PIL", "platformdirs"):
        assert f" {heavy}\n" not in result.stderr, heavy


@pytest.mark.slow
def test_a_limit_of_pixels_that_is_chosen(tiny_model_path, tmp_path):
    images(tmp_path, "a.png")  # 40x30, 48x32 in whole cells
    command = ("encode", "a.png", "a.cmps", "--scales", "1", "--model", tiny_model_path, "--max-pixels")
    refused = compass_process(*command, "1199", cwd=tmp_path)
    assert refused.returncode == 1
    assert "a.png" in refused.stderr
    assert "a.png has more than 1199 pixels, the limit (that --max-pixels sets)" in refused.stderr
    allowed = compass_process(*command, "1200", cwd=tmp_path)
    assert (allowed.returncode, allowed.stderr) == (0, "")
    back = ("decode", "a.cmps", "b.png", "--model", tiny_model_path, "--max-pixels")
    refused = compass_process(*back, "1199", cwd=tmp_path)
    assert (refused.returncode, refused.stderr) == (
        1,
        "compass: a.cmps: an image of 40x30 is beyond the limit of 1199 pixels\n",
    )
    assert not (tmp_path / "b.png").exists()
    assert compass_process(*back, "1200", cwd=tmp_path).returncode == 0
    assert compass_process(*back, "0", "--force", cwd=tmp_path).returncode == 0


def test_help_shows_what_is_the_default(tmp_path):
    text = " ".join(compass("encode", "-h", cwd=tmp_path).stdout.split())
    assert "[default: 3]" in text
    assert "[default: 1/4,1/2,1, or 1 with a one-layer model]" in text


def test_bench(tiny_model_path, tmp_path):
    images(tmp_path, "a.png")
    result = compass("bench", "a.png", "--runs", "1", "-e", "2", "--model", tiny_model_path, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    head, names, *rows = result.stdout.splitlines()
    assert re.fullmatch(r"40x30, \d+ bytes in 3 layers, threads: 1", head)
    assert "of the processor" in names
    assert [row.split()[0] for row in rows] == ["encode", "layer", "layer", "layer"]
    assert all(float(value) > 0 for row in rows for value in row.split()[-3:])


def test_a_short_name_is_said_too(tmp_path):
    (tmp_path / "e").write_bytes(b"\xcfCMP")
    assert compass("info", "e", cwd=tmp_path).stderr == "compass: e: the file ends within its header\n"
