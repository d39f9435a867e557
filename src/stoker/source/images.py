"""Keras's image iterators (``ImageDataGenerator.flow``), which make any batch by its index, and draw by how many they have made.

Rules: what a seeded iterator draws, order and randomness, follows from its seed and the number of the batch alone. For that it seeds
``numpy.random``, of which a process has one: threads take turns. Each worker would count its own batches, so the number is set for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import islice
from threading import RLock
from typing import Any

import numpy as np

from stoker.source.indexed import IndexedSource

TURNS = RLock()
"""Whose turn it is to draw from ``numpy.random`` after it was seeded."""
KERAS_END = ("_set_index_array",)
"""All that Keras's own ``on_epoch_end`` calls: it draws an order for the next pass."""
LOOKED_AT = 16
"""Items of a list of the user's that are looked at for iterators."""


def image_iterators_of(original: Any) -> list[Any]:
    """The image iterators that a source keeps in its attributes, or in lists and dicts there."""
    parts: list[Any] = []
    for value in getattr(original, "__dict__", {}).values():
        several = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else (value,)
        parts += islice(several, LOOKED_AT)
    found = {id(part): part for part in parts if counts_batches(part) and hasattr(type(part), "_set_index_array")}
    return list(found.values())


def counts_batches(original: Any) -> bool:
    """Whether something derives its randomness from how many batches it has made; looks up nothing that could run code."""
    return "total_batches_seen" in getattr(original, "__dict__", {})


def is_seeded(iterator: Any) -> bool:
    """Whether order and randomness follow from a seed of the iterator's own."""
    return getattr(iterator, "seed", None) is not None and hasattr(iterator, "_set_index_array")


class CountedSource(IndexedSource):
    """A source whose batches are made by iterators that count them.

    Args:
        original: the user's object.
        label: how messages name it.
        iterators: itself, or those that it keeps.
    """

    has_pass_end = True
    """See ``IndexedSource``: what the iterators count goes on with each pass."""

    def __init__(self, original: Any, label: str, iterators: list[Any]) -> None:
        super().__init__(original, label)
        self._iterators = iterators
        self._seen = [0] * len(iterators)
        """How many batches each had made before the first pass here: it goes on over calls. Whole passes, since how many of a pass that is
        left early were made depends on the lane."""

    def prepare(self) -> None:
        """See ``IndexedSource``."""
        length = self.length()
        self._seen = [-(-iterator.total_batches_seen // length) * length for iterator in self._iterators]
        super().prepare()

    def begin_at(self, pass_number: int, index: int) -> None:
        """See ``IndexedSource``."""
        super().begin_at(pass_number, index)
        self._count(pass_number + 1)

    def end_pass(self) -> None:
        """See ``IndexedSource``."""
        self._count(self._passes + 1)
        super().end_pass()

    def begin_pass(self) -> None:
        """See ``IndexedSource``."""
        self._count(self._passes + 1)
        super().begin_pass()

    def _count(self, pass_number: int, index: int = 0) -> None:
        """Tell the iterators how many batches come before this one: those made in processes they do not see."""
        before = pass_number * self.length() + index
        for iterator, seen in zip(self._iterators, self._seen, strict=True):
            iterator.total_batches_seen = seen + before

    def _draw_order(self, number: int, pass_number: int) -> None:
        """Draw the order of a pass for one of the iterators, from its seed if it has one."""
        iterator = self._iterators[number]
        if is_seeded(iterator):
            np.random.seed(iterator.seed + self._seen[number] + pass_number * self.length())
        type(iterator)._set_index_array(iterator)


class ImageIterator(CountedSource):
    """One iterator. With a seed it gives what ``next()`` of it gives."""

    def __init__(self, original: Any, label: str) -> None:
        super().__init__(original, label, [original])
        self._ordered: int | None = None
        """The pass whose order a seeded iterator has."""

    @property
    def has_end(self) -> bool:
        """See ``IndexedSource``; the order of a pass that follows from a seed is drawn with the first batch that is made of it."""
        code = getattr(getattr(self.original, "on_epoch_end", None), "__code__", None)
        return super().has_end and not (is_seeded(self.original) and code is not None and code.co_names == KERAS_END)

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """See ``IndexedSource``."""
        if not is_seeded(self.original):
            self._count(pass_number, index)
            return super().get(pass_number, index)
        with TURNS:
            ordered, self._ordered = self._ordered, None
            if index == 0:
                self.original.index_array = None  # drawn by the iterator itself, after it has seeded numpy.random
            elif ordered != pass_number:
                self._draw_order(0, pass_number)
            self._count(pass_number, index)
            batch = super().get(pass_number, index)
            self._ordered = pass_number
            return batch

    def prepare(self) -> None:
        """See ``IndexedSource``; an order that follows from no seed is drawn once, and not by each worker."""
        super().prepare()
        if getattr(self.original, "index_array", 0) is None and not is_seeded(self.original):
            self._draw_order(0, 0)

    def end_pass(self) -> None:
        """See ``IndexedSource``."""
        super().end_pass()
        self._ordered = None  # the iterator's own ``on_epoch_end`` may have drawn another


class JoinedIterators(CountedSource):
    """A source that makes a batch of those of the iterators that it keeps, such as images and masks: with one seed they stay in step."""

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """See ``IndexedSource``."""
        with TURNS if any(map(is_seeded, self._iterators)) else nullcontext():
            self._count(pass_number, index)
            return super().get(pass_number, index)

    def prepare(self) -> None:
        """See ``IndexedSource``; the first order is drawn once, and not by each worker."""
        super().prepare()
        for number, iterator in enumerate(self._iterators):
            if iterator.index_array is None:
                self._draw_order(number, 0)

    def end_pass(self) -> None:
        """See ``IndexedSource``; orders that the source has its iterators draw follow from their seeds."""
        with ExitStack() as drawing:
            for number in range(len(self._iterators)):
                drawing.enter_context(self._drawn_by_seed(number, self._passes + 1))
            super().end_pass()

    @contextmanager
    def _drawn_by_seed(self, number: int, pass_number: int) -> Iterator[None]:
        iterator = self._iterators[number]
        iterator._set_index_array = lambda: self._draw_order(number, pass_number)
        try:
            yield
        finally:
            del iterator._set_index_array
