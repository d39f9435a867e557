"""The advice holds, and auto comes to it: on machines that are made up, so that no clock decides (``simulated.py``)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import Cost, Priced, build, train

import stoker
from stoker.feed.advice import CHEAPER, verdict

MS = 1e-3
STEP_S = 10 * MS
SLEEPS = Cost(wait_s=40 * MS, cpu_s=0.1 * MS)
HOLDS = Cost(cpu_s=40 * MS, holds_gil=True)
RELEASES = Cost(cpu_s=40 * MS)
READS_THEN_HOLDS = Cost(wait_s=30 * MS, cpu_s=6 * MS, holds_gil=True)
READS_AND_HOLDS = Cost(wait_s=30 * MS, cpu_s=15 * MS, holds_gil=True)
CROSSES = Cost(cpu_s=2 * MS, cross_s=30 * MS)
QUICK = Cost(cpu_s=1 * MS)


@pytest.fixture
def machine(monkeypatch):
    return lambda **world: build(monkeypatch, **world)


STARVING = [
    # source, lane of the first try, words of the verdict, lane that is advised
    (SLEEPS, False, "waits on I/O", False),
    (SLEEPS, True, "threads would do", True),
    (HOLDS, False, "the source holds the GIL: processes would give ~4.0x", True),
    (HOLDS, True, "would keep up", True),
    (RELEASES, False, "would keep up", False),
    (RELEASES, True, "would keep up", True),
    (READS_THEN_HOLDS, False, "would keep up", False),
    (CROSSES, True, "would hand them over as they are", False),
]


@pytest.mark.parametrize("cost, processes, words, advised", STARVING)
def test_the_advised_workers_remove_the_wait(machine, cost, processes, words, advised):
    before = train(machine(), Priced(cost), STEP_S, workers=1, processes=processes)[-1]
    found = verdict(before, cores=64)
    assert before.wait_share > 0.4 and found.bound == "input" and words in found.text
    assert found.processes is advised
    after = train(machine(), Priced(cost), STEP_S, workers=found.advised_workers, processes=found.processes)[-1]
    assert after.wait_share < 0.05 and verdict(after, cores=64).bound in ("model", "balanced")


@pytest.mark.parametrize("cost", [SLEEPS, HOLDS, RELEASES])
def test_one_worker_fewer_than_were_advised_would_not_do(machine, cost):
    found = verdict(train(machine(), Priced(cost), STEP_S, workers=1, processes=True)[-1])
    fewer = train(machine(), Priced(cost), STEP_S, workers=found.advised_workers - 2, processes=True)[-1]
    assert fewer.wait_share > 0.2


@pytest.mark.parametrize("cost, lane, workers", [
    (SLEEPS, "threads", 5), (HOLDS, "processes", 5), (RELEASES, "threads", 5), (READS_AND_HOLDS, "processes", 5), (QUICK, "threads", 1)])
def test_auto_comes_to_what_is_advised_and_the_wait_goes(machine, cost, lane, workers):
    figures = train(machine(), Priced(cost), STEP_S, workers="auto", epochs=4)[-1]
    assert (figures.lane, figures.workers) == (lane, workers)
    assert figures.wait_share < 0.05 and not figures.auto_limit


def test_a_slow_step_is_the_models_own_limit(machine):
    for options in ({"workers": 1}, {"workers": 1, "processes": True}, {"workers": "auto"}):
        figures = train(machine(), Priced(QUICK), STEP_S, **options)[-1]
        assert verdict(figures).bound == "model" and figures.wait_share < 0.01


@given(make_s=st.floats(MS, 0.2), step_s=st.floats(MS, 0.05), cpu_share=st.floats(0, 1), holds_gil=st.booleans(), cores=st.integers(1, 64))
def test_whatever_the_source_the_advice_removes_the_wait_or_says_that_it_will_not(make_s, step_s, cpu_share, holds_gil, cores):
    cost = Cost(make_s * (1 - cpu_share), make_s * cpu_share, holds_gil=holds_gil)
    with pytest.MonkeyPatch.context() as monkeypatch:
        before = train(build(monkeypatch, cores=cores), Priced(cost, 60), step_s, workers=1, max_queue_size=128)[-1]
        after, found = before, verdict(before, cores)
        for _ in range(3):  # of threads that wait for disk and GIL by turns nobody can tell at once what each would take alone
            if found.advised_workers is None or "still wait" in found.text:
                break
            after = train(
                build(monkeypatch, cores=cores), Priced(cost, 60), step_s, workers=found.advised_workers,
                processes=bool(found.processes), max_queue_size=128)[-1]
            found = verdict(after, cores)
    assert found.bound != "input" or CHEAPER in found.text or after.wait_share < 0.05


@pytest.mark.parametrize("cost, cores, gain", [(HOLDS, 2, 2), (Cost(wait_s=4.0), 64, 64)])
def test_where_the_model_would_still_wait_it_gains_what_was_said(machine, cost, cores, gain):
    before = train(machine(cores=cores), Priced(cost), STEP_S / 2, workers=1, max_queue_size=128)[-1]
    found = verdict(before, cores)
    assert f"would give ~{gain}" in found.text and "(the model would still wait)" in found.text
    after = train(
        machine(cores=cores), Priced(cost), STEP_S / 2, workers=found.advised_workers, processes=found.processes, max_queue_size=128)[-1]
    assert before.elapsed_s / after.elapsed_s == pytest.approx(gain, rel=0.2)


def test_auto_on_too_few_cores_takes_them_all_and_says_what_bounds_it(machine):
    figures = train(machine(cores=2), Priced(HOLDS), STEP_S, workers="auto", epochs=4)[-1]
    assert (figures.lane, figures.workers) == ("processes", 2)
    assert figures.auto_limit == "there are 2 cores" and "more than 2 cores can compute" in verdict(figures, 2).text


def test_stragglers_are_evened_out_by_more_slots(machine):
    uneven = Priced(lambda index: Cost(wait_s=300 * MS if index % 20 == 5 else 1 * MS))
    before = train(machine(), uneven, 20 * MS, workers=2, max_queue_size=4)[-1]
    found = verdict(before)
    assert "all slots were taken behind a slow batch" in found.text and found.advised_workers is None
    after = train(machine(), uneven, 20 * MS, workers=2, max_queue_size=30)[-1]
    assert after.wait_share < 0.05 < before.wait_share


def test_workers_that_idle_while_the_model_is_compiled_are_not_short_of_slots(machine):
    first, later = (verdict(figures) for figures in train(machine(), Priced(SLEEPS), STEP_S, workers=2, first_step_s=60.0))
    assert "slots" not in first.text and "one long step aside" in first.text
    assert abs(first.advised_workers - later.advised_workers) <= 1


@pytest.mark.parametrize("processes", [False, True])
def test_a_generator_is_advised_no_workers(machine, processes):
    def batches():
        yield from range(200)

    batches.cost = lambda index: HOLDS
    for workers in (4, "auto"):
        figures = train(machine(), batches, STEP_S, workers=workers, processes=processes)[-1]
        found = verdict(figures, 64)
        assert figures.single_owner and figures.busy_share > 0.9
        assert found.bound == "input" and found.advised_workers is None
        assert "a generator has one owner" in found.text and re.search("1 worker makes 2[45] batches/s", found.text)
        assert (figures.auto_limit == "a generator has one owner") is (workers == "auto")


def test_cores_that_others_use_are_not_taken_for_a_disk(machine):
    figures = train(machine(cores=1, others=9), Priced(RELEASES), STEP_S, workers=2, processes=True)[-1]
    assert figures.cpu_s < 0.25 * figures.make_s and figures.crowded > 0.8
    assert "I/O" not in verdict(figures).text
    quiet = train(machine(), Priced(SLEEPS), STEP_S, workers=2, processes=True)[-1]
    assert "I/O" in verdict(quiet).text


def test_batches_made_on_the_trainings_own_thread(machine):
    for cost, processes in ((SLEEPS, None), (HOLDS, True)):
        figures = inline(machine(), cost)
        found = verdict(figures, 64)
        assert found.processes is processes and "beside the model" in found.text
        after = train(machine(), Priced(cost), STEP_S, workers=found.advised_workers, processes=bool(found.processes))[-1]
        assert after.wait_share < 0.05


def inline(world, cost):
    """Figures of a feed without workers: its batches come when they are asked for."""
    from stoker.feed.meter import FeedFigures

    make_s = cost.wait_s + cost.cpu_s
    return FeedFigures("inline", 0, 100, 100 * (make_s + STEP_S), 100 * make_s, 100 * make_s, 100 * cost.cpu_s, 100)


@pytest.mark.workers_die
@pytest.mark.parametrize("killed", [(0, 1), (1, 0), (2, 0, 1), (1,)])
def test_workers_that_die_at_once_are_all_replaced_before_one_is_asked_again(machine, killed):
    world = machine()
    with stoker.Feed(Priced(Cost(cpu_s=0.1 * MS), length=60), workers=3, processes=True) as feed:
        epoch = feed.epoch()
        made = [next(epoch).item() for _ in range(30)]
        world.advance(1.0)
        world.lanes[0].kill(*killed)
        made += [next(epoch).item() for _ in range(5)]  # asks for five more, of one worker
        feed.meter.take()  # as if none had been made: what that one had goes to several
        made += [batch.item() for batch in epoch]
    assert made == list(range(60))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_lies_between_epochs_is_no_part_of_their_figures(machine, workers):
    way = {"workers": workers, "epochs": 3}
    usual = train(machine(), Priced(SLEEPS), STEP_S, **way)
    found = train(machine(), Priced(SLEEPS), STEP_S, between_s=2.0, **way)
    for figures, expected in zip(found, usual, strict=True):
        assert figures.elapsed_s == pytest.approx(expected.elapsed_s, rel=0.1), "a worker makes some batches meanwhile"
        assert verdict(figures).advised_workers == verdict(expected).advised_workers
        assert figures.longest_step_s == pytest.approx(STEP_S)


def test_more_workers_than_the_queue_has_room_for_are_told_so(machine):
    slow = Priced(Cost(wait_s=150 * MS), length=200)
    found = verdict(train(machine(), slow, STEP_S, workers=1)[-1])
    assert found.advised_workers == 17 and "so many need max_queue_size=34" in found.text
    told = verdict(train(machine(), slow, STEP_S, workers=17)[-1])
    assert "max_queue_size=10 has work for no more than so many of the 17: max_queue_size=34 would keep all busy" in told.text
    assert train(machine(), slow, STEP_S, workers=17, max_queue_size=34)[-1].wait_share < 0.05


def test_processes_are_not_advised_where_they_were_just_refused(monkeypatch):
    class Camera(Priced):
        def __reduce__(self):
            raise TypeError("a camera cannot be pickled")

    machine = build(monkeypatch)
    usual = train(machine, Priced(HOLDS), STEP_S, workers=2)[-1]
    assert verdict(usual).processes is True
    monkeypatch.setattr("stoker.feed.processes.ProcessLane", lambda workers, bound: Refusing())
    with pytest.warns(stoker.StokerWarning, match="camera"):
        found = verdict(train(machine, Camera(HOLDS), STEP_S, workers=2, processes=True)[-1])
    assert found.processes is None and "the source holds the GIL, and it could not go to processes: let it travel" in found.text


class Refusing:
    """Takes no source."""

    name = "processes"
    workers = 2

    def add_source(self, key, source):
        raise stoker.NotPicklable("a camera", got="Camera", expected="attributes", where="here", remedy="None.")

    def close(self):
        pass


def pulled(world, pull_s, cost, length=200):
    """A ``parallel_map`` whose iterator takes so long for each item, on the consumer's thread."""

    class Items:
        def __iter__(self):
            for number in range(length):
                world.advance(pull_s)
                yield number

    source = stoker.parallel_map(Items(), lambda number: number)
    source.cost = lambda index: cost
    return source


