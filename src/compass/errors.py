"""What can go wrong with input. Every message is one sentence meant for the user."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

_PACKAGE = str(Path(__file__).parent) + os.sep


class CompassError(Exception):
    """Base of all errors that this package raises on purpose."""


class InputError(CompassError, ValueError):
    """An image, option or size that cannot be used."""


class FormatError(CompassError):
    """Bytes that are not a valid COMPASS file, or are damaged."""


class ModelError(CompassError):
    """A model file that is missing, damaged, or not the one that a bitstream needs."""


class ModelFileError(ModelError):
    """A model file that the system does not let this program read."""


class ModelNotFoundError(ModelError):
    """A bitstream needs a model that is not installed; `model_hash` names it."""

    def __init__(self, model_hash: bytes) -> None:
        super().__init__(f"the file needs the model {model_hash.hex()}, which is not installed")
        self.model_hash = model_hash


class CutFileWarning(UserWarning):
    """A file that ends early, of which something could be decoded all the same."""


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns as if the first caller outside this package had been warned, however deep the call is."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
