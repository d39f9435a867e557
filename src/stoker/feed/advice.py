"""What held training back, and what would mend it, from a feed's figures.

By Little's law the number of workers that are busy on average is rate times make time; so a model that takes a batch every ``step_s`` is
kept fed by ``make_s / step_s`` workers (J. D. C. Little, 1961: L = lambda * W). Threads of a source that holds the GIL take turns: together
they make at most one batch in each ``cpu_s``, however many they are; that is where processes begin to help.

Rules: pure; the same figures give the same words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from stoker.feed.meter import QUICK_S, FeedFigures

SMALL_SHARE = 0.05
"""Waiting less than this share of the time is not worth a word of advice."""
IDLE_CPU = 0.25
"""A source whose CPU time is below this share of its wall time waits for something else than a core. A busy machine stretches wall time
too, but hardly that far."""
GIL_ROOM = 0.8
"""Threads that may share the GIL are trusted to keep up where their CPU time fills no more than this share of the model's."""
GIL_HELD = 0.5
"""A source is said to hold the GIL where the consumer found it taken more often than this."""
IN_PARALLEL = 1.2
"""Threads that used more CPU time than this many times the time that went by ran beside each other, so they release the GIL."""
MARGIN = 1.1
"""Workers are advised for a tenth more than the model takes."""
BALANCED = 1.25
"""A feed that could go no faster than this many times the model's pace is about as fast as the model."""
LAZY = 0.7
"""Workers that are busy for less than this share of the time were kept from working ahead by the bound on batches."""
MOST_ADVISED = 64
FEWEST = 10
"""Fewer batches than this are mostly start-up, and show nothing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What held training back.

    Args:
        text: one sentence for people.
        bound: ``model``, ``input``, ``balanced`` (the two are about as fast), or ``none`` where too little was made to judge by.
        advised_workers: how many workers would keep up; None where more would not help or none are needed.
        processes: whether these should be processes; None where it makes no difference.
    """

    text: str
    bound: str
    advised_workers: int | None = None
    processes: bool | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one batch takes, in seconds: making it, making it on a core, putting it into shared memory, and the model's step."""

    make_s: float
    cpu_s: float
    cross_s: float
    step_s: float


def verdict(figures: FeedFigures, cores: int | None = None, fewest: int = FEWEST) -> Verdict:
    """Judge a stretch of training.

    Args:
        figures: what the feed did in that time.
        cores: how many cores there are to work on; None where that is not known.
        fewest: batches that it takes to judge.

    Returns:
        The verdict.
    """
    if figures.batches == 0 or figures.made == 0 or figures.elapsed_s <= 0:
        return Verdict("no batch was made", "none")
    if figures.batches < fewest:
        return Verdict(f"{figures.batches} batches are too few to judge by", "none")
    batch = _Batch(
        figures.make_s / figures.made, figures.cpu_s / figures.made, figures.cross_s / figures.made,
        max((figures.elapsed_s - figures.wait_s) / figures.batches, 1e-9))
    if figures.wait_share < SMALL_SHARE:
        return _kept_up(figures, batch)
    wait = f"the model waited for data {figures.wait_share:.0%} of the time (input-bound)"
    facts = f"{wait}: {_who_makes(figures, batch)}, the model takes {_pace(1 / batch.step_s)}"
    if figures.lane == "inline":
        needed = min(MOST_ADVISED, _needed(batch.make_s, batch))
        return Verdict(f"{facts}; workers={needed} would make them beside the model", "input", needed)
    if batch.cross_s > batch.make_s:
        return _cheaper_crossing(figures, batch, facts)
    if cores is not None and batch.cpu_s + batch.cross_s > cores * batch.step_s:
        return Verdict(f"{facts}; that is more than {_count(cores, 'core')} can compute: make batches cheaper, or cache them", "input")
    if figures.lane == "threads" and _takes_turns(figures, batch):
        return _processes_instead(figures, batch, facts)
    return _more_workers(figures, batch, facts)


def _needed(busy_s: float, batch: _Batch) -> int:
    """How many workers keep the model fed, if each batch keeps one busy for so long."""
    return max(1, math.ceil(busy_s / batch.step_s * MARGIN))


