"""The contract of a lane: workers that make batches when asked.

Rules: a lane decides nothing. It takes asks for a numbered worker, answers each exactly once and, for one worker, in order;
answers that follow each other may come as one ``Got``; it reports deaths; it starts and ends what it owns (threads, processes, memory). All
methods are called from one thread, the consumer's. ``tests/contract/test_lanes.py`` holds every lane to this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from stoker.feed.messages import Ask, Reply
from stoker.outcome import Outcome
from stoker.source.protocol import Source


class Lane(Protocol):
    """Workers that make batches when asked."""

    name: str
    """``inline``, ``threads`` or ``processes``."""

    workers: int
    """How many workers there are, numbered from 0."""

    def add_source(self, key: int, source: Source) -> None:
        """Make a source known to every worker under ``key`` before the first ask for it."""

    def refresh_source(self, key: int) -> None:
        """Bring what changed in the source (its ``on_epoch_end`` has run) to every worker, before later asks."""

    def drop_source(self, key: int) -> None:
        """Forget a source; no ask for it will come. Those that are open may be answered or not; nobody waits for that."""

    def send(self, worker: int, asks: Sequence[Ask]) -> None:
        """Give asks of one source to one worker. Returns at once."""

    def receive(self, timeout_s: float) -> list[Reply]:
        """Wait until there is at least one reply, and return all there are; an empty list once ``timeout_s`` is over."""

    def replace(self, worker: int) -> None:
        """Start a new worker under the number of one that died."""

    def at(self, worker: int) -> tuple[int, int] | None:
        """Source and ticket of what a worker is making now; None if it is idle."""

    def stack(self, worker: int) -> str:
        """What the worker is doing now, as the text of its Python stack; empty where that cannot be known."""

    def kill(self, worker: int) -> bool:
        """End a worker that hangs, so that ``Died`` follows; False where that cannot be done (threads)."""

    def unpack(self, payload: Any) -> Outcome:
        """Turn a payload of a ``Got`` into what the worker made, once."""

    def discard(self, payload: Any) -> None:
        """Let go of a payload that nobody will unpack."""

    def close(self) -> None:
        """End every worker and free all memory; may be called twice."""
