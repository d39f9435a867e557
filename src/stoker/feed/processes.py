"""The lane of worker processes.

A worker builds its batch and puts it into a slot of shared memory; what crosses the socket is where it lies. It has a slot for every
answer that it owes. Small batches that are made one after the other share one (``held.py``), and it keeps the slots that this leaves for
answers to come: so the same few go to and fro, and their memory is in the caches.

Rules: waits only in ``receive`` and for moments in ``close``, ``stack`` and at deaths; a slot is with one worker, or ready, or leased,
never two of these.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from array import array
from collections.abc import Sequence
from typing import Any

from stoker.errors import NotPicklable
from stoker.feed import wire
from stoker.feed.arena import Arena
from stoker.feed.crew import Crew, Hand
from stoker.feed.freight import Freight
from stoker.feed.messages import Ask, Died, Got, Reply
from stoker.feed.shipping import Shipment
from stoker.feed.slots import SlotTable
from stoker.feed.travel import pack_items
from stoker.feed.window import MOST_AT_ONCE
from stoker.outcome import Outcome
from stoker.source.protocol import Source

LEASES = 6
"""Batches that the consumer may hold without a copy: the one in use, one on its way to a device, and what a framework lets go of late."""
SOURCES = 2
"""Sources that a worker may be asked for the most of at once, such as training and validation data."""
NUDGE_S = 5e-3
"""After a wait of this length, of twice that and so on it is looked whether what is waited for has long been made: workers send answers
together."""
READ_BYTES = 1 << 14
"""Room for the answers to some messages: a large piece of memory takes longer to get than several to read into."""


class ProcessLane:
    """Workers that are processes, forked from a small clean server.

    Args:
        workers: how many.
        bound: batches of one source in flight or ready at once.
    """

    name = "processes"

    def __init__(self, workers: int, bound: int) -> None:
        self.workers = workers
        places = workers + 1  # a batch is asked of a worker, which keeps its slots, or ready
        self._arena = Arena.create(places * SOURCES * max(bound, MOST_AT_ONCE) + LEASES + 1)
        self._slots = SlotTable(self._arena.slots - 1, LEASES)
        self._freight = Freight(self._arena, self._slots)
        self._shipments: dict[int, Shipment] = {}
        self._hands: dict[int, Hand] = {}
        self._is_closed = False
        self._pid = os.getpid()
        self._poll = select.poll()
        self._by_fd: dict[int, Hand] = {}
        self._started: Crew | None = None

    def add_source(self, key: int, source: Source) -> None:
        if source.kind == "stream" and source.single_owner:
            raise NotPicklable(
                "an iterator keeps its place for the next call, and so stays in this process", got=source.label,
                expected="a Sequence", where=source.label,
                remedy="A Sequence or stoker.parallel_map uses all workers; a generator function may run in a process.")
        self._ensure_crew()  # the server starts while the source is pickled
        shipment = self._shipments[key] = Shipment(key, source)
        for hand in self._hands.values():
            self._ship(hand, shipment)

    def _ensure_crew(self) -> None:
        if self._started is None:
            self._started = Crew(self._arena)
            self._poll.register(self._started.control, select.POLLIN)

    @property
    def _crew(self) -> Crew:
        """The processes, once there is a source."""
        assert self._started is not None
        return self._started

    def refresh_source(self, key: int) -> None:
        shipment = self._shipments[key]
        new = shipment.refresh()
        if new is not None:
            for hand in self._hands.values():
                self._ship(hand, shipment, new)

    def drop_source(self, key: int) -> None:
        self._shipments.pop(key).close()
        for hand in self._hands.values():
            self._send(hand, wire.frame(wire.DROP, str(key).encode()))

    def _ship(self, hand: Hand, shipment: Shipment, blocks: list[int] | None = None) -> None:
        frame, fds = shipment.parcel(blocks)
        self._send(hand, frame, fds)

    def _send(self, hand: Hand, frame: bytes, fds: list[int] | None = None) -> None:
        """Write to a worker without waiting: one that is itself writing, or stopped, takes the rest when it reads again."""
        hand.outbox.append((memoryview(frame), [os.dup(fd) for fd in fds or ()]))
        if len(hand.outbox) == 1 and not self._flush(hand):
            self._poll.modify(hand.channel, select.POLLIN | select.POLLOUT)

    def _flush(self, hand: Hand) -> bool:
        """Write what waits to be written; False if some must wait on. One that is gone is noticed when it is read from."""
        while hand.outbox:
            frame, fds = hand.outbox.popleft()
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
            try:
                sent = hand.channel.sendmsg([frame], rights, socket.MSG_DONTWAIT)
            except BlockingIOError:
                hand.outbox.appendleft((frame, fds))
                return False
            except (BrokenPipeError, ConnectionResetError):
                sent = len(frame)
            for fd in fds:
                os.close(fd)
            if sent < len(frame):
                hand.outbox.appendleft((frame[sent:], []))
        return True

    def send(self, worker: int, asks: Sequence[Ask]) -> None:
        hand = self._hands.get(worker) or self._start(worker)
        sources, tickets, _, _, _, items = zip(*asks, strict=True)
        slots = self._slots.take(max(0, len(hand.asked) + len(asks) - len(hand.slots)))
        hand.slots.update(slots)
        hand.asked.extend(zip(sources, tickets, strict=True))
        has_items = any(item is not None for item in items)
        self._send(hand, wire.frame(wire.ITEMS, pack_items(asks, slots)) if has_items else wire.pack_asks(asks, slots))

    def _start(self, worker: int) -> Hand:
        if self._crew.is_gone:
            self._renew_crew()
        self._arena.teller(worker)(-1, 0)
        hand = self._crew.hire(worker)
        self._hands[worker] = hand
        self._by_fd[hand.channel.fileno()] = hand
        self._poll.register(hand.channel, select.POLLIN)
        for shipment in self._shipments.values():
            self._ship(hand, shipment)
        return hand

    def _renew_crew(self) -> None:
        """The server was killed: start another."""
        gone, self._started = self._crew, None
        self._poll.unregister(gone.control)
        gone.close([])
        self._ensure_crew()

    def receive(self, timeout_s: float) -> list[Reply]:
        until = time.monotonic() + timeout_s if timeout_s > 0 else 0.0
        replies: list[Reply] = []
        left_s, pause_s = timeout_s, NUDGE_S
        while True:
            for fd, event in self._poll.poll(min(left_s, pause_s) * 1e3):
                self._attend(fd, event, replies)
            for hand in self._started.ended() if self._started else ():
                self._read(hand, replies)
            if replies or timeout_s <= 0:
                return replies
            left_s = until - time.monotonic()
            if left_s <= 0:
                return replies
            self._nudge()
            pause_s *= 2

    def _nudge(self) -> None:
        """Have workers send the answers that they hold, where they are at something that takes longer than those did."""
        for hand in self._hands.values():
            at = self._arena.at(hand.number)
            if hand.asked and at is not None and at != hand.asked[0] and at != hand.nudged_at:
                hand.nudged_at = at
                self._crew.signal(hand, signal.SIGUSR1)

    def _attend(self, fd: int, event: int, replies: list[Reply]) -> None:
        """Do what the poll saw: room in a worker's pipe, something to read there, or word from the fork server."""
        hand = self._by_fd.get(fd)
        if hand is not None and event & select.POLLOUT and self._flush(hand):
            self._poll.modify(fd, select.POLLIN)
        if event & ~select.POLLOUT:
            if hand is not None:
                self._read(hand, replies)
            else:
                self._crew.hear()

    def _read(self, hand: Hand, replies: list[Reply]) -> None:
        """Take up what a worker wrote, and its end if it has ended."""
        if self._hands.get(hand.number) is not hand:
            return
        while True:
            try:
                data = hand.channel.recv(READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if hand.status is None:
                    return
                data = b""
            except ConnectionResetError:
                data = b""
            if not data:
                replies.append(self._bury(hand))
                return
            records = list(hand.parser.feed(data))  # first: what is raised while they are taken up must not have them parsed again
            replies += [self._reply(hand, record) for record in records]
            if len(data) < READ_BYTES and hand.status is None:
                return

    def _reply(self, hand: Hand, record: wire.Record) -> Got:
        hand.slots.remove(record.slot)
        for _ in record.tickets:
            hand.asked.popleft()
        payloads = self._freight.payloads(record, hand.unpacker, hand.number, hand.kept)
        return Got(
            hand.number, record.source, record.tickets, payloads, record.make_s, record.cpu_s, record.began_s, record.cross_s)

    def _bury(self, hand: Hand) -> Died:
        """A worker has ended: free its slots, and say how it ended."""
        self._poll.unregister(hand.channel)
        del self._by_fd[hand.channel.fileno()]
        del self._hands[hand.number]
        cause = self._crew.cause_of(hand)
        self._slots.free([*hand.slots, *hand.kept])
        hand.close()
        return Died(hand.number, cause, self._arena.at(hand.number))

    def replace(self, worker: int) -> None:
        self._start(worker)

    def at(self, worker: int) -> tuple[int, int] | None:
        return self._arena.at(worker)

    def stack(self, worker: int) -> str:
        hand = self._hands.get(worker)
        return self._crew.stack_of(hand) if hand else ""

    def kill(self, worker: int) -> bool:
        hand = self._hands.get(worker)
        return hand is not None and self._crew.signal(hand, signal.SIGKILL)

    def unpack(self, payload: Any) -> Outcome:
        return self._freight.unpack(payload) if type(payload) is tuple else payload

    def discard(self, payload: Any) -> None:
        if type(payload) is tuple:
            self._freight.discard(payload)

    def close(self) -> None:
        if self._is_closed or os.getpid() != self._pid:  # a forked child of this process has copies, and must end nothing
            return
        self._is_closed = True
        hands = list(self._hands.values())
        self._hands.clear()
        self._by_fd.clear()
        try:
            if self._started is not None:
                self._started.close(hands)
        finally:
            for shipment in self._shipments.values():
                shipment.close()
            self._arena.close([slot for slot in range(self._slots.in_use) if slot not in self._slots.leased])
