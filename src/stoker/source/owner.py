"""One owner at a time for an iterator that is given twice: as training and validation data, or to a call within a call.

Python refuses ``next()`` of a generator that runs on another thread, and other iterators may break in silence. Every source that pulls from
an iterator has the lock of that iterator. One that pulls from seeded image iterators has a turn of ``numpy.random`` besides (``drawing``).

Rules: the one register of locks that the process has is here; it holds no iterator and no lock alive. A number that Python gives to another
iterator later is safe: a lock lives as long as a source that holds its iterator.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from threading import RLock
from typing import Any
from weakref import WeakValueDictionary

from stoker.outcome import ENDED
from stoker.source.drawing import DRAWING, seeds

LOOKS = 2
"""Items before which an iterator is looked into: when it has given one, it shows what it pulls from."""
NO_TURN = nullcontext()


class Turns:
    """The turns of whoever pulls from one iterator. A call from within the iterator itself is left to the iterator."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._looks = 0
        self._seeds = False

    def __reduce__(self) -> tuple[Any, ...]:
        return Turns, ()

    def next_of(self, iterator: Any) -> Any:
        """The next item, or ``ENDED``."""
        with self._lock, self._drawing(iterator):
            return next(iterator, ENDED)

    def several_of(self, iterator: Iterator[Any], count: int) -> list[Any]:
        """The next items, one after the other; fewer at the end."""
        with self._lock, self._drawing(iterator):
            return list(islice(iterator, count))

    def _drawing(self, iterator: Any) -> AbstractContextManager[Any]:
        """A turn to draw, for an iterator that may need one: before the first item it has not shown yet what it pulls from."""
        if self._looks == LOOKS:  # in vain: most iterators end up here, and this runs for every item
            return NO_TURN
        if not self._seeds and seeds(iterator):
            self._seeds = True
            DRAWING.seeding.add(self)
        self._looks += not self._seeds
        return DRAWING.turn() if self._seeds or self._looks == 1 else NO_TURN


TURNS: WeakValueDictionary[int, Turns] = WeakValueDictionary()
_REGISTERING = RLock()


def turns_of(iterator: Any) -> Turns:
    """The turns of an iterator; the same for all who hold it."""
    with _REGISTERING:
        found = TURNS.get(id(iterator))
        if found is None:
            found = TURNS[id(iterator)] = Turns()
        return found
