"""What a feed cost: times of making and waiting, summed between two looks.

Rules: two additions a batch; the clock is read only when the consumer really waits; seconds everywhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

QUICK_S = 200e-6
"""A batch made faster than this costs about as much as a message and the wake-up of who gets it."""


@dataclass(frozen=True, slots=True)
class FeedFigures:
    """What a feed did in a stretch of time.

    Args:
        lane: ``inline``, ``threads`` or ``processes``.
        workers: how many workers it had.
        batches: how many batches were handed out.
        elapsed_s: how long the stretch was.
        wait_s: how long the consumer waited for data.
        make_s: wall time that making batches took, summed over the workers.
        cpu_s: CPU time of that, summed over the workers.
        made: how many batches were made.
    """

    lane: str
    workers: int
    batches: int
    elapsed_s: float
    wait_s: float
    make_s: float
    cpu_s: float
    made: int

    @property
    def wait_share(self) -> float:
        """Share of the time in which the consumer waited, from 0 to 1."""
        return min(1.0, self.wait_s / self.elapsed_s) if self.elapsed_s > 0 else 0.0

    @property
    def room_s(self) -> float:
        """Worker time not spent making: the window was full, or there was nothing more to make."""
        return max(0.0, self.elapsed_s * max(1, self.workers) - self.make_s)


class Meter:
    """Sums for the stretch since the last ``take``.

    Args:
        lane: the lane's name.
        workers: how many workers it has.
        clock: seconds, monotonic.
    """

    RECENT = 256

    def __init__(self, lane: str, workers: int, clock: Callable[[], float]) -> None:
        self.lane = lane
        self.workers = workers
        self.clock = clock
        self.recent_make_s: deque[float] = deque(maxlen=self.RECENT)
        self.batches = 0
        self.wait_s = 0.0
        self._restart()

    def _restart(self) -> None:
        self._began = self.clock()
        self.batches = 0
        self.wait_s = 0.0
        self._make_s = 0.0
        self._cpu_s = 0.0
        self._made = 0

    def made(self, make_s: float, cpu_s: float) -> None:
        """A worker made a batch."""
        self._make_s += make_s
        self._cpu_s += cpu_s
        self._made += 1
        self.recent_make_s.append(make_s)

    @property
    def is_quick(self) -> bool:
        """Whether making a batch takes no longer than a message, so that several are better asked for at a time."""
        return self._make_s < QUICK_S * self._made

    def slowest_usual_s(self) -> float:
        """The 99th percentile of recent make times (nearest rank); 0 before the first."""
        ordered = sorted(self.recent_make_s)
        return ordered[max(0, -(-99 * len(ordered) // 100) - 1)] if ordered else 0.0

    def look(self) -> FeedFigures:
        """The figures so far, without starting anew."""
        return FeedFigures(
            self.lane, self.workers, self.batches, self.clock() - self._began, self.wait_s, self._make_s, self._cpu_s,
            self._made)

    def take(self) -> FeedFigures:
        """The figures since the last take, and start anew."""
        figures = self.look()
        self._restart()
        return figures
