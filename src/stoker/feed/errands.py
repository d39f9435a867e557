"""How an exception of the user's code crosses a process border as its own type.

Pickle rebuilds an exception by calling its class with ``args``, which fails for a class with other required arguments. So an exception
crosses as its class (by value where it stands in a script), ``args``, attributes and notes, and is made without calling ``__init__``.

Rules: packing never fails: what cannot cross is replaced by its text, and an exception whose class cannot cross by the nearest base that
can.
"""

from __future__ import annotations

import pickle
from typing import Any


def pack_error(error: BaseException) -> bytes:
    """An exception as bytes."""
    import cloudpickle

    plain = _plain(error)
    if plain is not None:
        return plain
    for kind in type(error).__mro__:
        if kind is object:
            break
        try:
            packed: bytes = cloudpickle.dumps((kind, _safe(error.args), _safe(dict(error.__dict__)), type(error).__qualname__), 5)
            pickle.loads(packed)
        except Exception:
            continue
        return packed
    return pickle.dumps((RuntimeError, (_text(error),), {}, type(error).__qualname__))


def _plain(error: BaseException) -> bytes | None:
    """The exception as pickle does it, if that gives an equal one back."""
    import cloudpickle

    try:
        packed: bytes = cloudpickle.dumps(error, 5)
        again = pickle.loads(packed)
        # arguments are compared as bytes: those that are arrays have no plain truth
        is_equal = type(again) is type(error) and str(again) == str(error) and _bytes(again.args) == _bytes(error.args)
    except Exception:
        return None
    return packed if is_equal else None


def _bytes(arguments: tuple[Any, ...]) -> bytes:
    import cloudpickle

    packed: bytes = cloudpickle.dumps(arguments, 5)
    return packed


def _text(value: Any) -> str:
    """``str`` of an error or ``repr`` of a value, whatever the user's own code makes of that."""
    try:
        return str(value) if isinstance(value, BaseException) else repr(value)
    except Exception:
        return f"<{type(value).__name__}, which has no text>"


def _safe(value: Any) -> Any:
    """A value with every part that cannot be pickled replaced by its text."""
    if isinstance(value, dict):
        return {key: _safe_leaf(part) for key, part in value.items()}
    return tuple(_safe_leaf(part) for part in value)


def _safe_leaf(value: Any) -> Any:
    import cloudpickle

    try:
        cloudpickle.dumps(value)
    except Exception:
        return _text(value)
    return value


def unpack_error(packed: bytes) -> BaseException:
    """The exception, of its own type where that could cross."""
    found = pickle.loads(packed)
    if isinstance(found, BaseException):
        return found
    kind, arguments, attributes, name = found
    error: BaseException = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(attributes)
    if kind.__qualname__ != name:
        error.add_note(f"the original was a {name}, which cannot travel between processes")
    return error
