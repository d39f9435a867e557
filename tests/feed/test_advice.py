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
    (figures("inline", 0, 0.010, 0.010, 1.0), "input", 2, True,
     "workers=2, processes=True or use_multiprocessing=True, would make them beside the model"),
    (figures("inline", 0, 0.010, 0.010, 0.1), "input", 2, None, "workers=2 would make them beside the model"),
    (figures("threads", 4, 0.010, 0.010, 0.1), "model", None, None, "4.0x faster"),
    (figures("threads", 1, 0.010, 0.010, 0.1), "balanced", None, None, "about as fast"),
    (figures("threads", 2, 0.040, 0.010, 0.5), "input", 3, True, "holds the GIL: processes would give ~2.0x, and 3 would keep up"),
    (figures("threads", 1, 0.040, 0.010, 0.15), "input", 5, False, "5 threads would keep up"),
    (figures("threads", 1, 2.0, 0.010, 0.0), "input", 64, False, "64 threads would give ~64x (the model would still wait)"),
    (figures("threads", 64, 2.0, 0.010, 0.0), "input", None, None, "221 workers would be needed"),
])
def test_the_verdict_names_the_bottleneck_and_the_remedy(given, bound, workers, processes, words):
    found = verdict(given)
    assert (found.bound, found.advised_workers, found.processes) == (bound, workers, processes)
    assert words in found.text


@pytest.mark.parametrize(("gil_share", "processes", "words"), [
    (0.9, True, "the source holds the GIL: processes would give ~4.0x, and 5 would keep up"), (0.1, False, "5 threads")])
def test_what_was_seen_of_the_gil_decides_between_threads_and_processes(gil_share, processes, words):
    found = verdict(dataclasses.replace(figures("threads", 1, 0.040, 0.010, 1.0), gil_share=gil_share))
    assert (found.advised_workers, found.processes) == (5, processes) and words in found.text


def test_batches_that_cost_more_to_carry_than_to_make_are_handed_over_by_threads():
    carried = dataclasses.replace(figures("processes", 1, 0.040, 0.010, 1.0), make_s=1.0, cpu_s=1.0, cross_s=39.0)
    found = verdict(carried)
    assert (found.advised_workers, found.processes) == (1, False) and "copying them into shared memory takes 98%" in found.text
    costly = dataclasses.replace(carried, make_s=15.0, cross_s=25.0)
    assert "stoker.empty" in verdict(costly).text and verdict(costly).processes is True


def test_slots_are_short_only_where_that_was_measured():
    idle = FeedFigures("threads", 2, 100, 2.0, 0.4, 1.6, 1.6, 100, 0.0, 0.0)
    assert "slots" not in verdict(idle).text and "some batches came late" in verdict(idle).text
    found = verdict(dataclasses.replace(idle, slots_s=0.3))
    assert "75% of that all slots were taken behind a slow batch" in found.text and "max_queue_size" in found.text
    assert "slots" not in verdict(dataclasses.replace(idle, slots_s=0.1)).text


def test_the_step_in_which_the_model_is_compiled_does_not_count():
    usual = figures("threads", 2, 0.040, 0.010, 0.0)
    first = dataclasses.replace(
        usual, batches=usual.batches + 1, elapsed_s=usual.elapsed_s + 60.0, longest_step_s=60.0)
    assert verdict(first).advised_workers == verdict(usual).advised_workers == 5
    assert verdict(first).text.startswith("the model waited for data, one long step aside, 50% of the time")
    often = dataclasses.replace(first, longest_step_s=5.0)
    assert "aside" not in verdict(often).text, "it was not one step that took most of the time"


def test_what_was_made_before_a_stretch_is_no_pace_of_its_workers():
    assert "1 worker makes 25 batches/s" in verdict(
        FeedFigures("threads", 1, 20, 0.5, 0.3, 20 * 0.04, 0.0, 20)).text, "40 batches/s were handed out, of which some lay ready"
    assert "1 worker makes 1 batch/s, the model takes 4;" in verdict(FeedFigures("threads", 1, 20, 20.0, 15.0, 20.0, 0.0, 20)).text


