"""What randomness a source's batches hold, and whether worker processes would draw the same.

The same items are made again and again, each time with all seeds set alike: that of ``stoker.rng()``, and those of ``random`` and
``numpy.random``.

1. They come out alike: the source is repeatable. Then each of the two kinds of seeds is changed in turn; items that change with one are
   drawn from it, items that change with none hold no randomness.
2. They do not: the batch depends on something that the source keeps or takes from elsewhere. For a source of several workers two
   worker processes make the same items then, each with its own copy. Where these come out alike, call by call, each worker goes through
   the same states from the same beginning: what one draws for its first batch the other draws for its first batch too. Where they
   differ, the randomness comes from the system: fresh in each worker, and reproducible nowhere.

A generator that is kept but not drawn from in an item (for shuffling in ``on_epoch_end``) changes no item, and so is no finding.

Rules: ``random`` and ``numpy.random`` are seeded here, and left so: who looks for chance keeps what they were at (``globals_kept``); a
generator object can be gone through once only, so nothing is said of it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from stoker.errors import NotPicklable
from stoker.feed.threads import ThreadLane
from stoker.outcome import Value
from stoker.profiling.adapters import Seeded
from stoker.profiling.attributes import generators
from stoker.profiling.batches import digest
from stoker.profiling.drawer import Drawer, Made, NotInTime
from stoker.profiling.record import Chance
from stoker.source.parallel import ParallelMap
from stoker.source.protocol import Source

ROUNDS = 3
"""So often each item is made: a batch that is flipped or not may come out alike by luck."""
SEEDS = 1, 2
LEAST_S = 3.0
"""A worker process gets so much time at least once it has started: it makes a handful of items, and a machine may stand still meanwhile."""

Sequences = list[list[bytes]]


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be told, and by when.

    Args:
        fresh: gives the source, opened anew.
        traveller: gives what goes to worker processes.
        places: pass and index of the items that are made.
        item: what ``parallel_map`` pulled for them.
        until_s: by the clock; worker processes have longer, by what they take to start.
        travels: the source can go to worker processes.
        clock: seconds, monotonic.
    """

    fresh: Callable[[], Source]
    traveller: Callable[[], Source]
    places: tuple[tuple[int, int], ...]
    item: object
    until_s: float
    travels: bool
    clock: Callable[[], float]


def look_for_chance(question: Question) -> Chance:
    """Tell what randomness the items of a source hold."""
    source = question.fresh()
    found = _named(source)
    try:
        with Drawer(ThreadLane(1, 1), question.clock) as drawer:
            chance = _told(drawer, question)
        if chance.is_repeatable is False and not source.single_owner and question.travels:
            is_copied, is_seeded = _in_processes(question)
            return Chance(False, is_copied=is_copied, is_seeded=is_seeded, generators=found)
    except NotPicklable:
        return Chance(untold="it could not go to worker processes", generators=found)
    except NotInTime:
        return Chance(untold="making the same items again took too long", generators=found)
    except _Failed as error:
        return Chance(untold=str(error), generators=found)
    return Chance(chance.is_repeatable, chance.uses_rng, chance.uses_globals, generators=found)


class _Failed(Exception):
    """An item could not be made."""


def _named(source: Source) -> tuple[str, ...]:
    original = source.original
    if isinstance(original, ParallelMap):
        return generators(original._function, getattr(original._function, "__name__", "function"))
    return generators(original, getattr(original, "__name__", type(original).__name__))


@contextmanager
def globals_kept() -> Iterator[None]:
    """What ``random`` and ``numpy.random`` are at comes back afterwards."""
    kept = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])


def _told(drawer: Drawer, question: Question) -> Chance:
    one, other = SEEDS
    alike = [_items(drawer, question, one, one) for _ in range(ROUNDS)]
    if any(made != alike[0] for made in alike):
        return Chance(False)
    return Chance(
        True, uses_rng=_items(drawer, question, other, one) != alike[0],
        uses_globals=_items(drawer, question, one, other) != alike[0])


def _items(drawer: Drawer, question: Question, seed: int, globals_seed: int) -> list[bytes]:
    """Digests of the items, made anew."""
    key = drawer.add(Seeded(question.fresh(), globals_seed))
    return _digests(drawer.draw(key, question.places, question.until_s, seed=seed, item=_copied(question.item)))


def _copied(item: object) -> object:
    """What was pulled, for one draw: a function that changes it in place would make something else of it the next time."""
    try:
        return copy.deepcopy(item)
    except Exception as error:
        raise _Failed("the iterator's items cannot be copied") from error


def _digests(made: list[Made]) -> list[bytes]:
    values = [one.outcome.value for one in made if isinstance(one.outcome, Value)]
    if not values:
        raise _Failed("the items could not be made again")
    return [digest(value) for value in values]


def _in_processes(question: Question) -> tuple[bool, bool]:
    """Whether two worker processes, asked for the same, draw the same at each turn; and whether an item is the same at each turn."""
    from stoker.feed.processes import ProcessLane

    places = list(question.places) * ROUNDS
    with Drawer(ProcessLane(2, len(places)), question.clock) as drawer:
        key = drawer.add(question.traveller())
        one, other = (
            _digests(drawer.draw(key, places, question.until_s, least_s=LEAST_S, worker=worker, item=question.item))
            for worker in (0, 1))
    length = len(question.places)
    changes = any(one[turn] != one[turn + length] for turn in range(len(one) - length))
    return one == other and changes, one == other and not changes
