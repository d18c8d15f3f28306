"""Where a command writes to: nothing half-written, full disks, links, devices, terminals."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from PIL import Image

from compass.bitstream import container
from tests.command import compass, compass_process
from tests.conftest import PARROTS, images


def test_a_full_disk(tiny_model_path, tmp_path):
    """A limit on the size of files stands in for it; a full standard output is the real thing."""
    command = [sys.executable, "-m", "compass", "encode", str(PARROTS)]
    model = ["--model", str(tiny_model_path), "--scales", "1"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    result = subprocess.run(
        [*command, "o.cmps", *model], cwd=tmp_path, capture_output=True, text=True, preexec_fn=limit, check=False
    )
    assert (result.returncode, result.stderr) == (1, f"compass: {tmp_path}/o.cmps cannot be written: File too large\n")
    assert not any(tmp_path.iterdir())
    with open("/dev/full", "wb") as full:
        result = subprocess.run([*command, "-", *model], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "compass: standard output cannot be written: No space left on device\n"


def test_force_writes_through_a_link(tiny_model_path, tmp_path):
    (tmp_path / "old.cmps").write_text("old")
    (tmp_path / "link.cmps").symlink_to("old.cmps")
    result = compass("encode", PARROTS, "link.cmps", "--model", tiny_model_path, "--force", cwd=tmp_path)
    assert result.returncode == 0
    assert (tmp_path / "link.cmps").is_symlink()
    assert (tmp_path / "old.cmps").read_bytes()[1:4] == b"CMP"


def test_a_file_called_minus(tiny_model_path, tmp_path):
    model = ("--model", tiny_model_path, "--scales", "0.1")
    assert compass("encode", PARROTS, "./-", *model, cwd=tmp_path).returncode == 0
    assert (tmp_path / "-").read_bytes().startswith(container.MAGIC)
    assert "32x24" in compass("info", "./-", cwd=tmp_path).stdout


def test_what_stands_in_the_way_of_writing(tiny_model_path, tmp_path):
    model = ("--model", tiny_model_path, "--scales", "0.1")
    (tmp_path / "loop").symlink_to("loop")
    result = compass("encode", PARROTS, "loop", *model, "--force", cwd=tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    (tmp_path / "secret").touch(0o600)
    assert compass("encode", PARROTS, "secret", *model, "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "compass", "info", str(tmp_path / "secret")]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr


def test_devices_as_output(tiny_model_path, tmp_path):
    images(tmp_path, "a.png")
    model = ("--model", str(tiny_model_path), "--scales", "1")
    assert compass_process("encode", "a.png", "/dev/null", *model, cwd=tmp_path).returncode == 0
    command = [sys.executable, "-m", "compass", "encode", "a.png", "/dev/stdout", *model]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout.startswith(b"\xcfCMP")


def test_formats_of_what_is_piped_and_of_what_is_named(tiny_model_path, tmp_path):
    images(tmp_path, "a.png")
    model = ("--model", str(tiny_model_path))
    assert compass("encode", "a.png", "a.cmps", "--scales", "1", *model, cwd=tmp_path).returncode == 0
    for to, begin in (((), b"\x89PNG"), (("--to", "jpg"), b"\xff\xd8"), (("--to", "webp"), b"RIFF")):
        command = [sys.executable, "-m", "compass", "decode", "a.cmps", "-", *to, *model]
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout.startswith(begin)
    refused = compass("decode", "a.cmps", "b.png", "--to", "jpg", *model, cwd=tmp_path)
    assert (refused.returncode, (tmp_path / "b.png").exists()) == (2, False)
    assert "b.png names another format than --to jpg" in refused.stderr
    assert compass("decode", "a.cmps", "b.jpeg", "--to", "jpg", *model, cwd=tmp_path).returncode == 0
    Image.new("LA", (20, 20), (90, 90)).save(tmp_path / "clear.png")
    assert compass("encode", "clear.png", "--scales", "1", *model, cwd=tmp_path).returncode == 0
    command = [sys.executable, "-m", "compass", "decode", "clear.cmps", "-", "--to", "jpg", *model]
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("compass: standard output.jpg: the image has alpha, which JPEG cannot hold")


def test_no_image_is_written_to_a_terminal(tiny_model_path, tmp_path):
    images(tmp_path, "a.png")
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "compass", "encode", "a.png", "-", "--model", str(tiny_model_path)]
    result = subprocess.run(command, cwd=tmp_path, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    os.close(theirs)
    os.close(ours)
    assert result.returncode == 1
    assert result.stderr == "compass: images are not written to a terminal: name OUT, or redirect standard output\n"


def test_a_command_that_is_ended_leaves_nothing(parrots, tiny_model_path, tmp_path):
    parrots.resize((1600, 1200)).save(tmp_path / "a.png")
    (tmp_path / "slow.py").write_text(
        "import sys, time\nfrom compass import cli, files\nwrite = files.os.fsync\n"
        "files.os.fsync = lambda handle: (print('written', flush=True), time.sleep(60))\ncli.main()\n"
    )
    command = [sys.executable, "slow.py", "encode", "a.png", "--model", str(tiny_model_path), "--scales", "1"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.terminate()
        assert process.wait() == 128 + 15
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "slow.py"]
