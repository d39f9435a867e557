"""The structure of a batch as a plan: how it is recognised, where its arrays lie, and how batches are built of arrays again.

A plan is nested tuples: ('t' | 'l', part, ...) for a tuple or list, ('d', names, part, ...) for a dict, (dtype, shape) for an array, and
'none' for None. Batches of one plan may lie one behind another as a run: then the arrays at one place of all of them are one strided view.

Rules: pure; both sides use it, so that what the worker writes lies where the parent looks for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stoker.feed.arena import ALIGNMENT

COPIED_BYTES = 32 << 10
"""Batches up to this size are copied when they are handed out: that costs no more than a lease."""
COPIED_RUN_BYTES = 128 << 10
"""So many bytes of such batches make a run: more in one piece comes from fresh pages, which cost more than copying."""
SMALL_ARRAY_BYTES = 8192
"""Arrays up to this size are copied quicker through a bytes object than through a view each."""
LEASED_BYTES = 256 << 10
"""Larger batches lie in a slot of their own: a message costs little beside them."""
LEASED_RUN_BYTES = 2 << 20
"""So many bytes of batches between these sizes make a run: the answers of one message then lie in one slot, and a device registers it as
one."""

Plan = Any
Arrays = list[NDArray[Any]]
Gather = Callable[[Any, Arrays], bool]
Assemble = Callable[[Iterator[Sequence[Any]], int], Sequence[Any]]
_form_of = attrgetter("dtype", "shape")


def structure(item: Any, arrays: Arrays) -> Plan:
    """The plan of an item, which is hashable, and its arrays in order; None where it holds anything else."""
    kind = type(item)
    if kind is np.ndarray:
        if item.dtype.hasobject or not item.dtype.itemsize:
            return None
        arrays.append(item)
        return (item.dtype, item.shape)
    if item is None:
        return "none"
    if kind is tuple or kind is list:
        keys = [structure(part, arrays) for part in item]
        return None if None in keys else ("t" if kind is tuple else "l", *keys)
    if kind is dict:
        keys = [structure(part, arrays) for part in item.values()]
        plain = all(type(name) in (str, int) for name in item)
        return None if None in keys or not plain else ("d", tuple(item), *keys)
    return None


def leaves(plan: Plan) -> list[tuple[np.dtype[Any], tuple[int, ...]]]:
    """Dtype and shape of each array of a plan, in order."""
    if plan == "none":
        return []
    if _is_array(plan):
        return [plan]
    return [leaf for part in _parts(plan) for leaf in leaves(part)]


def _is_array(plan: Plan) -> bool:
    return isinstance(plan[0], np.dtype)


def _parts(plan: Plan) -> tuple[Plan, ...]:
    return plan[2:] if plan[0] == "d" else plan[1:]  # type: ignore[no-any-return]


class Layout:
    """Where the arrays of a plan lie in a slot: each behind the one before, and batches of a run one behind another."""

    def __init__(self, plan: Plan) -> None:
        self.leaves = leaves(plan)
        self.size_bytes = 0
        """Of all arrays."""
        self.offsets: list[int] = []
        self.end = 0
        """How far a batch reaches, in bytes."""
        self._rows: list[tuple[int, np.dtype[Any], tuple[int, ...], int, int, tuple[int, ...]]] = []
        """Of each row of arrays alike: how many, their dtype and shape, where the first lies, from one to the next, and their strides."""
        self._gaps: list[bytes] = []
        """What lies before each array."""
        for (dtype, shape), alike in groupby(self.leaves):
            size, first, number = dtype.itemsize * math.prod(shape), _aligned(self.end), len(list(alike))
            strides = tuple(dtype.itemsize * math.prod(shape[axis + 1:]) for axis in range(len(shape)))
            self._rows.append((number, dtype, shape, first, _aligned(size), strides))
            self._gaps += [bytes(first - self.end), *[bytes(_aligned(size) - size)] * (number - 1)]
            self.offsets += [first + place * _aligned(size) for place in range(number)]
            self.end = self.offsets[-1] + size
            self.size_bytes += number * size
        self.stride = max(ALIGNMENT, _aligned(self.end))
        """From one batch of a run to the next, in bytes."""
        self.is_copied = self.end <= COPIED_BYTES
        self.room = max(1, (COPIED_RUN_BYTES if self.is_copied else LEASED_RUN_BYTES) // self.stride)
        """Batches in a run, at most."""
        if self.end > LEASED_BYTES:
            self.room = 1
        self._has_gaps = any(self._gaps)
        self.is_joined = self.size_bytes <= SMALL_ARRAY_BYTES * len(self.leaves)
        """Whether ``joined`` is the quicker way to copy a batch to its place."""

    def columns(self, memory: Any, start: int, count: int) -> Iterator[NDArray[Any]]:
        """For each place of an array a view of shape ``(count, ...)``: the arrays there of so many batches."""
        for number, dtype, shape, offset, pitch, strides in self._rows:
            yield from np.ndarray((number, count, *shape), dtype, memory, start + offset, (pitch, self.stride, *strides))

    def joined(self, arrays: Arrays) -> bytes:
        """A batch as it lies in memory.

        Raises:
            TypeError: an array does not lie in one piece.
        """
        pieces: list[Any] = arrays
        if self._has_gaps:
            pieces = [piece for pair in zip(self._gaps, arrays, strict=True) for piece in pair]
        return b"".join(pieces)

    def arrays(self, memory: Any, count: int) -> Iterator[Sequence[NDArray[Any]]]:
        """For each place of an array those of so many batches, as views of ``memory``, which begins where the first batch begins."""
        for number, dtype, shape, offset, pitch, strides in self._rows:
            rows = np.ndarray((count, number, *shape), dtype, memory, offset, (self.stride, pitch, *strides))
            if not shape:  # as a list it would be numbers
                yield from ([rows[batch, place, ...] for batch in range(count)] for place in range(number))
            elif number == 1:
                yield list(rows[:, 0])
            else:
                yield from zip(*map(list, rows), strict=True)


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT) * ALIGNMENT


def gatherer(plan: Plan) -> Gather:
    """A function that says whether an item has exactly this plan, and adds its arrays to an empty list (some, where it has not)."""
    flatten, forms = _flattener(plan), leaves(plan)
    kinds = [np.ndarray] * len(forms)

    def gather(item: Any, arrays: Arrays) -> bool:  # compares lists: a loop over the arrays takes twice as long
        return flatten(item, arrays) and list(map(type, arrays)) == kinds and list(map(_form_of, arrays)) == forms

    return gather


def _take(item: Any, found: Arrays) -> bool:
    found.append(item)
    return True


def _flattener(plan: Plan) -> Gather:
    """A function that says whether an item is built as a plan says, and adds what stands in the places of its arrays to a list."""
    if plan == "none":
        return lambda item, found: item is None
    if _is_array(plan):
        return _take
    kind = {"t": tuple, "l": list, "d": dict}[plan[0]]
    names = list(plan[1]) if kind is dict else []
    types = list(map(type, names))  # 1 and True are equal, and not the same
    parts = _parts(plan)
    inner = None if all(map(_is_array, parts)) else list(map(_flattener, parts))

    def flatten(item: Any, found: Arrays) -> bool:
        if type(item) is not kind or len(item) != len(parts):
            return False
        if kind is dict:
            if list(map(type, item)) != types or list(item) != names:
                return False
            item = item.values()
        if inner is None:
            found += item
            return True
        return all(inside(part, found) for inside, part in zip(inner, item, strict=True))

    return flatten


def assembler(plan: Plan) -> Assemble:
    """A function that builds so many batches of columns: for each array of the plan, in order, a list with that of every batch."""
    if plan == "none":
        return lambda columns, count: [None] * count
    if _is_array(plan):
        return lambda columns, count: next(columns)
    parts = [assembler(part) for part in _parts(plan)]

    def rows(columns: Iterator[Sequence[Any]], count: int) -> list[Any]:
        return list(zip(*[part(columns, count) for part in parts], strict=True)) if parts else [()] * count

    if plan[0] == "t":
        return rows
    if plan[0] == "l":
        return lambda columns, count: list(map(list, rows(columns, count)))
    names = plan[1]
    return lambda columns, count: [dict(zip(names, row, strict=True)) for row in rows(columns, count)]
