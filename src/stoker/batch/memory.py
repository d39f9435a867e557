"""The class of memory that batches lie in again and again: the slots of worker processes.

Rules: nothing but the mark; ``feed/arena.py`` makes such memory and ends it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS_UNDER_WAY = 4
"""Steps with large batches that a device may be behind by; the feed takes care that what the last so many were given does not change."""
LARGE_BATCH_BYTES = 256 << 10
"""From this size on a batch is large."""


class SlotMemory(np.ndarray):  # type: ignore[type-arg]
    """The memory of all slots, from its first byte to its last; arrays of batches are views of it.

    A class of its own: numpy makes the base of a view the base's own base where both are plain arrays, and then a lease that stands
    between the two would not be kept alive by the arrays in it.
    """


def slot_memory_of(array: Any) -> SlotMemory | None:
    """All the slots among which an array lies; None where it lies anywhere else."""
    found = None
    while isinstance(array, np.ndarray):
        found = array if isinstance(array, SlotMemory) else found
        array = array.base
    return found
