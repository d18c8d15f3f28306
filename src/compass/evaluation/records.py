"""Files of figures: JSON with the command, the machine and the model that the figures come from."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from compass.files import write_bytes

if TYPE_CHECKING:
    from compass.model.model import Model

_PACKAGES = ("compass-codec", "numpy", "pillow", "onnxruntime", "constriction", "scipy")


class ModelRecord(TypedDict):
    """The model that figures were measured with."""

    name: str
    hash: str


def describe(model: Model) -> ModelRecord:
    """A model's name and hash."""
    return {"name": model.name, "hash": model.hash.hex()}


def command_line() -> str:
    """The running command as typed at the root of the repository, files and folders by their last part."""
    script = Path(sys.argv[0])
    program = ["-m", script.parent.name] if script.name == "__main__.py" else [os.path.relpath(script)]
    arguments = [Path(a).name if Path(a).is_absolute() or Path(a).exists() else a for a in sys.argv[1:]]
    return shlex.join(["python", *program, *arguments])


def environment(command: str, processes: int) -> dict[str, Any]:
    """Where and how figures were measured."""
    return {
        "command": command,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu": _cpu(),
        "cpu_count": os.cpu_count(),
        "processes": processes,
        "system": sys.platform,
        "versions": {name: metadata.version(name) for name in _PACKAGES},
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def write_record(content: Mapping[str, Any], path: Path, rows: Sequence[str] = ()) -> None:
    """Writes a file of figures, replacing one of that name. Raises InputError if it cannot be written.

    rows: keys of lists that are written last, every entry on a line of its own.
    """
    text = json.dumps({key: value for key, value in content.items() if key not in rows}, indent=1)
    for key in rows:
        lines = ",\n  ".join(json.dumps(row) for row in content[key])
        text = f'{text[:-2]},\n "{key}": [\n  {lines}\n ]\n}}'
    write_bytes(f"{text}\n".encode(), path)