@pytest.mark.parametrize("workers", [1, 4, "auto"])
def test_an_iterator_that_is_slow_to_give_items_is_said_to_be_the_limit(machine, workers):
    world = machine()
    figures = train(world, pulled(world, 30 * MS, QUICK), STEP_S, workers=workers)[-1]
    assert figures.pull_s == pytest.approx(200 * 30 * MS) and figures.wait_share == pytest.approx(0.75, abs=0.02)
    assert figures.longest_step_s == pytest.approx(STEP_S) and figures.workers == (1 if workers == "auto" else workers)
    found = verdict(figures)
    assert (found.bound, found.advised_workers) == ("input", None)
    assert "the model takes 100; pulling the items of parallel_map takes 75% of the time" in found.text


def test_a_function_that_is_slow_is_advised_no_more_workers_than_pulling_leaves_a_use_for(machine):
    world = machine()
    before = train(world, pulled(world, 10 * MS, Cost(wait_s=80 * MS)), STEP_S, workers=1)[-1]
    assert before.wait_share == pytest.approx(7 / 8, abs=0.02), "pulling while a worker is awaited is waited for once"
    found = verdict(before)
    assert found.advised_workers == 5 and "waits on I/O" in found.text
    after = train(world, pulled(world, 10 * MS, Cost(wait_s=80 * MS)), STEP_S, workers=found.advised_workers)[-1]
    assert after.wait_share == pytest.approx(0.5, abs=0.05) and "pulling the items" in verdict(after).text


@pytest.mark.parametrize("workers", [1, 3])
def test_what_a_source_does_at_the_end_of_a_pass_is_waited_for(machine, workers):
    world = machine()

    class Shuffled(Priced):
        def on_epoch_end(self):
            world.advance(6.0)

    figures = train(world, Shuffled(QUICK), STEP_S, workers=workers)[0]
    assert figures.wait_s == pytest.approx(6.0, abs=0.1) and figures.longest_step_s == pytest.approx(STEP_S)
