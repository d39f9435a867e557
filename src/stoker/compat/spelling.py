"""Rewrites keyword arguments from old spellings to new ones, by table.

Rules: a new spelling that is there as well is an error, as two values for one argument always are; values are changed only where the
table says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Rule = str | tuple[str, Callable[[Any], Any]] | None
"""The new name; the new name and how the value changes; None where the argument is dropped."""


def translate(options: dict[str, Any], rules: Mapping[str, Rule]) -> list[str]:
    """Change keyword arguments in place.

    Args:
        options: the keyword arguments of a call.
        rules: what becomes of each old name.

    Returns:
        The names that were dropped.

    Raises:
        TypeError: old and new name are both there.
    """
    dropped = []
    for old in [name for name in options if name in rules]:
        rule, value = rules[old], options.pop(old)
        if rule is None:
            dropped.append(old)
            continue
        new, change = rule if isinstance(rule, tuple) else (rule, _same)
        if new in options:
            raise TypeError(f"{old}= and {new}= are the same argument: give one of them")
        options[new] = change(value)
    return dropped


def _same(value: Any) -> Any:
    return value
