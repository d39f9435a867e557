"""The checks of numbers that callers pass, so that each call refuses the same things in the same words.

Rules: pure; a value that has the wrong type is an ``OptionTypeError``, one that is senseless an ``OptionError``; both name the
argument.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from stoker.errors import OptionError, OptionTypeError


def whole_number(name: str, value: Any, minimum: int = 0, *, round_up: bool = False) -> int:
    """Return ``value`` as an int.

    Args:
        name: the argument's name, for the message.
        value: anything with ``__index__``; with ``round_up`` a float too.
        minimum: the smallest value that makes sense.
        round_up: a float is rounded up (old scripts pass ``samples / batch_size``).

    Raises:
        OptionTypeError: a bool, a string, None, or a float that is not to be rounded.
        OptionError: below ``minimum``, NaN or infinite.
    """
    expected = f"a whole number of at least {minimum}"
    if isinstance(value, bool | np.bool_):
        raise OptionTypeError(f"{name} is a bool", got=repr(value), expected=expected, remedy=f"Pass {name} as an int.")
    try:
        number = operator.index(value)
    except TypeError:
        number = _from_float(name, value, expected, round_up)
    if number < minimum:
        raise OptionError(f"{name} is too small", got=repr(value), expected=expected, remedy=f"Pass a larger {name}.")
    return number


def _from_float(name: str, value: Any, expected: str, round_up: bool) -> int:
    number = _as_float(value)
    if number is None:
        raise OptionTypeError(
            f"{name} is no number", got=f"{type(value).__name__} {value!r}", expected=expected,
            remedy=f"Pass {name} as an int.")
    if not math.isfinite(number):
        raise OptionError(f"{name} is not finite", got=repr(value), expected=expected, remedy=f"Pass {name} as an int.")
    if not round_up and number != int(number):
        raise OptionTypeError(
            f"{name} is a fraction", got=repr(value), expected=expected, remedy=f"Pass {name} as an int.")
    return math.ceil(number)


def _as_float(value: Any) -> float | None:
    """The value as a float; None for text, arrays of several numbers, and whatever else is no number."""
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def flag(name: str, value: Any) -> bool:
    """Return ``value`` as a bool.

    Raises:
        OptionTypeError: something else than a bool, 0 or 1.
    """
    if isinstance(value, bool | np.bool_) or (isinstance(value, int | np.integer) and value in (0, 1)):
        return bool(value)
    raise OptionTypeError(
        f"{name} is no bool", got=f"{type(value).__name__} {value!r}", expected="True or False",
        remedy=f"Pass {name}=True or {name}=False.")


def seconds(name: str, value: Any) -> float:
    """Return ``value`` as a positive, finite number of seconds.

    Raises:
        OptionTypeError: no number, or a bool.
        OptionError: NaN, infinite, zero or negative.
    """
    expected = "a number of seconds above 0"
    number = None if isinstance(value, bool | np.bool_) else _as_float(value)
    if number is None:
        raise OptionTypeError(
            f"{name} is no number", got=f"{type(value).__name__} {value!r}", expected=expected,
            remedy=f"Pass {name} as a float, or None for the default.")
    if not (math.isfinite(number) and number > 0):
        raise OptionError(
            f"{name} is senseless", got=repr(value), expected=expected,
            remedy=f"Pass {name} as a float above 0, or None for the default.")
    return number
