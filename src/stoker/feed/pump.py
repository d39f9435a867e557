"""What drives a lane: takes its replies, hands out asks, and judges faults, whenever a consumer waits.

There is no thread here: the consumer's own ``next()`` runs the pump. Workers stay busy meanwhile because up to ``max_queue_size``
batches are asked for ahead.

Rules: waits only in ``lane.receive``, never longer than a tick, so that deaths and silences are judged and Ctrl-C is heard; decides
nothing that the window, the course or ``faults`` can decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from stoker.feed.course import Course
from stoker.feed.faults import (
    DEATHS_ON_ONE_BATCH,
    Silence,
    died_error,
    hung_error,
    owner_died_error,
    patience_s,
)
from stoker.feed.lane import Lane
from stoker.feed.messages import Died, Got, Reply
from stoker.feed.meter import Meter
from stoker.feed.window import Window
from stoker.outcome import Ended, Failure
from stoker.source.protocol import Source

TICK_S = 1.0
"""The longest wait for a reply before faults are looked at."""


class Desk(Protocol):
    """What the pump knows of a feed."""

    source: Source
    window: Window
    course: Course
    meter: Meter
    timeout_s: float | None

    def fill(self) -> None:
        """Issue as many tickets as there is room and need for."""

    def stream_ended(self) -> None:
        """The end of a stream's pass has been settled."""

    def is_served(self) -> bool:
        """Whether the consumer need not wait: its next ticket is ready, or its epoch is over."""


class Pump:
    """The lane and the feeds that are fed from it.

    Args:
        lane: the workers.
        clock: seconds, monotonic.
    """

    def __init__(self, lane: Lane, clock: Callable[[], float]) -> None:
        self.lane = lane
        self.clock = clock
        self.on_tick: Callable[[Pump, Desk], None] | None = None
        """Called each second of a wait for one batch; shows a stall while it lasts."""
        self._desks: dict[int, Desk] = {}
        self._silence = Silence(lane.workers)

    def add(self, key: int, desk: Desk) -> None:
        """Feed this one too.

        Raises:
            NotPicklable: the lane cannot take the source.
        """
        self.lane.add_source(key, desk.source)
        self._desks[key] = desk

    def dispatch(self, desk: Desk) -> None:
        """Send what waits to be asked."""
        desk.fill()
        if not desk.window.has_waiting:
            return
        now_s = self.clock()
        for worker, asks in desk.window.assign(desk.meter.is_quick).items():
            if self._open_asks(worker) == len(asks):
                self._silence.asked(worker, now_s)
            self.lane.send(worker, asks)

    def _open_asks(self, worker: int) -> int:
        if len(self._desks) == 1:
            return next(iter(self._desks.values())).window.open_asks(worker)
        return sum(desk.window.open_asks(worker) for desk in self._desks.values())

    def wait(self, desk: Desk) -> None:
        """Return once the desk is served, or nothing is under way for it any more.

        Raises:
            WorkerHung: the worker that should make it is silent for longer than its patience.
            WorkerDied: workers die whatever they do.
        """
        replies = self.lane.receive(0.0)
        while True:
            if replies:
                self._handle_all(replies)
            if desk.is_served():
                return
            self.dispatch(desk)
            if desk.window.is_idle:
                return
            replies = self.lane.receive(self._tick_s(desk))
            if not replies:
                self._judge_silence(desk)

    def _handle_all(self, replies: list[Reply]) -> None:
        now_s = self.clock()
        for reply in replies:
            if isinstance(reply, Died):
                self._bury(reply)
            else:
                self._silence.heard(reply.worker, now_s)
                self._handle(reply)

    def _handle(self, reply: Got) -> None:
        desk = self._desks.get(reply.source)
        if desk is None:
            self.lane.discard(reply.payload)
        elif isinstance(reply.payload, Ended):
            if desk.window.ended(reply.worker, reply.ticket) and desk.window.settle_end():
                desk.stream_ended()
        elif desk.window.got(reply.worker, reply.ticket, reply):
            desk.meter.made(reply)
        else:
            self.lane.discard(reply.payload)

    def _bury(self, event: Died) -> None:
        """A worker died: what it was at is counted, what it had is asked again, and another takes its place."""
        hopeless = self._silence.died(event.worker, self.clock())
        source, at = event.at or (None, None)
        for key, desk in self._desks.items():
            ask = desk.window.died(event.worker, at if key == source else None)
            if ask is None:
                continue
            deaths = desk.window.deaths(ask.ticket)
            if desk.source.single_owner:
                desk.window.give_up(ask.ticket, Failure(owner_died_error(ask, event, desk.source.label)))
            elif deaths >= DEATHS_ON_ONE_BATCH:
                desk.window.give_up(ask.ticket, Failure(died_error(ask, event, deaths, desk.source.label)))
        if hopeless:
            label = next(iter(self._desks.values())).source.label
            raise died_error(None, event, self._silence.deaths(event.worker), label)
        self.lane.replace(event.worker)
        for desk in self._desks.values():
            self.dispatch(desk)

    def _tick_s(self, desk: Desk) -> float:
        return TICK_S if desk.timeout_s is None else min(TICK_S, desk.timeout_s / 4)

    def _judge_silence(self, desk: Desk) -> None:
        """Nothing came for a tick: has the worker we wait for been silent for too long?"""
        if self.on_tick is not None:
            self.on_tick(self, desk)
        worker = desk.window.worker_of(desk.window.next_out)
        if worker is None:
            return
        silent_s = self._silence.length_s(worker, self.clock())
        if silent_s <= patience_s(desk.timeout_s, desk.meter.slowest_usual_s()):
            return
        source, at = self.lane.at(worker) or (None, None)
        culprit = desk if source is None else self._desks.get(source, desk)
        ask = culprit.window.current(worker, at)
        stack = self.lane.stack(worker)
        self.lane.kill(worker)
        raise hung_error(ask, worker, silent_s, stack, culprit.source.label)

    def close(self) -> None:
        """Let go of what is ready, and end the lane."""
        for desk in self._desks.values():
            for reply in desk.window.drain():
                if isinstance(reply, Got):
                    self.lane.discard(reply.payload)
        self.lane.close()
