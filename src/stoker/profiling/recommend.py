"""How to feed from a source: which workers, how many, and why, in one call and one sentence.

What the source was seen to do decides between threads and processes (it waits, computes without the GIL, or holds it); what the runs gave
decides how many. Where runs contradict by a wide margin, the runs are right.

Rules: pure; without a model nobody knows how fast batches are needed, so the answer is the fewest workers that come near the best rate.
"""

from __future__ import annotations

import math

from stoker.feed.advice import GIL_HELD, per_s
from stoker.feed.load import IDLE_CPU
from stoker.feed.meter import QUICK_S
from stoker.profiling.record import QUEUE, Measured, Recommendation, Run

NEAR_BEST = 0.85
CONTRADICTED = 0.6
"""The lane that was expected to be better is given up where it gave less than this share of what the other gave."""
WORTH_S = 1e-3
"""A generator whose batches take less than this is not worth a process."""


def recommend(measured: Measured) -> Recommendation | None:
    """The call to write; None where nothing could be made."""
    times = measured.times
    if times is None or measured.form is None:
        return None
    workers, processes, why = _choice(measured)
    return Recommendation(_call(measured, workers, processes), why, workers, processes)


def _call(measured: Measured, workers: int, processes: bool) -> str:
    assert measured.form is not None
    verb = "predict" if "predict" in measured.form.text else "fit"
    endless = measured.kind == "stream" or (measured.kind != "indexed" and measured.length is None and measured.ended_after is None)
    steps = (", steps=..." if verb == "predict" else ", steps_per_epoch=...") if endless or measured.is_used_up else ""
    ways = f"workers={workers}{', processes=True' if processes else ''}{f', max_queue_size={2 * workers}' if 2 * workers > QUEUE else ''}"
    return f"stoker.{verb}(model, source{steps}, {ways})"


def holds_gil(measured: Measured) -> bool | None:
    """Whether making batches keeps other threads from running; None where that is not known."""
    times = measured.times
    if times is None:
        return None
    if times.cpu_share < IDLE_CPU:
        return False
    return None if times.gil_share is None else times.gil_share > GIL_HELD


def _choice(measured: Measured) -> tuple[int, bool, str]:
    times = measured.times
    assert times is not None
    if times.median_s < QUICK_S:
        return 1, False, f"A batch takes {times.median_s * 1e6:.0f} us to make: one thread is ahead of any model."
    if measured.kind in ("stream", "restartable"):
        return _one_owner(measured)
    if times.cpu_share < IDLE_CPU:
        expected, why = "threads", f"The source waits (its CPU time is {times.cpu_share:.0%} of its wall time): threads wait side by side"
    elif holds_gil(measured):
        expected, why = "processes", "The source holds the GIL, so threads take turns: processes run side by side"
    elif holds_gil(measured) is False:
        expected, why = "threads", "The source computes without the GIL: threads run side by side, and hand batches over as they are"
    else:
        expected, why = _faster(measured)
    return _checked(measured, expected, why)


def _one_owner(measured: Measured) -> tuple[int, bool, str]:
    held = holds_gil(measured)
    if held is None:
        return 1, False, "A generator has one owner, so one worker makes all: a thread, since it was not told whether it holds the GIL."
    if not held:
        return 1, False, "A generator has one owner, so one worker makes all: a thread will do, since it leaves the GIL to the training."
    if measured.kind == "stream":
        return 1, False, (
            "A generator object stays in its process, on one thread; it holds the GIL, so the function that makes it, or "
            "stoker.parallel_map, would feed better.")
    if not measured.can_travel:
        return 1, False, "A generator has one owner, so one worker makes all; it holds the GIL, but cannot go to a process."
    if _has_failed(measured):
        return 1, False, "A generator has one owner, so one worker makes all; it holds the GIL, but the run with a process failed."
    assert measured.times is not None
    if measured.times.median_s < WORTH_S or _crossing_s(measured) > measured.times.median_s:
        return 1, False, "A generator has one owner, so one worker makes all; batches cost less to make than to hand over to a process."
    return 1, True, "A generator has one owner, so one worker makes all; it holds the GIL, so a process keeps it out of the training's way."


def _checked(measured: Measured, expected: str, why: str) -> tuple[int, bool, str]:
    """The lane that is expected to be better, unless it is not there, costs more than it brings, or was plainly slower."""
    assert measured.times is not None
    if expected == "processes" and not measured.can_travel:
        return 1, False, "The source holds the GIL, so more threads would take turns; processes would not, but it cannot go to them."
    if expected == "processes" and _has_failed(measured):
        return 1, False, "The source holds the GIL, so more threads would take turns; processes would not, but the run with them failed."
    if expected == "processes" and _crossing_s(measured) > measured.times.median_s:
        return 1, False, "Batches cost less to make than to hand over from a process: one thread will do."
    if expected == "processes" and measured.cores == 1:
        return 1, False, "There is one core only: nothing can run beside the training."
    other = "threads" if expected == "processes" else "processes"
    best, best_other = _best(measured.runs, expected), _best(measured.runs, other)
    was_tried = any(run.lane == expected for run in measured.runs)
    if was_tried and best < CONTRADICTED * best_other and (other == "threads" or measured.can_travel):
        expected, why, best = other, f"{other.capitalize()} were faster, {pace(best_other)} to {per_s(best)}", best_other
    if not best:
        return min(2, measured.cores), expected == "processes", f"{why}. How many workers are best was not measured."
    workers, rate = _fewest(measured.runs, expected)
    if expected == "processes" and workers == 1:
        why = "The source holds the GIL: a process keeps it out of the training's way, and more gave no more"
    return workers, expected == "processes", f"{why}; {workers} gave {per_s(rate)}."


def _fewest(runs: tuple[Run, ...], lane: str) -> tuple[int, float]:
    """The fewest workers that come near the best rate, and their rate."""
    best = _best(runs, lane)
    return min((run.workers, run.rate) for run in runs if run.lane == lane and run.rate >= NEAR_BEST * best)


def _best(runs: tuple[Run, ...], lane: str) -> float:
    return max((run.rate for run in runs if run.lane == lane), default=0.0)


def _faster(measured: Measured) -> tuple[str, str]:
    """The lane that the runs speak for, and why."""
    if not {run.lane for run in measured.runs} >= ({"threads", "processes"} if measured.can_travel else {"threads"}):
        return "threads", "It was not told whether the source holds the GIL, nor measured what processes give"
    is_faster = _best(measured.runs, "processes") > _best(measured.runs, "threads") / NEAR_BEST
    return "processes" if is_faster else "threads", "That was fastest"


def _has_failed(measured: Measured) -> bool:
    """Whether worker processes were tried, and could not feed."""
    crossed = [run for run in measured.runs if run.lane == "processes"]
    return any(run.error for run in crossed) and not any(run.rate for run in crossed)


def _crossing_s(measured: Measured) -> float:
    """What handing a batch over from a process costs, by the best run."""
    return min((run.cross_s + run.parent_s for run in measured.runs if run.lane == "processes" and run.rate), default=0.0)


def pace(rate: float) -> str:
    """Batches a second in a few characters."""
    if not math.isfinite(rate):
        return "-"
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
