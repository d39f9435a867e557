"""What a feed cost: times of making and waiting, summed between two looks, and a timeline of the latest batches.

Rules: a short record for each batch that is taken, and for each run of answers; the clock is read once when a batch is taken, and twice
more when the consumer really waits; seconds everywhere.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stoker.feed.crowding import since, worker_times
from stoker.feed.messages import MESSAGE_S, Ask, Got
from stoker.feed.window import Window
from stoker.machine import usable_cores

QUICK_S = 200e-6
"""A batch made faster than this costs about as much as a message and the wake-up of who gets it."""
TRIVIAL_S = 20e-6
"""CPU time of a thread for a batch that costs less than taking the GIL from one another (5 to 20 us): threads beside each other are only in
each other's way."""
WANT = 0.25
"""A consumer that waits for a larger share of its time uses batches as fast as they are made."""
WAKING_S = 0.55e-3
"""Core time that each message costs where there are more processes than cores: they wait for one another in turn, and wake up."""
KEPT = 2000
"""So many of the latest batches of a stretch are in its timeline."""
PROBES = 32
"""So often in a stretch it is tried whether the GIL can be had."""
FEWEST_PROBES = 5
HELD_S = 0.3e-3
"""Waking up so much later than asked means that another thread held the GIL, which it may for 0.5 ms (see ``threads.py``)."""


class Make(NamedTuple):
    """One batch being made.

    Args:
        worker: the number of the worker.
        ticket: the number of the batch in the feed's stream.
        began_s: when the worker began, in seconds since the stretch began.
        make_s: how long the source took.
        cross_s: how long putting the batch into shared memory took, or copying it where a source on threads uses its memory again.
    """

    worker: int
    ticket: int
    began_s: float
    make_s: float
    cross_s: float


class Take(NamedTuple):
    """One batch being handed out.

    Args:
        ticket: the number of the batch in the feed's stream.
        index: what the source was asked for.
        at_s: when it was handed out, in seconds since the stretch began.
        wait_s: how long the consumer waited for it.
        ready: how many more batches lay ready then.
    """

    ticket: int
    index: int  # type: ignore[assignment]  # hides tuple.index, as in Ask
    at_s: float
    wait_s: float
    ready: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """The latest batches of a stretch, at most 2,000: when each was made, by whom, and when it was handed out."""

    makes: tuple[Make, ...]
    takes: tuple[Take, ...]


