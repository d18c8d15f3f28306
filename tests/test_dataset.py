"""`compass encode-all`: every image of a folder once, whatever happens on the way."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import fsspec
import numpy as np
import pytest
from PIL import Image

import compass as package
from compass.api import check_options
from compass.dataset.encode_all import Workers, encode_all, settings_of
from compass.dataset.manifest import NAME, NOT_YET, Manifest
from compass.dataset.place import Place
from compass.errors import CompassError, InputError
from compass.picture.fidelity import psnr
from compass.processes import in_processes
from tests.command import compass


@pytest.fixture
def folder(parrots, tmp_path):
    """Four images, one of them in a folder, and a file that is none."""
    source = tmp_path / "in"
    (source / "b").mkdir(parents=True)
    for n, name in enumerate(("a.png", "c.jpg", "b/a.png", "b/ü x.webp")):
        parrots.crop((40 * n, 0, 40 * n + 48, 32 + n)).save(source / name)
    (source / "notes.txt").write_text("none of the images")
    return source


@pytest.fixture
def options(tiny_model_path):
    return {"scales": [0.5, 1.0], "quality": 2.0, "model": str(tiny_model_path)}


def run(source, target, options, jobs=1, **more):
    said = []
    summary = encode_all(str(source), str(target), options, workers=Workers(jobs), say=said.append, **more)
    return summary, said


def manifest(target):
    return [json.loads(line) for line in (target / NAME).read_text().splitlines()]


def test_all_images_and_what_the_manifest_says(folder, options, tmp_path):
    summary, said = run(folder, tmp_path / "out", options)
    records = manifest(tmp_path / "out")
    assert (summary.encoded, summary.kept, summary.failed, said) == (4, 0, 0, [])
    assert [record["source"] for record in records] == ["a.png", "b/a.png", "b/ü x.webp", "c.jpg"]
    for record in records:
        data = (tmp_path / "out" / record["file"]).read_bytes()
        original = folder / record["source"]
        assert record["file"] == os.path.splitext(record["source"])[0] + ".cmps"
        assert record["sha256"] == hashlib.sha256(data).hexdigest()
        assert record["source_sha256"] == hashlib.sha256(original.read_bytes()).hexdigest()
        assert data == package.encode(Image.open(original).convert("RGB"), [0.5, 1], 2, options["model"])
        largest = record["layers"][-1]
        with Image.open(original) as image:
            assert (largest["width"], largest["height"]) == image.size
            assert (largest["bytes"], record["bytes"]) == (len(data), len(data))
            decoded = package.decode(data, model=options["model"])
            assert largest["psnr"] == pytest.approx(
                psnr(np.asarray(decoded), np.asarray(image.convert("RGB"))), abs=1e-3
            )
    assert summary.bytes == sum(record["bytes"] for record in records)


def test_a_second_run_does_what_is_left(folder, options, parrots, tmp_path):
    out = tmp_path / "out"
    run(folder, out, options)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.cmps")}
    (out / "a.cmps").unlink()
    parrots.crop((0, 0, 20, 20)).save(folder / "c.jpg")
    parrots.crop((0, 0, 16, 16)).save(folder / "new.png")
    summary, _ = run(folder, out, options)
    assert (summary.encoded, summary.kept) == (3, 2)
    kept = [out / "b" / "a.cmps", out / "b" / "ü x.cmps"]
    assert all(path.stat().st_mtime_ns == before[path] for path in kept)
    assert len(manifest(out)) == 5
    assert run(folder, out, options)[0].encoded == 0
    assert run(folder, out, options, force=True)[0].encoded == 5


def test_other_settings_are_not_mixed_in(folder, options, tmp_path):
    out = tmp_path / "out"
    run(folder, out, options)
    with pytest.raises(
        InputError, match=r"a\.png was encoded with other settings \(.*quality=2 .*, not .*quality=3 .*\)"
    ):
        run(folder, out, options | {"quality": 3.0})
    assert run(folder, out, options | {"quality": 3.0}, force=True)[0].encoded == 4
    assert {"quality=3" in record["settings"] for record in manifest(out)} == {True}


def test_what_fails_is_said_and_tried_again(folder, options, parrots, tmp_path):
    out = tmp_path / "out"
    (folder / "c.jpg").write_bytes(b"no image")
    summary, said = run(folder, out, options)
    assert (summary.encoded, summary.failed) == (3, 1)
    assert said == ["c.jpg is not an image that can be read"]
    assert [record["error"] for record in manifest(out)] == [None, None, None, said[0]]
    parrots.crop((0, 0, 20, 20)).save(folder / "c.jpg")
    assert run(folder, out, options)[0].encoded == 1


def test_names_that_would_meet(folder, options, parrots, tmp_path):
    parrots.crop((0, 0, 20, 20)).save(folder / "a.bmp")
    with pytest.raises(InputError, match=r"a\.bmp and a\.png would both become a\.cmps: give --keep-suffix"):
        run(folder, tmp_path / "out", options)
    run(folder, tmp_path / "out", options, keep_suffix=True)
    assert {record["file"] for record in manifest(tmp_path / "out")} >= {"a.bmp.cmps", "a.png.cmps", "b/a.png.cmps"}


def test_processes_make_the_same(folder, options, tmp_path):
    run(folder, tmp_path / "one", options)
    run(folder, tmp_path / "two", options, jobs=2)
    assert manifest(tmp_path / "one") == manifest(tmp_path / "two")


def test_a_file_system_of_another_kind(folder, options, tmp_path):
    """Object stores take the same way as this one in memory."""
    memory = fsspec.filesystem("memory")
    for path in folder.rglob("*.*"):
        memory.pipe_file(f"/data/in/{path.relative_to(folder)}", path.read_bytes())
    summary, said = run("memory://data/in", "memory://data/out", options)
    assert (summary.encoded, said) == (4, [])
    run(folder, tmp_path / "out", options)
    assert memory.cat_file("/data/out/b/a.cmps") == (tmp_path / "out" / "b" / "a.cmps").read_bytes()
    assert run("memory://data/in", "memory://data/out", options)[0].kept == 4
    assert sorted(name for name in memory.find("/data/out") if name.endswith("jsonl")) == ["/data/out/manifest.jsonl"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing", "missing is not a folder"),
        ("nothing", "there are no images in .*nothing"),
        ("", "an empty name is no folder"),
        ("gopher://x/y", "gopher://x/y cannot be reached: Protocol not known: gopher"),
        ("memory://none", "memory://none is not a folder"),
    ],
)
def test_sources_that_are_none(source, message, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match=message):
        run(source, "out", options)
    assert not (tmp_path / "out").exists()


def test_what_is_no_manifest_is_kept(folder, options, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAME).write_text("mine\n")
    with pytest.raises(InputError, match=r"manifest\.jsonl in .*out is no manifest"):
        run(folder, tmp_path / "out", options)
    assert (tmp_path / "out" / NAME).read_text() == "mine\n"


def test_a_run_that_ends_early_leaves_what_it_has_done(folder, options, tmp_path, monkeypatch):
    """As if by Ctrl-C; the parts of one that is killed outright are read, too."""
    done = []

    def stop(count, _):
        done.append(count)
        if count == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "out", options, progress=stop)
    assert [record["error"] for record in manifest(tmp_path / "out")] == [None, None, NOT_YET, NOT_YET]
    (tmp_path / "out" / NAME).rename(tmp_path / "out" / "manifest-part-0-0.jsonl")
    assert run(folder, tmp_path / "out", options)[0].kept == 2
    assert [path.name for path in (tmp_path / "out").glob("*.jsonl")] == [NAME]


def test_a_forced_run_that_is_killed_leaves_nothing_that_passes_for_done(folder, options, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run(folder, out, options)
    other = options | {"quality": 2.5}

    def stop(count, _):
        raise KeyboardInterrupt

    monkeypatch.setattr(Manifest, "_write_whole", lambda self, writer, gone: None)  # as if killed
    with pytest.raises(KeyboardInterrupt):
        run(folder, out, other, force=True, progress=stop)
    monkeypatch.undo()
    assert len(list(out.glob("manifest-part-*"))) == 1  # what was begun; the record of what was done is lost
    assert run(folder, out, options)[0].encoded == 4
    assert {"quality=2 " in record["settings"] for record in manifest(out)} == {True}
    for record in manifest(out):
        assert record["sha256"] == hashlib.sha256((out / record["file"]).read_bytes()).hexdigest()


def test_newer_parts_count(folder, options, tmp_path):
    out = tmp_path / "out"
    run(folder, out, options)
    lines = (out / NAME).read_text().splitlines(keepends=True)
    failed = json.dumps(json.loads(lines[0]) | {"error": "once"}) + "\n"
    (out / "manifest-part-1-b.jsonl").write_text(failed)
    (out / "manifest-part-2-a.jsonl").write_text(lines[0])
    assert run(folder, out, options)[0].kept == 4
    (out / "manifest-part-3-0.jsonl").write_text(failed)
    assert run(folder, out, options)[0].kept == 3


def test_two_runs_at_once_lose_nothing(folder, options, parrots, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    parrots.crop((0, 0, 20, 20)).save(other / "z.png")

    def between(count, _):
        if count == 2:
            run(other, out, options)

    run(folder, out, options, progress=between)
    assert [record["source"] for record in manifest(out)] == ["a.png", "b/a.png", "b/ü x.webp", "c.jpg", "z.png"]
    assert all(record["error"] is None for record in manifest(out))
    assert [path.name for path in out.glob("*.jsonl")] == [NAME]


def test_odd_names_and_kinds_of_files(folder, options, tmp_path):
    for name in (b"x\xff.png", "line\u2028break.png".encode(), b"new\nline.png"):
        (folder / os.fsdecode(name)).write_bytes((folder / "a.png").read_bytes())
    os.mkfifo(folder / "pipe.png")
    (folder / "linked").symlink_to(folder / "b")
    (folder / "b" / "circle").symlink_to(folder)
    (folder / ".hidden.png").write_bytes(b"")
    summary, said = run(folder, tmp_path / "out", options)
    assert (summary.encoded, summary.failed, said) == (7, 0, [])
    assert run(folder, tmp_path / "out", options)[0].kept == 7


def test_what_a_link_leads_to_counts(folder, options, parrots, tmp_path):
    outside = tmp_path / "outside.bmp"
    parrots.crop((0, 0, 20, 20)).save(outside)
    (folder / "link.bmp").symlink_to(outside)
    run(folder, tmp_path / "out", options)
    parrots.crop((5, 0, 25, 20)).save(outside)
    assert run(folder, tmp_path / "out", options)[0].encoded == 1


def test_a_link_to_nothing_fails_by_its_name(folder, options, tmp_path):
    (folder / "annexed.png").symlink_to("nowhere")
    summary, _ = run(folder, tmp_path / "out", options)
    assert (summary.encoded, summary.failed) == (4, 1)
    record = next(record for record in manifest(tmp_path / "out") if record["source"] == "annexed.png")
    assert "annexed.png cannot be read: No such file or directory" in record["error"]


def test_a_folder_that_cannot_be_listed(folder, options, tmp_path, monkeypatch):
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match=r"/in/b cannot be read: Permission denied"):
        run(folder, tmp_path / "out", options)


def test_files_of_others_are_kept(folder, options, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "c.cmps").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"c\.cmps in .*out was not made by this command: --force overwrites it"):
        run(folder, tmp_path / "out", options)
    assert (tmp_path / "out" / "c.cmps").read_bytes() == b"mine"
    assert run(folder, tmp_path / "out", options, force=True)[0].encoded == 4


def test_an_image_that_takes_the_place_of_another(folder, options, parrots, tmp_path):
    out = tmp_path / "out"
    run(folder, out, options)
    (folder / "a.png").unlink()
    parrots.crop((9, 0, 29, 20)).save(folder / "a.bmp")
    summary, said = run(folder, out, options)
    assert said == []
    assert [record["source"] for record in manifest(out) if record["file"] == "a.cmps"] == ["a.bmp"]
    assert summary.bytes == sum(path.stat().st_size for path in out.rglob("*.cmps"))


def test_images_that_are_gone(folder, options, tmp_path):
    out = tmp_path / "out"
    (folder / "wrong.png").write_bytes(b"no image")
    assert run(folder, out, options)[0].failed == 1
    (folder / "a.png").unlink()
    (folder / "wrong.png").unlink()
    summary, said = run(folder, out, options)
    assert said == [f"no longer in {folder}: 1 of the images in the manifest; what was made of them is kept"]
    assert "wrong.png" not in [record["source"] for record in manifest(out)]
    assert (out / "a.cmps").exists()
    assert summary.bytes == sum(path.stat().st_size for path in out.rglob("*.cmps"))


def test_another_folder_is_not_mixed_in(folder, options, parrots, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    run(folder, out, options)
    made = (out / "a.cmps").read_bytes()
    folder.rename(other)  # what has only been moved is done
    assert run(other, out, options)[0].encoded == 0
    parrots.crop((9, 0, 29, 20)).save(other / "a.png")
    with pytest.raises(InputError, match=f"a.png was encoded from {folder}, not {other}: --force"):
        run(other, out, options)
    assert (out / "a.cmps").read_bytes() == made
    assert run(other, out, options, force=True)[0].failed == 0
    assert (out / "a.cmps").read_bytes() != made


def test_names_of_another_kind_are_not_mixed_in(folder, options, tmp_path):
    out = tmp_path / "out"
    run(folder, out, options)
    with pytest.raises(InputError, match=r"a.png became a.cmps, not a.png.cmps: give --keep-suffix as before"):
        run(folder, out, options, keep_suffix=True)


def test_what_is_done_needs_nothing_written(folder, options, tmp_path):
    out = tmp_path / "out"
    run(folder, out, options)
    before = (out / "manifest.jsonl").stat()
    run(folder, out, options)
    assert (out / "manifest.jsonl").stat() == before


def test_an_image_that_fails_leaves_what_there_was(folder, options, tmp_path):
    out = tmp_path / "out"
    run(folder, out, options)
    before = {record["source"]: record for record in manifest(out)}
    (folder / "a.png").write_bytes(b"no image")
    assert run(folder, out, options)[0].failed == 1
    assert {r["source"]: r for r in manifest(out)}["a.png"] == before["a.png"] | {
        "error": "a.png is not an image that can be read"
    }


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"quality": 9.0}, "quality 9 is outside"),
        ({"quality": [1, 2, 3]}, "3 qualities were given for 2 layers"),
        ({"scales": [1.0, 0.5]}, "scales must ascend, but 0.5 follows 1"),
        ({"scales": None, "sizes": [(80, 60), (100, 50)]}, "layer sizes must ascend"),
        ({"scales": None, "sizes": [(80, None), (60, None)]}, "layer sizes must ascend"),
        ({"scales": None, "sizes": [(80, None)], "quality": [1, 2]}, "2 qualities were given for 1 layers"),
        ({"metadata": "foo"}, "metadata cannot be placed at 'foo'"),
        ({"effort": 10}, "an effort is a whole number"),
        ({"quality": None, "target_size": 0}, "no file of 0 bytes is possible"),
        ({"target_size": 100}, "only one of quality, target size and target PSNR"),
        ({"model": "none"}, "there is no model 'none'"),
    ],
)
def test_options_are_looked_at_before_any_image(wrong, message, folder, options, tmp_path):
    with pytest.raises(CompassError, match=message):
        run(folder, tmp_path / "out", options | wrong)
    assert not (tmp_path / "out").exists()


def test_sizes_that_fit_some_image_are_not_refused(tiny_model_path):
    check_options(sizes=[(80, None), (100, 60), (300, None)], model=tiny_model_path)


def test_places_that_cannot_be_written(folder, options, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file is not a folder"):
        run(folder, tmp_path / "file", options)
    with pytest.raises(InputError, match="memory:// is seen by one process alone"):
        run(folder, "memory://x", options, jobs=2)


def test_the_settings_are_those_that_count(tiny_model):
    same = {"quality": 3.0, "scales": [1 / 4, 1 / 2, 1], "effort": 1, "sizes": None}
    plain = settings_of({}, tiny_model)
    assert plain == settings_of(same, tiny_model)
    assert settings_of({"sizes": [(80, None), (160, 120)]}, tiny_model).split()[-1] == "sizes=80x,160x120"


def test_the_command(folder, tiny_model_path, tmp_path):
    arguments = ("encode-all", "in", "out", "--scales", "1/2,1", "-q", "2", "--model", tiny_model_path, "--jobs", "1")
    result = compass(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith("compass: 4 encoded, 0 there already, 0 failed; out holds ")
    (folder / "d.png").write_bytes(b"")
    result = compass(*arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "compass: 1 of 5 images failed; the same command tries them again"
    assert compass(*arguments, "--ray", "auto", cwd=tmp_path).returncode == 2


def work_or_die(item):
    """Of an item (name, how): dies each time, once, or not at all."""
    name, how, mark = item
    if how == "always" or (how == "once" and not os.path.exists(mark)):
        if how == "once":
            open(mark, "w").close()
        time.sleep(0.2)  # others have begun
        os.kill(os.getpid(), signal.SIGKILL)
    return name


def lost(item):
    return f"{item[0]} lost"


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_stop_is_said(told, jobs, folder, parrots, tmp_path):
    for n in range(40):
        parrots.crop((n, 0, n + 160, 160)).save(folder / f"{n}.png")
    command = [sys.executable, "-m", "compass", "encode-all", "in", "out", "-e", "9", "--jobs", jobs]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True, text=True)
    while process.poll() is None and not list(tmp_path.glob("out/*.cmps")):
        time.sleep(0.05)
    process.send_signal(told)
    _, said = process.communicate()
    assert process.returncode == (130 if told == signal.SIGINT else 128 + told)
    assert said.splitlines()[-1] == "compass: stopped: the same command goes on from here"
    assert len(manifest(tmp_path / "out")) == 44


def test_only_what_kills_its_process_is_lost(tmp_path):
    items = [(str(n), "never", "") for n in range(8)]
    items[2] = ("2", "always", "")
    items[5] = ("5", "once", str(tmp_path / "mark"))
    assert sorted(in_processes(work_or_die, lost, items, 2)) == ["0", "1", "2 lost", "3", "4", "5", "6", "7"]


def test_a_program_that_is_not_guarded(tmp_path):
    """Its processes would begin it again."""
    (tmp_path / "program.py").write_text(
        "from compass.processes import in_processes\nlist(in_processes(str, str, [1, 2], 2))\n"
    )
    result = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "no process can be started: a program that uses several is guarded by" in result.stderr


@pytest.mark.slow
def test_processes_end_with_the_first_one(tmp_path):
    (tmp_path / "program.py").write_text(
        "import os, time\n"
        "from compass.processes import in_processes\n"
        "def work(item):\n"
        "    time.sleep(0.2 * item)\n"
        "    return os.getpid()\n"
        "if __name__ == '__main__':\n"
        "    for process in in_processes(work, str, [1, 1, 300, 300], 2):\n"
        "        print(process, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for _ in range(2):
            assert int(program.stdout.readline()) > 0
        program.kill()
        assert program.stdout.read() == ""  # it is theirs, too: this ends when the last of them has


@pytest.mark.slow
def test_a_run_that_is_killed_is_taken_up(folder, options, tmp_path):
    """The whole group of processes at once, as when a machine goes down."""
    program = (
        "import json, sys\n"
        "from compass.dataset.encode_all import Workers, encode_all\n"
        "if __name__ == '__main__':\n"
        "    said = lambda *_: print(flush=True)\n"
        "    encode_all(*sys.argv[1:3], json.loads(sys.argv[3]), workers=Workers(2), progress=said)\n"
    )
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, "program.py", "in", "out", json.dumps(options)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGKILL)
    summary, _ = run(folder, tmp_path / "out", options)
    assert summary.encoded + summary.kept == 4
    run(folder, tmp_path / "whole", options)
    assert manifest(tmp_path / "out") == manifest(tmp_path / "whole")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        p.name for p in (tmp_path / "whole").iterdir()
    )


@pytest.mark.slow
def test_a_cluster_makes_the_same(folder, options, tmp_path):
    pytest.importorskip("ray")
    run(folder, tmp_path / "one", options)
    summary = encode_all(str(folder), str(tmp_path / "ray"), options, workers=Workers(cluster="local"))
    assert summary.encoded == 4
    assert manifest(tmp_path / "one") == manifest(tmp_path / "ray")


def test_no_cluster_is_a_sentence(folder, options, tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(InputError, match="no Ray cluster at nowhere"):
        encode_all(str(folder), str(tmp_path / "ray"), options, workers=Workers(cluster="nowhere:1x"))
    assert not (tmp_path / "ray").exists()


def test_places_travel_by_their_url(tmp_path):
    import pickle

    place = Place(str(tmp_path))
    place.write("a/b.txt", b"x")
    assert pickle.loads(pickle.dumps(place)).read("a/b.txt") == b"x"
    assert [entry.name for entry in place.entries({".txt"})] == ["a/b.txt"]
    assert Manifest(place).records == {}
