"""What held training back, and what would mend it, from a feed's figures.

By Little's law the number of workers that are busy on average is rate times make time; so a model that takes a batch every ``step_s`` is
kept fed by ``make_s / step_s`` workers (J. D. C. Little, 1961: L = lambda * W).

Rules: pure; the same figures give the same words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from stoker.feed.meter import FeedFigures

SMALL_SHARE = 0.05
"""Waiting less than this share of the time is not worth a word of advice."""
BUSY_CPU = 0.6
"""A source whose CPU time is above this share of its wall time computes; below, it waits for something."""
MOST_ADVISED = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """What held training back.

    Args:
        text: one sentence for people.
        bound: ``model``, ``input`` or ``none``.
        workers: how many workers would keep up; None where more would not help or none are needed.
        processes: whether these should be processes; None where it makes no difference.
    """

    text: str
    bound: str
    workers: int | None = None
    processes: bool | None = None


def verdict(figures: FeedFigures) -> Verdict:
    """Judge a stretch of training.

    Args:
        figures: what the feed did in that time.

    Returns:
        The verdict.
    """
    if figures.batches == 0 or figures.made == 0 or figures.elapsed_s <= 0:
        return Verdict("no batch was made", "none")
    make_s = figures.make_s / figures.made
    step_s = max((figures.elapsed_s - figures.wait_s) / figures.batches, 1e-9)
    workers = max(1, figures.workers)
    if figures.wait_share < SMALL_SHARE:
        spare = step_s / make_s * workers if make_s > 0 else math.inf
        pace = f"the feed could be {spare:.1f}x faster" if spare < 100 else "the feed has ample room"
        return Verdict(f"the model is the limit: {pace}", "model")
    return _input_bound(figures, make_s, step_s, workers)


def _input_bound(figures: FeedFigures, make_s: float, step_s: float, workers: int) -> Verdict:
    """The model waited: how fast is the source, how fast the model, and who would close the gap?"""
    wait = f"the model waited for data {figures.wait_share:.0%} of the time (input-bound)"
    feeds = f"{workers} worker{'s make' if workers > 1 else ' makes'} {_pace(figures.made / figures.elapsed_s)} batches/s"
    facts = f"{wait}: {feeds}, the model takes {_pace(1 / step_s)}"
    needed = min(MOST_ADVISED, math.ceil(make_s / step_s * 1.1))
    computes = figures.cpu_s > BUSY_CPU * figures.make_s
    if figures.lane == "inline":
        return Verdict(f"{facts}; workers=1 or more would make batches beside the model", "input", max(1, needed), None)
    if computes and figures.lane == "threads":
        return Verdict(
            f"{facts}; the source computes, and may hold the GIL: {needed} processes (use_multiprocessing=True) would keep up",
            "input", needed, True)
    if needed > workers:
        kind = "processes" if figures.lane == "processes" else "threads"
        why = "" if computes else " (the source waits on I/O)"
        return Verdict(f"{facts}; {needed} {kind} would keep up{why}", "input", needed, figures.lane == "processes")
    return Verdict(f"{facts}; the source is uneven, or the machine has no core left: a larger max_queue_size may help", "input")


def _pace(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
