"""The manual page of the command, made of its own help: python -m tests.man_page writes docs/compass.1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import compass
from compass.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "compass.1"
EXIT = """0 if all went well, 1 for anything wrong with the input, said in one sentence on standard error, 2
for wrong usage, 130 after Ctrl-C, 143 after SIGTERM. Unless it is 0 there is no output, and no half of one; of several
files, those that did not fail are there."""
EXAMPLES = {
    "compass encode photo.png photo.cmps": "layers at 1/4, 1/2 and the whole size, in one file",
    "compass decode photo.cmps small.png --width 200": "from the smallest layer that is as wide",
    "compass extract photo.cmps small.cmps --layer 0": "the first bytes alone: a file, too",
    "compass encode *.png --out-dir web --jobs 2": "many files, two at once",
    "compass encode photo.png face.cmps -e 5 --roi 100,50,80,80 --target-size 50kB": "most of the bytes for a part",
}
ENVIRONMENT = {
    "$COMPASS_MODELS": "folders and files where models are looked for, besides the user's own and those of the package",
}


def page() -> str:
    """The page in the language of man(7)."""
    command: Any = typer.main.get_command(app)
    lines = [
        f'.TH COMPASS 1 "" "compass {compass.__version__}"',
        ".SH NAME",
        "compass \\- images at any number of sizes",
    ]
    lines += [
        ".SH SYNOPSIS",
        ".B compass",
        ".I COMMAND",
        "[OPTION]... ARGUMENT...",
        ".SH DESCRIPTION",
        _text(command.help),
    ]
    lines.append(".SH COMMANDS")
    for name, part in _commands(command, ""):
        context = typer.Context(part, info_name=f"compass {name}")
        lines += [f".SS {_text(' '.join(['compass', name, *part.collect_usage_pieces(context)]))}", _text(part.help)]
        for parameter in part.params:
            record = parameter.get_help_record(context)
            if record is not None and not getattr(parameter, "hidden", False):
                lines += [".TP", f".B {_text(record[0])}", _text(record[1]) or "."]
    lines += [".SH EXAMPLES", *_listed(EXAMPLES), ".SH EXIT STATUS", _text(EXIT), ".SH ENVIRONMENT"]
    lines += _listed(ENVIRONMENT)
    return "\n".join(lines) + "\n"


def _listed(meanings: dict[str, str]) -> Iterator[str]:
    for name, meaning in meanings.items():
        yield from (".TP", f".B {_text(name)}", _text(meaning))


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def _text(text: str | None) -> str:
    """On lines that are no commands of roff: no leading dots and quotes, dashes that can be searched for."""
    lines = (line.strip() for line in (text or "").replace("\\", "\\e").replace("-", "\\-").splitlines())
    return "\n".join("\\&" + line if line[:1] in ".'" else line for line in lines if line)


if __name__ == "__main__":
    PAGE.write_text(page())
