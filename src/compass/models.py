"""Models for encoding and decoding: which there are, and how this program finds more.

A file needs the model that it was made with, and names it by its hash. `register` makes one known to this program,
`add` installs one for this user; folders named by the environment variable COMPASS_MODELS are searched, too.
"""

from __future__ import annotations

import os
from pathlib import Path

from compass.model.store import Installed, Place, installed, places, register
from compass.model.store import add as _add

__all__ = ["Installed", "Place", "add", "installed", "places", "register"]


def add(path: str | os.PathLike[str]) -> Installed:
    """Checks a model file, all of it, and copies it to the user's folder. Raises ModelError if it cannot be used."""
    return _add(Path(path))
