"""The lane of worker threads.

Rules: every worker has an inbox of its own, all share one outbox; a worker rings only if the consumer has gone to sleep, since waking
somebody costs more than a tiny batch; a worker ends when ``None`` lies in its inbox or when the lane is closing; threads are daemons,
because Python code that hangs cannot be ended from outside.
"""

from __future__ import annotations

import queue
import sys
import threading
import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from time import monotonic, perf_counter, thread_time

from stoker.errors import warn
from stoker.feed.local import LocalLane, settled
from stoker.feed.messages import Ask, Got, Reply
from stoker.feed.reuse import ReuseWatch, is_flat
from stoker.feed.worker import make
from stoker.outcome import Outcome, Value
from stoker.source.drawing import DRAWING
from stoker.source.protocol import Source

CLOSE_PATIENCE_S = 5.0
"""How long closing waits for a thread that is inside the user's code."""

SWITCH_INTERVAL_S = 0.5e-3
"""How long a thread may hold the GIL while these workers run. With Python's 5 ms a source in pure Python delays every step by up to
that: batches of 6 ms of pure Python with three short JAX calls each took 8.97 ms with 5 ms, 6.15 with 0.5, 5.83 with 0.2, and 5.98 with
0.1 (medians of 3, one worker, two cores); with shorter makes it made no difference."""

HOLD_S = 0.3e-3
"""A worker lets the consumer sleep on until it has made batches for so long: a ring costs more than a tiny batch."""
NAP_S = 2e-3
"""How long the consumer sleeps before it wants to be woken for any batch."""

Answer = tuple[int, int, int, Outcome, float, float, float, float]
"""As in ``Got``, of one batch."""
_whose = itemgetter(0, 1)


class ThreadLane(LocalLane):
    """Workers that are threads of this process; each starts with its first ask.

    Args:
        workers: how many.
        bound: batches that may wait at once.
    """

    name = "threads"

    def __init__(self, workers: int, bound: int) -> None:
        self.workers = workers
        self._bound = bound
        self._sources: dict[int, tuple[Source, ReuseWatch, threading.Lock]] = {}
        self._inboxes: list[queue.SimpleQueue[list[Ask] | None]] = [queue.SimpleQueue() for _ in range(workers)]
        self._outbox: deque[Answer] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_starving = False
        """Whether the consumer has slept for a while: any batch is worth a ring then."""
        self._is_asleep = False
        """Whether the consumer has found nothing and waits for the bell."""
        self._threads: dict[int, threading.Thread] = {}
        self._closing = False
        self._at: dict[int, tuple[int, int]] = {}
        self._switch_interval_s: float | None = None
        """What to put back, if this lane changed it."""

    def add_source(self, key: int, source: Source) -> None:
        self._sources[key] = (source, ReuseWatch(self._bound, source.single_owner), threading.Lock())

    def drop_source(self, key: int) -> None:
        del self._sources[key]

    @property
    def kept_bytes(self) -> int:
        """Size of the batches that are kept alive to see whether their memory comes again."""
        return sum(watch.kept_bytes for _, watch, _ in self._sources.values())

    def send(self, worker: int, asks: Sequence[Ask]) -> None:
        self._inboxes[worker].put(list(asks))
        if worker not in self._threads:
            self._start(worker)

    def _start(self, worker: int) -> None:
        if sys.getswitchinterval() > SWITCH_INTERVAL_S:
            self._switch_interval_s = sys.getswitchinterval()
            sys.setswitchinterval(SWITCH_INTERVAL_S)
        thread = threading.Thread(target=self._work, args=(worker,), name=f"stoker-worker-{worker}", daemon=True)
        self._threads[worker] = thread
        thread.start()

    def _work(self, worker: int) -> None:
        while (asks := self._inboxes[worker].get()) is not None:
            self._answer(worker, asks)
            del asks

    def _answer(self, worker: int, asks: list[Ask]) -> None:
        """What a worker does with a message."""
        began_cpu_s, held_s, last = thread_time(), 0.0, asks[-1]
        for ask in asks:
            known = self._sources.get(ask[0])
            if known is None or self._closing:  # dropped: nobody waits for it
                return
            self._at[worker] = ask[:2]
            source, watch, lock = known
            outcome, make_s, began_s = make(source, ask)
            copy_s = 0.0
            if watch.is_watching or watch.reused or not (type(outcome) is Value and is_flat(outcome.value)):
                outcome, copy_s = self._settled(outcome, watch, lock)
            held_s += make_s
            cpu_s = 0.0
            if ask is last:
                self._at.pop(worker, None)
                cpu_s = thread_time() - began_cpu_s
            self._outbox.append((worker, ask.source, ask.ticket, outcome, make_s, cpu_s, began_s, copy_s))
            if self._is_asleep and (self._is_starving or held_s > HOLD_S or ask is last):
                self._is_asleep = False
                self._bell.put(None)

    @staticmethod
    def _settled(outcome: Outcome, watch: ReuseWatch, lock: threading.Lock) -> tuple[Outcome, float]:
        """The outcome with memory of its own, where it needs that, and the seconds of copying."""
        if type(outcome) is not Value:
            return outcome, 0.0
        began_s = perf_counter()
        with lock:
            outcome = settled(outcome.value, watch)
        return outcome, perf_counter() - began_s if watch.reused else 0.0

    def receive(self, timeout_s: float) -> list[Reply]:
        if timeout_s <= 0:
            return self._drain()
        until_s = monotonic() + timeout_s
        nap_s = NAP_S
        while (left_s := until_s - monotonic()) > 0:
            self._is_asleep = True
            replies = self._drain()  # after falling asleep: what came just before would ring no bell
            if replies:
                break
            with suppress(queue.Empty):
                self._bell.get(timeout=min(nap_s, left_s))
            nap_s, self._is_starving = timeout_s, True
        else:
            replies = self._drain()
        self._is_asleep = self._is_starving = False
        return replies

    def _drain(self) -> list[Reply]:
        """All that lies there; answers of one worker that follow each other as one."""
        take = self._outbox.popleft
        answers = [take() for _ in range(len(self._outbox))]
        replies: list[Reply] = []
        for (worker, source), run in groupby(answers, _whose):
            _, _, tickets, outcomes, make_s, cpu_s, began_s, copy_s = zip(*run, strict=True)
            replies.append(Got(worker, source, tickets, outcomes, make_s, sum(cpu_s), began_s, copy_s))
        return replies

    def at(self, worker: int) -> tuple[int, int] | None:
        return self._at.get(worker)

    def stack(self, worker: int) -> str:
        thread = self._threads.get(worker)
        frame = sys._current_frames().get(thread.ident or 0) if thread else None
        return "".join(traceback.format_stack(frame)) if frame else ""

    def close(self) -> None:
        self._closing = True
        if self._switch_interval_s is not None:
            sys.setswitchinterval(self._switch_interval_s)
            self._switch_interval_s = None
        for inbox in self._inboxes:
            inbox.put(None)
        for thread in self._threads.values():
            with DRAWING.given_up():
                thread.join(CLOSE_PATIENCE_S)
            if thread.is_alive():
                warn(
                    f"{thread.name} is still inside the source; it ends when the source returns.")
        self._threads.clear()
        self._sources.clear()
