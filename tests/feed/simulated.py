"""A machine that is made up: workers, cores, the GIL and a model with a clock of their own, under the real feed.

The feed, its pump, window, meter and governor are those of a training; the lanes are not, and nothing takes any time. A batch waits for
so long (a disk), then computes (on a core, of which there are so many, and under the GIL or not), then is carried over (processes only).
"""

from __future__ import annotations

import dataclasses
from collections import deque

import numpy as np

import stoker
from stoker.feed.messages import Died, Got
from stoker.outcome import Ended, Value

TINY_S = 1e-9


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a batch takes.

    Args:
        wait_s: for a disk or the network.
        cpu_s: on a core.
        cross_s: carrying it into shared memory.
        holds_gil: threads compute one at a time.
    """

    wait_s: float = 0.0
    cpu_s: float = 0.0
    cross_s: float = 0.0
    holds_gil: bool = False


class Priced(stoker.Sequence):
    """Batches that are nothing, at a price.

    Args:
        cost: of each batch, or a function of its index.
        length: batches in a pass.
    """

    def __init__(self, cost, length=200):
        self.cost = cost if callable(cost) else lambda index: cost
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return np.full((1, 1), index)


class World:
    """The clock, the cores, and everybody who is at work.

    Args:
        cores: how many.
        others: threads of other programs that always want a core.
    """

    def __init__(self, cores=64, others=0):
        self.now_s = 0.0
        self.cores, self.others = cores, others
        self.lanes = []

    def clock(self):
        return self.now_s

    def advance(self, seconds, until_reply_of=None):
        """Let time go by; no further than to the first reply of a lane, where one is named."""
        end_s = self.now_s + seconds
        while self.now_s < end_s - TINY_S and not (until_reply_of and until_reply_of.replies):
            busy = [(lane, number) for lane in self.lanes for number in range(lane.workers) if lane.begin(number)]
            rates = self._rates(busy)
            left = [lane.left_s(number) / rate for (lane, number), rate in zip(busy, rates, strict=True) if rate]
            step_s = min([end_s - self.now_s, *left])
            self.now_s += step_s
            for (lane, number), rate in zip(busy, rates, strict=True):
                lane.work(number, step_s, rate)

    def _rates(self, busy):
        """How fast each of them goes, 1 where it waits for nobody: who began first has the GIL, and a core, first."""
        computing = sorted((one for one in busy if one[0].is_computing(one[1])), key=lambda one: one[0].job[one[1]][2])
        held = [one for one in computing if one[0].holds_gil(one[1])]
        running = [one for one in computing if one not in held[1:]]
        free = self.cores * len(running) / max(1, len(running) + self.others) if self.others else self.cores
        given = {one: min(1.0, max(0.0, free - place)) for place, one in enumerate(running)}
        return [given.get(one, 0.0) if one in computing else 1.0 for one in busy]

    def is_gil_held(self):
        return any(lane.job[number] and lane.holds_gil(number) for lane in self.lanes for number in range(lane.workers))

    def times(self):
        return {id(lane) + number: tuple(lane.schedule[number]) for lane in self.lanes for number in range(lane.workers)}


class SimulatedLane:
    """Workers of the world."""

    def __init__(self, name, world, workers):
        self.name, self.world, self.workers = name, world, workers
        self.sources, self.replies = {}, []
        self.inbox = [deque() for _ in range(workers)]
        self.job = [None] * workers
        self.schedule = [[0.0, 0.0] for _ in range(workers)]
        self.dead = set()
        world.lanes.append(self)

    def begin(self, number):
        """Whether a worker has work, which it takes up."""
        if self.job[number] is None and self.inbox[number]:
            ask = self.inbox[number].popleft()
            cost = self.sources[ask.source].original.cost(ask.index)
            cross_s = cost.cross_s if self.name == "processes" else 0.0
            self.job[number] = [ask, cost, self.world.now_s, [cost.wait_s, cost.cpu_s, cross_s + TINY_S], 0.0]
        return self.job[number] is not None

    def _phase(self, number):
        return next(phase for phase, left_s in enumerate(self.job[number][3]) if left_s > 0)

    def left_s(self, number):
        return self.job[number][3][self._phase(number)]

    def is_computing(self, number):
        return self._phase(number) > 0

    def holds_gil(self, number):
        return self.name == "threads" and self.job[number][1].holds_gil and self._phase(number) == 1

    def work(self, number, seconds, rate):
        """Go on with what a worker is at."""
        ask, cost, began_s, left, _ = job = self.job[number]
        phase = self._phase(number)
        if phase > 0:
            self.schedule[number][0] += seconds * rate
            self.schedule[number][1] += 0.0 if self.holds_gil(number) else seconds * (1 - rate)
        job[4] += seconds if phase == 2 else 0.0
        left[phase] -= seconds * rate
        if left[phase] <= TINY_S / 2:
            left[phase] = 0.0
        if not any(left):
            self.job[number] = None
            make_s = self.world.now_s - began_s - job[4]
            item = self.sources[ask.source].get(ask.pass_number, ask.index, ask.item)
            made = item if isinstance(item, Ended) else Value(item)
            cross_s = job[4] * (cost.cross_s > 0)
            self.replies.append(Got(number, ask.source, (ask.ticket,), (made,), (make_s,), cost.cpu_s, (began_s,), (cross_s,)))

    def send(self, worker, asks):
        assert worker not in self.dead, "who is dead can be asked only once another is in its place"
        self.inbox[worker].extend(asks)

    def kill(self, *workers):
        """Workers die at the same moment, with all that they were asked for, and this is noticed at the next look."""
        self.replies += [Died(worker, "killed") for worker in workers]

    def replace(self, worker):
        self.dead.remove(worker)

    def receive(self, timeout_s):
        self.world.advance(timeout_s, self)
        replies, self.replies = self.replies, []
        for reply in replies:
            if isinstance(reply, Died):
                self.dead.add(reply.worker)
                self.inbox[reply.worker].clear()
                self.job[reply.worker] = None
        return replies

    def add_source(self, key, source):
        self.sources[key] = source

    def drop_source(self, key):
        del self.sources[key]

    def unpack(self, payload):
        return payload

    def refresh_source(self, key):
        """Workers see the source itself."""

    def at(self, worker):
        return None

    def stack(self, worker):
        return ""

    def discard(self, payload):
        """Nothing is held."""

    def close(self):
        if self in self.world.lanes:
            self.world.lanes.remove(self)


def build(monkeypatch, **world):
    """A world that the feeds of a test live in."""
    made = World(**world)
    monkeypatch.setattr("stoker.feed.feed.perf_counter", made.clock)
    monkeypatch.setattr("stoker.feed.feed.lateness_s", lambda: 1e-3 * made.is_gil_held())
    monkeypatch.setattr("stoker.feed.meter.worker_times", made.times)
    monkeypatch.setattr("stoker.feed.auto.usable_cores", lambda: made.cores)
    monkeypatch.setattr("stoker.feed.meter.usable_cores", lambda: made.cores)
    monkeypatch.setattr("stoker.feed.auto.free_bytes", lambda: None)
    monkeypatch.setattr("stoker.feed.hub.ThreadLane", lambda workers, bound: SimulatedLane("threads", made, workers))
    monkeypatch.setattr("stoker.feed.processes.ProcessLane", lambda workers, bound: SimulatedLane("processes", made, workers))
    return made


def train(world, source, step_s, *, epochs=2, first_step_s=0.0, between_s=0.0, **options):
    """Figures of each epoch of a model that takes ``step_s`` for a batch, and ``between_s`` for its validation."""
    figures = []
    with stoker.Feed(source, seed=0, **options) as feed:
        steps = iter([first_step_s])
        for _ in range(epochs):
            for _ in feed.epoch():
                world.advance(step_s + next(steps, 0.0))
            figures.append(feed.meter.take())
            world.advance(between_s)
    return figures
