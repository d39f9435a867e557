"""What held training back, and what would mend it, from a feed's figures.

How many workers would keep up follows from what a batch takes (``load.py``). Threads of a source that holds the GIL take turns: together
they make at most one batch in each ``cpu_s``, however many they are; that is where processes begin to help.

Rules: pure; the same figures give the same words; nothing is said that was not measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from stoker.feed.load import MARGIN, Load, load_of, pace_of, waits_elsewhere, without_one_step
from stoker.feed.meter import QUICK_S, FeedFigures

SMALL_SHARE = 0.05
"""Waiting less than this share of the time is not worth a word of advice."""
GIL_ROOM = 0.8
"""Threads that may share the GIL are trusted to keep up where their CPU time fills no more than this share of the model's."""
GIL_HELD = 0.5
"""A source is said to hold the GIL where the consumer found it taken more often than this."""
IN_PARALLEL = 1.2
"""Threads that used more CPU time than this many times the time that went by ran beside each other, so they release the GIL."""
BALANCED = 1.25
"""A feed that could go no faster than this many times the model's pace is about as fast as the model."""
SLOTS_SHARE = 0.5
"""The bound on batches is the limit where workers had nothing to do, because of it, for more than this share of the waiting."""
PULLED = 0.5
"""Pulling the items of a ``parallel_map`` is the limit where it takes more than this share of the waiting."""
LAZY = 0.7
"""Workers that are busy for less than this share of the time are not what is short."""
CROWDED = 0.2
"""Workers that waited for a core for more than this share of the time in which they could have run are short of cores."""
WORTH = 1.15
"""Workers that would give fewer than so many times the batches are not worth advising."""
MOST_ADVISED = 64
FEWEST = 10
"""Fewer batches than this are mostly start-up, and show nothing."""
CHEAPER = "make batches cheaper, or cache them"
ONE_OWNER = "a generator has one owner, so more workers do not help: stoker.parallel_map or a Sequence would"
AS_PROCESSES = "processes=True or use_multiprocessing=True"
"""As ``fit`` and ``fit_generator`` spell it: figures do not tell which of them was called."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What held training back.

    Args:
        text: one sentence for people.
        bound: ``model``, ``input``, ``balanced`` (the two are about as fast), or ``none`` where too little was made to judge by.
        advised_workers: how many workers would keep up, or come as near as can be; None where more would not help or none are needed.
        processes: whether these should be processes; None where it makes no difference.
    """

    text: str
    bound: str
    advised_workers: int | None = None
    processes: bool | None = None


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
    usual = without_one_step(figures)
    load = load_of(usual)
    if usual.wait_share < SMALL_SHARE:
        return _kept_up(usual, load)
    aside = "" if usual is figures else ", one long step aside,"
    wait = f"the model waited for data{aside} {usual.wait_share:.0%} of the time (input-bound)"
    found = _starved(usual, load, f"{wait}: {_who_makes(usual, load)}, the model takes {_pace(1 / load.step_s)}", cores)
    if 0 < figures.max_queue_size < (found.advised_workers or 0):
        return replace(found, text=f"{found.text}; so many need max_queue_size={2 * (found.advised_workers or 0)}")
    return found


def _kept_up(figures: FeedFigures, load: Load) -> Verdict:
    """The model hardly waited: how much faster could it be?"""
    spare = load.step_s / load.busy_s * figures.makers if load.busy_s > 0 else math.inf
    if spare < BALANCED and figures.lane != "inline":
        return Verdict(f"the model and its data are about as fast (balanced): {per_s(1 / load.step_s)}", "balanced")
    pace = f"the feed could be {spare:.1f}x faster" if spare < 100 else "the feed has ample room"
    return Verdict(f"the model is the limit (model-bound): {pace}", "model")


