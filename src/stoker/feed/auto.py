"""``workers="auto"`` of one feed: looks at its meter now and then, lets the governor decide, and tells the window.

Rules: decides nothing; costs one look at the clock a batch.
"""

from __future__ import annotations

from typing import Any

from stoker.batch.tree import leaves
from stoker.feed.governor import LEAST_S, Crewing, Governor, Limits
from stoker.feed.meter import Meter
from stoker.feed.window import Window
from stoker.machine import free_bytes, usable_cores

AHEAD_OF_EACH = 4
"""Batches in flight or ready for each worker: with few workers few are asked for ahead, so that new ones find work at once."""


class Adaptation:
    """The adaptation of one feed.

    Args:
        window: of the feed; its bound is the most that it will have.
        meter: of the feed.
        most: workers, at most.
        may_fork: whether it may go over to processes.
    """

    def __init__(self, window: Window, meter: Meter, *, most: int, may_fork: bool) -> None:
        self._window = window
        self._meter = meter
        self._bound = window.bound
        begins_with = Crewing(1, meter.lane == "processes")
        has_choice = window.owner is None
        """A source with one owner has no use for a second worker."""
        self._governor = Governor(begins_with, Limits(most, usable_cores(), free_bytes(), may_fork)) if has_choice else None
        self._next_look_s = meter.clock() + LEAST_S
        self._batch_bytes = 0
        if not has_choice:
            meter.auto_limit = "a generator has one owner"
        self.is_moving = False
        """Whether the feed waits for its threads to answer what they were asked, to go over to processes."""
        meter.is_auto = True
        self._have(1)

    def _have(self, workers: int) -> None:
        self._window.active = self._meter.workers = workers
        self._window.bound = min(self._bound, AHEAD_OF_EACH * workers)

    def see(self, batch: Any) -> None:
        """Take the measure of a batch, once."""
        if not self._batch_bytes:
            self._batch_bytes = 1 + sum(getattr(array, "nbytes", 0) for _, array in leaves(batch))

    def adapt(self) -> None:
        """Between two batches: have more workers or fewer, or begin to move to processes."""
        now_s = self._meter.clock()
        if self._governor is None or self.is_moving or now_s < self._next_look_s:
            return
        self._next_look_s = now_s + LEAST_S
        before = self._governor.crewing
        chosen = self._governor.judge(self._meter.look(), self._batch_bytes)
        self._meter.auto_limit = self._governor.limit
        if chosen != before:
            self._have(chosen.workers)
        if chosen.processes and self._meter.lane == "threads":
            self.is_moving = True
            self._window.bound = 0  # nothing more is asked of the threads

    @property
    def is_ready_to_move(self) -> bool:
        """Whether the threads have answered all that they were asked."""
        return self.is_moving and self._window.is_quiet

    def moved(self, lane: str) -> None:
        """The feed has moved to a lane: to ``processes``, or back to ``threads`` where there are none for its source."""
        self.is_moving = False
        self._meter.lane = lane
        workers = self._meter.workers
        if lane != "processes" and self._governor is not None:
            self._governor.stay_with_threads()
            self._meter.auto_limit = self._governor.limit
            workers = self._governor.crewing.workers
        self._have(workers)
