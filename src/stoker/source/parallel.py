"""``parallel_map``: a function run by all workers over the items of one iterator.

The iterator has one owner, the caller's process, which pulls an item when a worker is asked for its batch; the items travel to the workers,
and the results come back in order, each once. That is how a generator with heavy work for each item scales.

Rules: items are pulled one batch at a time, in order, on the consumer's thread; what was pulled is kept until its result has been taken,
so that a lost batch can be made again from the same items. A list, or another iterable that gives a new iterator each time, is begun anew
for each pass; an iterator never is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from stoker.arguments import whole_number
from stoker.errors import SourceStopped, SourceTypeError
from stoker.outcome import ENDED
from stoker.source.owner import turns_of
from stoker.source.protocol import Kind
from stoker.source.stream import length_of


class ParallelMap:
    """A source whose batches are ``function`` of what one iterator gives.

    Made by ``parallel_map``; what workers get is ``function`` alone.
    """

    single_owner = False
    has_pass_end = False
    stoker_source = True

    def __init__(self, items: Iterable[Any], function: Callable[[Any], Any], batch_size: int | None) -> None:
        self.original = self
        self.label = f"parallel_map of {getattr(function, '__name__', type(function).__name__)}"
        self.kind: Kind = "stream" if isinstance(items, Iterator) else "restartable"
        self._items: Iterable[Any] | None = items
        self._function = function
        self._batch_size = batch_size

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_items": None}

    def with_function_of(self, other: ParallelMap) -> ParallelMap:
        """The items of this one, and the function of another, such as one that travelled."""
        assert self._items is not None
        return ParallelMap(self._items, other._function, self._batch_size)

    def length(self) -> int | None:
        """Batches in a pass, where the items can be gone through again and say how many they are."""
        count = length_of(self._items) if self.kind == "restartable" else None
        return None if count is None else math.ceil(count / (self._batch_size or 1))

    def begin(self) -> Callable[[], Any]:
        """A pass begins, in the caller's process; an iterator goes on where it is.

        Returns:
            A function that pulls the next item, or list of ``batch_size`` items (fewer at the end), or ``ENDED``.
        """
        assert self._items is not None
        iterator, size = iter(self._items), self._batch_size
        turns = turns_of(iterator)
        if size is None:
            return lambda: turns.next_of(iterator)
        return lambda: turns.several_of(iterator, size) or ENDED

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """What the function makes of an item; on a worker."""
        try:
            return self._function(item)
        except StopIteration as error:
            raise SourceStopped(
                "the function raised StopIteration", where=f"{self.label}, item {index}", expected="a batch for every item",
                remedy="End the iterator of items instead.") from error

    def end_pass(self) -> None:
        """Nothing to tell."""


def parallel_map(items: Iterable[Any], function: Callable[[Any], Any], batch_size: int | None = None) -> ParallelMap:
    """A source of ``function(item)`` for the items of any iterable, made by all workers.

    Results come in the order of the items, each exactly once. Randomness from ``stoker.rng()`` inside ``function`` is seeded by (seed,
    pass, number of the item): the same for any number of workers.

    Args:
        items: an iterable; it is pulled by one owner, on the caller's thread, no further ahead than ``max_queue_size`` batches. A list of
            files, say, is gone through once a pass, and says how many batches that is; a generator is gone through once.
        function: makes a batch of an item; runs on several threads or processes at once. With ``use_multiprocessing`` the function and
            the items must be picklable.
        batch_size: give ``function`` a list of so many items (fewer at the end of the iterator); None gives it single items.

    Returns:
        A source that ``fit_generator``, ``fit`` and ``Feed`` take.

    Raises:
        SourceTypeError: ``items`` is no iterable, or ``function`` cannot be called.
    """
    if not isinstance(items, Iterable):
        raise SourceTypeError(
            "parallel_map needs items", got=type(items).__name__, expected="an iterable", remedy="Pass a list or a generator.")
    if not callable(function):
        raise SourceTypeError(
            "parallel_map needs a function", got=type(function).__name__, expected="a function of one item",
            remedy="Pass parallel_map(items, function).")
    size = None if batch_size is None else whole_number("batch_size", batch_size, 1)
    return ParallelMap(items, function, size)
