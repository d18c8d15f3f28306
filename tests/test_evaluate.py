"""`compass evaluate`: codecs under test behind one contract, and the file of results."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest

from compass.errors import InputError
from compass.evaluation import evaluate as evaluation
from compass.evaluation.codecs import registry
from compass.evaluation.codecs.avif_layered import layer_ends
from compass.evaluation.codecs.by_compass import BaseCodec, CompassCodec
from compass.evaluation.codecs.by_resolution import halvings, tile_part_ends
from compass.evaluation.codecs.contract import UnavailableError
from compass.evaluation.codecs.shvc import configuration
from compass.evaluation.codecs.wrappers import Separate
from compass.evaluation.evaluate import Evaluation, evaluate
from compass.evaluation.results import read_results
from compass.picture.fidelity import psnr
from compass.picture.pyramid import pyramid
from tests.command import compass as run

SIZES = [(80, 60), (160, 120), (320, 240)]
SCALES = (1 / 4, 1 / 2, 1.0)


@pytest.fixture
def folder(parrots, tmp_path):
    path = tmp_path / "pictures"
    path.mkdir()
    parrots.save(path / "a.png")
    parrots.transpose(0).save(path / "b.png")
    (path / "notes.txt").write_text("no image")
    return path


def available(name: str):
    codec = registry.find(name)
    try:
        codec.settings()
    except UnavailableError as error:
        pytest.skip(str(error))
    return codec


@pytest.mark.parametrize(
    "name",
    [
        "compass",
        "jpeg2000",
        "htj2k",
        "avif-layered",
        *(f"simulcast-{n}" for n in registry.IMAGE_CODECS),
        "single-webp",
    ],
)
def test_every_codec_codes_a_pyramid(name, parrots):
    """More quality is more bytes and a better image, of every layer; bytes add up."""
    codec = available(name)
    targets = pyramid(parrots, SIZES)
    ends = sorted(
        (codec.qualities[0], codec.qualities[-1]), reverse=name.endswith(("hevc", "jpegxl", "htj2k", "avif-layered"))
    )
    worse, better = (codec.code(targets, quality) for quality in ends)
    for low, high, target in zip(worse, better, targets, strict=True):
        assert low.accumulated_bytes < high.accumulated_bytes
        assert low.coded.image.shape == high.coded.image.shape == target.shape
        assert 18 < psnr(low.coded.image, target) < psnr(high.coded.image, target)
        assert low.coded.encoding_time > 0
        assert low.coded.decoding_time > 0
        if low.coded.planes is not None:
            assert np.array_equal(np.clip(np.rint(low.coded.planes), 0, 255), low.coded.image)
    own, total = [x.coded.bytes for x in better], [x.accumulated_bytes for x in better]
    assert total == (own if name.startswith("single") else list(np.cumsum(own)))


def test_a_layered_file_has_its_header_in_the_first_layer(parrots, tiny_model_path):
    layers = CompassCodec(model=str(tiny_model_path)).code(pyramid(parrots, SIZES), 3)
    assert layers[0].coded.bytes > layers[0].coded.payload_bytes
    assert [x.coded.bytes for x in layers[1:]] == [x.coded.payload_bytes for x in layers[1:]]


def test_simulcast_adds_up_what_single_layers_take(parrots, tiny_model_path):
    codec = BaseCodec(model=str(tiny_model_path))
    single, simulcast = (Separate(codec, s).code(pyramid(parrots, SIZES), 2) for s in (False, True))
    assert [x.accumulated_bytes for x in simulcast] == list(np.cumsum([x.accumulated_bytes for x in single]))
    assert np.array_equal(single[2].coded.image, simulcast[2].coded.image)


def test_codecs_beside_another_model():
    def model_of(name: str) -> str | None:
        codec = registry.find_beside(name, "other")
        return getattr(getattr(codec, "codec", codec), "model", None)

    assert [model_of(name) for name in ("compass", "simulcast-compass", "single-compass")] == ["other"] * 3
    assert [model_of(name) for name in ("simulcast-mean-scale", "simulcast-webp")] == ["mean-scale", None]


def test_unknown_codecs_and_codecs_without_models():
    with pytest.raises(
        InputError,
        match="no codec 'simulcast-gif', only compass, jpeg2000, htj2k, avif-layered, shvc, simulcast-",
    ):
        registry.find("simulcast-gif")
    with pytest.raises(InputError, match="the codec simulcast-webp has no models"):
        registry.find("simulcast-webp", "fast")
    with pytest.raises(UnavailableError, match="there is no model 'mean-scale'"):
        registry.find("single-mean-scale").settings()


def test_a_missing_program_is_one_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnavailableError, match=r"^opj_compress and opj_decompress cannot be found: install it"):
        registry.find("jpeg2000").settings()


def test_ends_of_tile_parts():
    header = b"\xff\x4f\xff\x51\x00\x02"
    parts = [b"\xff\x90\x00\x0a\x00\x00" + (12 + n).to_bytes(4, "big") + bytes(2 + n) for n in (5, 9)]
    assert tile_part_ends(header + parts[0] + parts[1] + b"\xff\xd9") == [6 + 17, 6 + 17 + 21]


def test_layers_by_resolution_are_halvings(parrots):
    assert halvings(pyramid(parrots, [(10, 8), (160, 120), (320, 240)])) == [5, 1, 0]
    with pytest.raises(InputError, match="this codec has no layer of 96x72"):
        halvings(pyramid(parrots, [(96, 72), (320, 240)]))


def test_ends_of_avif_layers():
    short = b"..a1lx\x00\x01\x02\x00\x03\x00\x00....mdat" + bytes(0x102 + 3 + 9)
    start = short.index(b"mdat") + 4
    assert layer_ends(short, 3) == [start + 0x102, start + 0x105, len(short)]
    long = short.replace(b"\x00\x01\x02\x00\x03\x00\x00", b"\x01\x00\x00\x01\x02" + bytes(8))
    assert layer_ends(long, 2) == [long.index(b"mdat") + 4 + 0x102, len(long)]
    assert layer_ends(short, 1) == [len(short)]


STAND_IN = """#!{python}
# Takes a configuration as SHM does; its images are the inputs, four levels darker in luma; a NAL unit for each layer.
import sys
lines = [line.split(" : ", 1) for line in open(sys.argv[2]).read().splitlines()]
settings = dict(lines)
with open(settings["BitstreamFile"], "wb") as stream:
    for k in range(int(settings["NumLayers"])):
        size = int(settings[f"SourceWidth{{k}}"]) * int(settings[f"SourceHeight{{k}}"])
        planes = open(settings[f"InputFile{{k}}"], "rb").read()
        assert len(planes) == 3 * size
        luma = bytes(max(0, v - 4) for v in planes[:size])
        open(settings[f"ReconFile{{k}}"], "wb").write(luma + planes[size:])
        stream.write(bytes([0, 0, 0, 1, 38, k << 3 | 1]) + b"\x55" * int(settings[f"QP{{k}}"]))
