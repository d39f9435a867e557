"""Walks through tuples, lists and dicts of arrays, with paths as messages show them.

Rules: pure; a leaf is anything that is no tuple, list or dict; dicts keep their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def leaves(part: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every leaf with its path, such as ``targets['output']``; None is no leaf.

    Args:
        part: an array, or tuples, lists and dicts of arrays.
        path: the path of ``part`` itself.
    """
    if part is None:
        return []
    if isinstance(part, dict):
        return [leaf for key, value in part.items() for leaf in leaves(value, f"{path}[{key!r}]")]
    if isinstance(part, tuple | list):
        return [leaf for number, value in enumerate(part) for leaf in leaves(value, f"{path}[{number}]")]
    return [(path, part)]


def map_leaves(function: Callable[[Any], Any], part: Any) -> Any:
    """The same structure with ``function`` of each leaf; None stays None."""
    if part is None:
        return None
    if isinstance(part, dict):
        return {key: map_leaves(function, value) for key, value in part.items()}
    if isinstance(part, tuple):
        return tuple_like(part, [map_leaves(function, value) for value in part])
    if isinstance(part, list):
        return [map_leaves(function, value) for value in part]
    return function(part)


def tuple_like(part: Any, values: list[Any]) -> Any:
    """A tuple with other values; a named one if ``part`` is that."""
    return type(part)(*values) if hasattr(part, "_fields") else tuple(values)


def first_leaf(part: Any) -> Any:
    """The first leaf, or None where there is none."""
    found = leaves(part)
    return found[0][1] if found else None
