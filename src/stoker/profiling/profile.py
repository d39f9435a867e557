"""A profile, made step by step.

The time is split: so much for a first look, so much to tell what randomness there is, the rest for runs with workers. The first two are
counted in time of making items, so that a machine that stands still for a moment leaves no look out; the clock begins with the first item.

Rules: the clock is passed in; what the source does wrong becomes a finding; ``on_epoch_end`` is never called; what ``random`` and
``numpy.random`` were at comes back afterwards, because how often they were drawn from is the clock's doing.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from stoker.errors import NotPicklable
from stoker.feed.threads import ThreadLane
from stoker.feed.travel import pack_source
from stoker.machine import usable_cores
from stoker.outcome import ENDED
from stoker.profiling.adapters import Counted, Endless
from stoker.profiling.attributes import sizes
from stoker.profiling.budget import Budget
from stoker.profiling.chance import Question, globals_kept, look_for_chance
from stoker.profiling.drawer import Drawer
from stoker.profiling.findings import find
from stoker.profiling.gilwatch import GilWatch
from stoker.profiling.look import Look, Viewer
from stoker.profiling.memory import Point, grown, growth
from stoker.profiling.recommend import recommend
from stoker.profiling.record import Chance, Fault, Finding, Measured, Memory, Recommendation, Run, Travel
from stoker.profiling.throughput import START_S, Rung, ladder, least_s, run, run_length_s
from stoker.source.indexed import IndexedSource
from stoker.source.open import open_source
from stoker.source.parallel import ParallelMap
from stoker.source.protocol import Source

LOOK_SHARE = 0.4
CHANCE_SHARE = 0.15
Packed = tuple[bytes, list[memoryview]]
MOST_LEAKED_BYTES = 256 << 20
"""Runs that would leave more than this behind are left out."""
CHANCE_MAKES = 20
LEAST_CHANCE_S = 3.0
"""They are given so much time at least, which they use only on a machine that stands still."""
"""Telling the randomness takes up to so many makes."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What ``stoker.profile`` measured and found; ``str()`` of it is the table that the command prints.

    Args:
        measured: the figures.
        findings: what is worth knowing, faults first.
        recommendation: the call to write; None where no batch could be made.
    """

    measured: Measured
    findings: tuple[Finding, ...]
    recommendation: Recommendation | None

    def to_dict(self) -> dict[str, Any]:
        """All of it as dicts, lists, strings and numbers, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        from stoker.profiling.table import as_text

        return as_text(self.measured, self.findings, self.recommendation)


