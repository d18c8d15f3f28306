"""`compass serve`: a folder of layered files for viewers and browsers."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from compass.cli_options import ModelName, parse_bytes
from compass.errors import CutFileWarning, InputError

_PATIENCE = 3  # seconds for answers that are under way when it is told to end
_M_ARENA_MAX = -8  # of mallopt(3)


def _share_heap() -> None:
    """One heap for all threads, where the C library is glibc.

    Else each has its own, and keeps what its largest image took: 724 MB after ten minutes instead of some 350.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def serve(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of .cmps files, and of folders of them.")],
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0: any that is free.")] = 8000,
    base_url: Annotated[
        str | None, typer.Option(help="URL that clients reach this server by, where a proxy does not say so itself.")
    ] = None,
    cache: Annotated[str, typer.Option(help="Bytes of answers that are kept in memory.")] = "256MB",
    max_pixels: Annotated[int, typer.Option(min=1, help="Pixels of an answer at most.")] = 16_000_000,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Images that are decoded at once.")] = 2,
    model: ModelName = None,
) -> None:
    """Serve a folder: IIIF Image API 3.0 at /iiif, the files at /files with byte ranges, a page to look at them at /.

    Needs the extra: pip install 'compass-codec[serve]'.
    """
    try:
        import uvicorn

        from compass.model import store
        from compass.serve.app import Options, Server
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is missing: pip install 'compass-codec[serve]'") from None
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    if base_url is not None and not base_url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{base_url!r} is not a URL like https://images.example.com")
    if model is not None:
        store.load(model)
    options = Options(
        base=base_url.rstrip("/") if base_url else None,
        cache=parse_bytes(cache),
        most_pixels=max_pixels,
        workers=jobs,
        model=model,
    )
    listening = _listening(host, port)
    warnings.simplefilter("ignore", CutFileWarning)  # what there is of a cut file is shown
    _share_heap()
    typer.echo(f"compass: {folder} is at http://{host}:{listening.getsockname()[1]}", err=True)
    config = uvicorn.Config(
        Server(folder, options).app(),
        log_level="warning",
        access_log=False,
        proxy_headers=True,
        timeout_graceful_shutdown=_PATIENCE,
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    """Raises InputError if that address cannot be listened at."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise InputError(f"{host}, port {port}, cannot be listened at: {why} (see --host, --port)") from None
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else small answers wait 40 ms for each other
    return listening
