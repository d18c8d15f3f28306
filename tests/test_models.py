"""Finding models: a file decodes with the model that it names, wherever that one is installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import compass
import compass.pillow
from compass.errors import InputError, ModelError, ModelNotFoundError
from compass.model import store
from compass.model.file import ModelFile, write_decoder_half, write_model
from compass.model.model import Model
from tests.command import compass as run
from tests.conftest import CONFORMANCE, PARROTS, RELEASED_MODELS, TINY_MODEL

FILE = (CONFORMANCE / "example.cmps").read_bytes()  # made with the tiny model, which is not in the package
HASH = ModelFile(TINY_MODEL).manifest.hash.hex()
OF_THE_CHECKOUT = ["repository"] * len(list((CONFORMANCE.parent / "models" / "paper").glob("*.model")))


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch, tmp_path):
    """No folder of a real user, and nothing registered."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv(store.VARIABLE, raising=False)
    monkeypatch.setattr(store, "_registered", [])


def expected() -> bytes:
    return compass.decode(FILE, model=TINY_MODEL).tobytes()


def test_a_model_that_is_not_installed_is_named():
    with pytest.raises(
        ModelNotFoundError, match=f"^the file needs the model {HASH}, which is not installed$"
    ) as raised:
        compass.decode(FILE)
    assert raised.value.model_hash.hex() == HASH
    assert compass.info(FILE)["model"] == {"name": None, "hash": HASH}


def test_registered():
    compass.models.register(TINY_MODEL)
    compass.models.register(str(TINY_MODEL))
    assert compass.decode(FILE).tobytes() == expected()
    assert compass.info(FILE)["model"]["name"] == "tiny"
    assert [entry.place for entry in compass.models.installed()] == ["registered", "package", *OF_THE_CHECKOUT]
    with pytest.raises(ModelError, match="not a model file"):
        compass.models.register(PARROTS)


def test_folders_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv(store.VARIABLE, os.pathsep.join([str(tmp_path / "none"), "", str(CONFORMANCE)]))
    assert compass.decode(FILE).tobytes() == expected()
    with compass.open(FILE) as opened:
        assert opened.decode(0).size == (12, 8)


def test_the_networks_of_the_paper_are_found_in_a_checkout(monkeypatch, tmp_path):
    assert store.load("paper-small").name == "paper-small"
    monkeypatch.setattr(store, "_CHECKOUT", tmp_path)
    with pytest.raises(ModelError, match="there is no model 'paper-small'"):
        store.load("paper-small")


def test_data_packages(monkeypatch, tmp_path):
    folder = tmp_path / "share" / "compass" / "models"
    folder.mkdir(parents=True)
    (folder / "tiny.model").write_bytes(TINY_MODEL.read_bytes())
    monkeypatch.setattr(store.sysconfig, "get_path", lambda name: str(tmp_path))
    assert compass.decode(FILE).tobytes() == expected()


