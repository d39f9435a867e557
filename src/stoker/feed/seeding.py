"""The generators of a worker process, seeded for every item: those of ``random`` and ``numpy.random``, and those that a source keeps.

Seeding the global ones takes longer than making a tiny batch, and most items draw nothing from them. So a worker process only notes what
an item would be seeded with, and a generator is seeded when somebody draws from it: what an item draws is the same to the bit.

Rules: ``Seeding`` changes ``random`` and ``numpy.random`` for good, and is for worker processes only, before the user's code is loaded:
functions that are imported by name must be those that look first whether there is a seed to set.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import mtrand  # while the server starts, and not again in every worker

from stoker.feed.messages import Ask

MIX = 0x9E3779B97F4A7C15
DRAWING = ("random", "getrandbits", "getstate")
"""All other functions of ``random`` draw through these."""
ANY = Ask(0, 0, 0, 0, 0)
_get_bit_generator: Any = mtrand.get_bit_generator
_set_bit_generator: Any = mtrand.set_bit_generator


def seeds_of(ask: Ask) -> tuple[int, int]:
    """The seeds of ``random`` and of ``numpy.random`` for an item; no two items have the same."""
    _, _, pass_number, index, seed, _ = ask
    mixed = (seed ^ (pass_number + 1) * MIX ^ (index + 1) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return mixed ^ (mixed >> 31), (mixed >> 16) & 0xFFFFFFFF


def seed_globals(ask: Ask) -> None:
    """Seed ``random`` and ``numpy.random`` for one item, so that no two workers draw the same."""
    first, second = seeds_of(ask)
    random.seed(first)
    np.random.seed(second)


def seed_own(generators: Sequence[Any], ask: Ask) -> None:
    """Seed the generators that a source keeps for one item: each worker has copies of them, which would all draw the same."""
    for number, generator in enumerate(generators):
        sequence = np.random.SeedSequence((ask.seed, ask.pass_number, ask.index), spawn_key=(number,))
        if isinstance(generator, random.Random):
            generator.seed(sequence.generate_state(4).tobytes())
        elif isinstance(generator, np.random.Generator):
            generator.bit_generator.state = type(generator.bit_generator)(sequence).state  # type: ignore[call-arg]
        else:
            kind = getattr(np.random, generator.get_state(legacy=False)["bit_generator"])
            generator.set_state({**kind(sequence).state, "has_gauss": 0, "gauss": 0.0})


class Seeding:
    """``seed_globals`` for item after item, in a process that is a worker until it ends."""

    def __init__(self) -> None:
        self._random = _Random()
        self._numpy = _Numpy()

    def begin(self, ask: Ask) -> None:
        """The item of this ask is made from now on."""
        self._random.begin(ask)
        self._numpy.begin(ask)


class _Random:
    """The generator of ``random``: its own methods are covered by those that seed it first, until an item draws."""

    def __init__(self) -> None:
        self._generator: random.Random = random.seed.__self__  # type: ignore[attr-defined]
        self._attributes = vars(self._generator)
        self._pending: Ask | None = None
        self._is_covered = False
        self._lock = threading.Lock()
        self._covers: dict[str, Any] = {name: self._settling(name) for name in DRAWING}
        for name, cover in self._covers.items():
            setattr(random, name, cover)
        for name in ("seed", "setstate"):
            setattr(random, name, self._dropping(name))
        os.register_at_fork(after_in_child=self._drop)  # Python seeds the generator of a fork from the system

    def begin(self, ask: Ask) -> None:
        self._pending = ask
        if not self._is_covered:
            self._is_covered = True
            self._generator.gauss_next = None  # type: ignore[attr-defined]  # a number that is kept for the next call
            self._attributes.update(self._covers)

    def _settling(self, name: str) -> Any:
        """A method that sets the seed before it draws."""
        method = getattr(self._generator, name)

        def draw(*arguments: Any, **named: Any) -> Any:
            if self._pending is not None:
                self._settle()
            return method(*arguments, **named)

        return draw

    def _dropping(self, name: str) -> Any:
        """A method after which the state is that which the user's own code sets."""
        method = getattr(self._generator, name)

        def change(*arguments: Any, **named: Any) -> Any:
            self._settle()  # not only dropped: arguments that are refused change nothing
            return method(*arguments, **named)

        self._covers[name] = change
        return change

    def _settle(self) -> None:
        """Set the seed; other threads that draw wait for that."""
        with self._lock:
            if self._pending is not None:
                self._uncover()
                super(random.Random, self._generator).seed(seeds_of(self._pending)[0])
                self._pending = None

    def _drop(self) -> None:
        self._lock = threading.Lock()
        self._pending = None
        self._uncover()

    def _uncover(self) -> None:
        self._is_covered = False
        for name in self._covers:
            self._attributes.pop(name, None)


