"""What a worker process does: takes asks from its socket, makes batches, puts them into slots, and says so.

Rules: imports no framework; hears no Ctrl-C; dies with its server; answers in the order of the asks; every error of the source is an
answer.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import mmap
import os
import pickle
import random
import signal
import socket
from collections.abc import Callable, Sequence
from time import perf_counter, thread_time
from typing import Any

import stoker.feed.wire as wire
from stoker.feed.arena import Arena, Cargo
from stoker.feed.empty import OFFER
from stoker.feed.errands import pack_error
from stoker.feed.held import Held, Run
from stoker.feed.messages import MESSAGE_S, Ask
from stoker.feed.parcel import Packer
from stoker.feed.seeding import Seeding, seed_globals, seed_own
from stoker.feed.worker import WORKER, make
from stoker.outcome import Ended, Failure, Value, failure
from stoker.source.protocol import Source

READ_BYTES = 1 << 14
PR_SET_PDEATHSIG = 1
NICENESS = 5
"""Where cores are short the step comes first: what workers make ahead can wait, and what the step waits for is made meanwhile."""

MOST_HELD_S = 8 * MESSAGE_S
"""Answers wait for no more work than this: twice what is asked for in a message, because some batches take longer than most."""
MOST_GENERATORS = 32
"""A source that keeps more random generators has one for each item or so, and seeds them itself."""


def work(request: dict[str, Any], channel: int, stack: int, arena: int) -> None:
    """Serve one parent until it closes the channel."""
    _settle_in(stack)
    os.environ[WORKER] = str(request["worker"])
    worker = _Worker(request["worker"], socket.socket(fileno=channel), Arena(arena, request["stride"], request["slots"]))
    worker.chaos = request["chaos"]
    worker.seed = Seeding().begin
    worker.run()


def _settle_in(stack: int) -> None:
    """Hygiene: die with the server, leave Ctrl-C to the parent, show the stack when asked, touch no terminal.

    And wait for one's turn: on Linux a worker that gets something to do would take the core from the thread that gave it, and two that work
    ahead would slow down the step that all wait for.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICENESS)
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if hasattr(signal, "SIGUSR2"):
        faulthandler.register(signal.SIGUSR2, file=stack, all_threads=True)
    faulthandler.enable(stack)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)


