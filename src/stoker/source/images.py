"""Keras's image iterators (``ImageDataGenerator.flow``), which make any batch by its index, and draw by how many they have made.

Rules: what a seeded iterator draws, order and randomness, follows from its seed and the number of the batch alone. For that it seeds
``numpy.random``, of which a process has one: threads take turns. Each worker would count its own batches, so the number is set for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

import numpy as np

from stoker.source.drawing import DRAWING, LOOKED_AT, counts_batches, is_seeded
from stoker.source.indexed import IndexedSource

KERAS = ("keras", "keras_preprocessing", "tf_keras")
OWN = ("__getitem__", "_set_index_array", "on_epoch_end")
"""What gives an image iterator its order; another class may have ways of its own."""


def image_iterators_of(original: Any) -> list[Any]:
    """The image iterators that a source keeps in its attributes, or in lists and dicts there."""
    parts: list[Any] = []
    for value in getattr(original, "__dict__", {}).values():
        several = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else (value,)
        parts += islice(several, LOOKED_AT)
    found = {id(part): part for part in parts if counts_batches(part) and hasattr(type(part), "_set_index_array")}
    return list(found.values())


def is_kerass_own(iterator: Any) -> bool:
    """Whether an iterator has its order as those of Keras have it."""
    ways = [getattr(type(iterator), name, None) for name in OWN]
    return not set(OWN) & set(vars(iterator)) and all(getattr(way, "__module__", "").split(".")[0] in KERAS for way in ways)


def open_counted(original: Any, label: str) -> CountedSource | None:
    """A source of image iterators, if there are any."""
    if not counts_batches(original):
        kept = image_iterators_of(original)
        return CountedSource(original, label, kept) if kept else None
    if is_seeded(original) and is_kerass_own(original):
        return SeededIterator(original, label, [original])
    return CountedSource(original, label, [original])


class CountedSource(IndexedSource):
    """A source whose batches are made by iterators that count them: by itself, or by those that it keeps, such as images and masks.

    With one seed these stay in step.

    Args:
        original: the user's object.
        label: how messages name it.
        iterators: the image iterators.
    """

    has_pass_end = True
    """See ``IndexedSource``: what the iterators count goes on with each pass."""
    takes_state = True
    """See ``IndexedSource``."""

    def __init__(self, original: Any, label: str, iterators: list[Any]) -> None:
        super().__init__(original, label)
        self._iterators = iterators
        self._seen: list[int] | None = None
        """How many batches each had made before the first pass here: it goes on over calls. Whole passes, since how many of a pass that is
        left early were made depends on the lane. None until that is known."""
        self._announce()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if not counts_batches(self.original):  # its own ``__setstate__`` may have made others
            self._iterators = image_iterators_of(self.original)
        self._announce()

    def _announce(self) -> None:
        """Have others take turns with this source, where it seeds ``numpy.random``."""
        if any(map(is_seeded, self._iterators)):
            DRAWING.seeding.add(self)

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """See ``IndexedSource``."""
        with DRAWING.turn():
            self._count(pass_number, index)
            return super().get(pass_number, index)

    def prepare(self) -> None:
        """See ``IndexedSource``; the first order is drawn once, and not by each worker."""
        self._settle()
        super().prepare()
        for number, iterator in enumerate(self._iterators):
            if getattr(iterator, "index_array", 0) is None and hasattr(type(iterator), "_set_index_array"):
                self._draw_order(number, 0)

    def take_up(self, pass_number: int) -> bool:
        """See ``IndexedSource``; the passes before, where they were made here, count once."""
        before = pass_number * self.length()
        self._seen = [max(0, seen - before) for seen in self._settle()]
        self.begin_at(pass_number, 0)
        return True

    def begin_at(self, pass_number: int, index: int) -> None:
        """See ``IndexedSource``."""
        self._settle()
        super().begin_at(pass_number, index)
        self._count(pass_number + 1)

    def state_before(self, pass_number: int, index: int) -> Any:
        """See ``IndexedSource``: with how many batches there were before."""
        return {"seen": list(self._settle()), "own": super().state_before(pass_number, index)}

    def go_to(self, pass_number: int, index: int, state: Any) -> None:
        """See ``IndexedSource``."""
        self._seen = list(state["seen"])
        if self.tells_state and state["own"] is not None:
            super().go_to(pass_number, index, state["own"])
        else:
            self.begin_at(pass_number, index)

    def end_pass(self) -> None:
        """See ``IndexedSource``; orders that the source has its iterators draw follow from their seeds."""
        self._count(self._passes + 1)
        with ExitStack() as drawing:
            for number in range(len(self._iterators)):
                drawing.enter_context(self._drawn_by_seed(number, self._passes + 1))
            super().end_pass()

    def begin_pass(self) -> None:
        """See ``IndexedSource``."""
        self._count(self._passes + 1)
        super().begin_pass()

    def _settle(self) -> list[int]:
        """What was before, once that is known."""
        if self._seen is None:
            length = self.length()
            self._seen = [-(-iterator.total_batches_seen // length) * length for iterator in self._iterators]
        return self._seen

    def _count(self, pass_number: int, index: int = 0) -> None:
        """Tell the iterators how many batches come before this one: those made in processes they do not see."""
        before = pass_number * self.length() + index
        for iterator, seen in zip(self._iterators, self._settle(), strict=False):
            iterator.total_batches_seen = seen + before

    def _draw_order(self, number: int, pass_number: int) -> None:
        """Draw the order of a pass for one of the iterators, from its seed if it has one."""
        iterator = self._iterators[number]
        with DRAWING.turn():
            if is_seeded(iterator):
                np.random.seed(iterator.seed + self._settle()[number] + pass_number * self.length())
            type(iterator)._set_index_array(iterator)

    @contextmanager
    def _drawn_by_seed(self, number: int, pass_number: int) -> Iterator[None]:
        iterator = self._iterators[number]
        if not is_seeded(iterator) or "_set_index_array" in vars(iterator):
            yield
            return
        iterator._set_index_array = lambda: self._draw_order(number, pass_number)
        try:
            yield
        finally:
            del iterator._set_index_array


class SeededIterator(CountedSource):
    """One of Keras's own iterators, with a seed: it gives what ``next()`` of it gives."""

    has_end = False
    """See ``IndexedSource``: the order of a pass is drawn with the first batch that is made of it."""
    _ordered: tuple[int, Any] | None = None
    """The pass whose order the iterator has, and that order, which somebody else may have replaced."""

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """See ``IndexedSource``."""
        iterator = self.original
        with DRAWING.turn():
            ordered, self._ordered = self._ordered, None
            if index == 0:
                iterator.index_array = None  # drawn by the iterator itself, after it has seeded numpy.random
            elif ordered is None or ordered[0] != pass_number or ordered[1] is not iterator.index_array:
                self._draw_order(0, pass_number)
            batch = super().get(pass_number, index)
            self._ordered = pass_number, iterator.index_array
            return batch
