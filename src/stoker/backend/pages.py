"""Slots of worker processes, registered with a device once, so that it reads batches from where they lie.

A device reads host memory by itself only where the pages are known to it. Other memory is first copied to such pages, at the caller's
cost. Registering takes about as long as a copy, so it pays for memory that is used again, and for no other.

Rules: only slots are registered; a range is given back before its memory goes; where registering fails nothing is lost but time, and
it is not tried again.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from stoker.batch.memory import SlotMemory, slot_memory_of

GRAIN_BYTES = 1 << 20
"""Ranges are rounded to this, as slots grow (see ``feed/arena.py``)."""

Range = tuple[int, int]
"""First address, and the address after the last."""


class RegisteredPages:
    """The ranges that a device knows.

    Args:
        register: tells the device a range by address and size in bytes; False, or an error, where it cannot have it.
        unregister: gives back the range that begins at an address.
    """

    def __init__(self, register: Callable[[int, int], bool], unregister: Callable[[int], None]) -> None:
        self._register = register
        self._unregister = unregister
        self._known: dict[int, tuple[weakref.ref[SlotMemory], list[Range]]] = {}
        """By the ``id`` of the slots: when they end, and the ranges of them."""
        self.is_refused = False
        """Whether the device would not have a range; no other is offered then."""

    def hold(self, arrays: Sequence[Any]) -> list[bool]:
        """Have the device know where the arrays of one batch lie, as far as they lie in slots.

        Args:
            arrays: numpy arrays, and whatever else is in a batch.

        Returns:
            Whether the device reads each of them by itself.
        """
        memories = [slot_memory_of(array) for array in arrays]
        held: dict[int, bool] = {}
        for memory in memories:
            if memory is not None and id(memory) not in held:
                mine = [array for array, other in zip(arrays, memories, strict=True) if other is memory]
                held[id(memory)] = not self.is_refused and self._know(memory, _span(memory, mine))
        return [held.get(id(memory), False) for memory in memories]

    def _know(self, memory: SlotMemory, wanted: Range) -> bool:
        ranges = self._ranges_of(memory)
        if any(start <= wanted[0] and wanted[1] <= end for start, end in ranges):
            return True
        for known in [known for known in ranges if known[0] < wanted[1] and wanted[0] < known[1]]:
            self._unregister(known[0])  # the slot holds a larger batch now; what was copied from it has arrived, or it were not free
            ranges.remove(known)
            wanted = min(wanted[0], known[0]), max(wanted[1], known[1])
        try:
            self.is_refused = not self._register(wanted[0], wanted[1] - wanted[0])
        except Exception:
            self.is_refused = True
        if not self.is_refused:
            ranges.append(wanted)
        return not self.is_refused

    def _ranges_of(self, memory: SlotMemory) -> list[Range]:
        """Known ranges of some slots; all are given back when the slots end."""
        key = id(memory)
        if key not in self._known:
            self._known[key] = weakref.ref(memory, lambda _: self._forget(key)), []
        return self._known[key][1]

    def _forget(self, key: int) -> None:
        for start, _ in self._known.pop(key)[1]:
            self._unregister(start)


def _span(memory: SlotMemory, arrays: list[Any]) -> Range:
    """The whole grains that arrays of one slot lie in."""
    origin = memory.__array_interface__["data"][0]
    starts = [array.__array_interface__["data"][0] - origin for array in arrays]
    first = min(starts) // GRAIN_BYTES * GRAIN_BYTES
    last = max(start + array.nbytes for start, array in zip(starts, arrays, strict=True))
    return origin + first, origin + -(-last // GRAIN_BYTES) * GRAIN_BYTES
