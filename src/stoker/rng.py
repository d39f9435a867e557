"""Randomness of one item: a function of (seed, pass, index), whoever makes the item.

Rules: the item that is being made is known per thread (a context variable); generators are made only when asked for.
"""

from __future__ import annotations

from contextvars import ContextVar

import numpy as np


class ItemSeed:
    """The numbers that seed one item, and the generator made of them on first use."""

    __slots__ = ("_generator", "entropy")

    def __init__(self, seed: int, pass_number: int, index: int) -> None:
        self.entropy = (seed, pass_number, index)
        self._generator: np.random.Generator | None = None

    def generator(self) -> np.random.Generator:
        """The item's generator; draws go on where the last call stopped."""
        if self._generator is None:
            self._generator = np.random.default_rng(self.entropy)
        return self._generator


_ITEM: ContextVar[ItemSeed | None] = ContextVar("stoker_item", default=None)


def begin_item(seed: int, pass_number: int, index: int) -> None:
    """Say which item this thread makes from now on."""
    _ITEM.set(ItemSeed(seed, pass_number, index))


def end_item() -> None:
    """Say that this thread makes no item any more."""
    _ITEM.set(None)


def rng() -> np.random.Generator:
    """The random generator of the item that is being made.

    Inside a source's ``__getitem__`` (or a function of ``parallel_map``) it is seeded from (seed, pass, index): the same draws for
    0 workers, threads and processes, and different ones for each item and each epoch. Anywhere else it is a fresh generator
    seeded by the operating system.

    Returns:
        ``numpy.random.Generator``; the same one for repeated calls within an item.
    """
    item = _ITEM.get()
    return np.random.default_rng() if item is None else item.generator()
