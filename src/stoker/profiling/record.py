"""What a profile measured and found, as plain records.

Rules: frozen, nothing but data; None stands for what was not measured; times in seconds, sizes in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Level = Literal["fault", "note"]

QUEUE = 10
"""The ``max_queue_size`` of a call that says none; more where there are more workers than half of it."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One array of the batches, over all batches that were drawn.

    Args:
        path: such as ``inputs['image']``.
        dtypes: the dtypes it had, as names.
        shape: the least and the largest length of each axis; None where the number of axes differs.
    """

    path: str
    dtypes: tuple[str, ...]
    shape: tuple[tuple[int, int], ...] | None


@dataclass(frozen=True, slots=True)
class Form:
    """What the batches hold.

    Args:
        text: such as ``(inputs, targets)``; empty where no item could be read as a batch.
        leaves: their arrays.
        bytes_median: the usual size of a batch.
        bytes_worst: the size of the largest.
        worst_index: which that was.
    """

    text: str
    leaves: tuple[Leaf, ...]
    bytes_median: int
    bytes_worst: int
    worst_index: int


@dataclass(frozen=True, slots=True)
class Times:
    """How long batches took to make, one after the other on one thread.

    Args:
        count: how many were made.
        median_s: half of them took no longer.
        p95_s: 95 of 100 took no longer.
        worst_s: the longest.
        worst_index: which that was.
        cpu_share: CPU time of the thread by wall time.
        gil_share: share of that CPU time in which another thread could not have the GIL; None where that was not tried often enough.
    """

    count: int
    median_s: float
    p95_s: float
    worst_s: float
    worst_index: int
    cpu_share: float
    gil_share: float | None


@dataclass(frozen=True, slots=True)
class Memory:
    """How the memory of the process grew.

    Args:
        new_bytes: growth by each batch that was drawn for the first time.
        again_bytes: growth by each batch that was drawn again (of a stream: in its second half).
        grew: attributes of the source that grew meanwhile.
    """

    new_bytes: float | None = None
    again_bytes: float | None = None
    grew: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Travel:
    """Whether the source can go to worker processes.

    Args:
        travels: it can.
        bytes: size of what travels; 0 where it cannot.
        where: the path of the attribute that cannot.
        got: its type, and what pickle says.
    """

    travels: bool
    bytes: int = 0
    where: str = ""
    got: str = ""


@dataclass(frozen=True, slots=True)
class Chance:
    """What randomness the batches hold.

    Args:
        is_repeatable: the same item was made twice alike, with all seeds set alike.
        uses_rng: another seed of ``stoker.rng()`` gave another item.
        uses_globals: another seed of ``random`` and ``numpy.random`` gave another item.
        is_copied: two worker processes drew the same from a state that changes with each draw.
        is_seeded: in worker processes the same item was made alike each time.
        generators: random generators that the source keeps, by path.
        untold: why nothing can be said; empty where it can.
    """

    is_repeatable: bool | None = None
    uses_rng: bool = False
    uses_globals: bool = False
    is_copied: bool | None = None
    is_seeded: bool = False
    generators: tuple[str, ...] = ()
    untold: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A feed that was emptied as fast as it goes.

    Args:
        lane: ``threads`` or ``processes``.
        workers: how many.
        rate: batches a second.
        cross_s: time of a worker to put one batch into shared memory.
        parent_s: CPU time of the caller's thread for one batch.
        error: why there is no rate.
    """

    lane: str
    workers: int
    rate: float = 0.0
    cross_s: float = 0.0
    parent_s: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """An item that could not be used.

    Args:
        index: which.
        kind: ``raised``, ``malformed`` or ``blocked``.
        text: the error in one line, or where it hangs.
        count: how many items had such a fault.
    """

    index: int
    kind: Literal["raised", "malformed", "blocked"]
    text: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was measured of one source."""

    label: str
    kind: Literal["indexed", "stream", "restartable", "parallel_map"]
    cores: int
    seconds: float
    crowded: float | None = None
    """Time that the worker waited for a core, by that and the time that it had one; None where the system does not tell."""
    length: int | None = None
    drawn: int = 0
    """Items that were asked of the source, in all runs."""
    drawn_s: float = 0.0
    distinct: int = 0
    """Different indices among the items of the first look."""
    ended_after: int | None = None
    """Items that a stream gave before it ended."""
    form: Form | None = None
    times: Times | None = None
    memory: Memory = field(default_factory=Memory)
    travel: Travel | None = None
    chance: Chance = field(default_factory=Chance)
    alike: tuple[int, int] | None = None
    """Two indices of one pass that gave the same batch."""
    faults: tuple[Fault, ...] = ()
    runs: tuple[Run, ...] = ()
    unmeasured: tuple[str, ...] = ()
    """What was left out, and why."""
    is_used_up: bool = False
    """Whether what was drawn is gone: an iterator gives each item once."""

    @property
    def can_travel(self) -> bool:
        """Whether worker processes can have the source, as far as that is known."""
        return self.travel is not None and self.travel.travels


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know of a source.

    Args:
        name: a word for programs, such as ``leak`` or ``copied-rng``.
        level: ``fault`` for what spoils a training, ``note`` for what is worth knowing.
        text: one sentence.
        where: index or path of an attribute.
        remedy: what to do; empty where there is nothing to do.
    """

    name: str
    level: Level
    text: str
    where: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """How to feed from a source.

    Args:
        call: the call to write.
        why: one sentence.
        workers: how many.
        processes: whether they are processes.
    """

    call: str
    why: str
    workers: int
    processes: bool
