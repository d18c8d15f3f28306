"""`compass models`: which models there are, and how to install one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from compass.errors import InputError, ModelError

app = typer.Typer(no_args_is_help=True, help="Show and install the models that files are made with.")


@app.command("list")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """Show the models that are installed, in the order in which they are searched."""
    from compass.model import store

    found = list(store.search())
    rows = [
        {
            "name": entry.manifest.name,
            "hash": entry.manifest.hash.hex(),
            "sha256": entry.manifest.sha256,
            "bytes": entry.path.stat().st_size,
            "place": entry.place,
            "path": str(entry.path),
        }
        for entry in found
        if isinstance(entry, store.Installed)
    ]
    for error in found:
        if isinstance(error, ModelError):
            typer.echo(f"compass: {error}", err=True)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        typer.echo(f"{row['name']:<16} {row['hash']}  {row['bytes']:>9}  {row['place']}: {row['path']}")


@app.command()
def add(file: Annotated[Path, typer.Argument(metavar="FILE", help="A model file.")]) -> None:
    """Check a model file and install it for this user."""
    from compass.model import store

    entry = store.add(file)
    typer.echo(f"{entry.manifest.name} ({entry.manifest.hash.hex()}) is installed: {entry.path}")
    typer.echo(f"SHA-256 {entry.manifest.sha256}")


@app.command()
def web(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where they go; it is made if need be.")],
    model: Annotated[str | None, typer.Option(help="Name or hash of an installed model, or a model file.")] = None,
) -> None:
    """Write the files of a model that the decoder for browsers loads: HASH-base.bin and HASH-residual.bin."""
    from compass.files import write_bytes
    from compass.model import store
    from compass.model.web import web_parts

    file = store.load(model).file
    parts = web_parts(file)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}") from None
    for part, content in parts.items():
        path = folder / f"{file.manifest.hash.hex()}-{part}.bin"
        write_bytes(content, path)
        typer.echo(f"{path}  {len(content)} bytes")


@app.command()
def where() -> None:
    """Show where models are looked for."""
    from compass.model import store

    for label, path in store.places():
        typer.echo(f"{label:<16} {path}{'' if path.exists() else '  (not there)'}")