@dataclass(frozen=True, slots=True)
class FeedFigures:
    """What a feed did in a stretch of time.

    Args:
        lane: ``inline``, ``threads`` or ``processes``.
        workers: how many workers it had.
        batches: how many batches were handed out.
        elapsed_s: how long the stretch was.
        wait_s: how long the consumer waited for data.
        make_s: wall time that making batches took, summed over the workers.
        cpu_s: CPU time of that, summed over the workers.
        made: how many batches were made.
        cross_s: wall time that putting batches into shared memory took, or copying them where a source on threads uses its memory
            again; summed over the workers.
        gil_share: share of tries, from 0 to 1, in which the consumer could not have the GIL at once while it waited for threads; None
            where that was not tried often enough.
        is_auto: whether the feed chose its workers itself.
        deaths: how many of the workers died; what they were making was made again.
        last_death: how the last of these ended.
        single_owner: the source has one owner (a generator): one worker makes all, however many there are.
        slots_s: how long the consumer waited while other workers had nothing to do, because no more batches may be in flight or ready.
        longest_step_s: the longest time between two batches that the consumer did not wait.
        ran_s: how long the workers had a core, starting included; summed over them. 0 where the system does not tell.
        queued_s: how long they were ready to run and had none.
        auto_limit: what kept a feed that chooses its workers itself from having more; empty where nothing did.
        few: so many of the workers are asked for batches, where the others would have no core beside the consumer; 0 for all.
        max_queue_size: batches in flight or ready at once, at most; 0 where the feed chooses that too.
        is_refused: whether processes were asked for, and could not be had for this source.
        pull_s: how much of ``wait_s`` went into pulling the items of a ``parallel_map``, on the consumer's thread.
    """

    lane: str
    workers: int
    batches: int
    elapsed_s: float
    wait_s: float
    make_s: float
    cpu_s: float
    made: int
    cross_s: float = 0.0
    gil_share: float | None = None
    is_auto: bool = False
    deaths: int = 0
    last_death: str = ""
    single_owner: bool = False
    slots_s: float = 0.0
    longest_step_s: float = 0.0
    ran_s: float = 0.0
    queued_s: float = 0.0
    auto_limit: str = ""
    few: int = 0
    max_queue_size: int = 0
    is_refused: bool = False
    pull_s: float = 0.0

    @property
    def wait_share(self) -> float:
        """Share of the time in which the consumer waited, from 0 to 1."""
        return min(1.0, self.wait_s / self.elapsed_s) if self.elapsed_s > 0 else 0.0

    @property
    def busy_share(self) -> float:
        """Share of the workers' time in which they made batches or put them into shared memory, from 0 to 1."""
        all_s = self.elapsed_s * self.makers
        return min(1.0, (self.make_s + self.cross_s) / all_s) if all_s > 0 else 0.0

    @property
    def makers(self) -> int:
        """How many workers make batches: all, those that have a core, or the one that owns the source."""
        return 1 if self.single_owner else max(1, self.few or self.workers)

    @property
    def crowded(self) -> float:
        """Share of the time in which the workers could have run that they waited for a core, from 0 to 1."""
        ready_s = self.ran_s + self.queued_s
        return self.queued_s / ready_s if ready_s > 0 else 0.0


