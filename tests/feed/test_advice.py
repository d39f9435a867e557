"""What held training back, for sources and models whose bottleneck is known."""

from __future__ import annotations

import pytest

from stoker.feed.advice import verdict
from stoker.feed.meter import FeedFigures


def figures(lane, workers, make_s, step_s, cpu_share, batches=1000):
    """A feed that runs as queueing theory says: the slower of source and model sets the pace."""
    pace_s = max(make_s / max(1, workers), step_s) if lane != "inline" else make_s + step_s
    elapsed_s = pace_s * batches
    return FeedFigures(
        lane, workers, batches, elapsed_s, elapsed_s - step_s * batches, make_s * batches, make_s * batches * cpu_share, batches)


@pytest.mark.parametrize(("given", "bound", "workers", "processes", "words"), [
    (figures("threads", 1, 0.001, 0.010, 0.1), "model", None, None, "the model is the limit"),
    (figures("threads", 1, 0.040, 0.010, 0.05), "input", 5, False, "waits on I/O"),
    (figures("threads", 2, 0.040, 0.010, 1.0), "input", 5, True, "processes"),
    (figures("processes", 2, 0.040, 0.010, 1.0), "input", 5, True, "5 processes would keep up"),
    (figures("inline", 0, 0.010, 0.010, 1.0), "input", 2, None, "beside the model"),
    (figures("threads", 4, 0.010, 0.010, 0.1), "model", None, None, "4.0x faster"),
])
def test_the_verdict_names_the_bottleneck_and_the_remedy(given, bound, workers, processes, words):
    found = verdict(given)
    assert (found.bound, found.workers, found.processes) == (bound, workers, processes)
    assert words in found.text


def test_the_advised_number_of_workers_removes_the_wait():
    before = figures("processes", 1, 0.050, 0.010, 1.0)
    advised = verdict(before).workers
    assert verdict(figures("processes", advised, 0.050, 0.010, 1.0)).bound == "model"


def test_nothing_made_is_nothing_said():
    assert verdict(FeedFigures("threads", 1, 0, 0.0, 0.0, 0.0, 0.0, 0)).bound == "none"
