"""Sources that come to harm in their worker process, at a chosen moment, once."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

import stoker

AT_PASS_END = []
"""Called by ``on_epoch_end``; not part of the source, so that it does not travel."""
LENGTH = 12
BAD = 4
HUGE_ROWS = 40_000
PID_PATIENCE_S = 20.0


def stop():
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.01)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait(60)


def segfault():
    os.kill(os.getpid(), signal.SIGSEGV)
    threading.Event().wait(60)


def hang():
    threading.Event().wait(3600)


class Broken(Exception):
    """An exception with arguments of its own, which pickle cannot rebuild by itself."""

    def __init__(self, code, *, reason):
        super().__init__(f"broken: {reason}")
        self.code = code
        self.reason = reason


def fail():
    raise Broken(7, reason="as told")


HARMS = {
    "SIGKILL": kill, "SIGSEGV": segfault, "SIGSTOP": stop, "exit 0": lambda: os._exit(0), "exit 1": lambda: os._exit(1),
    "hang": hang, "raise": fail,
}
DEATHS = ("SIGKILL", "SIGSEGV", "exit 0", "exit 1")


class Fragile:
    """Part of a batch that is pickled after the arrays were made: harm can come while a slot is written."""

    def __init__(self, source):
        self.source = source

    def __reduce__(self):
        if self.source is not None:
            self.source.harm_once("writing")
        return Fragile, (None,)


class Saboteur(stoker.Sequence):
    """Noisy batches; harm comes to the worker at the moment that was chosen, the first time only.

    Args:
        harm: a key of ``HARMS``.
        moment: ``arriving`` (before the first batch), ``computing``, ``writing`` or ``never``.
        marks: a folder that remembers, across processes, that it happened.
    """

    def __init__(self, harm="SIGKILL", moment="never", marks=""):
        self.harm = harm
        self.moment = moment
        self.marks = str(marks)
        self.parent = os.getpid()
        self.ended = 0

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.harm_once("arriving")

    def harm_once(self, moment):
        if moment != self.moment or os.getpid() == self.parent:
            return
        try:
            (Path(self.marks) / "done").touch(exist_ok=False)
        except FileExistsError:
            return
        HARMS[self.harm]()

    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        if index == BAD:
            self.harm_once("computing")
        rows = HUGE_ROWS if index == 7 else 2 + index  # a changed shape each time, and one that outgrows its slot
        inputs = stoker.rng().random((rows, 5))
        return inputs, np.full(rows, index), Fragile(self if index == BAD else None)

    def on_epoch_end(self):
        self.ended += 1
        for call in AT_PASS_END:
            call()


def arrays(batches):
    """What is compared of each batch."""
    return [(x, y) for x, y, _ in batches]


def pids(feed):
    """Process ids of the workers that have been started."""
    lane = feed._pump.lane
    for hand in lane._hands.values():
        assert lane._crew.wait_for(hand, "pid", PID_PATIENCE_S)
    return [hand.pid for hand in lane._hands.values()]
