"""Walks through what a source keeps: its attributes, what these hold, and the variables that its functions use.

Rules: looks only, calls nothing of the user's; never deeper than ``DEEPEST`` and never into more than ``MOST`` things.
"""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Iterator, Sized
from typing import Any

import numpy as np

from stoker.feed.travel import OWN_GENERATORS

DEEPEST = 4
MOST = 2000
FEW_ITEMS = 20
"""Items of a list or dict that are looked into."""
GENERATORS = (*OWN_GENERATORS, np.random.BitGenerator)
CONTAINERS = (list, dict, set, bytearray, deque)


def walk(source: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Everything that a source keeps, each once, with its path such as ``Digits.reader.handle``.

    Args:
        source: the user's object.
        name: what paths begin with.
    """
    seen: set[int] = set()
    waiting = deque([(name, source, 0)])
    while waiting and len(seen) < MOST:
        path, value, depth = waiting.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield path, value
        if depth < DEEPEST:
            waiting.extend((f"{path}{step}", part, depth + 1) for step, part in _parts(value))


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, type | types.ModuleType | str | bytes | np.ndarray | int | float):
        return []
    if isinstance(value, dict):
        return [(f"[{key!r}]", part) for key, part in list(value.items())[:FEW_ITEMS]]
    if isinstance(value, list | tuple):
        return [(f"[{number}]", part) for number, part in enumerate(value[:FEW_ITEMS])]
    if isinstance(value, functools.partial):
        return [(".func", value.func), (".args", value.args), (".keywords", value.keywords)]
    if isinstance(value, types.MethodType):
        return [(".__self__", value.__self__)]
    if isinstance(value, types.FunctionType):
        return _variables(value)
    kept = [(f".{key}", part) for key, part in list(getattr(value, "__dict__", {}).items())]
    return kept + [step for method in _methods(type(value)) for step in _variables(method)]


def _methods(kind: type) -> list[types.FunctionType]:
    """What makes a batch of an object of this type."""
    names = ("__getitem__", "__iter__", "__next__", "__call__")
    found = [getattr(kind, name, None) for name in names]
    return [method for method in found if isinstance(method, types.FunctionType) and not method.__module__.startswith("stoker.")]


def _variables(function: types.FunctionType) -> list[tuple[str, Any]]:
    """Variables of the scopes around a function that it uses; of globals those that are random generators."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
    closed = [(f".{name}", cell.cell_contents) for name, cell in cells if _is_full(cell)]
    used = [(f".{name}", function.__globals__.get(name)) for name in function.__code__.co_names]
    return closed + [(step, value) for step, value in used if isinstance(value, GENERATORS)]


def _is_full(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def generators(source: Any, name: str) -> tuple[str, ...]:
    """Paths of the random generators that a source keeps, with their types."""
    return tuple(f"{path} ({type(value).__name__})" for path, value in walk(source, name) if isinstance(value, GENERATORS))


def sizes(source: Any, name: str) -> dict[str, int]:
    """Sizes of the containers that a source keeps, by path: items, for arrays bytes."""
    found = {}
    for path, value in walk(source, name):
        if isinstance(value, np.ndarray):
            found[path] = value.nbytes
        elif isinstance(value, CONTAINERS) and isinstance(value, Sized):
            found[path] = len(value)
    return found
