"""COMPASS: one file, any number of image sizes. See `compass.encode` and `compass.open`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compass import models
    from compass.api import decode, encode, extract, info, open
    from compass.layered_file import LayeredFile

__all__ = ["LayeredFile", "decode", "encode", "extract", "info", "models", "open"]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `import compass` alone stays below the time of importing numpy.
    if name == "models":
        return import_module("compass.models")
    if name in __all__:
        from compass import api, layered_file

        return getattr(layered_file if name == "LayeredFile" else api, name)
    if name == "__version__":
        from importlib import metadata

        return metadata.version("compass-codec")
    raise AttributeError(f"module 'compass' has no attribute {name!r}")
