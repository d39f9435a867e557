"""Keras's image iterators seed ``numpy.random``, of which a process has one, for each batch: whose turn it is, and who needs one.

Rules: whoever takes turns makes a whole batch, or pulls a whole item, in one; who waits for others' batches meanwhile gives the turn up.
"""

from __future__ import annotations

import gc
import inspect
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from itertools import islice
from threading import RLock
from types import FrameType, ModuleType
from typing import Any
from weakref import WeakSet

LOOKED_AT = 16
"""Items of a list of the user's that are looked at for iterators."""
LOOKED_AT_IN_ALL = 500
"""Objects that are looked at for iterators, the nearest first."""
HOLDERS = ("builtins", "functools", "itertools")
"""Modules of iterators and functions that hold others and show them to the garbage collector alone: ``zip``, ``map``, ``islice``."""


class DrawingTurns:
    """Whose turn it is to draw from ``numpy.random`` where some source seeds it."""

    def __init__(self) -> None:
        self._lock = RLock()
        self.seeding: WeakSet[Any] = WeakSet()
        """The sources of this process that seed it."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = RLock()  # a thread of the parent may have held the other

    def turn(self) -> AbstractContextManager[Any]:
        """A turn of whoever enters it; nothing where nobody seeds."""
        return self._lock if self.seeding else nullcontext()

    def given_up(self) -> AbstractContextManager[Any]:
        """Meanwhile this thread has no turn: it waits for others, who may need one."""
        return self._given_up(self._lock) if self.seeding else nullcontext()

    @contextmanager
    def _given_up(self, lock: Any) -> Iterator[None]:
        turns = 0
        with suppress(RuntimeError):  # it is somebody else's, or nobody's
            while True:
                lock.release()
                turns += 1
        try:
            yield
        finally:
            for _ in range(turns):
                lock.acquire()


DRAWING = DrawingTurns()


def counts_batches(original: Any) -> bool:
    """Whether something derives its randomness from how many batches it has made; looks up nothing that could run code."""
    return "total_batches_seen" in getattr(original, "__dict__", {})


def is_seeded(iterator: Any) -> bool:
    """Whether order and randomness follow from a seed of the iterator's own."""
    return getattr(iterator, "seed", None) is not None and hasattr(type(iterator), "_set_index_array")


def seeds(stream: Any) -> bool:
    """Whether a stream pulls from an image iterator with a seed, as far as can be seen from outside.

    That is: in what ``zip`` and its like hold, and in what a generator has in its variables and its function's, globals that it names among
    them. Variables of a generator that has not begun are not there yet.
    """
    waiting, seen = deque([stream]), set[int]()
    while waiting and len(seen) < LOOKED_AT_IN_ALL:
        part = waiting.popleft()
        if id(part) in seen:
            continue
        seen.add(id(part))
        with suppress(Exception):  # of an object that lets nobody look at it
            if counts_batches(part) and is_seeded(part):
                return True
            waiting += _parts(part)
    return False


def _parts(whole: Any) -> Iterable[Any]:
    """What an object holds that it may pull from; calls nothing of the user's."""
    if isinstance(whole, ModuleType | type | FrameType):
        return ()
    if inspect.isgenerator(whole):
        frame = whole.gi_frame
        return () if frame is None else [*frame.f_locals.values(), *_named(frame.f_code, frame.f_globals), whole.gi_yieldfrom]
    if inspect.isfunction(whole):
        return [*gc.get_referents(*(whole.__closure__ or ())), *(whole.__defaults__ or ()), *_named(whole.__code__, whole.__globals__)]
    if type(whole) in (dict, list, tuple):
        return list(islice(whole.values() if type(whole) is dict else whole, LOOKED_AT))
    if type(whole).__module__ in HOLDERS:
        return islice(gc.get_referents(whole), LOOKED_AT)
    return list(vars(whole).values())


def _named(code: Any, variables: dict[str, Any]) -> list[Any]:
    return [variables[name] for name in code.co_names if name in variables]
