"""The lane without workers: batches are made on the caller's thread, one when it is waited for and none before."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from time import thread_time

from stoker.feed.local import LocalLane, settled
from stoker.feed.messages import Ask, Got, Reply
from stoker.feed.reuse import ReuseWatch, is_flat
from stoker.feed.worker import make
from stoker.outcome import Outcome, Value
from stoker.source.protocol import Source

SHORT_S = 200e-6
"""Beside a small step of a model each look at a thread's CPU clock, a system call, takes 5 to 8 us: more than many a batch."""
UNSEEN = 12
"""After a batch shorter than that so many are taken to be like it."""


class InlineLane(LocalLane):
    """Makes each batch when it is asked for, in ``make``; by ``send`` and ``receive`` it is a lane like any other."""

    name = "inline"
    workers = 1

    def __init__(self, bound: int = 1) -> None:
        self._sources: dict[int, tuple[Source, ReuseWatch]] = {}
        self._asks: deque[Ask] = deque()
        self._bound = bound
        self._cpu_share = 0.0
        self._unseen = 0
        """Batches to come at which the CPU clock is not looked at, and what share of their time is taken to be CPU time."""

    def add_source(self, key: int, source: Source) -> None:
        self._sources[key] = (source, ReuseWatch(self._bound, source.single_owner))

    def drop_source(self, key: int) -> None:
        del self._sources[key]

    def send(self, worker: int, asks: Sequence[Ask]) -> None:
        self._asks.extend(asks)

    def receive(self, timeout_s: float) -> list[Reply]:
        if not self._asks:
            return []
        ask = self._asks.popleft()
        return [self.answer(ask, self.make(ask))]

    def make(self, ask: Ask) -> tuple[Outcome, float, float, float]:
        """Make the batch that is asked for, here and now.

        Returns:
            What came of it, the wall time that it took, when it began, and the CPU time that it took, in seconds.
        """
        source, watch = self._sources[ask[0]]
        if self._unseen:
            self._unseen -= 1
            outcome, make_s, began_s = make(source, ask)
            cpu_s = self._cpu_share * make_s
        else:
            began_cpu_s = thread_time()
            outcome, make_s, began_s = make(source, ask)
            cpu_s = thread_time() - began_cpu_s
            if 0 < make_s < SHORT_S:
                self._cpu_share, self._unseen = cpu_s / make_s, UNSEEN
        if type(outcome) is Value and (watch.is_watching or watch.reused or not is_flat(outcome.value)):
            outcome = settled(outcome.value, watch)
        return outcome, make_s, began_s, cpu_s

    @staticmethod
    def answer(ask: Ask, made: tuple[Outcome, float, float, float]) -> Got:
        """What was made, as a reply."""
        outcome, make_s, began_s, cpu_s = made
        return Got(0, ask.source, (ask.ticket,), (outcome,), (make_s,), cpu_s, (began_s,), (0.0,))

    def at(self, worker: int) -> tuple[int, int] | None:
        return None

    def stack(self, worker: int) -> str:
        return ""

    def close(self) -> None:
        self._asks.clear()
        self._sources.clear()
