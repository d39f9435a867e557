"""What drives a lane: takes its replies, hands out asks, and judges faults, whenever a consumer waits.

There is no thread here: the consumer's own ``next()`` runs the pump. Workers stay busy meanwhile because up to ``max_queue_size``
batches are asked for ahead.

Rules: waits only in ``lane.receive``, never longer than a tick, so that deaths and silences are judged and Ctrl-C is heard; decides
nothing that the window, the course or ``faults`` can decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from stoker.errors import WorkerDied
from stoker.feed.course import Course
from stoker.feed.faults import (
    DEATHS_ON_ONE_BATCH,
    Silence,
    died_error,
    hung_error,
    made_by,
    owner_died_error,
    patience_s,
)
from stoker.feed.inline import InlineLane
from stoker.feed.lane import Lane
from stoker.feed.messages import Ask, Died, Got, Reply
from stoker.feed.meter import Meter
from stoker.feed.overview import OPEN, STALL_S, stall_text
from stoker.feed.window import Window
from stoker.outcome import Ended, Failure
from stoker.source.drawing import DRAWING
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

    def stalled(self, text: str, waited_s: float) -> None:
        """No batch has come for a long time; told each second of that."""

    def owner_died(self, event: Died) -> None:
        """The one worker of a source with one owner died while it was asked for nothing."""


class Pump:
    """The lane and the feeds that are fed from it.

    Args:
        lane: the workers.
        clock: seconds, monotonic.
    """

    def __init__(self, lane: Lane, clock: Callable[[], float]) -> None:
        self.lane = lane
        self.clock = clock
        self._desks: dict[int, Desk] = {}
        self._silence = Silence(lane.workers)
        self._waiting_since_s = 0.0
        OPEN.add(self)

    def add(self, key: int, desk: Desk) -> None:
        """Feed this one too.

        Raises:
            NotPicklable: the lane cannot take the source.
        """
        self.lane.add_source(key, desk.source)
        self._desks[key] = desk

    def remove(self, key: int) -> None:
        """Feed this one no more; what is still being made for it is let go of when it comes."""
        del self._desks[key]
        self.lane.drop_source(key)

    def dismiss(self, key: int) -> None:
        """Feed this one no more, if it was fed, and let go of what is ready for it."""
        if key in self._desks:
            self._let_go(self._desks[key])
            self.remove(key)

    def _let_go(self, desk: Desk) -> None:
        for payload in desk.window.drain():
            self.lane.discard(payload)

    def dispatch(self, desk: Desk) -> None:
        """Send what waits to be asked."""
        desk.fill()
        if not desk.window.has_waiting:
            return
        now_s = self.clock()
        together = desk.meter.at_a_time(desk.window)
        for worker, asks in desk.window.assign(desk.meter.makers(desk.window, together), together).items():
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
        self._waiting_since_s = self.clock()
        replies = self.lane.receive(0.0)
        while True:
            if replies:
                self._handle_all(replies)
            if desk.is_served():
                return
            self.dispatch(desk)
            if desk.window.is_idle:
                return
            tick_s, began_s = self._tick_s(desk), self.clock()
            with DRAWING.given_up():
                replies = self.lane.receive(tick_s)
            self._silence.forgive(self.clock() - began_s - 2 * tick_s)
            if not replies:
                self._judge_silence(desk)

    def wait_here(self, desk: Desk) -> None:
        """``wait`` without workers: make what is asked for next on this thread, until the desk is served."""
        lane = self.lane
        assert isinstance(lane, InlineLane)
        while not desk.is_served():
            desk.fill()
            ask = desk.window.assign_one()
            if ask is None:
                return
            self._silence.asked(0, self.clock())
            self.take_up(lane.answer(ask, lane.make(ask)))

    def _handle_all(self, replies: list[Reply]) -> None:
        """Take up every reply, and only then ask for what was lost, and raise what is wrong with one of them."""
        trouble: WorkerDied | None = None
        has_died = False
        for reply in replies:
            if isinstance(reply, Got):
                self._silence.heard(reply.worker, self.clock())
                self.take_up(reply)
                continue
            has_died = True
            try:
                self._bury(reply)
            except WorkerDied as error:
                trouble = error
        if trouble is not None:
            raise trouble
        if has_died:  # not before each of the dead has been replaced: the lane would start a worker for one that is asked too early
            for desk in self._desks.values():
                self.dispatch(desk)

    def take_up(self, reply: Got) -> None:
        """Answers of one worker for one source."""
        desk = self._desks.get(reply.source)
        count = taken = 0
        if desk is not None:
            payloads, count = reply.payloads, len(reply.payloads)
            while count and type(payloads[count - 1]) is Ended:
                count -= 1
            if Failure in map(type, payloads):
                payloads = self._with_places(desk, reply)
            taken = desk.window.got(reply.worker, reply.tickets[:count], payloads)
            if taken:
                desk.meter.made(reply if taken == len(payloads) else reply.first(taken))
            for ticket in reply.tickets[count:]:
                if desk.window.ended(reply.worker, ticket) and desk.window.settle_end():
                    desk.stream_ended()
        for payload in reply.payloads[taken:]:
            self.lane.discard(payload)

    def _with_places(self, desk: Desk, reply: Got) -> list[Any]:
        """The payloads of answers; the errors among them with a note that says where they arose."""
        who = "on the caller's thread" if self.lane.name == "inline" else f"by worker {reply.worker} ({self.lane.name})"
        payloads = list(reply.payloads)
        for place, (ticket, payload) in enumerate(zip(reply.tickets, reply.payloads, strict=True)):
            if type(payload) is Failure:
                payloads[place] = made_by(payload, desk.window.index_of(ticket), desk.source.label, who)
        return payloads

    def _bury(self, event: Died) -> None:
        """A worker died: what it was at is counted, what it had waits to be asked again, and another takes its place."""
        hopeless = self._silence.died(event.worker, self.clock())
        source, at = event.at or (None, None)
        for key, desk in self._desks.items():
            ask = desk.window.died(event.worker, at if key == source else None)
            desk.meter.died(event.cause)
            if desk.window.settle_end():  # it had told the end of a stream, and nothing is lost
                desk.stream_ended()
            if ask is None:
                if desk.source.single_owner and desk.window.owner == event.worker:
                    desk.owner_died(event)
                continue
            deaths = desk.window.deaths(ask.ticket)
            if desk.source.single_owner:
                desk.window.give_up(ask.ticket, Failure(owner_died_error(ask.index, event, desk.source.label)))
            elif deaths >= DEATHS_ON_ONE_BATCH:
                desk.window.give_up(ask.ticket, Failure(died_error(ask, event, deaths, desk.source.label)))
        if hopeless:
            label = next(iter(self._desks.values())).source.label
            raise died_error(None, event, self._silence.deaths(event.worker), label)
        self.lane.replace(event.worker)

    def _tick_s(self, desk: Desk) -> float:
        return TICK_S if desk.timeout_s is None else min(TICK_S, desk.timeout_s / 4)

    def _judge_silence(self, desk: Desk) -> None:
        """Nothing came for a tick: has the worker we wait for been silent for too long?"""
        now_s = self.clock()
        worker = desk.window.worker_of(desk.window.next_out)
        silent_s = 0.0 if worker is None else self._silence.length_s(worker, now_s)
        if now_s - self._waiting_since_s >= STALL_S:
            self._tell_of_stall(desk, worker, silent_s, now_s - self._waiting_since_s)
        if worker is None or silent_s <= self._patience_s(desk, worker):
            return
        ask, culprit = self._making(worker, desk)
        stack = self.lane.stack(worker)
        self.lane.kill(worker)
        raise hung_error(ask, worker, silent_s, stack, culprit.source.label)

    def _patience_s(self, desk: Desk, worker: int) -> float:
        meter = desk.meter
        dropped = desk.window.awaited() or 0 if desk.source.single_owner else 0  # by the first ask, where the stream was gone on with
        return patience_s(desk.timeout_s, meter.slowest_usual_s(), meter.longest_make_s, dropped, self._silence.is_new(worker))

    def _making(self, worker: int, desk: Desk) -> tuple[Ask | None, Desk]:
        """What a worker is making, and for whom: ``desk`` where the lane does not tell."""
        source, at = self.lane.at(worker) or (None, None)
        owner = desk if source is None else self._desks.get(source, desk)
        return owner.window.current(worker, at), owner

    def _tell_of_stall(self, desk: Desk, worker: int | None, busy_s: float, waited_s: float) -> None:
        ask = None if worker is None else self._making(worker, desk)[0]
        desk.stalled(stall_text(worker, ask, desk.window.awaited(), busy_s, waited_s), waited_s)

    def describe(self) -> list[str]:
        """What is ready for each feed, and what every worker that has begun does, with its stack."""
        desks = list(self._desks.values())
        texts = [
            f"stoker: {desk.source.label}, {self.lane.name}: {desk.window.next_out} batches handed out, {desk.window.ready} ready"
            for desk in desks]
        here = [(desk.window.passing, desk.source.label) for desk in desks]
        texts += [f"the caller's thread is making index {ask.index} of {label}" for ask, label in here if ask is not None]
        for worker in range(self.lane.workers if desks else 0):
            stack = self.lane.stack(worker)
            ask, owner = self._making(worker, desks[0])
            if ask is not None:
                busy_s = self._silence.length_s(worker, self.clock())
                texts.append(f"worker {worker} has been making index {ask.index} of {owner.source.label} for {busy_s:.1f} s")
            elif stack:
                texts.append(f"worker {worker} is idle")
            if stack:
                texts.append(stack.rstrip())
        return texts

    def close(self) -> None:
        """Let go of what is ready, and end the lane."""
        OPEN.discard(self)
        desks, self._desks = list(self._desks.values()), {}
        try:
            for desk in desks:
                self._let_go(desk)
        finally:
            self.lane.close()
