"""Sources that hand out the same memory again and again, refilled in place: seen, and from then on copied.

A batch that waits in the window must not change. When memory is seen to come twice it is too late for the first, so the first
batches are copied while this is watched.

Rules: containers are made anew always (cheap), arrays only while watching or once memory came twice; used from one thread at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class ReuseWatch:
    """Keeps the batches of one source apart from the source's own memory.

    Args:
        first: how many batches are watched: one more than may wait at once.
    """

    def __init__(self, first: int) -> None:
        self._left = first
        self._seen: dict[int, Any] = {}
        """Arrays watched so far by address. Kept alive, so that an address that comes twice is the same memory."""
        self.reused = False

    def settle(self, item: Any) -> Any:
        """The item as it may wait: with memory of its own where the source may write to its memory again."""
        if self._left == 0:
            return item if not self.reused and _is_flat(item) else _rebuilt(item, self.reused)
        self._left -= 1
        for array in _arrays(item):
            address = array.__array_interface__["data"][0]
            self.reused = self.reused or address in self._seen
            self._seen[address] = array
        settled = _rebuilt(item, True)
        if self._left == 0 or self.reused:
            self._left = 0
            self._seen.clear()
        return settled


def _is_flat(item: Any) -> bool:
    """Whether nothing in an item can change but its arrays: a tuple of arrays."""
    return type(item) is tuple and all(type(part) is np.ndarray for part in item)


def private(item: Any) -> Any:
    """A copy of a batch whose arrays share no memory with anything."""
    return _rebuilt(item, True)


def _rebuilt(item: Any, copy: bool) -> Any:
    kind = type(item)
    if kind is tuple:
        return tuple(_rebuilt(part, copy) for part in item)
    if kind is list:
        return [_rebuilt(part, copy) for part in item]
    if kind is dict:
        return {key: _rebuilt(part, copy) for key, part in item.items()}
    return item.copy() if copy and isinstance(item, np.ndarray) else item


def _arrays(item: Any) -> list[Any]:
    if isinstance(item, np.ndarray):
        return [item] if item.nbytes else []
    parts = item.values() if isinstance(item, dict) else item if isinstance(item, tuple | list) else ()
    return [array for part in parts for array in _arrays(part)]
