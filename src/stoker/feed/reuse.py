"""Sources that hand out the same memory again and again, refilled in place: seen, and from then on copied.

A batch that waits in the window, or that a device has not read yet, must not change. When memory is seen to come twice it is too late for
the first, so the first batches are copied while this is watched: as many as may wait, and as a device may lag behind.

A stream that gives parts of one array may rewrite that array at any time later, shuffle it for its next pass, say, and nobody would see it:
where two batches are parts of one array that can be written to, that memory comes again. A Sequence says when it may do such things
(``on_epoch_end``), so its batches stay parts.

Rules: containers are made anew always (cheap), arrays only while watching or once memory came twice; used from one thread at a time.
"""

from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any

import numpy as np

from stoker.batch.memory import LARGE_BATCH_BYTES, STEPS_UNDER_WAY
from stoker.batch.tree import tuple_like

MOST_WATCHED = 96
"""More batches than that no device lags behind: JAX has 32 steps under way on a CPU at most."""
WATCHED_BYTES = MOST_WATCHED * LARGE_BATCH_BYTES
"""Batches beyond ``LARGE_BATCH_BYTES`` are waited for sooner, and so fewer are watched."""
_ARRAY = frozenset({np.ndarray})
_copy = np.ndarray.copy


class ReuseWatch:
    """Keeps the batches of one source apart from the source's own memory.

    Args:
        bound: batches that may wait at once.
        has_parts: parts of one writeable array are memory that comes again: of a source that may rewrite it and does not say when.
    """

    def __init__(self, bound: int, has_parts: bool = False) -> None:
        self._has_parts = has_parts
        self._left = bound + 1 + STEPS_UNDER_WAY
        self._more = MOST_WATCHED
        self._bytes = 0
        self._seen: list[Any] = []
        """What came while watching. Kept alive, so that memory that comes twice is the source's doing and not the allocator's."""
        self._frames: set[int] = set()
        """The ``id`` of what is no array but has one, and of what batches are parts of."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        """Where that lies: ranges of addresses that do not touch each other, in order."""
        self.is_watching = True
        self.reused = False

    @property
    def kept_bytes(self) -> int:
        """Size of the batches that are kept alive while watching."""
        return self._bytes if self.is_watching else 0

    def settle(self, item: Any) -> Any:
        """The item as it may wait: with memory of its own where the source may write to its memory again."""
        if not self.is_watching:
            if is_flat(item):
                return tuple(map(_copy, item)) if self.reused else item
            return _rebuilt(item, self.reused)
        found = _leaves(item)
        memories = [memory for memory in map(_memory, found) if memory.nbytes]
        ranges = [_range(memory) for memory in memories]
        frames = {id(leaf) for leaf in found if not isinstance(leaf, np.ndarray)}  # their memory may be a copy, new each time
        if self._has_parts:
            frames |= {id(whole) for whole in map(_whole, memories) if whole.flags.writeable}
        self.reused = bool(frames & self._frames) or any(self._overlaps(*one) for one in ranges)
        self._frames |= frames
        for one in ranges:
            self._add(*one)
        self._seen += [item, *memories]
        self._bytes += sum(memory.nbytes for memory in memories)
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
            for kept in (self._seen, self._starts, self._ends, self._frames):
                kept.clear()  # type: ignore[attr-defined]

    def _overlaps(self, start: int, end: int) -> bool:
        """Whether any byte from ``start`` up to ``end`` has been seen."""
        after = bisect_right(self._starts, start)
        return (after > 0 and self._ends[after - 1] > start) or (after < len(self._starts) and self._starts[after] < end)

    def _add(self, start: int, end: int) -> None:
        """Take up a range, and make one of it and all that it touches."""
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]


def is_flat(item: Any) -> bool:
    """Whether nothing in an item can change but its arrays: a tuple of arrays."""
    return type(item) is tuple and _ARRAY.issuperset(map(type, item))  # half the time of ``all``, and asked of every batch


def private(item: Any) -> Any:
    """A copy of a batch whose arrays share no memory with anything."""
    return _rebuilt(item, True)


def _rebuilt(item: Any, copies: bool) -> Any:
    if isinstance(item, tuple):
        return tuple_like(item, [_rebuilt(part, copies) for part in item])
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


def _range(memory: Any) -> tuple[int, int]:
    """The first address of an array's elements, and the one after the last."""
    start = end = memory.__array_interface__["data"][0]
    for length, stride in zip(memory.shape, memory.strides, strict=True):
        if stride < 0:
            start += (length - 1) * stride
        else:
            end += (length - 1) * stride
    return start, end + memory.itemsize


def _whole(memory: Any) -> Any:
    """The array that an array is a part of, or that array itself."""
    while isinstance(memory.base, np.ndarray):
        memory = memory.base
    return memory


def _memory(leaf: Any) -> Any:
    """The memory of a leaf as an array; an empty one where that cannot be known."""
    if isinstance(leaf, np.ndarray):
        return leaf
    try:
        return np.asarray(leaf)
    except Exception:
        return np.empty(0)