class _Worker:
    """The sources and slots of one worker process."""

    def __init__(self, number: int, channel: socket.socket, arena: Arena) -> None:
        self._say_at = arena.teller(number)
        self._arena = arena
        self.chaos = 0.0
        self._channel = channel
        self._packer = Packer(arena)
        self._sources: dict[int, Source | Failure] = {}
        self._generators: dict[int, list[Any]] = {}
        """The random generators that a source keeps which several workers make batches of."""
        self._cargo: dict[tuple[int, int], mmap.mmap] = {}
        """Blocks of cargo by the source that they came with, and their number there."""
        self._held = Held(channel, self._packer)
        self.seed: Callable[[Ask], None] = seed_globals
        self._input = bytearray()
        self._fds: list[int] = []

    def run(self) -> None:
        """Take frames until the end."""
        if hasattr(signal, "SIGUSR1"):
            signal.signal(signal.SIGUSR1, self._held.nudged)
        while (taken := self._frame()) is not None:
            kind, body = taken
            if kind == wire.ASKS:
                self._answer(*wire.unpack_asks(body))
            elif kind == wire.ITEMS:
                self._answer(*wire.unpack_items(body))
            elif kind == wire.SOURCE:
                self._take_source(body)
            elif kind == wire.DROP:
                self._drop(int(body))
            else:
                return

    def _frame(self) -> tuple[bytes, bytes] | None:
        """The next frame, or None once the parent has closed its end."""
        head = wire.FRAME.size
        while True:
            if len(self._input) >= head:
                kind, length = wire.FRAME.unpack_from(self._input)
                if len(self._input) >= head + length:
                    body = bytes(self._input[head:head + length])
                    del self._input[:head + length]
                    return kind, body
            data, fds, _, _ = socket.recv_fds(self._channel, READ_BYTES, 16)
            self._fds += fds
            if not data:
                return None
            self._input += data

    def _take_source(self, body: bytes) -> None:
        """Load a source: its pickle, and its large buffers from the blocks that came with it or came before."""
        key, pickled, places, new = pickle.loads(body)
        for block, size in new:
            cargo = Cargo(self._fds.pop(0), size)
            self._cargo[key, block] = cargo.map()
            cargo.close()
        try:
            data, *buffers = [
                memoryview(self._cargo[key, block])[offset:offset + size] for block, offset, size in (pickled, *places)]
            source, generators = pickle.loads(data, buffers=buffers)
            self._sources[key] = source
            self._generators[key] = [] if source.single_owner or len(generators) > MOST_GENERATORS else generators
        except BaseException as error:
            self._sources[key] = failure(error)
        self._keep_cargo(key, {block for block, *_ in (*places, pickled)})

    def _drop(self, key: int) -> None:
        """Let go of a source."""
        self._sources.pop(key, None)
        self._generators.pop(key, None)
        self._keep_cargo(key, set())

    def _keep_cargo(self, key: int, used: set[int]) -> None:
        """Let go of what a source does not lie in any more."""
        for known in [known for known in self._cargo if known[0] == key and known[1] not in used]:
            del self._cargo[known]

    def _answer(self, asks: list[Ask], slots: Sequence[int]) -> None:
        self._held.slots.extend(slots)
        held_s, began_cpu_s, last = 0.0, thread_time(), asks[-1]
        say_at = self._say_at
        OFFER.set(self._packer.offer)
        for ask in asks:
            say_at(ask.source, ask.ticket)
            if self.chaos and random.SystemRandom().random() < self.chaos and self._arena.mark(ask.source, ask.ticket):
                os.kill(os.getpid(), signal.SIGKILL)  # once at each item at most: three deaths at one would be an error
            took_s = self._answer_one(ask, began_cpu_s if ask is last else None)
            held_s += took_s
            if held_s + took_s > MOST_HELD_S:
                self._held.send()
                held_s = 0.0
        OFFER.set(None)
        say_at(-1, 0)
        self._held.send()

    def _answer_one(self, ask: Ask, began_cpu_s: float | None) -> float:
        """Make a batch and add it to what is held; the seconds that making took."""
        source = self._sources[ask.source]
        self._packer.begin(self._held.slots[-1])
        outcome: Any
        if isinstance(source, Failure) or type(ask.item) is Failure:
            outcome, make_s, began_s = source if isinstance(source, Failure) else ask.item, 0.0, perf_counter()
        else:
            outcome, make_s, began_s = make(source, ask, self._seed_all)
            if type(outcome) is Value and self._held.add_batch(ask, outcome.value, make_s, began_s, began_cpu_s):
                return make_s
        kind, template, offsets, extra = self._packed(outcome)
        del outcome
        if self._packer.is_kept():
            extra = pickle.dumps((extra, self._packer.contents() if kind == wire.VALUE else b""), 5)
            kind |= wire.KEPT
        self._held.add(Run(kind, ask.source, self._held.slots.pop(), template, offsets, extra), ask, make_s, began_s, began_cpu_s)
        return make_s

    def _seed_all(self, ask: Ask) -> None:
        """The randomness of an item, in this process and in its source."""
        self.seed(ask)
        generators = self._generators.get(ask.source)
        if generators:
            seed_own(generators, ask)

    def _packed(self, outcome: Any) -> tuple[int, int, list[int], bytes]:
        if isinstance(outcome, Ended):
            return wire.ENDED, 0, [], b""
        if isinstance(outcome, Value):
            try:
                return (wire.VALUE, *self._packer.pack(outcome.value))
            except BaseException as error:
                error.add_note("raised while the batch was put into shared memory for the caller")
                outcome = failure(error)
        return wire.FAILURE, -1, [], pickle.dumps(_portable(outcome), 5)


def _portable(found: Failure) -> Failure:
    """The failure as it can cross: with the exception as bytes."""
    return Failure(pack_error(found.error), found.trace, found.notes)  # type: ignore[arg-type]
