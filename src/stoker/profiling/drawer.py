"""Draws items on a worker while the caller's thread watches the clock.

Rules: no wait is longer than the deadline that is passed in, and what a worker takes to start; the lane is closed whatever happens; the
clock is passed in.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from stoker.errors import StokerWarning, is_of_stoker
from stoker.feed.lane import Lane
from stoker.feed.messages import Ask, Died, Got
from stoker.outcome import Outcome, Value
from stoker.profiling.budget import Deadline
from stoker.profiling.gilwatch import GilWatch
from stoker.source.protocol import Source

TRIES_AT_ONCE = 64
"""After so many tries within one item the caller's thread tries now and then only: trying costs a core."""
PAUSE_S = 0.01


class Made(NamedTuple):
    """One item that was asked for, and what came of it."""

    pass_number: int
    index: int  # type: ignore[assignment]  # hides tuple.index, as in Ask
    outcome: Outcome
    make_s: float
    cpu_s: float


class NotInTime(Exception):
    """The deadline came first.

    Args:
        text: where the worker is, if that is known, or how it ended.
        index: what it is at.
        made: what was made before that.
    """

    def __init__(self, text: str, index: int, made: list[Made]) -> None:
        super().__init__(text)
        self.index = index
        self.made = made


class Drawer:
    """One lane, asked by hand.

    Args:
        lane: its workers.
        clock: seconds, monotonic.
    """

    def __init__(self, lane: Lane, clock: Callable[[], float]) -> None:
        self._lane = lane
        self._clock = clock
        self._sources = 0
        self._tickets = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StokerWarning)  # a source that hangs is among the findings
            self._lane.close()

    def add(self, source: Source) -> int:
        """Make a source known; its key."""
        self._lane.add_source(self._sources, source)
        self._sources += 1
        return self._sources - 1

    @property
    def kept_bytes(self) -> int:
        """Size of the items that the lane keeps alive."""
        return getattr(self._lane, "kept_bytes", 0)

    def draw(
        self, key: int, places: Sequence[tuple[int, int]], until_s: float, *, least_s: float = 0.0, worker: int = 0, seed: int = 0,
        item: Any = None, watch: GilWatch | None = None,
    ) -> list[Made]:
        """Have items made by one worker, one after the other.

        Args:
            key: the source.
            places: pass and index of each.
            until_s: when to give up, by the clock; but not before the worker has started.
            least_s: and not before it has worked for so long.
            worker: who makes them.
            seed: what their randomness derives from.
            item: what was pulled for them.
            watch: tries meanwhile whether the GIL can be had.

        Raises:
            NotInTime: it is not done by then, or the worker died.
        """
        asks = [Ask(key, self._tickets + number, *place, seed, item) for number, place in enumerate(places)]
        self._tickets += len(asks)
        self._lane.send(worker, asks)
        made: list[Made] = []
        deadline = Deadline(until_s, least_s, self._clock())
        tries = 0
        while len(made) < len(asks):
            replies = self._lane.receive(0.0 if watch is not None and tries < TRIES_AT_ONCE else PAUSE_S)
            for reply in replies:
                if isinstance(reply, Died):
                    raise NotInTime(f"the worker process was {reply.cause}", places[len(made)][1], made)
                made += self._taken(reply, places[len(made):], watch)
            if replies:
                continue
            if deadline.is_over(self._clock(), has_begun=bool(made) or self._lane.at(worker) is not None):
                raise NotInTime(_innermost(self._lane.stack(worker)), places[self._at(worker, asks, len(made))][1], made)
            if watch is not None:
                tries += 1
                watch.nap()
                if tries == 1:
                    watch.hold()
        return _by_values(made)

    def _taken(self, reply: Got, places: Sequence[tuple[int, int]], watch: GilWatch | None) -> list[Made]:
        """What came of a run of answers; its CPU time is that of the last one."""
        last = len(reply.payloads) - 1
        made = []
        for number, (place, payload, make_s) in enumerate(zip(places, reply.payloads, reply.make_s, strict=False)):
            cpu_s = reply.cpu_s if number == last else 0.0
            if watch is not None:
                watch.made(make_s, cpu_s)
            made.append(Made(*place, self._lane.unpack(payload), make_s, cpu_s))
        return made

    def _at(self, worker: int, asks: list[Ask], made: int) -> int:
        """Which of the asks a worker is at."""
        at = self._lane.at(worker)
        return made if at is None else min(max(made, at[1] - asks[0].ticket), len(asks) - 1)


def _by_values(made: list[Made]) -> list[Made]:
    """The same with the CPU time of all, which came with the last answer, at the last that has a value: nobody looks at that of others."""
    last = max((number for number, one in enumerate(made) if isinstance(one.outcome, Value)), default=len(made) - 1)
    cpu_s = sum(one.cpu_s for one in made)
    return [one._replace(cpu_s=cpu_s if number == last else 0.0) for number, one in enumerate(made)]


def _innermost(stack: str) -> str:
    """The place in a stack that is deepest in the user's own code: file, line and function."""
    places = [line.strip() for line in stack.splitlines() if line.strip().startswith("File ")]
    own = [
        place for place in places
        if not is_of_stoker(place.split('"')[1]) and "/lib/python" not in place and "threading.py" not in place]
    return (own or [""])[-1]
