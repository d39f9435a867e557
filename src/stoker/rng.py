"""Randomness of one item: a function of (seed, pass, index), whoever makes the item.

Rules: the item that is being made is known per thread (a context variable); generators are made only when asked for.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import numpy as np

ITEM: ContextVar[list[Any] | None] = ContextVar("stoker_item", default=None)
"""Seed, pass and index of the item that is being made, and its generator once somebody has asked for it: a list, because one is made
for every batch."""


def rng() -> np.random.Generator:
    """The random generator of the item that is being made.

    Inside a source's ``__getitem__`` (or a function of ``parallel_map``) it is seeded from (seed, pass, index): the same draws for
    0 workers, threads and processes, and different ones for each item and each epoch. Anywhere else it is a fresh generator
    seeded by the operating system.

    Returns:
        ``numpy.random.Generator``; the same one for repeated calls within an item.
    """
    item = ITEM.get()
    if item is None:
        return np.random.default_rng()
    if item[3] is None:
        item[3] = np.random.default_rng(item[:3])
    made: np.random.Generator = item[3]
    return made
