"""From measurements to findings and the recommended call, on measurements that were made up."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.profiling.batches import Shapes
from stoker.profiling.findings import duration, find, size
from stoker.profiling.memory import Point, grown, growth
from stoker.profiling.recommend import recommend
from stoker.profiling.record import Chance, Fault, Form, Leaf, Measured, Memory, Run, Times, Travel
from stoker.profiling.table import as_text
from stoker.profiling.throughput import Rung, ladder, run_length_s

FORM = Form("(inputs, targets)", (Leaf("inputs", ("float32",), ((4, 4), (3, 3))),), 48, 48, 0)
MS = 1e-3


def times(make_s=5 * MS, cpu_share=1.0, gil_share=None, worst_s=None):
    return Times(200, make_s, make_s, worst_s or make_s, 3, cpu_share, gil_share)


def runs(**rates):
    return tuple(
        Run(lane, workers, rate, 20e-6 if lane == "processes" else 0.0, 30e-6)
        for lane, by_workers in rates.items() for workers, rate in zip((1, 2, 4), by_workers, strict=False))


def measured(kind="indexed", cores=2, **fields):
    return Measured(
        "Digits", kind, cores, 10.0, **{
            "length": 40 if kind == "indexed" else None, "form": FORM, "times": times(), "travel": Travel(True, 2000), "drawn": 200,
            "chance": Chance(True), **fields})


def names(found):
    return [finding.name for finding in find(found)]


HELD = times(gil_share=0.9)


@pytest.mark.parametrize("found, workers, processes, why", [
    (measured(times=times(50e-6)), 1, False, "ahead of any model"),
    (measured(times=times(cpu_share=0.02), runs=runs(threads=(100, 200, 400), processes=(100, 200, 399))), 4, False, "waits"),
    (measured(times=HELD, runs=runs(threads=(200, 190, 180), processes=(195, 390, 400))), 2, True, "holds the GIL"),
    (measured(times=times(gil_share=0.0), runs=runs(threads=(200, 390, 395), processes=(195, 390, 400))), 2, False, "without the GIL"),
    (measured(times=HELD, travel=Travel(False, where="Digits.db", got="Connection"), runs=runs(threads=(200, 190))), 1, False, "cannot go"),
    (measured(times=HELD, cores=1, runs=runs(threads=(200,), processes=(195,))), 1, False, "one core"),
    (measured(times=HELD, runs=runs(threads=(200, 390), processes=(50, 60))), 2, False, "Threads were faster"),
    (measured(times=HELD), 2, True, "not measured"),
    (measured(times=HELD, runs=runs(threads=(0.83,))), 2, True, "processes run side by side. How many workers are best was not measured"),
    (measured(times=times(gil_share=None)), 2, False, "nor measured what processes give"),
    (measured(times=times(gil_share=None), runs=runs(threads=(200,))), 1, False, "nor measured what processes give; 1 gave 200"),
    (measured(times=times(gil_share=None), travel=Travel(False), runs=runs(threads=(200,))), 1, False, "That was fastest; 1 gave 200"),
    (measured(times=times(gil_share=None), runs=runs(threads=(200, 200), processes=(200, 390))), 2, True, "fastest"),
    (measured("stream", times=HELD, travel=Travel(False)), 1, False, "one thread"),
    (measured("restartable", times=HELD), 1, True, "one owner"),
    (measured("restartable", times=times(gil_share=0.0)), 1, False, "leaves the GIL"),
    (measured("restartable", times=times(gil_share=None)), 1, False, "not told whether it holds the GIL"),
    (measured("parallel_map", times=HELD, runs=runs(threads=(200, 190), processes=(195, 390))), 2, True, "holds the GIL"),
])
def test_the_call_follows_from_what_the_source_does(found, workers, processes, why):
    advice = recommend(found)
    assert (advice.workers, advice.processes) == (workers, processes)
    assert why in advice.why
    assert f"workers={workers}" in advice.call and ("processes=True" in advice.call) is processes


def test_a_batch_that_costs_more_to_hand_over_than_to_make_stays_on_threads():
    dear = (Run("threads", 1, 900.0), Run("processes", 1, 300.0, cross_s=3 * MS), Run("processes", 2, 800.0, cross_s=3 * MS))
    advice = recommend(measured(times=times(MS, gil_share=0.9), runs=dear))
    assert not advice.processes and "hand over" in advice.why


def test_a_run_that_failed_in_processes_is_a_fault_and_no_advice():
    found = measured(times=HELD, runs=(Run("threads", 1, 200.0), Run("processes", 1, error="WorkerDied: again and again")))
    assert names(found) == ["run-failed"]
    assert recommend(found).processes is False
    generator = recommend(dataclasses.replace(found, kind="restartable"))
    assert generator.processes is False and "the run with a process failed" in generator.why


def test_one_run_that_failed_takes_nothing_from_those_that_went_well():
    crossed = (Run("processes", 1, 195.0, 20e-6), Run("processes", 2, 390.0, 20e-6), Run("processes", 4, error="MemoryError: no memory"))
    advice = recommend(measured(times=HELD, runs=(Run("threads", 1, 200.0), *crossed)))
    assert (advice.workers, advice.processes) == (2, True)


def test_predict_and_endless_sources_are_called_as_they_must_be():
    bare = dataclasses.replace(FORM, text="inputs (for predict; fit needs targets too)")
    assert recommend(measured(form=bare)).call.startswith("stoker.predict(model, source, workers=")
    assert "steps_per_epoch=..." in recommend(measured("stream")).call
    assert "steps_per_epoch" not in recommend(measured("restartable", ended_after=10)).call


@pytest.mark.parametrize("field, name", [
    ({"memory": Memory(0.0, 1e6, ("Digits.kept",))}, "leak"),
    ({"memory": Memory(5e6, 0.0)}, "cache"),
    ({"travel": Travel(False, where="Digits.db", got="Connection")}, "not-picklable"),
    ({"chance": Chance(False, is_copied=True, generators=("Digits.luck (Generator)",))}, "copied-rng"),
    ({"chance": Chance(False, is_copied=False, is_seeded=True, generators=("Digits.luck (Generator)",))}, "own-randomness"),
    ({"chance": Chance(False, is_copied=False)}, "not-reproducible"),
    ({"chance": Chance(True, uses_globals=True)}, "global-randomness"),
    ({"alike": (0, 5)}, "alike"),
    ({"faults": (Fault(3, "raised", "KeyError: 3"),)}, "raises"),
    ({"faults": (Fault(3, "blocked", ""),)}, "blocked"),
    ({"times": times(MS, worst_s=1.0)}, "uneven"),
    ({"form": dataclasses.replace(FORM, leaves=(Leaf("inputs", ("float32", "float64"), ((4, 4),)),))}, "mixed-dtypes"),
    ({"form": dataclasses.replace(FORM, leaves=(Leaf("inputs", ("float32",), None),))}, "ragged"),
    ({"form": dataclasses.replace(FORM, bytes_worst=1 << 28)}, "giant"),
])
def test_each_fault_has_its_finding(field, name):
    found = measured(**field)
    assert names(found) == [name]
    assert all(finding.text and finding.where for finding in find(found))


@pytest.mark.parametrize("words, dtype", [(("cat", "a longer one"), "text"), ((b"cat", b"a longer one"), "bytes")])
def test_texts_of_different_length_have_one_dtype(words, dtype):
    shapes = Shapes()
    for index, word in enumerate(words):
        shapes.add((np.array([word, word]), np.zeros(2)), index)
    assert shapes.form().leaves[0].dtypes == (dtype,)
    assert names(measured(form=shapes.form())) == []


def test_a_copied_generator_is_put_in_its_place_where_threads_are_recommended():
    copied = Chance(False, is_copied=True, generators=("Digits.luck (Generator)",))
    slept = measured(times=times(cpu_share=0.02), runs=runs(threads=(100, 200, 400)), chance=copied)
    assert not recommend(slept).processes and "the threads recommended below share it" in find(slept)[0].text
    held = measured(times=HELD, runs=runs(threads=(200, 190), processes=(195, 390)), chance=copied)
    assert recommend(held).processes and "share it" not in find(held)[0].text


def test_a_machine_is_called_busy_only_where_making_needs_it():
    def machine(cpu_share, crowded):
        return as_text(measured(times=times(cpu_share=cpu_share), crowded=crowded), (), None)

    assert "busy: making waited for one for 40%" in machine(1.0, 0.4)
    assert ", busy" not in machine(0.02, 0.4), "a source that sleeps hardly needs a core"
    assert ", busy" not in machine(1.0, 0.05)


def test_one_batch_is_one():
    assert "1 gave 1 batch/s." in recommend(measured(times=times(1.0, gil_share=0.0), runs=runs(threads=(1.0,)))).why
    assert "2 gave 2 batches/s." in recommend(measured(times=times(1.0, gil_share=0.0), runs=runs(threads=(1.0, 2.0)))).why


def test_a_sound_source_has_no_findings():
    assert find(measured(chance=Chance(True, uses_rng=True), memory=Memory(0.0, 0.0))) == ()
    assert find(measured(memory=Memory(1e4, 0.0))) == (), "a small cache"


def test_faults_come_before_notes():
    found = measured(alike=(0, 1), memory=Memory(0.0, 1e6), chance=Chance(True, uses_globals=True))
    assert [finding.level for finding in find(found)] == ["fault", "note", "note"]


WILD = st.builds(
    Measured, st.text(max_size=200), st.sampled_from(["indexed", "stream", "restartable", "parallel_map"]), st.integers(1, 256),
    st.floats(0.1, 1e4), length=st.none() | st.integers(1, 10**9), drawn=st.integers(0, 10**9), ended_after=st.none() | st.integers(0, 99),
    form=st.none() | st.just(FORM), times=st.none() | st.builds(
        Times, st.integers(1, 999), st.floats(1e-7, 99), st.floats(1e-7, 99), st.floats(1e-7, 99), st.integers(0, 99), st.floats(0, 1),
        st.none() | st.floats(0, 1)),
    memory=st.builds(Memory, st.none() | st.floats(0, 1e9), st.none() | st.floats(0, 1e9)),
    travel=st.none() | st.builds(Travel, st.booleans(), st.integers(0, 10**12), st.text(max_size=200), st.text(max_size=200)),
    chance=st.builds(Chance, st.none() | st.booleans(), st.booleans(), st.booleans(), st.none() | st.booleans(),
        untold=st.text(max_size=99)),
    runs=st.lists(st.builds(
        Run, st.sampled_from(["threads", "processes"]), st.sampled_from([1, 2, 4]), st.floats(0, 1e6), st.floats(0, 1), st.floats(0, 1),
        st.sampled_from(["", "it failed"]))).map(tuple))


@given(WILD)
def test_whatever_was_measured_the_advice_is_a_call_and_the_table_fits(found):
    advice = recommend(found)
    if advice is not None:
        assert advice.workers >= 1 and advice.why
        assert not (advice.processes and not found.can_travel and found.kind == "indexed")
    text = as_text(found, find(found), advice)
    assert all(len(line) < 80 and (line.isprintable() or not line) for line in text.split("\n"))


def line(slope, start=200 << 20, count=12, noise=lambda number: 0):
    return [Point(8 * number, int(start + slope * 8 * number + noise(number)), True) for number in range(count)]


@given(st.integers(100_000, 10**8), st.integers(5, 40))
def test_a_steady_growth_is_found_exactly(slope, count):
    if slope * 8 * (count - 1) >= 4 << 20:
        assert growth(line(slope, count=count)) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("points", [
    line(0), line(0, noise=lambda number: (number % 3) << 20), line(0, noise=lambda number: (number > 5) * (100 << 20)),
    line(0, noise=lambda number: min(number, 4) * (20 << 20)), line(-10_000), line(1000)],
    ids=["level", "saw", "one jump", "fills and levels off", "shrinks", "allocator"])
def test_what_does_not_grow_steadily_is_no_leak(points):
    assert growth(points) == 0.0


def test_too_few_looks_tell_nothing():
    assert growth([]) is None
    assert growth(line(1e6, count=3)) is None


def test_only_containers_that_grow_with_the_items_are_named():
    before, after = {"a": 0, "b": 5, "c": 1}, {"a": 100, "b": 5, "c": 3, "new": 10**6}
    assert grown(before, after, 100) == ("a",)


def test_workers_are_tried_up_to_twice_the_cores_and_one_owner_alone():
    assert [rung.workers for rung in ladder(4, False, False)] == [1, 2, 4, 8]
    assert {rung.lane for rung in ladder(2, False, True)} == {"threads", "processes"}
    assert ladder(8, True, True) == [Rung("threads", 1), Rung("processes", 1)]
    assert max(rung.workers for rung in ladder(500, False, False)) == 64


def test_runs_share_the_time_and_slow_items_get_none():
    rungs = ladder(2, False, True)
    length_s = run_length_s(6.0, rungs, MS)
    assert 0.2 <= length_s <= 1.0
    assert run_length_s(60.0, rungs, MS) == 1.0
    assert run_length_s(5.0, rungs, 30.0) is None


def test_sizes_and_times_are_short():
    assert [size(n) for n in (12, 2048, 3 << 20, 5 << 30)] == ["12 bytes", "2.0 KB", "3.0 MB", "5.0 GB"]
    assert [duration(s) for s in (5e-6, 0.0123, 2.5, 90.0)] == ["5 us", "12.3 ms", "2.5 s", "90 s"]
