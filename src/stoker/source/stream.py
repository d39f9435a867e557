"""Sources that give one item after the other: iterators, and factories of iterators.

Rules: one owner pulls at a time; an iterator is never restarted and never closed, so that a later call goes on where this one stopped; one
that has ended is not asked again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from stoker.outcome import ENDED
from stoker.source.owner import turns_of
from stoker.source.protocol import Kind


class StreamSource:
    """An iterator: goes on where it stopped."""

    kind: Kind = "stream"
    single_owner = True
    has_pass_end = False

    def __init__(self, original: Any, label: str) -> None:
        self.original = original
        self.label = label
        self._turns = turns_of(original)
        self._over = False
        self._pulled = 0
        self._states: deque[tuple[int, Any]] = deque(maxlen=0)

    def length(self) -> int | None:
        """None: an iterator does not say how many items it has."""
        return None

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """Item number ``index``, counted from the first item pulled here, or ``ENDED``; items before it are dropped."""
        item = None
        while not self._over and self._pulled <= index:
            item = self._turns.next_of(self.original)
            self._over = item is ENDED
            self._pulled += 1
        if self._over:
            return ENDED
        if self._states.maxlen:
            self._states.append((self._pulled, deepcopy(self.original.state_dict())))
        return item

    def remember_states(self, items: int) -> None:
        """Keep the iterator's own ``state_dict`` of the last so many items, if it has such a thing."""
        if callable(getattr(self.original, "state_dict", None)):
            self._states = deque([(self._pulled, deepcopy(self.original.state_dict()))], maxlen=items)

    def state_before(self, index: int) -> Any:
        """The iterator's own state before it gave item ``index``; None where it has none."""
        return next((state for pulled, state in list(self._states) if pulled == index), None)

    def go_to(self, index: int, state: Any) -> None:
        """Bring the iterator to where it gives item ``index`` next, by its own ``load_state_dict``."""
        self.original.load_state_dict(deepcopy(state))
        self._pulled = index
        if self._states.maxlen:
            self._states.append((index, state))

    def end_pass(self) -> None:
        """Nothing to tell an iterator."""


class RestartableSource:
    """A factory of iterators: begins anew for each pass.

    Args:
        original: the user's object.
        begin: gives a fresh iterator.
        label: how messages name the source.
        length: gives the number of batches in a pass, or None where that cannot be known.
    """

    kind: Kind = "restartable"
    single_owner = True
    has_pass_end = False

    def __init__(
        self, original: Any, begin: Callable[[], Iterator[Any]], label: str, length: Callable[[], int | None]
    ) -> None:
        self.original = original
        self.label = label
        self._begin = begin
        self._length = length
        self._pass: StreamSource | None = None
        self._pass_number = -1

    def length(self) -> int | None:
        """Batches in a pass where the object says so (``__len__``), else None."""
        return self._length()

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """The next item of the pass, or ``ENDED``; another pass than the last begins a fresh iterator."""
        if self._pass is None or pass_number != self._pass_number:
            self._restart(pass_number)
        assert self._pass is not None
        return self._pass.get(pass_number, index)

    def _restart(self, pass_number: int) -> None:
        close = getattr(self._pass.original, "close", None) if self._pass else None
        if close is not None:
            close()
        self._pass = StreamSource(self._begin(), self.label)
        self._pass_number = pass_number

    def end_pass(self) -> None:
        """Nothing to tell: the next pass begins a fresh iterator."""