"""


def put_stand_in(folder):
    program = folder / "TAppEncoderStatic"
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)


def test_programs_off_the_path(folder, tmp_path):
    (tmp_path / "bin").mkdir()
    put_stand_in(tmp_path / "bin")
    command = ("evaluate", "pictures", "--codec", "shvc", "--qualities", "22,37", "--out", "out.json")
    result = run(*command, cwd=tmp_path)
    assert (result.returncode, result.stderr.partition(":")[2]) == (
        1, " TAppEncoderStatic cannot be found: install it, or leave this codec out\n"
    )  # fmt: skip
    assert run(*command, "--programs", "bin", cwd=tmp_path).returncode == 0
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["results"]["decoding_time"] == [None, None]
    assert [layer["bytes"] for layer in report["pictures"][0]["layers"]] == [6 + 28, 6 + 25, 6 + 22]


def test_shvc_by_a_stand_in_of_its_encoder(parrots, tmp_path, monkeypatch):
    """The stand-in shows that files, sizes, colours and bytes of layers are right, not that SHM takes the settings."""
    put_stand_in(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    targets = pyramid(parrots, SIZES)
    layers = registry.find("shvc").code(targets, 30)
    assert [x.coded.bytes for x in layers] == [6 + 36, 6 + 33, 6 + 30]
    assert [x.accumulated_bytes for x in layers] == [42, 81, 117]
    for layer, target in zip(layers, targets, strict=True):
        difference = target.astype(int) - layer.coded.image
        inside = (target.min(axis=2) > 8) & (target.max(axis=2) < 247)
        assert np.abs(difference[inside] - 4).max() <= 2
        assert layer.coded.decoding_time is None


def test_shvc_layers_have_one_centre(tmp_path):
    """Sample x of a layer lies at (x + 1/2) lower / size - 1/2 of the one below; SHM counts sixteenths of its own."""
    layers = [np.zeros((h, w, 3), np.uint8) for h, w in ((128, 192), (153, 230), (512, 768))]
    lines = dict(line.split(" : ", 1) for line in configuration(tmp_path, layers, 27).splitlines())
    assert [lines[f"QP{k}"] for k in range(3)] == ["33", "30", "27"]
    assert [lines[f"PhaseHorLuma{k}"] for k in (1, 2)] == ["2", "19"]  # 1.6 and 18.7
    assert lines["PhaseVerChroma1"] == lines["PhaseVerLuma1"] == "2"
    assert lines["LayerSetLayerIdList1"] == "0 1 2"
    for k, (size, lower) in enumerate(((230, 192), (768, 230)), 1):
        shift = int(lines[f"PhaseHorLuma{k}"])
        assert -shift / 16 * lower / size == pytest.approx(0.5 * lower / size - 0.5, abs=1 / 32)
    with pytest.raises(InputError, match="no layer 6 times as large as the one below"):
        configuration(tmp_path, [layers[0], layers[0].repeat(6, 0).repeat(6, 1)], 27)


def test_an_evaluation_is_complete(folder, tiny_model_path, tmp_path):
    out = tmp_path / "out.json"
    seen = []
    work = Evaluation(folder, "compass", SCALES, (1.0, 4.0), str(tiny_model_path))
    report = evaluate(work, out, "the command", progress=lambda done, of: seen.append((done, of)))
    assert report == json.loads(out.read_text())
    assert seen == [(k, 4) for k in range(5)]
    assert [(row["picture"], row["quality"]) for row in report["pictures"]] == [
        ("a.png", 1), ("b.png", 1), ("a.png", 4), ("b.png", 4)
    ]  # fmt: skip
    last = [row["layers"][2] for row in report["pictures"][:2]]
    assert report["results"]["bpp"][0] == pytest.approx(
        sum(x["accumulated_bytes"] for x in last) * 4 / (320 * 240), abs=1e-5
    )
    assert report["results"]["psnr-rgb"][0] == pytest.approx(np.mean([x["psnr-rgb"] for x in last]))
    assert last[0]["psnr-rgb-float"] == pytest.approx(last[0]["psnr-rgb"], abs=0.1)
    assert last[0]["psnr-rgb-float"] != last[0]["psnr-rgb"]
    assert last[0]["ms-ssim-rgb"] > 0.5
    assert report["pictures"][0]["layers"][0]["ms-ssim-rgb"] is None  # too small
    assert report["environment"]["command"] == "the command"
    assert report["settings"]["hash"] == read_hash(tiny_model_path)
    (result,) = read_results([out])
    assert result.final[0] == (report["results"]["bpp"][0], report["results"]["psnr-rgb"][0])
    assert (result.name, result.source, result.scales) == ("compass", "measured", SCALES)


def read_hash(path):
    from compass.model.file import ModelFile

    return ModelFile(path).manifest.hash.hex()


def test_an_interrupted_evaluation_goes_on(folder, tmp_path, monkeypatch):
    out, calls = tmp_path / "out.json", []
    measure = evaluation.measure

    def failing(work, path, quality):
        calls.append((path.name, quality))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(work, path, quality)

    monkeypatch.setattr(evaluation, "measure", failing)
    work = Evaluation(folder, "simulcast-webp", SCALES, (20.0, 60.0))
    with pytest.raises(KeyboardInterrupt):
        evaluate(work, out, "")
    part = tmp_path / "out.json.part"
    part.write_text(part.read_text() + '{"picture": "b')  # and the last line was not finished
    assert not out.exists()
    evaluate(work, out, "")
    assert calls == [("a.png", 20), ("a.png", 60), ("b.png", 20), ("b.png", 20), ("b.png", 60)]
    assert not part.exists()
    whole = evaluate(work, tmp_path / "whole.json", "")
    assert [layer["bytes"] for row in whole["pictures"] for layer in row["layers"]] == [
        layer["bytes"] for row in json.loads(out.read_text())["pictures"] for layer in row["layers"]
    ]


def test_rows_of_another_evaluation_are_not_taken(folder, tmp_path):
    out = tmp_path / "out.json"
    (tmp_path / "out.json.part").write_text('{"name": "other"}\n{"picture": "a.png", "quality": 20, "layers": []}\n')
    report = evaluate(Evaluation(folder, "single-webp", (1.0,), (20.0,)), out, "")
    assert len(report["pictures"][0]["layers"]) == 1


def test_processes_measure_the_same(folder, tmp_path):
    work = Evaluation(folder, "simulcast-jpeg", (0.5, 1.0), (30.0,))
    one, two = (evaluate(work, tmp_path / f"{n}.json", "", processes=n) for n in (1, 2))
    assert [[x["bytes"] for x in r["layers"]] for r in one["pictures"]] == [
        [x["bytes"] for x in r["layers"]] for r in two["pictures"]
    ]


def test_sizes_are_rounded_or_cut_off(tmp_path):
    assert Evaluation(tmp_path, "compass", (0.25, 0.3)).sizes((768, 512)) == [(192, 128), (230, 154)]
    assert Evaluation(tmp_path, "compass", (0.25, 0.3), truncate=True).sizes((768, 512)) == [(192, 128), (230, 153)]


def test_the_command(folder, tmp_path):
    options = ("--codec", "single-jpeg", "--scales", "1", "--qualities", "30", "--out", "out.json")
    result = run("evaluate", folder, *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    command = json.loads((tmp_path / "out.json").read_text())["environment"]["command"]
    assert command == "compass evaluate pictures --codec single-jpeg --scales 1 --qualities 30"
    again = run("evaluate", folder, *options, cwd=tmp_path)
    assert (again.returncode, again.stderr) == (1, "compass: out.json exists already; --force overwrites it\n")
    empty = run("evaluate", "none", *options, "--force", cwd=tmp_path)
    assert (empty.returncode, empty.stderr) == (1, "compass: none cannot be read: No such file or directory\n")


def test_recorded_points_are_read(tmp_path):
    path = tmp_path / "peer.json"
    point = {"setting": "QP 30", "mean_accumulated_bytes": [100, 400], "mean_bpp_final": 0.4, "mean_psnr_rgb": [28, 30]}
    content = {"codec": "Peer", "data_set": "Kodak", "settings": "s", "scales": [0.5, 1], "recorded": "2026-01-01"}
    path.write_text(json.dumps(content | {"points": [point]}))
    (result,) = read_results([path])
    assert result.source == "recorded 2026-01-01"
    assert result.layers == ([(pytest.approx(0.4), 28)], [(0.4, 30)])
    path.write_text("{}")
    with pytest.raises(InputError, match="is no file of results"):
        read_results([path])


def test_images_that_cannot_be_read_are_left_out(folder, tmp_path):
    names = ["a.png", "b.png"]
    (folder / "broken.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"broken\.png is not an image that can be read: it is left out"):
        report = evaluate(Evaluation(folder, "single-webp", (1.0,), (50.0,)), tmp_path / "x.json", "")
    assert report["skipped"] == ["broken.png"]
    assert [row["picture"] for row in report["pictures"]] == names
    for name in names:
        (folder / name).write_bytes(b"")
    with pytest.warns(UserWarning, match="left out"), pytest.raises(InputError, match="none of 3 images can be read"):
        evaluate(Evaluation(folder, "single-webp", (1.0,), (50.0,)), tmp_path / "y.json", "")
