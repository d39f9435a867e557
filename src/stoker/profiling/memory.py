"""Whether memory grows with the items that are made: a line through many looks at the resident size.

The slope is the median of the slopes between all pairs of looks (Theil and Sen), so that single jumps, such as a library being loaded,
count for nothing; and it must be there in both halves, so that what levels off is no leak.

Rules: pure, but for ``resident_bytes``, ``give_back`` and ``small_heap``.
"""

from __future__ import annotations

import ctypes
import gc
import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

FEWEST_POINTS = 5
FEWEST_ITEMS = 8
LEAST_GROWTH_BYTES = 4 << 20
"""Less than this in all may be the allocator's doing."""
LEAST_SLOPE_BYTES = 8 << 10
IN_EACH_HALF = 0.4
FEWEST_FROZEN = 2000
"""Less than this was frozen by nobody: Python 3.12 counts objects that never die as frozen, a few hundred; a bare interpreter has 5,000."""


class Point(NamedTuple):
    """A look at the memory.

    Args:
        items: how many items had been drawn.
        resident: bytes of the process that lie in memory, pages of files aside.
        is_again: the items since the last look had been drawn before.
    """

    items: int
    resident: int
    is_again: bool


def resident_bytes() -> int | None:
    """Bytes of this process that lie in memory; None where the system does not tell.

    Pages of files are left out: the system takes those of a memory-mapped file back when it needs them, so reading more of it is no leak.
    """
    try:
        resident, shared = map(int, Path("/proc/self/statm").read_text(encoding="ascii").split()[1:3])
        return (resident - shared) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def give_back() -> None:
    """Give the system back what was freed, where the C library can: a leak that fills such memory first does not make the process grow."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def small_heap() -> Iterator[None]:
    """Within it, collecting garbage goes through what was made since, and not through all that was there before.

    A process that has loaded frameworks takes a third of a second for the latter, which is more than many a source takes for all its items.
    """
    gc.collect()
    if gc.get_freeze_count() >= FEWEST_FROZEN:  # somebody else's; it cannot be taken back in part
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def growth(points: list[Point]) -> float | None:
    """Bytes by which memory grows with each item; 0.0 where it is steady, None where there are too few looks to tell."""
    if len(points) < FEWEST_POINTS or points[-1].items - points[0].items < FEWEST_ITEMS:
        return None
    slope = _slope(points)
    middle = len(points) // 2
    halves = _slope(points[:middle + 1]), _slope(points[middle:])
    is_small = slope * (points[-1].items - points[0].items) < LEAST_GROWTH_BYTES or slope < LEAST_SLOPE_BYTES
    return 0.0 if is_small or min(halves) < IN_EACH_HALF * slope else slope


def _slope(points: list[Point]) -> float:
    slopes = [
        (later.resident - earlier.resident) / (later.items - earlier.items)
        for number, earlier in enumerate(points) for later in points[number + 1:] if later.items > earlier.items]
    return statistics.median(slopes) if slopes else 0.0


def grown(before: dict[str, int], after: dict[str, int], items: int) -> tuple[str, ...]:
    """Containers that grew with the items: by one entry for each second item at least.

    Args:
        before: sizes by path.
        after: sizes by path, later.
        items: how many different items were drawn meanwhile.
    """
    more = {path: size - before.get(path, 0) for path, size in after.items() if path in before}
    return tuple(path for path, by in more.items() if by >= max(2, items // 2))
