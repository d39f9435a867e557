"""Puts new behaviour in front of Keras's methods.

Rules: a wrapper keeps the method's name, text and signature; wrapping is done once, by the installation.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


def wrap(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace ``owner.name`` by what ``make`` builds of it.

    Args:
        owner: a class or a module.
        name: the attribute.
        make: gets the function that is there and returns the one to put in its place.
    """
    there = owner.__dict__.get(name) if isinstance(owner, type) else None
    original = there if there is not None else getattr(owner, name)
    function = original.__func__ if isinstance(original, staticmethod) else original
    made = functools.wraps(function)(make(function))
    made.__dict__["__signature__"] = inspect.signature(function)  # Keras reads the names of a constructor's arguments
    setattr(owner, name, staticmethod(made) if isinstance(original, staticmethod) else made)


def before_init(owner: type, change: Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, ...]]) -> None:
    """Let ``change(positional, named) -> positional`` see the arguments of a class before its constructor does."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def __init__(self: Any, *arguments: Any, **options: Any) -> None:
            original(self, *change(arguments, options), **options)

        return __init__

    wrap(owner, "__init__", make)
