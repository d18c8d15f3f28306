"""Many files by one command: names of what is made, jobs, what ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from tests.command import compass, compass_process
from tests.conftest import images


@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_folder_of_images(jobs, tiny_model_path, tmp_path):
    """What fails is said at the end, what is there is kept, and the rest is done."""
    images(tmp_path / "in", "a.png b.jpg c.webp")
    (tmp_path / "in" / "film.mpg").write_bytes(b"no image")
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    (tmp_path / "in" / "link.png").symlink_to("nowhere")
    (tmp_path / "in" / "notes.txt").write_text("no image at all")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.cmps").write_bytes(b"kept")
    command = ("encode", "in", "--out-dir", "out", "--model", tiny_model_path, "--scales", "1", "-j", jobs)
    result = compass_process(*command, cwd=tmp_path)
    assert result.returncode == 1
    *failed, kept, count = result.stderr.splitlines()
    assert [*sorted(failed), kept, count] == [
        "compass: in/broken.png is not an image that can be read",
        "compass: in/link.png cannot be read: No such file or directory",
        "compass: 1 there already, kept (--force writes them again)",
        "compass: 2 of 4 files failed",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.cmps", "b.cmps", "c.cmps"]
    assert (tmp_path / "out" / "b.cmps").read_bytes() == b"kept"
    (tmp_path / "in" / "broken.png").unlink()
    (tmp_path / "in" / "link.png").unlink()
    assert compass_process(*command, "--force", cwd=tmp_path).returncode == 0
    assert compass_process("info", "out/a.cmps", "out/b.cmps", cwd=tmp_path).stdout.count("layer ") == 2
    back = (
        "decode",
        *sorted(map(str, (tmp_path / "out").iterdir())),
        "back",
        "--to",
        "jpg",
        "--model",
        tiny_model_path,
    )
    (tmp_path / "back").mkdir()
    assert compass_process(*back, cwd=tmp_path).returncode == 0
    for i, name in enumerate("abc"):
        with Image.open(tmp_path / "back" / f"{name}.jpg") as image:
            assert (image.format, image.size) == ("JPEG", (40 + i, 30))


def test_folders_in_a_folder_are_left_out_and_said(tiny_model_path, tmp_path):
    images(tmp_path / "in", "a.png")
    images(tmp_path / "in" / "more", "b.png")
    result = compass("encode", "in", "--out-dir", "out", "--model", tiny_model_path, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "compass: in: folders in it are left out, 1\n")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.cmps"]


def test_files_named_after_what_they_are_made_of(tiny_model_path, tmp_path):
    images(tmp_path, "a.png")
    assert compass("encode", "a.png", "--model", tiny_model_path, cwd=tmp_path).returncode == 0
    assert compass("decode", "a.cmps", "--model", tiny_model_path, cwd=tmp_path).stderr == (
        "compass: a.png exists already; --force overwrites it\n"
    )
    assert compass("decode", "a.cmps", "--to", "webp", "--model", tiny_model_path, cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.webp").exists()


def test_two_files_that_would_become_one(tiny_model_path, tmp_path):
    images(tmp_path / "in", "a.png a.jpg")
    result = compass("encode", "in", "--out-dir", "out", "--model", tiny_model_path, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr == "compass: in/a.jpg and in/a.png would both become out/a.cmps: give --keep-suffix\n"
    assert not (tmp_path / "out").exists()


def test_the_whole_name_may_be_kept(tiny_model_path, tmp_path):
    images(tmp_path / "in", "a.png a.jpg")
    model = ("--model", tiny_model_path)
    assert compass("encode", "in", "--out-dir", "out", "--keep-suffix", *model, cwd=tmp_path).returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jpg.cmps", "a.png.cmps"]
    assert compass("encode", "in/a.png", "--keep-suffix", *model, cwd=tmp_path).returncode == 0
    assert (tmp_path / "in" / "a.png.cmps").exists()


def test_a_process_that_is_killed(parrots, tiny_model_path, tmp_path):
    """What was not done is said in a sentence each."""
    images(tmp_path / "in", "a.png b.png")
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'multiprocessing.spawn' in ' '.join(sys.orig_argv):\n"
        "    import compass.api\n"
        "    compass.api.encode = lambda *_, **__: os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-m", "compass", "encode", "in", "--out-dir", "o", "-j", "2"]
    result = subprocess.run(
        [*command, "--model", str(tiny_model_path)], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1] == "compass: 2 of 2 files failed"
    assert "in/a.png: not done, since its process was killed each time" in result.stderr


def test_plugins_are_not_loaded_for_one_file(tiny_model_path, tmp_path, monkeypatch):
    """Only a folder needs to know what every one of them reads."""
    images(tmp_path, "a.png")
    monkeypatch.setattr(Image, "init", lambda: pytest.fail("all plugins are loaded"))
    assert compass("encode", "a.png", "a.cmps", "--model", tiny_model_path, cwd=tmp_path).returncode == 0
    assert compass("decode", "a.cmps", "b.png", "--model", tiny_model_path, cwd=tmp_path).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_all_jobs_and_begins_no_other(told, tmp_path):
    """Ctrl-C reaches all processes of a terminal, SIGTERM the first one alone."""
    names = [f"{i}.png" for i in range(40)]
    images(tmp_path / "in", " ".join(names))
    command = [sys.executable, "-m", "compass", "encode", "in", "--out-dir", "out", "-e", "9", "--jobs", "2"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True)
    out = tmp_path / "out"
    while process.poll() is None and not (out.is_dir() and any(out.glob("*.cmps"))):
        time.sleep(0.05)
    if told == signal.SIGINT:
        os.killpg(process.pid, told)
    else:
        process.send_signal(told)
    _, said = process.communicate()
    assert process.returncode == (130 if told == signal.SIGINT else 128 + told)
    assert b"Traceback" not in said
    written = list(out.iterdir())
    assert 0 < len(written) < len(names) - 2
    assert all(path.suffix == ".cmps" for path in written)
