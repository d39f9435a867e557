"""The generators of a worker process, seeded for every item: those of ``random`` and ``numpy.random``, and those that a source keeps.

Seeding that of ``random`` takes as long as making a tiny batch, and most items draw nothing from it. So a worker process only notes the
seed, and the generator seeds itself when an item draws for the first time: what an item draws is the same to the bit.

Rules: ``Seeding`` changes the module ``random`` for good, and is for worker processes only, before the user's code is loaded: functions
that are imported by name must be those that look first whether there is a seed to set.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from stoker.feed.messages import Ask

MIX = 0x9E3779B97F4A7C15
DRAWING = ("random", "getrandbits", "getstate")
"""All other functions of ``random`` draw through these."""


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
        self._generator: random.Random = random.seed.__self__  # type: ignore[attr-defined]
        self._attributes = vars(self._generator)
        self._pending: int | None = None
        self._is_armed = False
        """Whether the generator's own methods are covered by those that settle first; after the first draw of an item they are not."""
        self._lock = threading.Lock()
        self._covers: dict[str, Any] = {name: self._settling(name) for name in DRAWING}
        for name, cover in self._covers.items():
            setattr(random, name, cover)
        for name in ("seed", "setstate"):
            setattr(random, name, self._dropping(name))
        os.register_at_fork(after_in_child=self._drop)  # Python seeds the generator of a fork from the system

    def begin(self, ask: Ask) -> None:
        """The item of this ask is made from now on."""
        first, second = seeds_of(ask)
        self._pending = first
        self._generator.gauss_next = None  # type: ignore[attr-defined]  # a number that is kept for the next call
        if not self._is_armed:
            self._is_armed = True
            self._attributes.update(self._covers)
        np.random.seed(second)

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
                self._drop_covers()
                super(random.Random, self._generator).seed(self._pending)
                self._pending = None

    def _drop(self) -> None:
        self._lock = threading.Lock()
        self._pending = None
        self._drop_covers()

    def _drop_covers(self) -> None:
        self._is_armed = False
        for name in self._covers:
            self._attributes.pop(name, None)