def test_added_by_the_command_line(tmp_path):
    (tmp_path / "e.cmps").write_bytes(FILE)
    refused = run("decode", "e.cmps", "o.png", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.endswith("install it with `compass models add`, or name its file with --model\n")
    added = run("models", "add", TINY_MODEL, cwd=tmp_path)
    assert added.returncode == 0, added.stderr
    assert ModelFile(TINY_MODEL).manifest.sha256 in added.stdout
    assert run("models", "add", TINY_MODEL, cwd=tmp_path).returncode == 0  # again: nothing changes
    assert run("decode", "e.cmps", "o.png", cwd=tmp_path).stderr == ""
    with Image.open(tmp_path / "o.png") as image:
        assert image.tobytes() == expected()
    with Image.open(tmp_path / "e.cmps") as image:
        assert image.tobytes() == expected()
    rows = json.loads(run("models", "list", "--json", cwd=tmp_path).stdout)
    assert [row["name"] for row in rows[:2]] == ["tiny", "fast"]
    assert [row["place"] for row in rows] == ["user", "package", *OF_THE_CHECKOUT]
    assert HASH in run("models", "list", cwd=tmp_path).stdout
    where = run("models", "where", cwd=tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in where] == ["user", "data", "package", "repository"]
    assert str(tmp_path / "data") in where[0]
    missing = run("models", "add", "none.model", cwd=tmp_path)
    assert (missing.returncode, missing.stderr) == (1, "compass: there is no model file none.model\n")


def test_names_hashes_and_files():
    with pytest.raises(ModelError, match="there is no model 'tiny': give a file, or one of fast"):
        store.load("tiny")
    compass.models.register(TINY_MODEL)
    assert store.load("tiny").path == store.load(HASH).path == store.load(TINY_MODEL).path == TINY_MODEL
    assert store.load().name == store.load("fast").name == store.DEFAULT


def test_a_model_of_the_same_name_does_not_take_the_packages_place(tmp_path):
    members = ModelFile(TINY_MODEL).members
    write_model(tmp_path / "other.model", store.DEFAULT, members, {})
    compass.models.register(tmp_path / "other.model")
    assert store.load(store.DEFAULT).path.parent.name == "weights"
    assert store.load().path.parent.name == "weights"


def test_another_model_of_the_same_hash_is_not_added(tmp_path):
    source = ModelFile(TINY_MODEL)
    residual = {
        f"decoder/base/{name}": source.read(f"decoder/residual/{name}") for name in ("entropy.json", "entropy.bin")
    }
    write_model(tmp_path / "forged.model", "tiny", {**source.members, **residual}, {}, source.manifest.hash)
    compass.models.add(TINY_MODEL)
    with pytest.raises(ModelError, match=f"has the hash {HASH}, as another model has"):
        compass.models.add(tmp_path / "forged.model")


def test_a_better_encoder_takes_the_place_of_the_one_before(tmp_path):
    source = ModelFile(TINY_MODEL)
    encoder = {
        "encoder/base/analysis.onnx": source.read("encoder/base/analysis.onnx"),
        "training/base/prior.bin": b"other",
    }
    manifest = write_model(tmp_path / "better.model", "tiny", {**source.members, **encoder}, {}, source.manifest.hash)
    compass.models.add(TINY_MODEL)
    assert compass.models.add(tmp_path / "better.model").manifest.sha256 == manifest.sha256
    assert next(entry.manifest.sha256 for entry in compass.models.installed()) == manifest.sha256


def test_a_damaged_copy_does_not_hide_a_whole_one(monkeypatch, tmp_path):
    content = bytearray(TINY_MODEL.read_bytes())
    with zipfile.ZipFile(TINY_MODEL) as archive:
        info = archive.getinfo("decoder/predictor.onnx")
    content[info.header_offset + 200] ^= 1
    for folder, data in (("a", content), ("b", TINY_MODEL.read_bytes())):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tiny.model").write_bytes(data)
    monkeypatch.setenv(store.VARIABLE, str(tmp_path / "a"))
    with pytest.raises(ModelError, match=r"its decoder/predictor\.onnx is damaged"):
        compass.decode(FILE)
    monkeypatch.setenv(store.VARIABLE, os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")]))
    assert compass.decode(FILE).tobytes() == expected()


def test_a_file_in_the_environment_and_one_that_is_broken(monkeypatch, tmp_path):
    broken = tmp_path / "broken.model"
    broken.write_bytes(TINY_MODEL.read_bytes()[:-100])
    monkeypatch.setenv(store.VARIABLE, os.pathsep.join([str(TINY_MODEL), str(tmp_path)]))
    assert compass.decode(FILE).tobytes() == expected()
    listed = run("models", "list", cwd=tmp_path)
    assert listed.returncode == 0
    assert HASH in listed.stdout
    assert listed.stderr == f"compass: {broken} is not a model file, or is cut off or damaged\n"


def test_files_outlive_the_default_model(monkeypatch, tmp_path, parrots):
    """A file of model A, after model B has become the default: command line, Python, Pillow."""
    image = parrots.resize((64, 48))
    data = compass.encode(image, model=TINY_MODEL)  # A
    before = compass.decode(data, model=TINY_MODEL)
    monkeypatch.setenv(store.VARIABLE, str(CONFORMANCE))  # where A is from now on; B is the package's
    assert compass.encode(image)[5:9] != data[5:9]
    (tmp_path / "a.cmps").write_bytes(data)
    assert compass.decode(data).tobytes() == before.tobytes()
    with Image.open(tmp_path / "a.cmps") as opened:
        assert opened.tobytes() == before.tobytes()
    assert run("decode", "a.cmps", "a.png", cwd=tmp_path).returncode == 0
    with Image.open(tmp_path / "a.png") as decoded:
        assert decoded.tobytes() == before.tobytes()


def test_the_decoders_half_decodes_and_says_that_it_cannot_encode(tmp_path, parrots):
    half = tmp_path / "half.model"
    write_decoder_half(ModelFile(TINY_MODEL), half)
    assert half.stat().st_size < TINY_MODEL.stat().st_size
    assert all(name.startswith("decoder/") for name in ModelFile(half).members)
    assert compass.decode(FILE, model=half).tobytes() == expected()
    with pytest.raises(ModelError, match="the model tiny has the decoder's half alone"):
        compass.encode(parrots, model=half)
    Model(half).check()
    assert ModelFile(half).manifest == ModelFile(TINY_MODEL).manifest


def test_a_better_encoder_keeps_the_hash(tmp_path):
    source = ModelFile(TINY_MODEL)
    one = write_model(tmp_path / "one.model", "tiny", source.members, {})
    other = write_model(tmp_path / "other.model", "tiny", {**source.members, "encoder/base/analysis.onnx": b"x"}, {})
    assert one.hash == other.hash
    assert one.sha256 != other.sha256


def test_the_same_members_make_the_same_bytes_and_the_card_is_free(tmp_path):
    members = ModelFile(TINY_MODEL).members
    for name in ("a", "b"):
        write_model(tmp_path / name, "tiny", members, {"note": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    other = write_model(tmp_path / "c", "tiny", members, {"note": 2, "hash": "00000000", "format": 7})
    assert (other.hash, other.sha256) == (
        ModelFile(tmp_path / "a").manifest.hash,
        ModelFile(tmp_path / "a").manifest.sha256,
    )
    with pytest.raises(ValueError, match="no model file holds"):
        write_model(tmp_path / "d", "tiny", {"notes.txt": b""}, {})


@pytest.mark.parametrize("change", [b"2", b"5", b"[3]"])
def test_other_model_formats_are_refused(change, tmp_path):
    with zipfile.ZipFile(tmp_path / "later.model", "w") as archive:
        archive.writestr("model.json", b'{"format": ' + change + b"}")
    message = f"it has model format {change.decode()}, this program reads 3 and 4"
    with pytest.raises(ModelError, match=re.escape(message)):
        Model(tmp_path / "later.model")


def test_damaged_model_files(tmp_path):
    with pytest.raises(ModelError, match="there is no model file"):
        Model(tmp_path / "none.model")
    data = TINY_MODEL.read_bytes()
    whole = dict(ModelFile(TINY_MODEL).members)
    for position in np.random.default_rng(0).integers(0, len(data), 60):
        damaged = bytearray(data)
        damaged[position] ^= 1
        (tmp_path / "flipped.model").write_bytes(damaged)
        try:
            found = ModelFile(tmp_path / "flipped.model").members
        except ModelError:  # and no other error
            continue
        assert found == whole  # some bytes of a zip archive mean nothing


def test_a_damaged_model_in_a_folder_is_passed_over(monkeypatch, tmp_path):
    (tmp_path / "broken.model").write_bytes(TINY_MODEL.read_bytes()[:-100])
    monkeypatch.setenv(store.VARIABLE, str(tmp_path))
    assert [entry.place for entry in compass.models.installed()] == ["package", *OF_THE_CHECKOUT]


def test_looking_for_models_loads_no_runtime():
    code = "import sys, compass; list(compass.models.installed()); assert 'onnxruntime' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lack_of_memory_is_a_memory_error():
    from compass.model.graph import Signature
    from compass.model.runtime import Network

    class Session:
        def run(self, *_: object) -> None:
            raise RuntimeError("std::bad_alloc")

    network = Network(b"", "predictor", 1)
    network.__dict__ |= {"signature": Signature((), ("x",)), "_session": Session()}
    with pytest.raises(MemoryError):
        network({}, (1, 1, 1))


def test_models_of_one_quality(tmp_path, parrots):
    path = tmp_path / "fixed.model"
    write_model(path, "fixed", ModelFile(TINY_MODEL).members, {"quality": 2.0})
    assert compass.info(compass.encode(parrots, [1], model=path))["layers"][0]["quality"] == 2.0
    with pytest.raises(InputError, match="the model fixed codes at quality 2 only, not 3"):
        compass.encode(parrots, [1], 3, path)


def test_released_models_decode(monkeypatch):
    """Every model that was in a release stays decodable: its file is found by hash, and yields the pixels of then."""
    monkeypatch.setenv(store.VARIABLE, str(RELEASED_MODELS))
    released = json.loads((Path(__file__).parent / "data" / "released.json").read_text())
    for entry in released:
        found = store.find_hash(bytes.fromhex(entry["hash"]))
        assert found is not None, entry
        assert found.manifest.sha256 == entry["sha256"]
        with Image.open(CONFORMANCE / entry["pixels"]) as pixels:
            decoded = np.asarray(compass.decode((CONFORMANCE / entry["file"]).read_bytes())).astype(int)
            assert np.abs(decoded - np.asarray(pixels)).max() <= 1


def test_a_model_that_cannot_be_opened_is_not_called_missing(tmp_path, monkeypatch):
    path = tmp_path / "closed.model"
    path.mkdir()  # what the system refuses to read as a file, even to root
    monkeypatch.setattr(store, "_registered", [path])
    with pytest.raises(ModelError, match=r"which is not installed, or cannot be read: .*closed.model cannot be read"):
        store.load_for(b"\1\2\3\4")
