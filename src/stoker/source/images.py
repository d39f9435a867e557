"""Keras's image iterators (``ImageDataGenerator.flow``), which make any batch by its index, and draw by how many they have made.

Rules: given a ``seed``, an iterator gives here what ``next()`` of it gives: its order is drawn anew for each pass, and the randomness of a
batch is that of its number, wherever it is made. For that it seeds ``numpy.random``, of which a process has one: one batch at a time.
"""

from __future__ import annotations

from threading import RLock
from typing import Any

import numpy as np

from stoker.source.indexed import IndexedSource

TURNS = RLock()
"""Whose turn it is to draw from ``numpy.random`` after it was seeded."""
KERAS_END = ("_set_index_array",)
"""All that Keras's own ``on_epoch_end`` calls: it draws an order for the next pass."""


class ImageIterator(IndexedSource):
    """A source that counts its batches in ``total_batches_seen``: each worker would count its own."""

    def __init__(self, original: Any, label: str) -> None:
        super().__init__(original, label)
        self._seen = 0
        """How many batches were before the first pass here: it goes on over calls. Whole passes, since how many of a pass that is left
        early were made depends on the lane."""
        self._ordered: int | None = None
        """The pass whose order the iterator has."""

    has_pass_end = True
    """See ``IndexedSource``: what the iterator counts goes on with each pass."""

    @property
    def is_seeded(self) -> bool:
        """Whether order and randomness follow from a seed of the iterator's own."""
        return getattr(self.original, "seed", None) is not None and hasattr(self.original, "_set_index_array")

    @property
    def has_end(self) -> bool:
        """See ``IndexedSource``; the order of a pass that follows from a seed is drawn with the first batch that is made of it."""
        code = getattr(getattr(self.original, "on_epoch_end", None), "__code__", None)
        return super().has_end and not (self.is_seeded and code is not None and code.co_names == KERAS_END)

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """See ``IndexedSource``."""
        if not self.is_seeded:
            return self._get(pass_number, index)
        with TURNS:
            ordered, self._ordered = self._ordered, None
            if index == 0:
                self.original.index_array = None  # drawn by the iterator itself, after it has seeded numpy.random
            elif ordered != pass_number:
                np.random.seed(self.original.seed + self._before(pass_number))
                self.original._set_index_array()
            batch = self._get(pass_number, index)
            self._ordered = pass_number
            return batch

    def _get(self, pass_number: int, index: int) -> Any:
        self.original.total_batches_seen = self._before(pass_number) + index
        return super().get(pass_number, index)

    def _before(self, pass_number: int) -> int:
        """How many batches the iterator has made before a pass."""
        return self._seen + pass_number * self.length()

    def prepare(self) -> None:
        """See ``IndexedSource``; an order that follows from no seed is drawn once, and not by each worker."""
        if getattr(self.original, "index_array", 0) is None and not self.is_seeded and hasattr(self.original, "_set_index_array"):
            self.original._set_index_array()
        length = self.length()
        self._seen = -(-self.original.total_batches_seen // length) * length
        super().prepare()

    def begin_at(self, pass_number: int, index: int) -> None:
        """See ``IndexedSource``."""
        super().begin_at(pass_number, index)
        self._count(pass_number + 1)

    def end_pass(self) -> None:
        """See ``IndexedSource``."""
        self._count(self._passes + 1)
        super().end_pass()
        self._ordered = None  # the iterator's own ``on_epoch_end`` may have drawn another

    def begin_pass(self) -> None:
        """See ``IndexedSource``."""
        self._count(self._passes + 1)
        super().begin_pass()

    def _count(self, passes: int) -> None:
        """Tell the iterator how many batches so many passes are: those made in processes it does not see."""
        self.original.total_batches_seen = self._before(passes)
