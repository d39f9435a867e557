"""``workers="auto"``, decided without a clock: feeds that run as queueing theory says."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.feed.advice import verdict
from stoker.feed.governor import Crewing, Governor, Limits
from stoker.feed.meter import FeedFigures

LIMITS = Limits(most=32, cores=8, free_bytes=None, may_fork=True)


def stretch(crew, make_s, cpu_share, step_s, *, holds_gil=False, cores=8, seconds=1.0):
    """One second of a feed, after start-up."""
    cpu_s = make_s * cpu_share
    least_s = cpu_s if holds_gil and not crew.processes else cpu_s / cores
    pace_s = max(step_s, make_s / crew.workers, least_s)
    batches = round(seconds / pace_s)
    busy_s = min(crew.workers * seconds, batches * max(make_s, crew.workers * least_s if pace_s > step_s else make_s))
    return FeedFigures(
        "processes" if crew.processes else "threads", crew.workers, batches, seconds, max(0.0, seconds - batches * step_s),
        busy_s, batches * cpu_s, batches, 0.0, None if crew.processes else float(holds_gil and cpu_share > 0.5))


class Watched:
    """A governor that is shown one stretch after the other, as a meter shows them: summed since the epoch began."""

    SUMS = ("batches", "elapsed_s", "wait_s", "make_s", "cpu_s", "made", "cross_s", "ran_s", "queued_s")

    def __init__(self, limits=LIMITS):
        self.governor = Governor(Crewing(1, False), limits)
        self.crews = [self.governor.crewing]
        self.total = None

    def see(self, figures, batch_bytes=1000):
        sums = {} if self.total is None else {name: getattr(self.total, name) + getattr(figures, name) for name in self.SUMS}
        self.total = dataclasses.replace(figures, **sums)
        self.crews.append(self.governor.judge(self.total, batch_bytes))
        return self.crews[-1]


def run(source, limits=LIMITS, looks=12, batch_bytes=1000):
    watched = Watched(limits)
    for _ in range(looks):
        watched.see(stretch(watched.crews[-1], **source), batch_bytes)
    return watched.crews


def test_a_source_that_waits_gets_as_many_threads_as_the_model_needs():
    crews = run({"make_s": 0.02, "cpu_share": 0.0, "step_s": 0.005})
    assert crews[0] == Crewing(1, False) and crews[-1] == Crewing(5, False)
    assert verdict(stretch(crews[-1], 0.02, 0.0, 0.005)).bound != "input"


def test_a_source_that_holds_the_gil_gets_processes():
    crews = run({"make_s": 0.02, "cpu_share": 1.0, "step_s": 0.005, "holds_gil": True})
    assert crews[-1] == Crewing(5, True)


def test_a_source_that_releases_the_gil_stays_with_threads():
    assert run({"make_s": 0.02, "cpu_share": 1.0, "step_s": 0.005})[-1] == Crewing(5, False)


def test_where_processes_cannot_be_had_threads_remain():
    limits = Limits(most=32, cores=8, free_bytes=None, may_fork=False)
    crews = run({"make_s": 0.02, "cpu_share": 1.0, "step_s": 0.005, "holds_gil": True}, limits)
    assert not any(crew.processes for crew in crews)


def test_where_processes_turn_out_not_to_be_had_there_are_as_many_threads_as_before():
    watched = Watched()
    while not watched.crews[-1].processes:
        watched.see(stretch(watched.crews[-1], 0.02, 1.0, 0.005, holds_gil=True))
    assert watched.crews[-1].workers > 1
    watched.governor.stay_with_threads()
    assert watched.governor.crewing == Crewing(1, False)


def test_a_source_that_computes_gets_no_more_workers_than_there_are_cores():
    limits = Limits(most=32, cores=2, free_bytes=None, may_fork=True)
    crews = run({"make_s": 0.05, "cpu_share": 1.0, "step_s": 0.001, "cores": 2}, limits)
    assert max(crew.workers for crew in crews) == 2


def test_memory_bounds_the_workers():
    limits = Limits(most=32, cores=8, free_bytes=3_000_000_000, may_fork=True)
    crews = run({"make_s": 0.1, "cpu_share": 0.0, "step_s": 0.005}, limits, batch_bytes=100_000_000)
    assert crews[-1].workers == 5, "half of what is free, three batches for each worker"


def test_a_feed_that_keeps_up_is_left_alone():
    assert set(run({"make_s": 0.001, "cpu_share": 1.0, "step_s": 0.005})) == {Crewing(1, False)}


def test_workers_that_were_of_no_use_are_taken_back_for_good():
    watched, disk_s = Watched(), 0.01
    for _ in range(10):
        workers = watched.crews[-1].workers
        watched.see(FeedFigures("threads", workers, 100, 1.0, 0.7, 100 * disk_s * workers, 0.0, 100, 0.0, 0.0))
    crews = watched.crews
    assert max(crew.workers for crew in crews) > 1
    assert crews[-1].workers == 1 and len(set(crews[-5:])) == 1


def test_workers_are_dropped_once_the_model_has_become_slow_for_a_while():
    fast, slow = {"make_s": 0.02, "cpu_share": 0.0, "step_s": 0.002}, {"make_s": 0.02, "cpu_share": 0.0, "step_s": 0.02}
    watched = Watched()
    for source, looks in ((fast, 5), (slow, 2)):
        for _ in range(looks):
            watched.see(stretch(watched.crews[-1], **source))
    assert watched.crews[-1].workers == 11, "a slow stretch or two, such as a checkpoint, change nothing"
    for _ in range(3):
        watched.see(stretch(watched.crews[-1], **slow))
    assert watched.crews[-1].workers == 2


def test_a_short_stretch_is_not_judged():
    governor = Governor(Crewing(1, False), LIMITS)
    assert governor.judge(stretch(governor.crewing, 0.02, 0.0, 0.005, seconds=0.1), 1000).workers == 1


@given(
    make_s=st.floats(1e-4, 0.3), cpu_share=st.floats(0, 1), step_s=st.floats(1e-4, 0.05), holds_gil=st.booleans(), cores=st.integers(1, 16),
    most=st.integers(1, 64))
def test_it_stays_within_its_limits_and_comes_to_rest(make_s, cpu_share, step_s, holds_gil, cores, most):
    limits = Limits(most, cores, None, True)
    source = {"make_s": make_s, "cpu_share": cpu_share, "step_s": step_s, "holds_gil": holds_gil, "cores": cores}
    crews = run(source, limits, looks=40)
    assert all(1 <= crew.workers <= most for crew in crews)
    assert len(set(crews[-10:])) == 1, "it settles"
    if cpu_share > 0.5:
        assert all(crew.workers <= cores for crew in crews[1:])


@pytest.mark.parametrize("make_s", [0.004, 0.02, 0.05])
def test_what_it_settles_on_removes_the_wait_where_that_can_be(make_s):
    crew = run({"make_s": make_s, "cpu_share": 0.1, "step_s": 0.005})[-1]
    assert stretch(crew, make_s, 0.1, 0.005).wait_share < 0.05


@pytest.mark.parametrize(("source", "limits", "batch_bytes", "said"), [
    ({"make_s": 0.05, "cpu_share": 1.0, "step_s": 0.001, "cores": 2}, {"cores": 2}, 1000, "there are 2 cores"),
    ({"make_s": 0.1, "cpu_share": 0.0, "step_s": 0.005}, {"most": 10}, 1000, "max_queue_size allows no more than 10"),
    ({"make_s": 0.1, "cpu_share": 0.0, "step_s": 0.005}, {"free_bytes": 3_000_000_000}, 100_000_000, "memory allows no more"),
    ({"make_s": 0.02, "cpu_share": 1.0, "step_s": 0.005, "holds_gil": True}, {"may_fork": False}, 1000, "cannot go to processes"),
    ({"make_s": 0.02, "cpu_share": 0.0, "step_s": 0.005}, {}, 1000, ""),
])
def test_it_says_what_keeps_it_from_having_as_many_as_are_needed(source, limits, batch_bytes, said):
    watched = Watched(dataclasses.replace(LIMITS, **limits))
    for _ in range(12):
        watched.see(stretch(watched.crews[-1], **source), batch_bytes)
    assert said in watched.governor.limit and bool(said) == bool(watched.governor.limit)


def test_a_busy_machine_does_not_lift_the_bound_of_cores():
    limits = Limits(most=32, cores=2, free_bytes=None, may_fork=True)
    watched = Watched(limits)
    for _ in range(8):
        throttled = stretch(watched.crews[-1], 0.1, 0.1, 0.005)
        watched.see(dataclasses.replace(throttled, ran_s=throttled.cpu_s, queued_s=8 * throttled.cpu_s))
    assert max(crew.workers for crew in watched.crews) == 2, "its wall time is ten times its CPU time for want of a core"