def _kept_up(figures: FeedFigures, batch: _Batch) -> Verdict:
    """The model hardly waited: how much faster could it be?"""
    busy_s = batch.make_s + batch.cross_s
    spare = batch.step_s / busy_s * max(1, figures.workers) if busy_s > 0 else math.inf
    if spare < BALANCED and figures.lane != "inline":
        return Verdict(f"the model and its data are about as fast (balanced): {_pace(1 / batch.step_s)} batches/s", "balanced")
    pace = f"the feed could be {spare:.1f}x faster" if spare < 100 else "the feed has ample room"
    return Verdict(f"the model is the limit (model-bound): {pace}", "model")


def _cheaper_crossing(figures: FeedFigures, batch: _Batch, facts: str) -> Verdict:
    """Most of a worker's time goes into copying what it made into shared memory."""
    share = batch.cross_s / (batch.make_s + batch.cross_s)
    if figures.lane == "threads":
        return Verdict(
            f"{facts}; copying them takes {share:.0%} of the workers' time, because the source gives the same memory again and again: "
            "make a new array for each batch", "input")
    cost = f"copying them into shared memory takes {share:.0%} of the workers' time"
    if batch.make_s <= GIL_ROOM * batch.step_s:
        count = _needed(batch.make_s, batch)
        return Verdict(f"{facts}; {cost}: {_count(count, 'thread')} would hand them over as they are", "input", count, False)
    return Verdict(f"{facts}; {cost}: build batches in stoker.empty(shape, dtype)", "input", _needed(batch.make_s, batch), True)


def _takes_turns(figures: FeedFigures, batch: _Batch) -> bool:
    """Whether threads are held up by each other's GIL, as far as that was seen; if not, whether they may be."""
    if batch.cpu_s <= GIL_ROOM * batch.step_s or figures.cpu_s > IN_PARALLEL * figures.elapsed_s:
        return False
    return figures.gil_share is None or figures.gil_share > GIL_HELD


def _processes_instead(figures: FeedFigures, batch: _Batch, facts: str) -> Verdict:
    # threads that waited for each other's GIL took up to so many times longer by the wall than they would alone
    alone_s = max(batch.cpu_s, batch.make_s / max(1, figures.workers))
    count = min(MOST_ADVISED, _needed(alone_s, batch))
    seen = "the source computes, and threads take turns where it holds the GIL"
    if figures.gil_share is not None:
        seen = "the source holds the GIL"
    return Verdict(
        f"{facts}; {seen}: {_count(count, 'process')} (processes=True or use_multiprocessing=True) would keep up", "input", count, True)


def _more_workers(figures: FeedFigures, batch: _Batch, facts: str) -> Verdict:
    """The model waited for workers: how many of the same kind would close the gap?"""
    if figures.busy_share < LAZY and batch.make_s + batch.cross_s < QUICK_S:
        return Verdict(
            f"{facts}; batches are so small that handing them over takes longer than making them: larger batches, or workers=0", "input")
    if figures.busy_share < LAZY:
        return Verdict(
            f"{facts}; the workers were idle {1 - figures.busy_share:.0%} of the time because all slots were taken (the source is uneven): "
            "a larger max_queue_size would keep them busy", "input")
    is_threads = figures.lane == "threads"
    needed = _needed(batch.make_s + batch.cross_s, batch)
    if needed > MOST_ADVISED:
        return Verdict(f"{facts}; {needed} workers would be needed: make batches cheaper, or cache them", "input")
    if needed > figures.workers:
        hint = " (the source waits on I/O)" if is_threads else " (the source waits on I/O: threads would do)"
        why = hint if batch.cpu_s < IDLE_CPU * batch.make_s else ""
        kind = "thread" if is_threads else "process"
        return Verdict(f"{facts}; {_count(needed, kind)} would keep up{why}", "input", needed, not is_threads)
    return Verdict(f"{facts}; the machine has no core left for them: make batches cheaper, or cache them", "input")


def _who_makes(figures: FeedFigures, batch: _Batch) -> str:
    if figures.lane == "inline":
        return f"made in line they come at {_pace(1 / max(batch.make_s, 1e-9))} batches/s"
    made = _pace(figures.made / figures.elapsed_s)
    workers = max(1, figures.workers)
    return f"{_count(workers, 'worker')} {'make' if workers > 1 else 'makes'} {made} batches/s"


def _count(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith('s') else 's'}"


def _pace(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