def test_a_generator_is_not_advised_workers_that_it_cannot_use():
    for lane in ("threads", "processes"):
        one = dataclasses.replace(figures(lane, 1, 0.040, 0.010, 1.0), workers=4, single_owner=True)
        found = verdict(one)
        assert one.busy_share == pytest.approx(1.0) and found.bound == "input"
        assert (found.advised_workers, found.processes) == (None, None)
        assert "1 worker makes 25 batches/s" in found.text
        assert "a generator has one owner, so more workers do not help: stoker.parallel_map or a Sequence would" in found.text
    found = verdict(dataclasses.replace(figures("inline", 0, 0.040, 0.010, 1.0), single_owner=True))
    assert found.advised_workers == 1 and found.processes is None and "~1.2x (the model would still wait)" in found.text


def test_a_busy_machine_is_not_taken_for_a_slow_disk():
    slow = figures("processes", 2, 0.040, 0.010, 0.1)
    assert "waits on I/O" in verdict(slow).text
    assert "waits on I/O" in verdict(dataclasses.replace(slow, ran_s=4.0, queued_s=1.0)).text
    assert "waits on I/O" not in verdict(dataclasses.replace(slow, ran_s=4.0, queued_s=30.0)).text
    few = FeedFigures("processes", 6, 1000, 20.0, 10.0, 40.0, 40.0, 1000)
    assert "no core left" not in verdict(few).text
    assert "no core left" in verdict(dataclasses.replace(few, ran_s=40.0, queued_s=30.0)).text


def test_batches_that_are_made_faster_than_handed_over_are_too_small():
    found = verdict(FeedFigures("threads", 1, 1000, 0.1, 0.03, 0.01, 0.01, 1000, 0.0, 0.0))
    assert found.advised_workers is None and "larger batches, or workers=0" in found.text


def test_the_sentence_has_the_rates_of_both():
    assert verdict(figures("threads", 2, 0.008, 0.002, 0.0)).text == (
        "the model waited for data 50% of the time (input-bound): 2 workers make 250 batches/s, the model takes 500; "
        "5 threads would keep up (the source waits on I/O)")


def test_where_workers_cannot_keep_up_it_says_what_the_possible_number_gives():
    found = verdict(figures("processes", 1, 0.400, 0.010, 1.0), cores=8)
    assert (found.advised_workers, found.processes) == (8, True)
    assert "8 processes would give ~8.0x (the model would still wait): keeping up takes more than 8 cores can compute" in found.text
    held = verdict(dataclasses.replace(figures("threads", 1, 0.400, 0.010, 1.0), gil_share=0.9), cores=8)
    assert (held.advised_workers, held.processes) == (8, True)
    assert "the source holds the GIL: 8 processes would give ~8.0x (the model would still wait)" in held.text
    inline = verdict(figures("inline", 0, 0.400, 0.010, 1.0), cores=8)
    assert (inline.advised_workers, inline.processes) == (8, True) and "~8.2x (the model would still wait)" in inline.text


def test_more_than_the_cores_can_compute_is_not_mended_by_workers():
    found = verdict(figures("processes", 2, 0.040, 0.010, 1.0), cores=2)
    assert found.advised_workers is None and "more than 2 cores can compute" in found.text
    assert verdict(figures("processes", 2, 0.040, 0.010, 1.0), cores=8).advised_workers == 5
    held = verdict(dataclasses.replace(figures("threads", 1, 0.400, 0.010, 1.0), gil_share=0.9), cores=1)
    assert held.advised_workers is None and "holds the GIL, and keeping up takes more than 1 core can compute" in held.text


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


def test_workers_without_a_core_do_not_make_enough():
    found = verdict(dataclasses.replace(figures("processes", 1, 0.3e-3, 0.2e-3, 1.0), workers=4, few=1))
    assert "the machine has no core left for them" in found.text and "on average" not in found.text


@pytest.mark.parametrize("step_s", [60e-6, 35e-6])
def test_batches_that_take_less_than_a_message_are_not_given_to_workers(step_s):
    found = verdict(figures("inline", 0, 30e-6, step_s, 1.0))
    assert found.bound == "input" and found.advised_workers is None and "larger batches" in found.text
