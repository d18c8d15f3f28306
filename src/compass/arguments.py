"""Arguments of the Python interface: what they must be, said in one sentence where they are something else."""

from __future__ import annotations

import operator
from collections.abc import Callable
from numbers import Real
from typing import Any

from compass.errors import InputError


def whole_number(value: Any, rule: str, least: int | None = None, most: int | None = None) -> int:
    """The value as an int, one of numpy's as well. Raises InputError, with the rule, if it is none or out of range."""
    try:
        number = operator.index(value)
    except TypeError:
        raise broken(rule, value) from None
    if isinstance(value, bool) or (least is not None and number < least) or (most is not None and number > most):
        raise broken(rule, value)
    return number


def real_number(value: Any, rule: str, accepted: Callable[[float], bool] = lambda _: True) -> float:
    """The value as a float. Raises InputError, with the rule, if it is no number or not accepted."""
    if isinstance(value, bool) or not isinstance(value, Real) or not accepted(float(value)):
        raise broken(rule, value)
    return float(value)


def box(value: Any, rule: str) -> tuple[int, int, int, int]:
    """(left, upper, right, lower). Raises InputError, with the rule, if the value is not four whole numbers."""
    try:
        left, upper, right, lower = map(operator.index, value)
    except (TypeError, ValueError):
        raise broken(rule, value) from None
    return left, upper, right, lower


def broken(rule: str, value: Any) -> InputError:
    """The error of a value that a rule does not allow."""
    said = repr(value)
    return InputError(f"{rule}, not {said if len(said) < 80 and said.isprintable() else type(value).__name__}")
