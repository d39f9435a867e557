"""Which batch is where: a pure account of the tickets between the source and the consumer.

A ticket is issued (``issue``), assigned to a worker (``assign``), answered (``got``, ``ended``) or lost (``died``) and then assigned
again, and taken (``take``) in the order of tickets, each exactly once. A consumer that makes the next one itself passes all that by
(``passing``, ``pass_by``).

Rules: no clock, no thread, no I/O; every change goes through a method here; ``check`` asserts what must always hold, and property
tests call it after any order of events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from stoker.feed.messages import Ask
from stoker.outcome import Value

MOST_AT_ONCE = 128
"""Batches that a consumer may want at once; there are slots of worker processes for no more, beyond the bound."""


class Window:
    """Tickets in flight and ready, at most ``bound`` of them.

    Args:
        bound: batches in flight or ready at once, at most.
        workers: how many workers may be asked.
        owner: the one worker that is asked, for a source that has one owner; None for any.
    """

    def __init__(self, bound: int, workers: int, owner: int | None = None) -> None:
        self.bound = bound
        self.next_out = 0
        """The ticket that is taken next."""
        self.next_new = 0
        """The ticket that is issued next."""
        self._asks: dict[int, Ask] = {}
        self._waiting: deque[int] = deque()
        self._assigned: list[deque[int]] = [deque() for _ in range(workers)]
        self.ready_payloads: dict[int, Any] = {}
        """By ticket what is answered and not yet taken."""
        self._deaths: dict[int, int] = {}
        self.owner = owner
        self._end: int | None = None
        self.wanted = 0
        """The consumer waits for all tickets before this one at once: so many may be out, whatever the bound."""
        self.passing: Ask | None = None
        """What the consumer itself is making, of which no other account is kept."""
        self.active = workers
        """How many of the workers are asked: those with the lowest numbers."""

    @property
    def room(self) -> int:
        """How many more tickets may be issued; none while a stream's end is being settled, or the consumer makes one itself."""
        if self._end is not None or self.passing is not None:
            return 0
        return max(self.bound + self.next_out, self.wanted) - self.next_new

    @property
    def is_idle(self) -> bool:
        """Whether every issued ticket has been answered."""
        return self.next_new - self.next_out == len(self.ready_payloads)

    @property
    def is_quiet(self) -> bool:
        """Whether no worker is asked for anything."""
        return not any(self._assigned)

    @property
    def has_waiting(self) -> bool:
        """Whether a ticket waits to be assigned."""
        return bool(self._waiting)

    def issue(self, asks: Sequence[Ask]) -> None:
        """Take up new tickets, the next in order."""
        first = self.next_new
        assert asks[0].ticket == first and self.room >= len(asks)
        self.next_new += len(asks)
        tickets = range(first, self.next_new)
        self._asks.update(zip(tickets, asks, strict=True))
        self._waiting.extend(tickets)

    def pass_by(self) -> None:
        """What the consumer was making is made, and taken; no other ticket is out."""
        assert self.next_new == self.next_out
        self.passing = None
        self.next_new = self.next_out = self.next_out + 1

    def assign(self, makers: int = 0, together: int = 1) -> dict[int, list[Ask]]:
        """Give every waiting ticket to the worker that has the fewest; asks by worker, in order.

        Args:
            makers: how many workers are asked; 0 for all that are active.
            together: give so many that follow each other to one worker; for batches that cost less than a message.
        """
        given: dict[int, list[Ask]] = {}
        waiting, self._waiting = list(self._waiting), deque()
        for first in range(0, len(waiting), together):
            tickets = waiting[first:first + together]
            worker = self._least_busy(makers or self.active) if self.owner is None else self.owner
            self._assigned[worker].extend(tickets)
            given.setdefault(worker, []).extend(map(self._asks.__getitem__, tickets))
        return given

    def assign_one(self) -> Ask | None:
        """Give the first waiting ticket to worker 0; for a lane whose only worker is the caller's own thread."""
        if not self._waiting:
            return None
        ticket = self._waiting.popleft()
        self._assigned[0].append(ticket)
        return self._asks[ticket]

    def _least_busy(self, makers: int) -> int:
        lengths = list(map(len, self._assigned[:makers]))
        return lengths.index(min(lengths))

    def got(self, worker: int, tickets: Sequence[int], payloads: Sequence[Any]) -> int:
        """A worker's answers arrived: how many of them are waited for; for the others the worker was given up before."""
        assigned = self._assigned[worker]
        count = 0
        for ticket in tickets:
            if not assigned or assigned[0] != ticket:
                break
            assigned.popleft()
            count += 1
        self.ready_payloads.update(zip(tickets[:count], payloads, strict=False))
        return count

    def ended(self, worker: int, ticket: int) -> bool:
        """A worker says that the stream has no item for this ticket, nor for any later one of this pass."""
        if not self.got(worker, [ticket], [None]):
            return False
        del self.ready_payloads[ticket]
        self._end = ticket if self._end is None else min(self._end, ticket)
        return True

    def settle_end(self) -> bool:
        """Once all that was asked before and after the end is answered: take back what is after it. True if that was done now.

        The tickets taken back will be issued again, for the next pass.
        """
        if self._end is None or any(self._assigned) or any(ticket < self._end for ticket in self._waiting):
            return False
        self._waiting.clear()
        for ticket in range(self._end, self.next_new):
            self._asks.pop(ticket, None)
            self._deaths.pop(ticket, None)
        self.next_new = self._end
        self._end = None
        return True

    def died(self, worker: int, at: int | None = None) -> Ask | None:
        """A worker is gone: what it had not answered waits again, before all later tickets; nothing that is after the end of a stream.

        Args:
            worker: its number.
            at: the ticket it was making, where that is known; else it was at the first one it had not answered.

        Returns:
            The ask it was at, whose deaths are counted; None if it had none.
        """
        lost = [ticket for ticket in self._assigned[worker] if self._end is None or ticket < self._end]
        self._assigned[worker] = deque()
        if not lost:
            return None
        blamed = at if at is not None and at in lost else lost[0]
        self._deaths[blamed] = self._deaths.get(blamed, 0) + 1
        self._waiting = deque(sorted([*lost, *self._waiting]))
        return self._asks[blamed]

    def give_up(self, ticket: int, payload: Any) -> None:
        """Answer a waiting ticket without a worker; for a ticket that kills its workers."""
        self._waiting.remove(ticket)
        self.ready_payloads[ticket] = payload

    def deaths(self, ticket: int) -> int:
        """How many workers died at a ticket."""
        return self._deaths.get(ticket, 0)

    def is_ready(self) -> bool:
        """Whether the next ticket can be taken."""
        return self.next_out in self.ready_payloads

    @property
    def ready(self) -> int:
        """How many tickets are answered and not yet taken."""
        return len(self.ready_payloads)

    def take(self) -> tuple[Ask, Any]:
        """Hand out the next ticket and its payload."""
        ticket = self.next_out
        payload = self.ready_payloads.pop(ticket)
        if self._deaths:
            self._deaths.pop(ticket, None)
        self.next_out = ticket + 1
        return self._asks.pop(ticket), payload

    def take_values(self, until: int) -> tuple[list[Ask], list[Value]]:
        """Hand out the next tickets before ``until``, as long as each is ready and needs no unpacking."""
        ticket, ready = self.next_out, self.ready_payloads
        values: list[Value] = []
        while ticket < until and type(payload := ready.get(ticket)) is Value:
            values.append(payload)
            ticket += 1
        taken = range(self.next_out, ticket)
        for known in (ready, self._deaths) if self._deaths else (ready,):
            for done in taken:
                known.pop(done, None)
        self.next_out = ticket
        return [self._asks.pop(done) for done in taken], values

    def change_ready(self, change: Callable[[Any], Any]) -> None:
        """Put something else in the place of each payload that is ready."""
        for ticket, payload in self.ready_payloads.items():
            self.ready_payloads[ticket] = change(payload)

    def worker_of(self, ticket: int) -> int | None:
        """The worker that has been asked for a ticket and has not answered."""
        return next((worker for worker, tickets in enumerate(self._assigned) if ticket in tickets), None)

    def index_of(self, ticket: int) -> int | None:
        """What the source was asked for with a ticket; None if that is not out any more."""
        ask = self._asks.get(ticket)
        return ask.index if ask else None

    def awaited(self) -> int | None:
        """The index of the ticket that is taken next; None if it has not been issued."""
        return self.index_of(self.next_out)

    def open_asks(self, worker: int) -> int:
        """How many asks a worker has not answered."""
        return len(self._assigned[worker])

    def current(self, worker: int, at: int | None = None) -> Ask | None:
        """What a worker is making now: ticket ``at`` where that is known, else the first that it has not answered."""
        assigned = self._assigned[worker]
        if at is not None and at in assigned:
            return self._asks[at]
        return self._asks[assigned[0]] if assigned else None

    def drain(self) -> Iterable[Any]:
        """Give up everything that is ready; for the end of a feed."""
        payloads = list(self.ready_payloads.values())
        self.ready_payloads.clear()
        return payloads

    def check(self) -> None:
        """Assert what must hold after every event."""
        in_flight = [*self._waiting, *(ticket for tickets in self._assigned for ticket in tickets)]
        after_end = [] if self._end is None else [t for t in range(self._end, self.next_new) if t not in in_flight]
        everywhere = sorted([*in_flight, *self.ready_payloads, *after_end])
        assert everywhere == list(range(self.next_out, self.next_new)), "every issued ticket is in exactly one place"
        assert len(everywhere) <= max(self.bound, self.wanted - self.next_out), "the bound holds"
        assert set(self._asks) == set(everywhere), "every ticket that is out has its ask"
        assert list(self._waiting) == sorted(self._waiting), "waiting tickets are in order"
        assert self.owner is None or not any(
            tickets for worker, tickets in enumerate(self._assigned) if worker != self.owner), "a stream has one owner"
