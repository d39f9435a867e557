"""Pulls the items of a ``parallel_map`` on the caller's thread, one for each ticket, in order.

Rules: an item that waits does not change, even where the iterator refills the same memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stoker.feed.meter import Meter
from stoker.feed.reuse import ReuseWatch
from stoker.outcome import ENDED
from stoker.source.parallel import ParallelMap


class Puller:
    """The items of one feed.

    Args:
        source: whose items are pulled.
        bound: batches that may wait at once.
        meter: hears how long pulling took.
    """

    def __init__(self, source: ParallelMap, bound: int, meter: Meter) -> None:
        self._source = source
        self._meter = meter
        self._watch = ReuseWatch(bound, has_parts=True)
        self._pull: Callable[[], Any] | None = None
        self._pass = 0
        self._pulled = 0

    def item(self, pass_number: int, index: int) -> Any:
        """Item number ``index`` of a pass, or ``ENDED``; items before it are dropped."""
        began_s = self._meter.clock()
        if self._pull is None or pass_number != self._pass:
            self._pull = self._source.begin()
            self._pass, self._pulled = pass_number, 0
        while self._pulled < index:
            if self._pull() is ENDED:
                return ENDED
            self._pulled += 1
        item = self._pull()
        settled = item if item is ENDED else self._watch.settle(item)
        self._pulled += 1
        self._meter.pulled(self._meter.clock() - began_s)
        return settled
