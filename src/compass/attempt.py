"""Work on one of many files, whose failure does not stop the others."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from compass.errors import CompassError, ModelNotFoundError

HINT = "install it with `compass models add`, or name its file with --model"
NO_MEMORY = "there is not enough memory for an image of this size"
Result = TypeVar("Result")


class Attempt(NamedTuple, Generic[Result]):
    """What came of it."""

    result: Result | None  # None if it has failed
    error: str | None  # what was wrong, in a sentence
    warnings: list[str]  # that were given on the way, those for developers apart


def attempt(work: Callable[[], Result]) -> Attempt[Result]:
    """Does some work, and says what was wrong with it instead of raising."""
    result, error = None, None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = work()
        except MemoryError:
            error = NO_MEMORY
        except ModelNotFoundError as missing:
            error = f"{missing}: {HINT}"
        except CompassError as wrong:
            error = str(wrong)
        except Exception as wrong:  # whatever it is
            error = f"it cannot be worked on: {type(wrong).__name__}: {wrong}"
    said = [str(warning.message) for warning in caught if warning.category is not DeprecationWarning]
    return Attempt(result, error, said)
