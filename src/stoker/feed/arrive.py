"""What rebuilds, in a worker process, the things that cannot be pickled as they are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any


def make_lock() -> Any:
    """A fresh lock."""
    return threading.Lock()


def make_rlock() -> Any:
    """A fresh reentrant lock."""
    return threading.RLock()


def make_generator(
    function: Callable[..., Generator[Any, Any, Any]], arguments: tuple[Any, ...], named: dict[str, Any]
) -> Generator[Any, Any, Any]:
    """The generator that the function gives for these arguments."""
    return function(*arguments, **named)


def open_h5(filename: str, name: str, is_file: bool) -> Any:
    """An h5py file, opened again for reading, or the group or data set of that name in it."""
    import h5py

    file = h5py.File(filename, "r")
    return file if is_file else file[name]
