"""The lane without workers: batches are made on the caller's thread, one when it is waited for and none before."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from stoker.feed.messages import Ask, Got, Reply
from stoker.feed.reuse import ReuseWatch
from stoker.feed.worker import make
from stoker.outcome import Outcome, Value
from stoker.source.protocol import Source


class InlineLane:
    """Makes each batch in ``receive``."""

    name = "inline"
    workers = 1
    shares_memory = True

    def __init__(self, bound: int = 1) -> None:
        self._sources: dict[int, tuple[Source, ReuseWatch]] = {}
        self._asks: deque[Ask] = deque()
        self._watched = bound + 1

    def add_source(self, key: int, source: Source) -> None:
        self._sources[key] = (source, ReuseWatch(self._watched))

    def refresh_source(self, key: int) -> None:
        """Nothing to bring: the worker sees the object itself."""

    def drop_source(self, key: int) -> None:
        del self._sources[key]

    def send(self, worker: int, asks: Sequence[Ask]) -> None:
        self._asks.extend(asks)

    def receive(self, timeout_s: float) -> list[Reply]:
        if not self._asks:
            return []
        ask = self._asks.popleft()
        source, watch = self._sources[ask.source]
        outcome, make_s, cpu_s = make(source, ask)
        if isinstance(outcome, Value):
            outcome = Value(watch.settle(outcome.value))
        return [Got(0, ask.source, ask.ticket, outcome, make_s, cpu_s)]

    def replace(self, worker: int) -> None:
        """The caller's thread does not die alone."""

    def at(self, worker: int) -> tuple[int, int] | None:
        return None

    def stack(self, worker: int) -> str:
        return ""

    def kill(self, worker: int) -> bool:
        return False

    def unpack(self, payload: Any) -> Outcome:
        return payload  # type: ignore[no-any-return]

    def discard(self, payload: Any) -> None:
        """Nothing is held."""

    def close(self) -> None:
        self._asks.clear()
        self._sources.clear()
