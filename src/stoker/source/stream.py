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

States = deque[tuple[tuple[int, int], Any]]
"""The latest states of a source's own, each with the pass and the index of the item that comes next in it."""


class StreamSource:
    """An iterator: goes on where it stopped."""

    kind: Kind = "stream"
    single_owner = True
    has_pass_end = False

    def __init__(self, original: Any, label: str, keeper: Any = None) -> None:
        self.original = original
        self.label = label
        self._keeper = original if keeper is None else keeper
        """What tells the iterator's state: itself, or the iterable that gave it."""
        self._turns = turns_of(original)
        self._over = False
        self._pulled = 0
        self._states: States = deque(maxlen=0)

    def length(self) -> int | None:
        """None: an iterator does not say how many items it has."""
        return None

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """Item number ``index``, counted from the first item pulled here, or ``ENDED``; items before it are dropped."""
        item = None
        while not self._over and self._pulled <= index:
            self._pulled += 1  # also where an error comes instead: an iterator that goes on gives the next item after it
            item = self._turns.next_of(self.original)
            self._over = item is ENDED
            if self._over and self._states.maxlen and self._keeper is not self.original:  # the iterable: the next pass begins from it
                self._keep_state(pass_number + 1, 0)
        if self._over:
            return ENDED
        if self._states.maxlen:
            self._keep_state(pass_number, self._pulled)
        return item

    def _keep_state(self, pass_number: int, index: int) -> None:
        self._states.append(((pass_number, index), deepcopy(self._keeper.state_dict())))

    def behind(self, pass_number: int, index: int) -> range:
        """The items that have to be pulled before item ``index``."""
        return range(0) if self._over else range(self._pulled, index)

    def remember_states(self, items: int) -> None:
        """Keep the iterator's own ``state_dict`` of the last so many items, if it has such a thing."""
        self.keep_states(deque(maxlen=items), 0)

    def keep_states(self, states: States, pass_number: int) -> None:
        """Keep the own ``state_dict`` in a pass there, from now on, if there is such a thing."""
        if tells_state(self._keeper):
            self._states = states
            if states.maxlen and _found(states, pass_number, self._pulled) is None:
                self._keep_state(pass_number, self._pulled)

    def state_before(self, pass_number: int, index: int) -> Any:
        """The iterator's own state before it gave item ``index``; None where it has none."""
        return _found(self._states, pass_number, index)

    def go_to(self, pass_number: int, index: int, state: Any) -> None:
        """Bring the iterator to where it gives item ``index`` next, by its own ``load_state_dict``."""
        self._keeper.load_state_dict(deepcopy(state))
        self.begin_at(pass_number, index, state)

    def begin_at(self, pass_number: int, index: int, state: Any) -> None:
        """The iterator is where it gives item ``index`` next, in this state of its own."""
        self._pulled = index
        if self._states.maxlen:
            self._states.append(((pass_number, index), state))

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
        self._states: States = deque(maxlen=0)
        """Of all passes: the next may have begun while the last items of one wait."""
        self._entry: tuple[int, int, Any] | None = None
        """Pass and index to begin at, and the state that the iterable, or its iterator, had there."""

    def length(self) -> int | None:
        """Batches in a pass where the object says so (``__len__``), else None."""
        return self._length()

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """The next item of the pass, or ``ENDED``; another pass than the last begins a fresh iterator."""
        if self._pass is None or pass_number != self._pass_number:
            self._restart(pass_number)
        assert self._pass is not None
        return self._pass.get(pass_number, index)

    def behind(self, pass_number: int, index: int) -> range:
        """The items of the pass that have to be pulled before item ``index``."""
        if self._pass is not None and pass_number == self._pass_number:
            return self._pass.behind(pass_number, index)
        return range(self._entry[1] if self._entry and self._entry[0] == pass_number else 0, index)

    def _restart(self, pass_number: int) -> None:
        close = getattr(self._pass.original, "close", None) if self._pass else None
        if close is not None:
            close()
        entry = self._entry if self._entry is not None and self._entry[0] == pass_number else None
        self._entry = None
        keeper = self.original if tells_state(self.original) else None
        if entry is not None and keeper is not None:
            keeper.load_state_dict(deepcopy(entry[2]))
        current = self._pass = StreamSource(self._begin(), self.label, keeper)
        self._pass_number = pass_number
        if self._states.maxlen:
            current.keep_states(self._states, pass_number)
        if entry is not None and keeper is not None:
            current.begin_at(*entry)
        elif entry is not None:
            current.go_to(*entry)

    def remember_states(self, items: int) -> None:
        """As in ``StreamSource``, for each pass; the state is that of the iterable where it tells one, else that of its iterator."""
        self._states = deque(maxlen=2 * items)  # a pass of one item has two: before it, and behind it

    def state_before(self, pass_number: int, index: int) -> Any:
        """As in ``StreamSource``; None also where neither this pass nor the one before has begun."""
        if self._entry is not None and self._entry[:2] == (pass_number, index):
            return self._entry[2]
        return _found(self._states, pass_number, index)

    def go_to(self, pass_number: int, index: int, state: Any) -> None:
        """Begin at item ``index`` of a pass, in a state of the iterable's own; before the first pass has begun."""
        self._entry = (pass_number, index, state)

    def end_pass(self) -> None:
        """Nothing to tell: the next pass begins a fresh iterator."""


def _found(states: States, pass_number: int, index: int) -> Any:
    """The state at a place of a pass; None where it is not known."""
    return next((state for at, state in list(states) if at == (pass_number, index)), None)


def tells_state(original: Any) -> bool:
    """Whether an object has a state of its own that it can be brought back to."""
    return callable(getattr(original, "state_dict", None)) and callable(getattr(original, "load_state_dict", None))


def length_of(iterable: Any) -> int | None:
    """``len()`` of an iterable that has one and knows it: a DataLoader does, an endless data set does not."""
    if getattr(type(iterable), "__len__", None) is None:
        return None
    try:
        return len(iterable)
    except (TypeError, OverflowError):
        return None
