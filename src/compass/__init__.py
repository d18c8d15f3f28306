"""COMPASS: one file, any number of picture sizes. See `compass.encode` and `compass.decode`."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compass.api import decode, encode, extract, info

__all__ = ["decode", "encode", "extract", "info"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `import compass` alone stays below the time of importing numpy.
    if name in __all__:
        from compass import api

        return getattr(api, name)
    if name == "__version__":
        return metadata.version("compass-codec")
    raise AttributeError(f"module 'compass' has no attribute {name!r}")
