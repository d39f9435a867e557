"""What the lanes within this process share: workers see the source itself, and a batch is handed over as it is."""

from __future__ import annotations

from typing import Any

from stoker.feed.reuse import ReuseWatch
from stoker.outcome import Outcome, Value, failure


def settled(item: Any, watch: ReuseWatch) -> Outcome:
    """A batch with memory of its own, where it needs that; what goes wrong with copying it is an error of the batch."""
    try:
        return Value(watch.settle(item))
    except BaseException as error:
        error.add_note("raised while the batch was copied: it waits, and its source may write to the same memory again")
        return failure(error)


class LocalLane:
    """Base of the lanes without processes."""

    def refresh_source(self, key: int) -> None:
        """Nothing to bring: the workers see the object itself."""

    def replace(self, worker: int) -> None:
        """A thread does not die alone."""

    def kill(self, worker: int) -> bool:
        return False

    def unpack(self, payload: Any) -> Outcome:
        return payload  # type: ignore[no-any-return]

    def discard(self, payload: Any) -> None:
        """Nothing is held."""