class Meter:
    """Sums for the stretch since the last ``take``.

    Args:
        lane: the lane's name.
        workers: how many workers it has.
        clock: seconds, as ``time.perf_counter``: workers stamp their answers with that.
        cores: that this process may use; None asks the system when it matters.
    """

    RECENT = 256

    def __init__(self, lane: str, workers: int, clock: Callable[[], float], cores: int | None = None) -> None:
        self.lane = lane
        self.workers = workers
        self.is_auto = False
        self.auto_limit = ""
        self.single_owner = False
        self.max_queue_size = 0
        self.is_refused = False
        self.clock = clock
        self._few = 0
        self._cores = cores
        self.recent_make_s: deque[float] = deque(maxlen=self.RECENT)
        self.longest_make_s = 0.0
        """Of all that workers made, since the feed was opened."""
        self._makes: deque[tuple[int, Sequence[int], Sequence[float], Sequence[float], Sequence[float]]] = deque()
        """Of each run of answers the worker, tickets, beginnings, and seconds of making and crossing."""
        self._kept = 0
        """How many batches these are: ``KEPT`` at least where there were so many, and no run more than that takes."""
        self._takes: deque[tuple[int, int, float, float, int]] = deque(maxlen=KEPT)
        self._restart()

    def begin(self) -> None:
        """An epoch begins: the time since the last ``take``, in which no batch was handed out, belongs to something else."""
        if not self.batches:
            self._start_clocks()

    def _start_clocks(self) -> None:
        self._began = self._taken_s = self.clock()
        self.wait_s = self._waited_s = self._pull_s = 0.0
        self._longest_s = 0.0
        self._worker_times = worker_times() if self.lane != "inline" else {}

    def _restart(self) -> None:
        self._start_clocks()
        self.batches = 0
        self._make_s = 0.0
        self._cpu_s = 0.0
        self._cross_s = 0.0
        self._made = 0
        self._probes = 0
        self._held = 0
        self._deaths = 0
        self._last_death = ""
        self._makes.clear()
        self._kept = 0
        self._takes.clear()
        self._free_s: dict[int, float] = {}
        self._slots_s = 0.0

    def made(self, reply: Got) -> None:
        """A worker made batches."""
        worker, _, tickets, _, make_s, cpu_s, began_s, cross_s = reply
        self._make_s += sum(make_s)
        self.longest_make_s = max(self.longest_make_s, *make_s)
        self._cpu_s += cpu_s
        self._cross_s += sum(cross_s)
        self.recent_make_s.extend(make_s)
        self._made += len(tickets)
        self._free_s[worker] = began_s[-1] + make_s[-1] + cross_s[-1]
        makes = self._makes
        makes.append((worker, tickets, began_s, make_s, cross_s))
        self._kept += len(tickets)
        while self._kept - len(makes[0][1]) >= KEPT:
            self._kept -= len(makes.popleft()[1])

    def made_here(self, ask: Ask, make_s: float, began_s: float, cpu_s: float) -> None:
        """The consumer made a batch on its own thread, and takes it: what ``made``, ``waited`` and ``taken`` say of it, in one."""
        _, ticket, _, index, _, _ = ask
        now_s = self.clock()
        own_s = began_s - self._taken_s - (self.wait_s - self._waited_s)
        if own_s > self._longest_s:
            self._longest_s = own_s
        self._make_s += make_s
        self._cpu_s += cpu_s
        self.recent_make_s.append(make_s)
        self._made += 1
        makes = self._makes
        makes.append((0, (ticket,), (began_s,), (make_s,), (0.0,)))
        if self._kept < KEPT:
            self._kept += 1
        else:
            makes.popleft()
        self.batches += 1
        self.wait_s = wait_s = self.wait_s + now_s - began_s
        self._takes.append((ticket, index, now_s, wait_s, 0))
        self._taken_s, self._waited_s = now_s, wait_s

    def index_of(self, number: int) -> int | None:
        """What the source was asked for with batch ``number`` of this stretch, counted from 0; None where that is too long ago."""
        back = self.batches - number
        return self._takes[-back][1] if 0 < back <= len(self._takes) else None

    def died(self, cause: str) -> None:
        """A worker died."""
        self._deaths += 1
        self._last_death = cause

    def taken(self, ask: Ask, window: Window) -> None:
        """The batch of an ask is handed out; more may lie ready in the window."""
        self.batches += 1
        now_s, wait_s = self._look()
        self._takes.append((ask[1], ask[3], now_s, wait_s, len(window.ready_payloads)))  # not the ask: its item may be large

    def taken_together(self, asks: Sequence[Ask], window: Window) -> None:
        """The batches of these asks are handed out at once."""
        self.batches += len(asks)
        now_s, wait_s = self._look()
        ready = len(window.ready_payloads) + len(asks)
        self._takes.extend([(ask[1], ask[3], now_s, wait_s, ready - place) for place, ask in enumerate(asks, 1)])

    def _look(self) -> tuple[float, float]:
        """The time, and how long the consumer has waited in all; what it did in between may have been its longest work so far."""
        now_s, wait_s = self.clock(), self.wait_s
        own_s = now_s - self._taken_s - wait_s + self._waited_s
        if own_s > self._longest_s:
            self._longest_s = own_s
        self._taken_s, self._waited_s = now_s, wait_s
        return now_s, wait_s

    def pulled(self, took_s: float) -> None:
        """The consumer's thread has pulled an item for a worker; the model waits for that too."""
        self.wait_s += took_s
        self._pull_s += took_s

    def waited(self, began_s: float, window: Window, before_s: float | None = None) -> None:
        """The consumer has waited for a batch. Which workers had nothing to do meanwhile, for want of slots?

        Args:
            began_s: since when.
            window: of the feed.
            before_s: how long it had waited in all before; what was counted since then lies within.
        """
        now_s = self.clock()
        self.wait_s = (self.wait_s if before_s is None else before_s) + now_s - began_s
        workers = self._few or window.active
        if window.room > 0 or window.owner is not None or workers < 2:
            return
        idle_s = sum(
            now_s - max(began_s, self._free_s.get(worker, began_s)) for worker in range(workers) if not window.open_asks(worker))
        self._slots_s += max(0.0, idle_s) / (workers - 1)  # one of them was at the batch that was waited for

    @property
    def wants_probe(self) -> bool:
        """Whether it is worth trying if the GIL can be had."""
        return self._probes < PROBES and self.lane == "threads"

    def probed(self, late_s: float) -> None:
        """The consumer slept while it waited, and woke up so much later than it asked to."""
        self._probes += 1
        self._held += late_s > HELD_S

    def at_a_time(self, window: Window) -> int:
        """How many batches are asked for in one message.

        As many as are worth a message; twice as many where there are two such messages for every worker, and four times where four; but of
        those that take no longer than a message no more than half of the bound, and of others no more than leaves work for every worker.
        Of trivial ones that threads make for a consumer in want all that the bound allows: one thread makes them while the consumer sleeps,
        and then sleeps itself, which costs less than taking the GIL from one another.
        """
        ample_s = 2 * MESSAGE_S * self._made
        if self._make_s >= ample_s:
            return 1
        if self.lane == "threads" and self._is_trivial() and self.wait_s > WANT * (self.clock() - self._began):
            return window.bound
        most = window.bound // (2 if self._make_s < QUICK_S * self._made else window.active)
        if not self._make_s:
            return max(1, most)
        ample = ample_s / self._make_s
        return max(1, min(most, math.ceil(ample / 2)), *[
            min(window.bound // (messages * window.active), math.ceil(messages * ample / 2)) for messages in (2, 4)])

    def makers(self, window: Window, together: int) -> int:
        """How many workers are asked for batches that are asked for so many at a time; 0 where each is asked for by itself.

        Where each worker cannot have a core of its own beside the consumer, no more than can, if they make about as much as all would.
        """
        self._few = 0
        if together == 1:
            return 0
        if self.lane != "processes" or not self.batches:
            return window.active
        if self._cores is None:
            self._cores = usable_cores()
        spare = max(1, self._cores - 1)
        if spare < window.active:
            make_s = (self._make_s + self._cross_s) / self._made
            own_s = (self.clock() - self._began - self.wait_s) / self.batches
            if make_s <= spare * max(own_s, (make_s + own_s + WAKING_S / together) / self._cores):
                self._few = spare
        return self._few or window.active

    def _is_trivial(self) -> bool:
        """Whether a batch is so little work that a thread has little to do but to hand it over, and does not sleep meanwhile."""
        return self._cpu_s < TRIVIAL_S * self._made and self._make_s < 4 * self._cpu_s

    def slowest_usual_s(self) -> float:
        """The 99th percentile of recent make times (nearest rank); 0 before the first."""
        ordered = sorted(self.recent_make_s)
        return ordered[max(0, -(-99 * len(ordered) // 100) - 1)] if ordered else 0.0

    def look(self) -> FeedFigures:
        """The figures so far, without starting anew."""
        ran_s, queued_s = since(self._worker_times, worker_times()) if self.lane != "inline" else (0.0, 0.0)
        return FeedFigures(
            self.lane, self.workers, self.batches, self.clock() - self._began, self.wait_s, self._make_s, self._cpu_s,
            self._made, self._cross_s, self._held / self._probes if self._probes >= FEWEST_PROBES else None, self.is_auto, self._deaths,
            self._last_death, self.single_owner, self._slots_s, self._longest_s, ran_s, queued_s, self.auto_limit, self._few,
            self.max_queue_size, self.is_refused, self._pull_s)

    def timeline(self) -> Timeline:
        """The latest batches of this stretch."""
        began = self._began
        takes = []
        waited = self._takes[0][3] if self.batches > KEPT else 0.0
        for ticket, index, at, wait_s, ready in self._takes:
            takes.append(Take(ticket, index, at - began, wait_s - waited, ready))
            waited = wait_s
        makes = [
            Make(worker, ticket, at - began, make_s, cross_s) for worker, *runs in self._makes
            for ticket, at, make_s, cross_s in zip(*runs, strict=True)]
        return Timeline(tuple(makes[-KEPT:]), tuple(takes))

    def take(self) -> FeedFigures:
        """The figures since the last take, and start anew."""
        figures = self.look()
        self._restart()
        return figures