def _starved(figures: FeedFigures, load: Load, facts: str, cores: int | None) -> Verdict:
    """The model waited: what for?"""
    if figures.pull_s > PULLED * figures.wait_s:
        return Verdict(
            f"{facts}; pulling the items of parallel_map takes {figures.pull_s / figures.elapsed_s:.0%} of the time, on the model's own "
            "thread: move work from the iterator into the function", "input")
    if figures.lane == "inline":
        return _beside_the_model(figures, load, facts, cores)
    if load.cross_s > load.make_s:
        return _cheaper_crossing(figures, load, facts)
    if figures.busy_share < LAZY and load.busy_s < QUICK_S:
        return Verdict(
            f"{facts}; batches are so small that handing them over takes longer than making them: larger batches, or workers=0", "input")
    if figures.single_owner:
        return Verdict(f"{facts}; {ONE_OWNER}", "input")
    if 0 < figures.max_queue_size < figures.makers:
        return Verdict(
            f"{facts}; max_queue_size={figures.max_queue_size} has work for no more than so many of the {figures.makers}: "
            f"max_queue_size={2 * figures.makers} would keep all busy", "input")
    if figures.slots_s > SLOTS_SHARE * figures.wait_s:
        return Verdict(
            f"{facts}; {figures.slots_s / figures.wait_s:.0%} of that all slots were taken behind a slow batch (the source is uneven): "
            "a larger max_queue_size would keep the workers busy", "input")
    if figures.lane == "threads" and _takes_turns(figures, load):
        return _processes_instead(figures, load, facts, cores)
    return _more_workers(figures, load, facts, cores)


def _beside_the_model(figures: FeedFigures, load: Load, facts: str, cores: int | None) -> Verdict:
    """Batches were made on the training's own thread."""
    if load.make_s < QUICK_S:
        return Verdict(f"{facts}; batches are so small that a worker would take as long to hand them over: larger batches", "input")
    computes = load.cpu_s > GIL_ROOM * load.step_s and not figures.single_owner
    plan = _Plan.of(load, load.make_s, cores, 1 if figures.single_owner else MOST_ADVISED)
    call = f"workers={plan.workers}{f', {AS_PROCESSES},' if computes else ''}"
    why = " (the source computes, and threads take turns where it holds the GIL)" if computes else ""
    if figures.single_owner:
        why = " (a generator has one owner, so more than one does not help)"
    if plan.keeps_up:
        return Verdict(f"{facts}; {call} would make them beside the model{why}", "input", plan.workers, computes or None)
    return Verdict(
        f"{facts}; {call} would make them beside the model, and give {plan.still_waits}{why}", "input", plan.workers,
        computes or None)


def _cheaper_crossing(figures: FeedFigures, load: Load, facts: str) -> Verdict:
    """Most of a worker's time goes into copying what it made into shared memory."""
    share = load.cross_s / load.busy_s
    if figures.lane == "threads":
        return Verdict(
            f"{facts}; copying them takes {share:.0%} of the workers' time, because the source gives the same memory again and again: "
            "make a new array for each batch", "input")
    cost = f"copying them into shared memory takes {share:.0%} of the workers' time"
    count = 1 if figures.single_owner else load.needed(load.make_s)
    if load.make_s <= GIL_ROOM * load.step_s:
        return Verdict(f"{facts}; {cost}: {count_of(count, 'thread')} would hand them over as they are", "input", count, False)
    advised = None if figures.single_owner else min(count, MOST_ADVISED)
    return Verdict(f"{facts}; {cost}: build batches in stoker.empty(shape, dtype)", "input", advised, True)


def _takes_turns(figures: FeedFigures, load: Load) -> bool:
    """Whether threads are held up by each other's GIL, as far as that was seen; if not, whether they may be."""
    if load.cpu_s <= GIL_ROOM * load.step_s or figures.cpu_s > IN_PARALLEL * figures.elapsed_s:
        return False
    return figures.gil_share is None or figures.gil_share > GIL_HELD


