"""Which slot is whose: free, with a worker, ready, or leased to the consumer.

FREE -> BUSY (with a worker, then ready) -> LEASED -> FREE. Only the parent moves slots, so no crash can corrupt this account.

Rules: pure; slots that were used before come first, because their memory is there already; ``give_back`` may be called from any thread
(an array may die anywhere), everything else from one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class SlotTable:
    """The account of slots.

    Args:
        slots: how many there are.
        leases: how many may be leased at once; batches beyond that are copied.
    """

    def __init__(self, slots: int, leases: int) -> None:
        self._slots = slots
        self._leases = leases
        self._free: list[int] = []
        self._fresh = 0
        self._busy: set[int] = set()
        self._leased: set[int] = set()
        self._returned: deque[int] = deque()

    def take(self, count: int) -> list[int]:
        """Free slots, the one that was used latest last.

        Raises:
            MemoryError: so many are not free.
        """
        self._settle()
        used = min(count, len(self._free))
        fresh = range(self._fresh, self._fresh + count - used)
        if fresh.stop > self._slots:
            raise MemoryError(f"all {self._slots} slots are taken")
        slots = [*fresh, *self._free[len(self._free) - used:]]
        del self._free[len(self._free) - used:]
        self._fresh = fresh.stop
        self._busy.update(slots)
        return slots

    def free(self, slots: Sequence[int]) -> None:
        """Busy slots are not needed any more."""
        assert self._busy.issuperset(slots)
        self._busy.difference_update(slots)
        self._free += slots

    def lease(self, slot: int) -> bool:
        """Lease a busy slot to the consumer; False if so many are leased already that it must be copied."""
        self._settle()
        if len(self._leased) >= self._leases:
            return False
        self._busy.remove(slot)
        self._leased.add(slot)
        return True

    def give_back(self, slot: int) -> None:
        """The last array in a leased slot has died. Any thread."""
        self._returned.append(slot)

    def _settle(self) -> None:
        while self._returned:
            slot = self._returned.popleft()
            self._leased.remove(slot)
            self._free.append(slot)

    @property
    def leased(self) -> set[int]:
        """The slots that arrays lie in."""
        self._settle()
        return self._leased

    @property
    def in_use(self) -> int:
        """Slots that were ever taken."""
        return self._fresh

    def check(self) -> None:
        """Assert what must hold after every event."""
        self._settle()
        assert not self._busy & self._leased and not set(self._free) & (self._busy | self._leased)
        assert len(set(self._free)) == len(self._free)
        assert len(self._free) + len(self._busy) + len(self._leased) == self._fresh <= self._slots
        assert len(self._leased) <= self._leases
