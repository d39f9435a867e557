"""Whether a worker thread computes while it holds the GIL, told by a thread that watches it.

Two things are tried. How late the watcher wakes from a nap: waking takes the GIL, so whoever holds it makes that late; but so does a
machine that is busy with other things. And whether the worker's CPU clock goes on while the watcher itself holds the GIL: what computes
without the GIL goes on, if there is a core; what needs it never does.

On a quiet machine the first says how much of the worker's CPU time is under the GIL. On a busy one only the second is believed, and only
where the worker went on: if it did not, there may have been no core for it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from stoker.feed.gil import NAP_S, lateness_s
from stoker.feed.meter import HELD_S

FEWEST_TRIES = 10
IDLE_TRIES = 20
BUSY_SHARE = 0.1
"""A machine is busy where the worker waited for a core for more than this share of the time in which it could have run, or where naps are
late for so much of their time while the worker is idle."""
LEAST_CPU = 0.1
"""Of less CPU time than this share nobody says what it does with the GIL."""
HOLDS = 30
HOLD_S = 0.25e-3
"""So long the watcher holds the GIL: half of what it may (see ``threads.py``), so that it is not made to give it up."""
GOES_ON = 0.2
"""A worker that goes on for this share of what it usually gets, while somebody else has the GIL, does not need it."""


@dataclass(slots=True)
class _Tally:
    """Tries: how many, how long they took, and for how long the answer was yes."""

    tries: int = 0
    all_s: float = 0.0
    yes_s: float = 0.0

    def add(self, all_s: float, yes_s: float) -> None:
        """Count one try."""
        self.tries += 1
        self.all_s += all_s
        self.yes_s += yes_s

    @property
    def share(self) -> float:
        """Share of the time."""
        return self.yes_s / self.all_s if self.all_s else 0.0


@dataclass(slots=True)
class GilWatch:
    """Watches one worker.

    Args:
        thread: says which thread makes the items, by its own number and by the system's; None where that is not known.
    """

    thread: Callable[[], tuple[int, int] | None]
    crowded: float | None = None
    """For how much of the time in which it could have run the worker waited for a core; None where the system does not tell."""
    _late: _Tally = field(default_factory=_Tally)
    _idle: _Tally = field(default_factory=_Tally)
    _goes_on: _Tally = field(default_factory=_Tally)
    _made: _Tally = field(default_factory=_Tally)

    def rest(self) -> None:
        """Try while the worker is idle: what is late then is the machine's doing."""
        thread = self.thread()
        self.crowded = None if thread is None else _crowded(thread[1])
        for _ in range(IDLE_TRIES):
            _nap(self._idle)

    def nap(self) -> None:
        """Try while the worker works."""
        _nap(self._late)

    def hold(self) -> None:
        """Hold the GIL while the worker works, and see whether it goes on."""
        thread = self.thread()
        if thread is None or self._goes_on.tries >= HOLDS or sys.platform != "linux":
            return
        clock = time.pthread_getcpuclockid(thread[0])
        before, began = time.clock_gettime(clock), time.perf_counter()
        while time.perf_counter() - began < HOLD_S:
            pass
        self._goes_on.add(time.perf_counter() - began, time.clock_gettime(clock) - before)

    def made(self, make_s: float, cpu_s: float) -> None:
        """The worker made an item meanwhile."""
        self._made.add(make_s, cpu_s)

    @property
    def share(self) -> float | None:
        """Share of the worker's CPU time under the GIL; None where that cannot be told.

        Of the CPU time and not of all time, because a worker that holds the GIL may wait for a core as well.
        """
        cpu_share = self._made.share
        if self._late.tries < FEWEST_TRIES or cpu_share < LEAST_CPU:
            return None
        held = min(1.0, self._late.share / cpu_share)
        if max(self.crowded or 0.0, self._idle.share) < BUSY_SHARE:
            return held
        return 0.0 if self._goes_on.share / cpu_share > GOES_ON else None


def _crowded(thread: int) -> float | None:
    """Time that a thread waited for a core, by that and the time that it had one."""
    try:
        ran, waited, _ = map(int, Path(f"/proc/self/task/{thread}/schedstat").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return None
    return waited / (ran + waited) if ran + waited else None


def _nap(tally: _Tally) -> None:
    late_s = lateness_s()
    tally.add(late_s + NAP_S, late_s if late_s > HELD_S else 0.0)
