"""The iterator that ``Feed.epoch`` gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from stoker.outcome import Value

if TYPE_CHECKING:
    from stoker.feed.feed import Feed


class Epoch:
    """The batches of one epoch; after an error of the source ``next()`` goes on with the next batch."""

    def __init__(self, feed: Feed, end: int | None) -> None:
        self._feed = feed
        self._end = end
        self._first = feed.window.next_out
        self._is_closed = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        feed = self._feed
        taken = None if self._is_closed else feed.take(self)
        if taken is None:
            self._is_closed = True
            raise StopIteration
        ask, payload = taken
        return payload.value if type(payload) is Value and feed.adaptation is None else feed.unpack(ask, payload)

    def take_many(self, most: int) -> list[Any]:
        """The next batches: as many as are ready, at most so many and at least one; an empty list where the epoch is over."""
        taken = [] if self._is_closed else self._feed.take_many(self, most)
        self._is_closed = not taken
        return taken

    def limit(self, ticket: int) -> int:
        """A ticket, but none behind the end of this epoch, as far as that is known."""
        end = self._known_end()
        return ticket if end is None else min(ticket, end)

    def is_over(self) -> bool:
        """Whether every batch of this epoch has been taken, as far as its end is known."""
        end = self._known_end() if self._end is None else self._end
        return end is not None and self._feed.window.next_out >= end

    def _known_end(self) -> int | None:
        if self._end is None:
            self._end = self._feed.course.pass_end(self._first)
        return self._end
