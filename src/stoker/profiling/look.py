"""The first look at a source: items drawn one after the other, their times, shapes, faults, and the memory that stays.

Each index is drawn for a first time and then again, a pass later: memory that grows only with new items is a cache, memory that grows with
items that were there before is a leak. Of a stream the second half takes the place of the second time.

Rules: the source is drawn from on one worker thread; whatever it does ends in the record, never in an exception; the clock is passed in.
"""

from __future__ import annotations

import gc
import statistics
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stoker.errors import BatchError
from stoker.outcome import Ended, Failure
from stoker.profiling.batches import Shapes
from stoker.profiling.budget import Budget, Spent
from stoker.profiling.drawer import Drawer, Made, NotInTime
from stoker.profiling.gilwatch import GilWatch
from stoker.profiling.memory import Point, resident_bytes
from stoker.profiling.record import Fault, Times

CHUNK_S = 3e-3
"""Quick items are asked for together, so that they take about so long."""
BUSY_S = 0.6e-3
"""Only items that keep the worker busy for so long show whether it holds the GIL."""
POINTS = 24
POINT_S = 0.02
COLLECTING_SHARE = 10
"""Memory is looked at again after so many times the time that collecting garbage took."""
MOST_FAULTS = 5


@dataclass(slots=True)
class Look:
    """What was seen; filled while it is drawn."""

    shapes: Shapes = field(default_factory=Shapes)
    made: list[tuple[int, float, float]] = field(default_factory=list)
    """Index, wall time and CPU time of each good item."""
    points: list[Point] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    good: list[int] = field(default_factory=list)
    """Indices that gave a batch in the first pass, in order."""
    alike: tuple[int, int] | None = None
    ended_after: int | None = None
    is_stuck: bool = False
    elapsed_s: float = 0.0
    _known: dict[bytes, int] = field(default_factory=dict)

    def take(self, made: Made) -> None:
        """Take up one item."""
        if isinstance(made.outcome, Failure):
            self._blame(Fault(made.index, "raised", last_line(made.outcome)))
        elif not isinstance(made.outcome, Ended):
            self._take_batch(made, made.outcome.value)

    def _take_batch(self, made: Made, item: Any) -> None:
        self.made.append((made.index, made.make_s, made.cpu_s))
        try:
            known = self.shapes.add(item, made.index)
        except BatchError as error:
            self._blame(Fault(made.index, "malformed", str(error)))
            return
        if made.pass_number == 0:
            self.good.append(made.index)
            first = self._known.setdefault(known, made.index)
            if first != made.index and self.alike is None:
                self.alike = first, made.index

    def _blame(self, fault: Fault) -> None:
        self.faults.append(fault)

    @property
    def median_s(self) -> float:
        """The usual make time so far."""
        return statistics.median(make_s for _, make_s, _ in self.made) if self.made else 0.0

    def times(self, gil_share: float | None) -> Times | None:
        """The times in short; None where nothing was made."""
        if not self.made:
            return None
        walls = [make_s for _, make_s, _ in self.made]
        worst_index, worst_s, _ = max(self.made, key=lambda one: one[1])
        cpu_share = sum(cpu_s for *_, cpu_s in self.made) / max(sum(walls), 1e-9)
        p95_s = sorted(walls)[max(0, -(-95 * len(walls) // 100) - 1)]
        return Times(len(walls), statistics.median(walls), p95_s, worst_s, worst_index, min(1.0, cpu_share), gil_share)


def last_line(found: Failure) -> str:
    """An error in one line: its type and text, and the line of the user's code that raised it."""
    lines = traceback.format_exception_only(found.error)
    text = next(line for line in lines if not line.startswith(" ")).splitlines()[0]  # a SyntaxError begins with the place in the source
    frames = traceback.extract_tb(found.error.__traceback__)
    return f"{text} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else text


@dataclass(slots=True)
class Viewer:
    """Draws until the items or the time have been used up.

    Args:
        drawer: draws them.
        key: the source there.
        items: how many at most.
        budget: when to begin no further item; its limit is also when the one in the making is waited for no longer.
        watch: tells whether making them holds the GIL.
        clock: seconds, monotonic.
    """

    drawer: Drawer
    key: int
    items: int
    budget: Budget
    watch: GilWatch
    clock: Callable[[], float]
    look: Look = field(default_factory=Look)
    _spent: Spent = field(default_factory=Spent)
    _asked: int = 0
    _next_point_s: float = 0.0
    _last_point: int = -1

    def view(self, length: int | None, is_restartable: bool) -> Look:
        """Draw.

        Args:
            length: how many indices the source has; None for a stream.
            is_restartable: the stream begins anew with each pass.
        """
        began = self.clock()
        self._point(is_again=False)
        try:
            if length is None:
                self._view_stream(is_restartable)
            else:
                self._view_indices(length)
        except NotInTime as stop:
            self.look.is_stuck = True
            for made in stop.made:
                self.look.take(made)
            self.look.faults.append(Fault(stop.index, "blocked", str(stop)))
        self.look.elapsed_s = self.clock() - began
        if not self.look.is_stuck:
            self.watch.rest()
        return self.look

    def _view_indices(self, length: int) -> None:
        indices = spread(length, max(1, self.items // 2))
        for places in self._chunks(((0, index) for index in indices), self.budget.half()):
            self._draw(places, is_again=False)
        again = tuple(self.look.good)
        if again:
            rest = ((1 + number // len(again), again[number % len(again)]) for number in range(self.items - self._asked))
            for places in self._chunks(rest, self.budget):
                self._draw(places, is_again=True)

    def _view_stream(self, is_restartable: bool) -> None:
        pass_number = begun = 0
        for places in self._chunks(((0, number) for number in range(self.items)), self.budget):
            shifted = [(pass_number, number - begun) for _, number in places]
            made = self._draw(shifted, is_again=False)
            ends = [one for one in made if isinstance(one.outcome, Ended)]
            if not ends:
                continue
            if self.look.ended_after is None:
                self.look.ended_after = ends[0].index
            if not is_restartable or ends[0].index == 0:
                return
            pass_number, begun = pass_number + 1, places[-1][1] + 1

    def _chunks(self, places: Iterator[tuple[int, int]], budget: Budget) -> Iterator[list[tuple[int, int]]]:
        """Places in chunks, until the budget has been spent or too many were faulty."""
        chunk: list[tuple[int, int]] = []
        for place in places:
            chunk.append(place)
            if len(chunk) < self._chunk():
                continue
            yield chunk
            chunk = []
            may_draw = budget.may_draw(self.clock(), self._spent.made_s, self._spent.drawn)
            if not may_draw or len(self.look.faults) >= MOST_FAULTS:
                return
        if chunk:
            yield chunk

    def _chunk(self) -> int:
        if self._asked < 4:
            return 1
        return max(1, min(self.items // POINTS, int(CHUNK_S / max(self.look.median_s, 1e-6))))

    def _draw(self, places: list[tuple[int, int]], *, is_again: bool) -> list[Made]:
        is_busy = self._asked == 0 or self.look.median_s * len(places) > BUSY_S
        made = self.drawer.draw(self.key, places, self.budget.hard_s, watch=self.watch if is_busy else None)
        self._asked += len(places)
        for one in made:
            self._spent.add(one.make_s)
            self.look.take(one)
        ended = [Made(*one[:2], one.outcome, 0.0, 0.0) for one in made if isinstance(one.outcome, Ended)]
        del made
        if self.clock() > self._next_point_s or self._asked - self._last_point > self.items // POINTS:
            self._point(is_again)
        return ended

    def _point(self, is_again: bool) -> None:
        """Look at the memory of the process, with garbage and what the lane keeps for itself out of the way."""
        began = self.clock()
        gc.collect()
        now = resident_bytes()
        if now is not None:
            self.look.points.append(Point(self._asked, now - self.drawer.kept_bytes, is_again))
        took_s = self.clock() - began
        self._next_point_s = self.clock() + max(POINT_S, COLLECTING_SHARE * took_s)
        self._last_point = self._asked


def spread(length: int, most: int) -> list[int]:
    """At most so many indices, evenly over a pass, the first and the last among them."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(int)).tolist()  # type: ignore[no-any-return]