class _Numpy:
    """The generator of ``numpy.random``: until the first item that draws, its lock, which all that draws takes, is one that seeds it first.

    From that item on each is seeded before it begins: where one draws, others do. So it is where a source sets a generator of its own.
    """

    def __init__(self) -> None:
        self._generator: Any = _get_bit_generator()
        self._waiting: _Waiting | None = None
        """What stands in its place now."""
        self._pending: Ask | None = None
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._renew)
        if self._is_heeded():
            self._wait()

    def _is_heeded(self) -> bool:
        """Whether numpy takes what stands in for its generator, and uses it as it should."""
        state, drawn = self._generator.state, None
        with contextlib.suppress(Exception):
            self._wait()
            self._pending = ANY
            drawn = np.random.random_sample()
        self._pending = self._waiting = None
        _set_bit_generator(self._generator)
        self._generator.state = state
        return drawn == np.random.RandomState(seeds_of(ANY)[1]).random_sample()

    def _wait(self) -> None:
        waiting = _Waiting(self._generator, self._settle)
        _set_bit_generator(waiting)  # uses it, and must not find that it waits
        self._waiting = waiting

    def begin(self, ask: Ask) -> None:
        if self._waiting is None:
            np.random.seed(seeds_of(ask)[1])
        elif _get_bit_generator() is self._waiting:
            self._pending = ask
        else:
            self._waiting = None
            self.begin(ask)

    def _settle(self) -> None:
        """Set the seed, and put the generator back; other threads that draw wait for that."""
        with self._lock:
            if self._waiting is None:
                return
            if self._pending is not None:
                self._generator.state = np.random.RandomState(seeds_of(self._pending)[1]).get_state(legacy=False)
            if _get_bit_generator() is self._waiting:
                _set_bit_generator(self._generator)
            self._waiting = None

    def _renew(self) -> None:
        self._lock = threading.Lock()


class _Waiting:
    """Stands where numpy keeps a bit generator, and calls ``settle`` before the lock, the state or anything else of it is used.

    Args:
        generator: the bit generator, whose memory draws go on using.
        settle: called before each use.
    """

    def __init__(self, generator: Any, settle: Any) -> None:
        vars(self).update(lock=_Gate(generator.lock, settle), _generator=generator, _settle=settle)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # numpy asks whether it is a Mersenne Twister
        return type(vars(self)["_generator"])

    def __getattr__(self, name: str) -> Any:
        self._settle()
        return getattr(self._generator, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._settle()
        setattr(self._generator, name, value)

    def __reduce__(self) -> Any:
        self._settle()
        return self._generator.__reduce__()


class _Gate:
    """A lock that calls ``settle`` before it is taken."""

    def __init__(self, lock: Any, settle: Any) -> None:
        self._lock = lock
        self._settle = settle

    def acquire(self, *how: Any) -> bool:
        self._settle()
        return bool(self._lock.acquire(*how))

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: Any) -> None:
        self.release()
