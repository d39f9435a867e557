"""How many batches a second feeds of several kinds give on this machine, with nobody but a bare loop to take them.

A run begins to count once its workers have made a first batch each; what starting processes takes is left out.

Rules: each run is bounded in time, by a clock that is passed in; what goes wrong in a run is in its record; what was too slow to be
measured is no fault of the source's; user code is asked for items and for nothing else.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import thread_time
from typing import Any

from stoker.errors import StokerWarning, WorkerHung
from stoker.feed.feed import Feed
from stoker.profiling.budget import START_PATIENCE_S
from stoker.profiling.record import QUEUE, Run

LEAST_RUN_S, MOST_RUN_S = 0.2, 1.0
START_S = 0.35
"""What starting processes takes: they load numpy."""
MAKES = 3
"""A run lasts for so many makes of each worker at least."""
MOST_WORKERS = 64
MOST_ITEMS = 10_000_000
PATIENCE_S = 3.0
"""How long a worker that has made a batch may be silent."""
TIMES_WORST = 10
REFUSED = "a feed with processes=True warns, and takes threads"


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to feed."""

    lane: str
    workers: int


def ladder(cores: int, single_owner: bool, travels: bool) -> list[Rung]:
    """The ways that are tried, the telling ones first: 1, 2, 4 ... up to twice the cores, on threads and in processes."""
    counts = [1]
    while not single_owner and counts[-1] * 2 <= min(2 * cores, MOST_WORKERS):
        counts.append(counts[-1] * 2)
    lanes = ["threads", "processes"] if travels else ["threads"]
    return [Rung(lane, workers) for workers in counts for lane in lanes]


def run_length_s(left_s: float, rungs: list[Rung], median_s: float) -> float | None:
    """How long each run may last; None where there is not even time for one that shows anything."""
    starting_s = START_S * sum(rung.lane == "processes" for rung in rungs)
    shared_s = (left_s - starting_s) / len(rungs)
    length_s = max(least_s(median_s), min(MOST_RUN_S, shared_s))
    return length_s if length_s <= left_s else None


def least_s(median_s: float) -> float:
    """How long a run must be to show anything."""
    return max(LEAST_RUN_S, MAKES * median_s)


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a run.

    Args:
        pulled: how many items were asked for.
        run: the record; None where nothing could be measured.
        untold: why not.
        is_refused: the source could not go to the processes that were to be measured.
    """

    pulled: int
    run: Run | None = None
    untold: str = ""
    is_refused: bool = False


class _TooSlow(Exception):
    """Nothing came in the time of the run."""


class _Refused(Exception):
    """The feed took threads in the place of processes."""


def run(source: Any, rung: Rung, length_s: float, worst_s: float, clock: Callable[[], float]) -> Ran:
    """Empty a feed for a while.

    Args:
        source: as ``Feed`` takes it; its pass must be long, or a stream.
        rung: lane and number of workers.
        length_s: how long.
        worst_s: the longest make time that was seen.
        clock: seconds, monotonic.
    """
    feed = Feed(
        source, workers=rung.workers, processes=rung.lane == "processes", max_queue_size=max(QUEUE, 2 * rung.workers), seed=0,
        timeout_s=START_PATIENCE_S + TIMES_WORST * worst_s)
    feed.plan(epochs=1, steps=MOST_ITEMS)
    try:
        with _quiet(), feed:
            if feed.meter.is_refused:
                raise _Refused
            made = _empty(feed, rung, length_s, max(PATIENCE_S, TIMES_WORST * worst_s), clock)
    except _Refused:
        return Ran(0, untold=REFUSED, is_refused=True)
    except (_TooSlow, WorkerHung) as error:
        return Ran(feed.window.next_new, untold=_line(error))
    except Exception as error:
        made = Run(rung.lane, rung.workers, error=f"{type(error).__name__}: {_line(error)}")
    return Ran(feed.window.next_new, made)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _empty(feed: Feed, rung: Rung, length_s: float, patience_s: float, clock: Callable[[], float]) -> Run:
    batches = feed.epoch(MOST_ITEMS)
    for _ in range(rung.workers):
        if next(batches, None) is None:
            raise _TooSlow("the stream has ended")
    feed.timeout_s = patience_s  # each worker has started
    feed.meter.take()
    cpu_s = thread_time()
    until_s = clock() + length_s
    while clock() < until_s and next(batches, None) is not None:
        pass
    cpu_s = thread_time() - cpu_s
    figures = feed.meter.look()
    if not figures.made or not figures.batches:
        raise _TooSlow("no batch came in the time of the run")
    return Run(
        rung.lane, rung.workers, figures.made / figures.elapsed_s, figures.cross_s / figures.made, cpu_s / figures.batches)


@contextmanager
def _quiet() -> Iterator[None]:
    """What stoker warns of in a run is among the findings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StokerWarning)
        yield
