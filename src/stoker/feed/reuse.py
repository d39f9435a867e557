"""Sources that hand out the same memory again and again, refilled in place: seen, and from then on copied.

A batch that waits in the window, or that a device has not read yet, must not change. When memory is seen to come twice it is too late for
the first, so the first batches are copied while this is watched: as many as may wait, and as a device may lag behind.

Rules: containers are made anew always (cheap), arrays only while watching or once memory came twice; used from one thread at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np

from stoker.batch.memory import LARGE_BATCH_BYTES, STEPS_UNDER_WAY

MOST_WATCHED = 96
"""More batches than that no device lags behind: JAX has 32 steps under way on a CPU at most."""
WATCHED_BYTES = MOST_WATCHED * LARGE_BATCH_BYTES
"""Batches beyond ``LARGE_BATCH_BYTES`` are waited for sooner, and so fewer are watched."""


class ReuseWatch:
    """Keeps the batches of one source apart from the source's own memory.

    Args:
        bound: batches that may wait at once.
    """

    def __init__(self, bound: int) -> None:
        self._left = bound + 1 + STEPS_UNDER_WAY
        self._more = MOST_WATCHED
        self._bytes = 0
        self._seen: list[tuple[Any, Any]] = []
        """What came while watching. Kept alive, so that memory that comes twice is the source's doing and not the allocator's."""
        self.is_watching = True
        self.reused = False

    def settle(self, item: Any) -> Any:
        """The item as it may wait: with memory of its own where the source may write to its memory again."""
        if not self.is_watching:
            return item if not self.reused and is_flat(item) else _rebuilt(item, self.reused)
        found = [(leaf, _memory(leaf)) for leaf in _leaves(item)]
        self.reused = any(
            leaf is seen or np.may_share_memory(memory, other) for seen, other in self._seen for leaf, memory in found)
        self._seen += found
        self._bytes += sum(memory.nbytes for _, memory in found)
        settled = _rebuilt(item, True)
        self._count()
        return settled

    def _count(self) -> None:
        """One more has been watched: a few in any case, and more if they are small."""
        if self._left > 0:
            self._left -= 1
        else:
            self._more -= 1
        is_enough = self._left == 0 and (self._more == 0 or self._bytes > WATCHED_BYTES)
        if is_enough or self.reused:
            self.is_watching = False
            self._seen.clear()


def is_flat(item: Any) -> bool:
    """Whether nothing in an item can change but its arrays: a tuple of arrays."""
    return type(item) is tuple and all(map(_is_plain, item))


def _is_plain(part: Any) -> bool:
    return type(part) is np.ndarray


def private(item: Any) -> Any:
    """A copy of a batch whose arrays share no memory with anything."""
    return _rebuilt(item, True)


def _rebuilt(item: Any, copies: bool) -> Any:
    kind = type(item)
    if isinstance(item, tuple):
        parts = [_rebuilt(part, copies) for part in item]
        return kind(*parts) if hasattr(kind, "_fields") else tuple(parts)
    if isinstance(item, list | dict):
        return _refilled(copy.copy(item), copies)
    if isinstance(item, np.ndarray):
        return item.copy() if copies else item
    return copy.deepcopy(item) if copies and _is_foreign(item) else item


def _refilled(fresh: Any, copies: bool) -> Any:
    """A list or dict, of whatever class, that has just been copied: with its parts copied too."""
    places: Iterable[Any] = list(fresh) if isinstance(fresh, dict) else range(len(fresh))
    for place in places:
        fresh[place] = _rebuilt(fresh[place], copies)
    return fresh


def _is_foreign(leaf: Any) -> bool:
    """Whether something is no array but has one: a tensor, a DataFrame."""
    return hasattr(leaf, "__array__") and getattr(leaf, "ndim", 0) > 0


def _leaves(item: Any) -> list[Any]:
    if isinstance(item, np.ndarray):
        return [item] if item.nbytes else []
    if isinstance(item, tuple | list | dict):
        parts = item.values() if isinstance(item, dict) else item
        return [leaf for part in parts for leaf in _leaves(part)]
    return [item] if _is_foreign(item) else []


def _memory(leaf: Any) -> Any:
    """The memory of a leaf as an array; an empty one where that cannot be known."""
    if isinstance(leaf, np.ndarray):
        return leaf
    try:
        return np.asarray(leaf)
    except Exception:
        return np.empty(0)
