"""The lanes of a feed and its siblings: made when first needed, shared, and closed together.

Rules: the only place that chooses a lane for a source.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack

from stoker.errors import NotPicklable, warn
from stoker.feed.faults import closed_error
from stoker.feed.inline import InlineLane
from stoker.feed.lane import Lane
from stoker.feed.options import FeedOptions
from stoker.feed.pump import Desk, Pump
from stoker.feed.threads import ThreadLane

HAS_FORK = hasattr(os, "fork")
"""Windows has no fork, and no Unix sockets that carry file descriptors."""


class Hub:
    """Pumps by the name of their lane.

    Args:
        options: of the feed that was opened first; its siblings share the workers.
        clock: seconds, monotonic.
    """

    def __init__(self, options: FeedOptions, clock: Callable[[], float]) -> None:
        self._options = options
        self._clock = clock
        self._pumps: dict[str, Pump] = {}
        self._processes = options.processes
        self._seats = 0
        self.is_open = False
        """Whether there is a feed that ends the workers."""

    def new_key(self) -> int:
        """A key under which lanes know one more source."""
        self._seats += 1
        return self._seats - 1

    def seat(self, key: int, desk: Desk, *, opens: bool = False) -> Pump:
        """Find the lane that feeds a desk, and add it there.

        Args:
            key: the key of its source.
            desk: the feed.
            opens: it is the one that ends every worker.

        Raises:
            FeedClosed: a sibling of a feed that is not open.
        """
        self.is_open = self.is_open or opens
        if not self.is_open:
            raise closed_error()
        if self._options.workers and self._processes and not HAS_FORK:
            warn(
                "Worker processes need fork, which this system lacks. The source runs on threads instead.")
        elif self._options.workers and self._processes:
            try:
                pump = self._pump("processes")
                pump.add(key, desk)
                return pump
            except NotPicklable as error:
                warn(f"{error} It runs on threads instead.")
        pump = self._pump("threads" if self._options.workers else "inline")
        pump.add(key, desk)
        return pump

    def move_to_processes(self, key: int, desk: Desk) -> Pump:
        """Take a desk from its threads, which are asked for nothing any more, to processes, where feeds opened later begin."""
        self._processes = True
        self._pump("threads").remove(key)
        return self.seat(key, desk)

    def move_to_threads(self, key: int, desk: Desk) -> Pump:
        """Take a desk from the processes, which are asked for nothing any more, to threads."""
        self._pump("processes").remove(key)
        pump = self._pump("threads")
        pump.add(key, desk)
        return pump

    def _pump(self, name: str) -> Pump:
        if name not in self._pumps:
            self._pumps[name] = Pump(self._lane(name), self._clock)
        return self._pumps[name]

    def _lane(self, name: str) -> Lane:
        options = self._options
        if name == "inline":
            return InlineLane()
        if name == "threads":
            return ThreadLane(options.workers, options.max_queue_size)
        from stoker.feed.processes import ProcessLane

        lane: Lane = ProcessLane(options.workers, options.max_queue_size)
        return lane

    def close(self) -> None:
        """End every worker."""
        self.is_open = False
        pumps, self._pumps = self._pumps, {}
        with ExitStack() as ending:  # each of them, whatever comes in between
            for pump in pumps.values():
                ending.callback(pump.close)
