"""The `compass` command, run within the process of the tests (a new one takes ten times as long) or in its own."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import warnings
from pathlib import Path
from unittest import mock

from compass.cli import main


def compass(*arguments: object, cwd: Path, data: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Runs a command in a folder, with standard input, and returns what a process of its own would."""
    texts = [str(argument) for argument in arguments]
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    source = io.TextIOWrapper(io.BytesIO(data))
    code = 0
    with (
        contextlib.chdir(cwd),
        warnings.catch_warnings(),
        mock.patch.object(sys, "argv", ["compass", *texts]),
        mock.patch.object(sys, "stdin", source),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        warnings.simplefilter("default")
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    written = [stream.buffer.getvalue().decode("utf-8", "surrogateescape") for stream in (out, err)]  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(texts, code, *written)


def compass_process(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same as a process of its own."""
    command = [sys.executable, "-m", "compass", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
