"""Answers that a worker holds until it is worth a message: batches of one template that follow each other go as one run.

A run lies in one slot, one batch behind another, and nothing is added to it once it has been sent: the parent may use the slot for
something else from then on. Every other answer has a slot of its own.

Rules: the signal by which the parent asks for what is held may come between any two instructions. It finds the list of answers as it
is at that moment, and only while a batch is being added to a run, which takes microseconds, it has to wait.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from time import perf_counter, thread_time
from typing import Any

import stoker.feed.wire as wire
from stoker.feed.messages import Ask
from stoker.feed.parcel import Form, Packer
from stoker.feed.plan import Arrays


class Run:
    """What the answers of one record have in common.

    Args:
        outcome: as in ``wire.Record``, and so on.
    """

    form: Form
    """Of a run that batches may be added to."""

    __slots__ = ("count", "extra", "form", "offsets", "outcome", "slot", "source", "template")

    def __init__(self, outcome: int, source: int, slot: int, template: int, offsets: Sequence[int] = (), extra: bytes = b"") -> None:
        self.outcome = outcome
        self.source = source
        self.slot = slot
        self.template = template
        self.offsets = offsets
        self.extra = extra
        self.count = 0
        """Batches that lie in the slot."""


Answer = tuple[Run, int, float, float, float, float]
"""The run, the ticket, seconds of making, beginning, seconds of packing, and CPU seconds."""
_run_of = itemgetter(0)


class Held:
    """The answers of one worker that have not been sent.

    Args:
        channel: the socket to the parent.
        packer: puts batches into slots.
    """

    def __init__(self, channel: socket.socket, packer: Packer) -> None:
        self._channel = channel
        self._packer = packer
        self.slots: list[int] = []
        """What answers may lie in, the one that is used next last; there is one at least for each batch that is asked for."""
        self._answers: list[Answer] = []
        """One list for good, because the signal may come while an answer is being added to it."""
        self._run: Run | None = None
        """The run that the next batch may be added to."""
        self._is_adding = False
        self._is_due = False
        self._is_sending = False

    def add_batch(self, ask: Ask, item: Any, make_s: float, began_s: float, began_cpu_s: float | None) -> bool:
        """Put a batch into a run and answer with it; False where it cannot lie in one."""
        if self._packer.offered:
            return False
        arrays: Arrays = []
        self._is_adding = True
        try:
            run = self._run
            if run is None or run.source != ask.source or run.count == run.form.layout.room or not run.form.gather(item, arrays):
                run = self._run = self._begun(ask.source, item, arrays)
                if run is None:
                    return False
            self._packer.add_to_run(run.form, run.slot, run.count, arrays)
            run.count += 1
            cpu_s = 0.0 if began_cpu_s is None else thread_time() - began_cpu_s
            self._answers.append((run, ask.ticket, make_s, began_s, perf_counter() - began_s - make_s, cpu_s))
        finally:
            self._is_adding = False
        if self._is_due:
            self.send()
        return True

    def add(self, run: Run, ask: Ask, make_s: float, began_s: float, began_cpu_s: float | None) -> None:
        """Answer with anything else."""
        self._run = None
        cpu_s = 0.0 if began_cpu_s is None else thread_time() - began_cpu_s
        self._answers.append((run, ask.ticket, make_s, began_s, perf_counter() - began_s - make_s, cpu_s))

    def _begun(self, source: int, item: Any, arrays: Arrays) -> Run | None:
        """A new run for this batch, and its arrays; None where it cannot lie in one."""
        arrays.clear()
        form = self._packer.form_of(item, arrays)
        if form is None or form.layout.room == 1:
            return None
        slot = self.slots[-1]
        run = Run(wire.VALUE, source, slot, form.number)
        run.form = form
        try:
            self._packer.begin_run(form, slot)
        except MemoryError:
            return None  # whoever puts it anywhere else finds the same, and can say so
        run.extra = self._packer.told(form)
        self.slots.pop()
        return run

    def nudged(self, *_: Any) -> None:
        """The parent waits for what is held: it goes at once, or as soon as the batch that is being added is there too."""
        if self._is_adding:
            self._is_due = True
        else:
            self.send()

    def send(self) -> None:
        """Send what is held; also in the middle of an item, when the parent says by a signal that it waits for what came before."""
        if self._is_sending:  # it is the signal that came in the middle of this
            return
        self._is_sending = True
        try:
            self._run, self._is_due = None, False
            if self._answers:
                data = b"".join([_record(run, answers) for run, answers in groupby(self._answers, _run_of)])
                self._answers.clear()
                self._channel.sendall(data)
        finally:
            self._is_sending = False


def _record(run: Run, answers: Any) -> bytes:
    _, tickets, make_s, began_s, cross_s, cpu_s = zip(*answers, strict=True)
    return wire.pack_record(wire.Record(
        run.outcome, run.source, run.slot, run.template, sum(cpu_s), tickets, make_s, began_s, cross_s, run.offsets, run.extra))