@dataclass(slots=True)
class Profiler:
    """One profile in the making.

    Args:
        user: the source as the user passed it.
        items: so many at most in the first look.
        seconds: about how long all of it may take.
        clock: seconds, monotonic.
    """

    user: Any
    items: int
    seconds: float
    clock: Callable[[], float]
    began_s: float = 0.0
    """When the first item was drawn: opening the source, and packing it for processes, is before that."""
    drawn: int = 0
    untold: list[str] = field(default_factory=list)
    packed: Packed | None = None
    """The source as it was before anything was drawn, and so as a training would send it to worker processes."""

    @globals_kept()
    def profile(self) -> Profile:
        """Measure everything that there is time for."""
        source = open_source(self.user)
        length = source.length() if source.kind == "indexed" else None
        if isinstance(source, IndexedSource):
            source.prepare()
        travel, self.packed = _packed(open_source(source.original))
        before = sizes(source.original, _name(source))
        look, watch = self._look(source, length)
        measured = Measured(
            source.label, "parallel_map" if isinstance(source, ParallelMap) else source.kind, usable_cores(), self.seconds,
            crowded=watch.crowded, length=source.length() if not look.is_stuck else length, drawn_s=look.elapsed_s,
            distinct=len(set(look.good)), ended_after=look.ended_after, form=look.shapes.form(), times=look.times(watch.share),
            faults=_gathered(look.faults), is_used_up=source.kind == "stream",
            alike=look.alike, memory=_memory(look, length, before, sizes(source.original, _name(source))))
        measured = self._with_runs(source, look, replace(measured, travel=travel))
        measured = replace(measured, drawn=self.drawn, unmeasured=tuple(self.untold))
        return Profile(measured, find(measured), recommend(measured))

    def _left_s(self) -> float:
        return self.began_s + self.seconds - self.clock()

    def _look(self, source: Source, length: int | None) -> tuple[Look, GilWatch]:
        counted = Counted(source)
        watch = GilWatch(lambda: counted.thread)
        watch.rest()
        self.began_s = self.clock()
        budget = Budget(LOOK_SHARE * self.seconds, self.began_s + self.seconds)
        with Drawer(ThreadLane(1, 1), self.clock) as drawer:
            viewer = Viewer(drawer, drawer.add(counted), self.items, budget, watch, self.clock)
            look = viewer.view(length, source.kind == "restartable")
        self.drawn += counted.pulled
        return look, watch

    def _with_runs(self, source: Source, look: Look, measured: Measured) -> Measured:
        """The same with what only a source that works can show."""
        if look.is_stuck or not look.good or (source.kind == "stream" and look.ended_after is not None):
            reason = "an item has not come" if look.is_stuck else "no item was good" if not look.good else "the stream has ended"
            self.untold.append(f"throughput and randomness: {reason}")
            return measured
        chance = self._chance(source, look, measured)
        return replace(self._runs(source, look, measured), chance=chance)

    def _chance(self, source: Source, look: Look, measured: Measured) -> Chance:
        if source.kind == "stream" and not isinstance(source, ParallelMap):
            return Chance(untold="a generator object gives each item once; profile the function that makes it")
        budget_s = CHANCE_SHARE * self.seconds
        if CHANCE_MAKES * look.median_s > budget_s:
            return Chance(untold=f"there was no time to make items again ({CHANCE_MAKES} makes)")
        try:
            item = source.begin()() if isinstance(source, ParallelMap) else None
        except Exception as error:
            return Chance(untold=f"the iterator raised {type(error).__name__}")
        if item is ENDED:
            return Chance(untold="the stream has ended")
        places = tuple((0, index) for index in look.good[:2]) if source.kind == "indexed" else ((0, 0), (0, 1))
        if isinstance(source, ParallelMap):
            places = ((0, 0),)
        return look_for_chance(Question(
            lambda: open_source(source.original), lambda: self._traveller(source), places, item,
            self.clock() + max(LEAST_CHANCE_S, budget_s), measured.can_travel, self.clock))

    def _traveller(self, source: Source) -> Source:
        """What goes to worker processes."""
        if self.packed is None:
            return source
        pickled, large = self.packed
        travelled: Source = pickle.loads(pickled, buffers=large)[0]
        return travelled

    def _runs(self, source: Source, look: Look, measured: Measured) -> Measured:
        single = source.single_owner
        rungs = ladder(measured.cores, single, measured.can_travel)
        length_s = run_length_s(self._left_s(), rungs, look.median_s)
        if length_s is None:
            needed_s = self.seconds - self._left_s() + len(rungs) * (least_s(look.median_s) + START_S)
            self.untold.append(f"throughput: that needs about {math.ceil(needed_s)} s in all")
            return measured
        worst_s = max(make_s for _, make_s, _ in look.made)
        if measured.memory.again_bytes and measured.memory.again_bytes * _guess(rungs, length_s, look) > MOST_LEAKED_BYTES:
            self.untold.append("throughput: memory would grow too far meanwhile")
            return measured
        runs: list[Run] = []
        failed: set[str] = set()
        for number, rung in enumerate(rungs):
            if self._left_s() < length_s / 2:
                self.untold.append(f"{_late(rungs[number:])}: the time was up")
                break
            if rung.lane in failed:
                continue
            ran = run(self._fed(source, look, rung), rung, length_s, worst_s, self.clock)
            self.drawn += ran.pulled
            if ran.run is None:
                self.untold.append(f"throughput of {_late([rung])}: {ran.untold}")
                measured = replace(measured, travel=Travel(False, where=source.label, got=ran.untold)) if ran.is_refused else measured
            else:
                runs.append(ran.run)
            failed |= {rung.lane} if ran.run is None or ran.run.error else set()
        return replace(measured, runs=tuple(runs))

    def _fed(self, source: Source, look: Look, rung: Rung) -> Source:
        """The source as a run takes it."""
        fresh = self._traveller(source) if rung.lane == "processes" else open_source(source.original)
        if isinstance(source, ParallelMap):
            assert isinstance(fresh, ParallelMap)
            return source.with_function_of(fresh)
        return Endless(fresh, tuple(look.good)) if source.kind == "indexed" else fresh


def _guess(rungs: list[Rung], length_s: float, look: Look) -> float:
    """About how many items runs on threads will make in this process."""
    return sum(length_s / max(look.median_s, 1e-5) for rung in rungs if rung.lane == "threads")


def _late(rungs: list[Rung]) -> str:
    lanes = sorted({rung.lane for rung in rungs}, reverse=True)
    return " and ".join(f"{', '.join(str(rung.workers) for rung in rungs if rung.lane == lane)} {lane}" for lane in lanes)


def _name(source: Source) -> str:
    return getattr(source.original, "__name__", type(source.original).__name__)


def _packed(source: Source) -> tuple[Travel, Packed | None]:
    """Whether the source can go to worker processes, how large it is, and the source as it goes there."""
    if source.kind == "stream" and source.single_owner:
        got = "an iterator keeps its place for the next call, and so stays in its process"
        return Travel(False, where=source.label, got=got), None
    try:
        pickled, large = pack_source(source)
    except NotPicklable as error:
        return Travel(False, where=error.where, got=error.got), None
    return Travel(True, len(pickled) + sum(part.nbytes for part in large)), (pickled, large)


def _gathered(faults: list[Fault]) -> tuple[Fault, ...]:
    """The first fault of each kind, with how many there were."""
    kinds = dict.fromkeys(fault.kind for fault in faults)
    return tuple(
        replace(same[0], count=len(same)) for same in ([fault for fault in faults if fault.kind == kind] for kind in kinds))


def _memory(look: Look, length: int | None, before: dict[str, int], after: dict[str, int]) -> Memory:
    points = look.points
    first, again = [p for p in points if not p.is_again], [p for p in points if p.is_again]
    if length is None:
        first, again = _halves(points)
    new_bytes, again_bytes = growth(first), growth(again)
    grew = grown(before, after, len(set(look.good))) if new_bytes or again_bytes else ()
    return Memory(new_bytes, again_bytes, grew)


def _halves(points: list[Point]) -> tuple[list[Point], list[Point]]:
    """Points of a stream's first half and of its second, by items."""
    middle = points[-1].items / 2 if points else 0
    return [p for p in points if p.items <= middle], [p for p in points if p.items > middle]
