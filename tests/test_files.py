"""Files are written whole or not at all, and none is replaced unasked."""

from __future__ import annotations

import errno
import os

import pytest

from compass.errors import InputError, warn
from compass.files import atomic_writer, write_bytes


def test_a_file_that_appears_while_another_is_made_is_kept(tmp_path):
    target = tmp_path / "out"

    def write() -> None:
        with atomic_writer(target, replace=False) as file:
            file.write(b"ours")
            target.write_bytes(b"theirs")

    with pytest.raises(InputError, match="out exists already and is not replaced"):
        write()
    assert target.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("there", [False, True])
def test_without_hard_links(there, tmp_path, monkeypatch):
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    target = tmp_path / "out"
    if there:
        target.write_bytes(b"theirs")
        with pytest.raises(InputError, match="exists already"):
            write_bytes(b"ours", target, replace=False)
    else:
        write_bytes(b"ours", target, replace=False)
    assert target.read_bytes() == (b"theirs" if there else b"ours")
    assert os.listdir(tmp_path) == ["out"]


def test_replacing_keeps_permissions_and_new_files_get_the_usual_ones(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.touch(0o600)
    old.chmod(0o640)
    before = os.umask(0o027)
    try:
        write_bytes(b"x", old)
        write_bytes(b"x", new, replace=False)
    finally:
        os.umask(before)
    assert old.stat().st_mode & 0o777 == 0o640
    assert new.stat().st_mode & 0o777 == 0o640


def test_a_failure_within_leaves_nothing(tmp_path):
    (tmp_path / "out").write_bytes(b"before")

    def write() -> None:
        with atomic_writer(tmp_path / "out") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert (tmp_path / "out").read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["out"]


def test_warnings_point_at_the_caller_outside_the_package(parrots):
    import compass

    with pytest.warns(UserWarning, match="16 bits") as caught:
        compass.encode(parrots.convert("L").convert("I").point(lambda grey: grey * 257), [0.1], 1)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="directly") as caught:
        warn("directly")
    assert caught[0].filename == __file__
