"""What held training back, for sources and models whose bottleneck is known."""

from __future__ import annotations

import dataclasses

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
    (figures("threads", 2, 0.040, 0.010, 1.0), "input", 5, False, "5 threads would keep up"),
    (figures("processes", 2, 0.040, 0.010, 1.0), "input", 5, True, "5 processes would keep up"),
    (figures("inline", 0, 0.010, 0.010, 1.0), "input", 2, None, "beside the model"),
    (figures("threads", 4, 0.010, 0.010, 0.1), "model", None, None, "4.0x faster"),
    (figures("threads", 1, 0.010, 0.010, 0.1), "balanced", None, None, "about as fast"),
    (figures("threads", 2, 0.040, 0.010, 0.5), "input", 3, True, "holds the GIL: 3 processes"),
    (figures("threads", 1, 0.040, 0.010, 0.15), "input", 5, False, "5 threads would keep up"),
    (figures("threads", 1, 2.0, 0.010, 0.0), "input", None, None, "221 workers would be needed"),
])
def test_the_verdict_names_the_bottleneck_and_the_remedy(given, bound, workers, processes, words):
    found = verdict(given)
    assert (found.bound, found.advised_workers, found.processes) == (bound, workers, processes)
    assert words in found.text


@pytest.mark.parametrize(("gil_share", "processes", "words"), [
    (0.9, True, "the source holds the GIL: 5 processes"), (0.1, False, "5 threads")])
def test_what_was_seen_of_the_gil_decides_between_threads_and_processes(gil_share, processes, words):
    found = verdict(dataclasses.replace(figures("threads", 1, 0.040, 0.010, 1.0), gil_share=gil_share))
    assert (found.advised_workers, found.processes) == (5, processes) and words in found.text


def test_batches_that_cost_more_to_carry_than_to_make_are_handed_over_by_threads():
    carried = dataclasses.replace(figures("processes", 1, 0.040, 0.010, 1.0), make_s=1.0, cpu_s=1.0, cross_s=39.0)
    found = verdict(carried)
    assert (found.advised_workers, found.processes) == (1, False) and "copying them into shared memory takes 98%" in found.text
    costly = dataclasses.replace(carried, make_s=15.0, cross_s=25.0)
    assert "stoker.empty" in verdict(costly).text and verdict(costly).processes is True


def test_workers_that_idle_while_the_model_waits_are_short_of_slots():
    found = verdict(FeedFigures("threads", 2, 100, 2.0, 0.4, 1.6, 1.6, 100, 0.0, 0.0))
    assert "all slots were taken" in found.text and "max_queue_size" in found.text


def test_batches_that_are_made_faster_than_handed_over_are_too_small():
    found = verdict(FeedFigures("threads", 1, 1000, 0.1, 0.03, 0.01, 0.01, 1000, 0.0, 0.0))
    assert found.advised_workers is None and "larger batches, or workers=0" in found.text


def test_the_sentence_has_the_rates_of_both():
    assert verdict(figures("threads", 2, 0.008, 0.002, 0.0)).text == (
        "the model waited for data 50% of the time (input-bound): 2 workers make 250 batches/s, the model takes 500; "
        "5 threads would keep up (the source waits on I/O)")


def test_more_than_the_cores_can_compute_is_not_mended_by_workers():
    found = verdict(figures("processes", 2, 0.040, 0.010, 1.0), cores=2)
    assert found.advised_workers is None and "more than 2 cores can compute" in found.text
    assert verdict(figures("processes", 2, 0.040, 0.010, 1.0), cores=8).advised_workers == 5


def test_threads_are_not_advised_beyond_what_the_gil_lets_them_make():
    for cpu_share in (0.0, 0.1, 0.3, 0.6, 1.0):
        found = verdict(figures("threads", 1, 0.040, 0.010, cpu_share))
        assert found.processes is (0.040 * cpu_share > 0.010 * 0.8)


def test_the_advised_number_of_workers_removes_the_wait():
    before = figures("processes", 1, 0.050, 0.010, 1.0)
    advised = verdict(before).advised_workers
    after = figures("processes", advised, 0.050, 0.010, 1.0)
    assert after.wait_share < 0.01
    assert verdict(after).bound == "balanced"
    assert verdict(figures("processes", advised - 2, 0.050, 0.010, 1.0)).bound == "input", "it advises no more than a worker too many"


def test_nothing_made_is_nothing_said():
    assert verdict(FeedFigures("threads", 1, 0, 0.0, 0.0, 0.0, 0.0, 0)).bound == "none"


def test_a_few_batches_are_not_judged():
    assert verdict(figures("threads", 1, 0.040, 0.010, 0.1, batches=9)).bound == "none"
    assert verdict(figures("threads", 1, 0.040, 0.010, 0.1, batches=10)).bound == "input"
