"""A value or an error, captured where it arose and unwrapped once, where the caller waits for it.

Rules: nobody changes an outcome; only ``unwrap`` raises; the traceback of the worker travels as text, because frames do not.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Value:
    """What the user's code returned. Not frozen, because one is made for every batch, and that takes three times as long."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """What the user's code raised.

    Args:
        error: the exception itself, of its own type.
        trace: the traceback of the worker as text; empty where the exception still carries its own.
        notes: lines that say where it arose (index, worker), added to the exception when it is raised.
    """

    error: BaseException
    trace: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """A stream that has no further item in this pass."""


Outcome = Value | Failure | Ended
ENDED = Ended()


def failure(error: BaseException) -> Failure:
    """Keep an error that was just caught, with the text of its traceback."""
    return Failure(error, "".join(traceback.format_exception(error)))


def unwrap(outcome: Value | Failure) -> Any:
    """Return the value, or raise the error with its notes, once."""
    if isinstance(outcome, Value):
        return outcome.value
    for note in outcome.notes:
        outcome.error.add_note(note)
    raise outcome.error
