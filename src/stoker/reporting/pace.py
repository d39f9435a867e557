"""When a progress display is due: at most ten times a second, and without a look at the clock at most steps."""

from __future__ import annotations

from collections.abc import Callable

INTERVAL_S = 0.1
MOST_AHEAD = 16
"""So many steps may go by without a look at the clock, lest steps that become slow go unseen."""


class Pace:
    """Decides at which step the clock is looked at next.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Begin an epoch."""
        self.next_step = 0
        self.began_s = self._clock()
        self._shown_s = self.began_s - INTERVAL_S
        self._shown_step = 0

    def is_due(self, step: int) -> bool:
        """Look at the clock; called once ``step`` has reached ``next_step``."""
        now_s = self._clock()
        passed_s = now_s - self._shown_s
        steps = step - self._shown_step
        if passed_s < INTERVAL_S:
            ahead = steps * (INTERVAL_S - passed_s) / passed_s / 2 if passed_s > 0 else 1
            self.next_step = step + min(MOST_AHEAD, max(1, int(ahead)))
            return False
        self._shown_s, self._shown_step = now_s, step
        self.next_step = step + min(MOST_AHEAD, max(1, int(steps * INTERVAL_S / passed_s / 2)))
        return True

    @property
    def elapsed_s(self) -> float:
        """Seconds since the epoch began."""
        return self._clock() - self.began_s