@dataclass(frozen=True, slots=True)
class _Plan:
    """So many workers, and what they would bring.

    Args:
        workers: how many.
        needed: how many the model needs.
        gain: how many times as many batches it would get.
        is_short: there are too few cores, or just enough: none to spare for moments in which all compute.
        is_too_much: there are too few.
    """

    workers: int
    needed: int
    gain: float
    is_short: bool
    is_too_much: bool

    @classmethod
    def of(cls, load: Load, busy_s: float, cores: int | None, most: int = MOST_ADVISED) -> _Plan:
        """As many as the model needs, and as there is room for."""
        needed, possible = load.needed(busy_s), most
        is_short = cores is not None and load.core_s * MARGIN > cores * load.turn_s
        if cores is not None and is_short:
            possible = min(most, max(1, math.ceil(cores * busy_s / load.core_s)))
        workers = min(needed, possible)
        return cls(workers, needed, load.gain(workers, busy_s, cores), is_short, load.core_s > (cores or math.inf) * load.turn_s)

    @property
    def keeps_up(self) -> bool:
        """Whether the model would not wait any more."""
        return self.workers >= self.needed and not self.is_short

    @property
    def still_waits(self) -> str:
        """What it would bring where that is not all."""
        return f"~{times(self.gain)}x (the model would still wait)"

    def reason(self, cores: int | None) -> str:
        """Why it would."""
        if self.is_short:
            share = "more than" if self.is_too_much else "all that"
            return f"keeping up takes {share} {count_of(cores or 1, 'core')} can compute: {CHEAPER}"
        return f"{self.needed} workers would be needed: {CHEAPER}"


def _processes_instead(figures: FeedFigures, load: Load, facts: str, cores: int | None) -> Verdict:
    """Threads took turns."""
    # threads that waited for each other's GIL took up to so many times longer by the wall than they would alone
    plan = _Plan.of(load, max(load.cpu_s, load.make_s / max(1, figures.workers)), cores)
    seen = "the source holds the GIL"
    if figures.gil_share is None:
        seen = "the source computes, and threads take turns where it holds the GIL"
    if figures.is_refused:
        return Verdict(f"{facts}; {seen}, and it could not go to processes: let it travel, or {CHEAPER}", "input")
    if plan.keeps_up:
        return Verdict(
            f"{facts}; {seen}: processes would give ~{times(plan.gain)}x, and {plan.workers} would keep up ({AS_PROCESSES})", "input",
            plan.workers, True)
    if plan.gain < WORTH:
        return Verdict(f"{facts}; {seen}, and {plan.reason(cores)}", "input")
    return Verdict(
        f"{facts}; {seen}: {count_of(plan.workers, 'process')} would give {plan.still_waits}, {AS_PROCESSES}: {plan.reason(cores)}",
        "input", plan.workers, True)


def _more_workers(figures: FeedFigures, load: Load, facts: str, cores: int | None) -> Verdict:
    """How many workers of the same kind would close the gap?"""
    is_threads = figures.lane == "threads"
    kind = "thread" if is_threads else "process"
    plan = _Plan.of(load, load.busy_s, cores)
    hint = "the source waits on I/O" if is_threads else "the source waits on I/O: threads would do"
    why = f" ({hint})" if waits_elsewhere(figures) and (figures.gil_share or 0.0) <= GIL_HELD else ""
    if not plan.keeps_up and (plan.workers <= figures.workers or plan.gain < WORTH):
        return Verdict(f"{facts}; {plan.reason(cores)}", "input")
    if not plan.keeps_up:
        return Verdict(
            f"{facts}; {count_of(plan.workers, kind)} would give {plan.still_waits}{why}: {plan.reason(cores)}", "input", plan.workers,
            not is_threads)
    if plan.workers > figures.workers:
        return Verdict(f"{facts}; {count_of(plan.workers, kind)} would keep up{why}", "input", plan.workers, not is_threads)
    if figures.crowded > CROWDED or 0 < figures.few < plan.workers:
        return Verdict(f"{facts}; the machine has no core left for them: {CHEAPER}", "input")
    return Verdict(f"{facts}; on average they make enough, but some batches came late (stoker.report shows which)", "input")


def _who_makes(figures: FeedFigures, load: Load) -> str:
    if figures.lane == "inline":
        return f"made in line they come at {per_s(1 / max(load.make_s, 1e-9))}"
    return f"{count_of(figures.makers, 'worker')} {'make' if figures.makers > 1 else 'makes'} {per_s(pace_of(figures, load))}"


def count_of(number: int, noun: str) -> str:
    """``1 thread``, ``2 threads``, ``2 processes``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith('s') else 's'}"


def times(gain: float) -> str:
    """``3.6`` or ``16``."""
    return f"{gain:.1f}" if gain < 10 else f"{gain:,.0f}"


def _pace(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def per_s(rate: float) -> str:
    """``1 batch/s``, ``310 batches/s``."""
    text = _pace(rate)
    return f"{text} {'batch' if text == '1' else 'batches'}/s"
