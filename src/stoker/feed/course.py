"""Where a feed is in the passes over its source: which item the next ticket asks for, and where passes and epochs end.

Rules: pure; tickets grow by one over all passes; the order of a pass is made once, when the pass begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count, repeat

from numpy.typing import NDArray

from stoker.feed.messages import Ask, new_ask, new_asks
from stoker.source.order import order
from stoker.source.protocol import Kind


@dataclass(slots=True)
class _Pass:
    """One pass: its number, the ticket of its first item, and its length where that is known."""

    number: int
    first_ticket: int
    length: int | None


class Course:
    """The way through the passes of one source.

    Args:
        kind: the kind of the source.
        source: the key of the source in its lane.
        seed: what the order and the items' randomness derive from.
        shuffle: permute the order of an indexed source.
    """

    def __init__(self, kind: Kind, source: int, seed: int, shuffle: bool) -> None:
        self.kind = kind
        self.seed = seed
        self._source = source
        self.shuffle = shuffle
        self._passes: list[_Pass] = []
        self._place = 0
        self._order: NDArray | None = None  # type: ignore[type-arg]
        self._next = (0, 0)

    def go_to(self, pass_number: int, place: int) -> None:
        """Begin at a place of a pass; before the first pass has begun."""
        assert not self._passes
        self._next = (pass_number, place)

    @property
    def has_begun(self) -> bool:
        """Whether a pass is under way."""
        return self._order is not None or (bool(self._passes) and self._passes[-1].length is None)

    @property
    def next_pass(self) -> int:
        """The number of the pass under way, or of the one that begins next."""
        return self._passes[-1].number if self.has_begun else self._next[0]

    @property
    def at_pass_end(self) -> bool:
        """Whether every item of an indexed pass has been asked for."""
        return self._order is not None and self._place == len(self._order)

    def begin_pass(self, ticket: int, length: int | None) -> None:
        """Begin a pass with ``ticket``; ``length`` is None for a stream."""
        number, place = self._next
        self._passes.append(_Pass(number, ticket - place, length))
        self._place = place
        if self.kind == "indexed":
            assert length is not None
            self._order = order(self.seed, number, length, self.shuffle)
            self._place = min(place, length)

    def asks(self, ticket: int, most: int) -> list[Ask]:
        """The asks for the next tickets: so many, or as many as the pass has left."""
        place, number = self._place, self._passes[-1].number
        if self._order is None:
            indices: Iterable[int] = range(place, place + most)
        else:
            indices = self._order[place:place + most].tolist()
        made = new_asks(
            zip(repeat(self._source), count(ticket), repeat(number), indices, repeat(self.seed), repeat(None), strict=False))
        self._place += len(made)
        return made

    def ask(self, ticket: int) -> Ask | None:
        """The ask for the next ticket; None where no pass is under way, or none of it is left."""
        place, ordered = self._place, self._order  # ``has_begun`` and ``at_pass_end`` are calls, for every batch that is made in line
        current = self._passes[-1] if self._passes else None
        if current is None or (current.length is not None if ordered is None else place == len(ordered)):
            return None
        self._place = place + 1
        index = place if ordered is None else ordered.item(place)
        return new_ask((self._source, ticket, current.number, index, self.seed, None))

    def end_pass(self, ticket: int) -> None:
        """The pass ends before ``ticket``."""
        current = self._passes[-1]
        current.length = ticket - current.first_ticket
        self._order = None
        self._next = (current.number + 1, 0)

    def pass_end(self, ticket: int) -> int | None:
        """The ticket after the last one of the pass that ``ticket`` belongs to; None where that is not known yet, or has not begun."""
        for known in reversed(self._passes):
            if known.first_ticket <= ticket:
                end = None if known.length is None else known.first_ticket + known.length
                return None if end is None or end <= ticket else end
        return None

    @property
    def is_untouched(self) -> bool:
        """Whether no pass has begun yet."""
        return not self._passes

    @property
    def is_first_pass(self) -> bool:
        """Whether no pass has followed another yet."""
        return len(self._passes) <= 1

    def position(self, ticket: int) -> tuple[int, int]:
        """The pass of a ticket that has not been taken, and its place in it."""
        for known in reversed(self._passes):
            if known.first_ticket <= ticket:
                place = ticket - known.first_ticket
                is_past = known.length is not None and place >= known.length
                return (known.number + 1, 0) if is_past else (known.number, place)
        return self._next
