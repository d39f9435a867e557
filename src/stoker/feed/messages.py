"""The records that pass between the pump and the workers of a lane.

Rules: frozen, picklable, and nothing but data; a worker answers every ask exactly once, in the order of the asks it was sent; answers
that follow each other may come together in one ``Got``; what a worker cannot say any more (its death) the lane says for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

MESSAGE_S = 0.75e-3
"""So much work is worth a message, and up to four times as much where there is enough of it: batches that take less are asked for several
at a time, and answered together."""


class Ask(NamedTuple):
    """Make one batch.

    Args:
        source: the key under which the lane knows the source.
        ticket: the place of the batch in the feed's stream; grows by one for each batch ever asked for.
        pass_number: the pass over the source that the batch belongs to, from 0.
        index: the argument of ``__getitem__``; for a stream the number of the item, from 0.
        seed: the seed of the feed; an item's randomness is a function of (seed, pass_number, index).
        item: what was pulled for it, for ``parallel_map``.
    """

    source: int
    ticket: int
    pass_number: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    seed: int
    item: Any = None


new_ask: Callable[[tuple[Any, ...]], Ask] = partial(tuple.__new__, Ask)
"""An ask of a tuple that has all its fields: in a third of the time that ``Ask`` takes."""


def new_asks(fields: Iterable[tuple[Any, ...]]) -> list[Ask]:
    """Asks of such tuples."""
    return list(map(new_ask, fields))


class Refused(NamedTuple):
    """Goes to a worker process in the place of an item that cannot go there; the worker answers with the error, in its turn.

    Args:
        error: the pickled ``NotPicklable``.
    """

    error: bytes


class Got(NamedTuple):
    """Answers of one worker for one source: a run of them, at least one.

    Args:
        worker: the number of the worker that answers.
        source: as in the asks.
        tickets: as in the asks, in their order.
        payloads: of each what ``lane.unpack`` turns into an ``Outcome``, or the ``Outcome`` itself; ``Ended`` comes after all others.
        make_s: wall time that the source took for each, in seconds.
        cpu_s: CPU time of the worker's thread, in seconds: that of all that it was asked for in one message, in the last run of these
            answers, because looking at that clock takes longer than a tiny batch.
        began_s: when the worker began each, by ``time.perf_counter``, which all processes of a machine share.
        cross_s: wall time that putting each batch into shared memory took, in seconds; on threads that of copying it, where the source
            uses its memory again.
    """

    worker: int
    source: int
    tickets: Sequence[int]
    payloads: Sequence[Any]
    make_s: Sequence[float]
    cpu_s: float
    began_s: Sequence[float]
    cross_s: Sequence[float]

    def first(self, count: int) -> Got:
        """The same without what comes after so many answers."""
        worker, source, tickets, payloads, make_s, cpu_s, began_s, cross_s = self
        return Got(
            worker, source, tickets[:count], payloads[:count], make_s[:count], cpu_s, began_s[:count], cross_s[:count])


class Died(NamedTuple):
    """A worker that is gone; every ask it had not answered is lost.

    Args:
        worker: the number of the worker.
        cause: how it ended and why that may be, as a clause (``killed by SIGKILL: often the out-of-memory killer``).
        at: source and ticket of what it was making; None if it was idle. Answers before that may be lost with it.
    """

    worker: int
    cause: str
    at: tuple[int, int] | None = None


Reply = Got | Died
