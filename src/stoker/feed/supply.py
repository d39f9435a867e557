"""What is asked for next of one source: takes tickets from its course and issues them into its window, as far as they will be wanted.

Rules: has no lane and waits for nothing; an error of the source's own (in ``__len__``, in the iterator of items) is kept, and raised by
the feed once what comes before it has been handed out.
"""

from __future__ import annotations

import math
from typing import Any

from stoker.arguments import whole_number
from stoker.errors import SourceError
from stoker.feed.course import Course
from stoker.feed.faults import owner_died_error
from stoker.feed.messages import Ask, Died
from stoker.feed.pulling import Puller
from stoker.feed.window import Window
from stoker.outcome import ENDED, Failure, failure, unwrap
from stoker.source.indexed import IndexedSource
from stoker.source.protocol import Source


class Supply:
    """The tickets of one feed.

    Args:
        source: what they are for.
        course: which item comes next.
    """

    def __init__(self, source: Source, course: Course) -> None:
        self.source = source
        self.course = course
        self.window = Window(1, 1)
        self.puller: Puller | None = None
        """Pulls an item for each ticket, where the source has items."""
        self.trouble: Failure | None = None
        self.is_over = False
        """Whether the source has no further item, and never will."""
        self._is_told = True
        """Whether the source knows that the pass under way, or the next, begins: before the first it is told as the feed opens."""
        self._is_planned = False
        self._last_ticket = math.inf
        self._last_pass = math.inf
        self._first: int | None = None
        """The ticket that an epoch begins with which is a pass."""

    def plan(self, epochs: int, steps: int | None, first: int = 0) -> bool:
        """Issue no more than so many epochs take, from number ``first`` on where none has begun.

        Returns:
            Whether the source has changed, and workers have to know.
        """
        epochs, steps = whole_number("epochs", epochs), _checked(steps)
        self._is_planned, changed = True, False
        if first and self.course.is_untouched and self.source.kind != "stream":
            place = self._beginning_of(first, steps)
            self.course.go_to(*place)
            changed = isinstance(self.source, IndexedSource) and self.source.take_up(place[0])
        if steps is None:
            self._last_pass = self.course.next_pass + epochs
        else:
            self._last_ticket = self.window.next_out + epochs * steps
        return changed

    def _beginning_of(self, epoch: int, steps: int | None) -> tuple[int, int]:
        """Pass and place at which an epoch begins; with passes of unknown length it begins one of its own number."""
        length = self.source.length() if self.source.kind == "indexed" else None
        return (epoch, 0) if steps is None or length is None else divmod(epoch * steps, length)

    def begin_epoch(self, steps: int | None) -> int | None:
        """Make sure that a pass is under way, and return the ticket at which the epoch ends, if that is known."""
        course, first, steps = self.course, self.window.next_out, _checked(steps)
        self.raise_trouble()
        if not course.has_begun and not self.is_over and self.window.next_new == first:
            self._begin_pass()
            self.raise_trouble()
        end = course.pass_end(first) if steps is None else first + steps
        self._first = first if steps is None else None
        if not self._is_planned and self.source.kind != "indexed":
            self._last_ticket = math.inf if end is None else end
            self._last_pass = math.inf if steps is not None else course.next_pass + 1
        return end

    def fill(self) -> None:
        """Issue as many tickets as there is room and need for."""
        window, course = self.window, self.course
        while (room := window.room) > 0 and self.trouble is None and not self.is_over:
            if course.at_pass_end:
                if self.source.has_pass_end:
                    return  # once all its items are made
                course.end_pass(window.next_new)
            count = min(room, self._last_ticket - window.next_new)
            if count <= 0:
                return
            if not course.has_begun:
                if course.next_pass >= self._last_pass:
                    return
                self._begin_pass()
            elif self.puller is None:
                window.issue(course.asks(window.next_new, int(count)))
            else:
                self._issue_with_item(self.puller)

    def next_ask(self) -> Ask | None:
        """The ask for the next ticket, which is not issued; None where there is more to do before that than to go on in a pass."""
        ticket = self.window.next_new
        if self.trouble is not None or self.is_over or self.puller is not None or ticket >= self._last_ticket:
            return None
        return self.course.ask(ticket)

    def _issue_with_item(self, puller: Puller) -> None:
        """Issue one ticket with the item that is pulled for it, if there is one."""
        ticket = self.window.next_new
        try:
            item = puller.item(*self.course.position(ticket))  # before the course goes on: after a Ctrl-C here it is pulled next
        except Exception as error:
            self.trouble = failure(error)
            return
        if item is not ENDED:
            (ask,) = self.course.asks(ticket, 1)
            self.window.issue([ask._replace(item=item)])
        elif self.source.kind == "stream":
            self.is_over = True
        else:
            self.stream_ended()

    def _begin_pass(self) -> None:
        try:
            length = self.source.length() if self.source.kind == "indexed" else None
        except Exception as error:
            self.trouble = failure(error)
            return
        self.course.begin_pass(self.window.next_new, length)

    def end_source_pass(self) -> None:
        """Tell the source that a pass has ended, and that the next one begins, if one will."""
        self.source.end_pass()
        self._is_told = False
        if self.course.next_pass + 1 < self._last_pass and self.window.next_new < self._last_ticket:
            self.begin_source_pass()

    def begin_source_pass(self) -> bool:
        """Tell the source that the next pass begins, unless it knows; returns whether its own code has run, and may have changed it."""
        if self._is_told or not isinstance(self.source, IndexedSource):
            return False
        self._is_told = True
        self.source.begin_pass()
        return self.source.has_beginning

    def stream_ended(self) -> None:
        """The pass of a stream ends with what has been issued."""
        kind, ticket = self.source.kind, self.window.next_new
        was_empty = self.course.position(ticket)[1] == 0
        if kind == "stream" or was_empty:
            self.is_over = True
        if kind == "restartable" and was_empty and self.course.is_first_pass:
            self.trouble = Failure(SourceError(
                "the source gave no batch", got="an iterator that ends at once", expected="at least one batch",
                where=self.source.label, remedy="Pass the function, not what it returned, if it is used more than once."))
        self.course.end_pass(ticket)
        if ticket == self._first and not self._is_planned:
            self._last_pass += 1  # all of that pass had been taken before the epoch began: it is the next

    def owner_died(self, event: Died) -> None:
        """The worker that ran a generator died between two items: it cannot go on from there."""
        _, place = self.course.position(self.window.next_new)
        if self.course.has_begun and place:
            self.trouble = Failure(owner_died_error(place, event, self.source.label))

    def raise_trouble(self) -> None:
        """Raise what went wrong, if anything did."""
        if self.trouble is not None:
            unwrap(self.trouble)


def _checked(steps: Any) -> int | None:
    """The steps of an epoch; ``samples / batch_size`` will do."""
    return None if steps is None else whole_number("steps", steps, 1, round_up=True)
