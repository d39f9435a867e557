"""The only place that looks at the type of what the user passed as a source.

Rules: decided once, by what the object can do and not by its class; nothing is pulled, called or copied here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from stoker.errors import SourceTypeError
from stoker.source.images import open_counted
from stoker.source.indexed import IndexedSource, is_py_dataset
from stoker.source.protocol import Source
from stoker.source.stream import RestartableSource, StreamSource, length_of

ACCEPTED = (
    "a Sequence (__len__ and __getitem__), an iterator such as a generator object, a generator function, "
    "or an iterable of batches"
)


def open_source(original: Any) -> Source:
    """Make a source of the user's object.

    Args:
        original: an indexed source (``__len__`` and ``__getitem__``), an iterator, a function that gives an iterator and needs no
            arguments, or an iterable; or something already opened.

    Returns:
        The source, of kind ``indexed``, ``stream`` or ``restartable``.

    Raises:
        SourceTypeError: the object is none of these; the message says what to pass instead.
    """
    if _is_opened(original):
        return original  # type: ignore[no-any-return]
    label = _label(original)
    refusal = _refusal(original)
    if refusal:
        raise SourceTypeError("not a source of batches", got=label, expected=ACCEPTED, remedy=refusal)
    can = type(original)
    has_length = _defines(can, "__len__") or (is_py_dataset(original) and original.num_batches is not None)
    if _defines(can, "__getitem__") and has_length:
        return open_counted(original, label) or IndexedSource(original, label)
    if isinstance(original, Iterator) or _defines(can, "__next__"):
        return StreamSource(original, label)
    if isinstance(original, Iterable):
        return RestartableSource(original, original.__iter__, label, lambda: length_of(original))
    if callable(original) and not _required_arguments(original):
        return RestartableSource(original, _caller(original, label), label, lambda: None)
    raise SourceTypeError("not a source of batches", got=label, expected=ACCEPTED, remedy=_remedy(original))


def _is_opened(original: Any) -> bool:
    return isinstance(original, IndexedSource | StreamSource | RestartableSource) or (
        getattr(type(original), "stoker_source", False) is True)


def _defines(kind: type, name: str) -> bool:
    return getattr(kind, name, None) is not None


def _label(original: Any) -> str:
    if inspect.isgenerator(original):
        return f"generator {original.__name__}"
    if inspect.isroutine(original):
        return f"function {getattr(original, '__name__', original)}"
    if isinstance(original, type):
        return f"the class {original.__name__}"
    return type(original).__name__


def _refusal(original: Any) -> str:
    """Why an object that might pass for a source is none, as a remedy; empty if it may be one."""
    if original is None or isinstance(original, bool | int | float | complex | str | bytes | bytearray):
        return "Pass an object that yields batches."
    if isinstance(original, type):
        return f"Pass an instance: {original.__name__}(...)."
    if isinstance(original, Mapping | set | frozenset | range):
        return "Yield batches (inputs, targets) from a generator or a Sequence."
    if isinstance(original, tuple) or _defines(type(original), "__array__"):
        return "Pass arrays to stoker.fit(model, (x, y), batch_size=...), which cuts them into batches."
    return ""


def _required_arguments(function: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    named = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in parameters if p.default is p.empty and p.kind in named]


def _remedy(original: Any) -> str:
    if not callable(original):
        return "Give the class __len__ and __getitem__, or __iter__."
    missing = ", ".join(_required_arguments(original))
    return f"Call it with its arguments ({missing}) and pass what it returns, or bind them with functools.partial."


def _caller(function: Callable[[], Any], label: str) -> Callable[[], Iterator[Any]]:
    def begin() -> Iterator[Any]:
        made = function()
        if not isinstance(made, Iterable) and not _defines(type(made), "__next__"):
            raise SourceTypeError(
                "the function gives no iterator", got=_label(made), expected="an iterator or iterable of batches",
                where=label, remedy="Write it with yield, or return an iterable of batches.")
        return iter(made)

    return begin
