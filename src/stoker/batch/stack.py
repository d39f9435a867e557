"""Batches of one form side by side in memory, for steps that take several at once.

A batch is copied to its row as it arrives: nothing that waits here changes when the source uses its arrays again, and nothing needs to be
stacked afterwards.

Rules: one form only; a stack that was handed to a device is never written again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stoker.batch.form import Batch
from stoker.batch.tree import leaves, map_leaves


class Stack:
    """Room for so many batches of the form of the first one.

    Args:
        first: a batch of that form; it is taken up too.
        room: how many batches.
    """

    def __init__(self, first: Batch, room: int) -> None:
        self.room = room
        self.size = first.size
        self._form = first.form
        self._shapes = _shapes(first)
        self._parts = tuple(map_leaves(lambda array: np.empty((room, *array.shape), array.dtype), part) for part in first[:3])
        self._rows: list[NDArray[Any]] = []
        for part in self._parts:
            _gather(part, self._rows)
        self._count = 0
        self.add(first)

    def __len__(self) -> int:
        return self._count

    def fits(self, batch: Batch) -> bool:
        """Whether a batch has the form of these."""
        return (batch.form is self._form and self._form is not None) or _shapes(batch) == self._shapes

    def add(self, batch: Batch) -> None:
        """Take a batch up."""
        place = self._count
        for rows, array in zip(self._rows, _arrays(batch), strict=True):
            rows[place] = array
        self._count = place + 1

    def add_run(self, batches: Sequence[Batch]) -> int:
        """Take up as many of the first batches as have the form of these and as there is room for; how many that are."""
        fitting = takewhile(self.fits, batches[:self.room - self._count])
        found = [_arrays(batch) for batch in fitting]
        count = len(found)
        if count > 1:
            columns = zip(*found, strict=True)
            for rows, arrays in zip(self._rows, columns, strict=True):
                room = rows[self._count:self._count + count]
                np.concatenate(arrays, out=room.reshape(count * rows.shape[1], *rows.shape[2:]))
            self._count += count
        elif count:
            self.add(batches[0])
        return count

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another."""
        return self._count == self.room

    def single(self) -> Batch | None:
        """The one batch, if there is but one."""
        return next(iter(self)) if self._count == 1 else None

    def together(self) -> Batch:
        """All of them as one, each leaf of shape ``(batches, rows, ...)``."""
        inputs, targets, weights = (
            self._parts if self.is_full else [map_leaves(lambda rows: rows[:self._count], part) for part in self._parts])
        return Batch(inputs, targets, weights, self.size * self._count)

    def __iter__(self) -> Iterator[Batch]:
        """One after the other."""
        inputs, targets, weights = (_each(part, self._count) for part in self._parts)
        for place in zip(inputs, targets, weights, strict=True):
            yield Batch(*place, self.size, self._form)


def _each(part: Any, count: int) -> Iterator[Any]:
    """The first so many rows of a part, one after the other."""
    if type(part) is np.ndarray:
        return iter(part[:count])
    return (map_leaves(itemgetter(place), part) for place in range(count))


def _arrays(batch: Batch) -> list[NDArray[Any]]:
    """The arrays of a batch, in order."""
    found: list[NDArray[Any]] = []
    for part in batch[:3]:
        if type(part) is np.ndarray:
            found.append(part)
        elif part is not None:
            _gather(part, found)
    return found


def _gather(part: Any, found: list[NDArray[Any]]) -> None:
    """Append the arrays of a part, in order."""
    if isinstance(part, np.ndarray):
        found.append(part)
    elif isinstance(part, dict):
        for value in part.values():
            _gather(value, found)
    elif part is not None:
        for value in part:
            _gather(value, found)


def _shapes(batch: Batch) -> list[Any]:
    return [(path, array.shape, array.dtype) for path, array in leaves(batch[:3])]
