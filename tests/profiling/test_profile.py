"""``stoker.profile`` on sources whose faults and costs are known; and that it does not call good sources bad."""

from __future__ import annotations

import gc
import json
import random
import threading
import time

import numpy as np
import profiled
import pytest

import stoker
from stoker.feed import threads
from stoker.profiling import memory, throughput
from stoker.profiling.memory import FEWEST_FROZEN, give_back, resident_bytes, small_heap
from stoker.profiling.profile import Profiler
from stoker.profiling.throughput import Rung
from stoker.source.open import open_source
from tries import in_one_of_five

pytestmark = pytest.mark.slow
SHORT_S = 2.5
WITH_RUNS = Profiler._with_runs
TELLS_MEMORY = pytest.mark.skipif(resident_bytes() is None, reason="this system does not tell how much memory a process has")


def names(profile):
    return {finding.name for finding in profile.findings}


def finding(profile, name):
    return next(one for one in profile.findings if one.name == name)


def quick(source, seconds=0.8, **more):
    """A profile without most of the runs."""
    return stoker.profile(source, seconds=seconds, **more)


@in_one_of_five
def test_form_sizes_and_times_are_told():
    profile = quick(profiled.Plain())
    form, times = profile.measured.form, profile.measured.times
    assert form.text == "(inputs, targets)"
    assert [(leaf.path, leaf.dtypes, leaf.shape) for leaf in form.leaves] == [
        ("inputs", ("float64",), ((4, 4), (3, 3))), ("targets", ("int64",), ((4, 4),))]
    assert form.bytes_median == 4 * 3 * 8 + 4 * 8
    assert times.count == 200 and profile.measured.distinct == 40
    assert 0 < times.median_s <= times.p95_s <= times.worst_s
    assert profile.findings == ()


def test_on_epoch_end_is_not_called_and_the_order_of_global_randomness_is_not_disturbed():
    source = profiled.NumpyGlobal()
    np.random.seed(5)
    random.seed(5)
    quick(source)
    assert source.passes_ended == 0
    after = np.random.random(), random.random()
    np.random.seed(5)
    random.seed(5)
    assert after == (np.random.random(), random.random())


@in_one_of_five
def test_generators_that_are_alike_in_each_worker_process_are_caught():
    profile = quick(profiled.LateGenerator(), SHORT_S)
    caught = finding(profile, "copied-rng")
    assert caught.level == "fault" and caught.where == "LateGenerator.luck"
    assert "stoker.rng()" in caught.remedy


@pytest.mark.parametrize("kind, path", [
    (profiled.NumpyGenerator, "NumpyGenerator.luck"), (profiled.PythonRandom, "PythonRandom.tools['luck']")])
@in_one_of_five
def test_a_generator_that_worker_processes_seed_is_named(kind, path):
    profile = quick(kind(), SHORT_S)
    noted = finding(profile, "own-randomness")
    assert noted.level == "note" and noted.where == path
    text = " ".join(str(profile).split())
    assert path in text and "a seed reproduces it in worker processes only" in text


@pytest.mark.parametrize("kind, seen, found", [
    (profiled.ItemRng, (True, True, False), set()),
    (profiled.Coins, (True, True, False), set()),
    (profiled.NumpyGlobal, (True, False, True), {"global-randomness"}),
    (profiled.FreshEntropy, (False, False, False), {"not-reproducible"}),
    (profiled.ShuffledOnly, (True, False, False), set()),
    (profiled.Plain, (True, False, False), set()),
    (profiled.NotANumber, (True, False, False), set()),
], ids=lambda value: getattr(value, "__name__", ""))
@in_one_of_five
def test_other_randomness_is_told_apart_and_is_no_fault(kind, seen, found):
    profile = quick(kind(), SHORT_S)
    chance = profile.measured.chance
    assert (chance.is_repeatable, chance.uses_rng, chance.uses_globals) == seen
    assert names(profile) == found
    assert not any(one.level == "fault" for one in profile.findings)


@in_one_of_five
def test_a_leak_is_caught_by_name():
    profile = quick(profiled.Leaking(), items=120)
    caught = finding(profile, "leak")
    assert caught.where == "Leaking.kept" and caught.level == "fault"
    assert profile.measured.memory.again_bytes == pytest.approx(1 << 20, rel=0.2)


@TELLS_MEMORY
def test_what_is_read_of_a_memory_mapped_file_is_no_memory_of_the_process(tmp_path):
    np.ones(48 << 20, "uint8").tofile(tmp_path / "rows")
    rows = np.memmap(tmp_path / "rows", "uint8", "r")
    before = resident_bytes()
    assert rows.max() == 1 and resident_bytes() - before < 16 << 20


@TELLS_MEMORY
def test_memory_that_was_freed_is_given_back_before_a_profile(monkeypatch):
    given = []
    monkeypatch.setattr(memory, "give_back", lambda: (give_back(), given.append(resident_bytes())))
    pieces = [np.ones(1 << 16, "uint8") for _ in range(3200)]  # so small that the C library keeps them when they are freed
    full = resident_bytes()
    del pieces[:-1]
    quick(profiled.Plain(), 0.3)
    assert len(given) == 1 and given[0] < full - (150 << 20)


@in_one_of_five
def test_a_cache_is_no_leak():
    profile = quick(profiled.Caching(), items=120)
    assert names(profile) == {"cache"}
    assert finding(profile, "cache").where == "Caching.cache"


@in_one_of_five
def test_a_stream_that_keeps_what_it_gave_leaks():
    kept = []

    def batches():
        while True:
            kept.append(np.ones(1 << 20, "uint8"))
            yield np.full((4, 3), len(kept)), np.zeros(4)

    assert "leak" in names(quick(batches, items=120))


def test_an_attribute_that_cannot_travel_is_caught_by_name():
    source = profiled.Unpicklable()
    caught = finding(quick(source), "not-picklable")
    source.reader.handle.close()
    assert caught.where == "Unpicklable.reader.handle"
    assert "Connection" in caught.text


def test_a_variable_of_a_generator_function_that_cannot_travel_is_caught_by_name():
    reader = profiled.Reader()

    def batches():
        while True:
            yield np.full((4, 3), id(reader) % 7), np.zeros(4)

    assert finding(quick(batches), "not-picklable").where == "batches.reader.handle"
    reader.handle.close()


@in_one_of_five
def test_a_lock_travels_and_is_no_finding():
    profile = quick(profiled.Locked())
    assert profile.measured.travel.travels and profile.findings == ()


@in_one_of_five
def test_an_item_that_raises_is_told_and_the_others_are_measured():
    profile = quick(profiled.Raising())
    caught = finding(profile, "raises")
    assert caught.where == "index 7" and "KeyError: 'seven'" in caught.text and "profiled.py" in caught.text
    assert profile.measured.distinct == 39 and profile.recommendation is not None


def test_a_source_that_gives_no_batches_gets_no_recommendation():
    profile = quick(profiled.Malformed())
    assert names(profile) == {"malformed"}
    assert profile.recommendation is None
    assert "no batch could be made" in str(profile)


@in_one_of_five
def test_one_giant_item_is_told():
    profile = quick(profiled.Giant())
    assert {"giant", "ragged"} <= names(profile)
    assert finding(profile, "giant").where == "index 7"


@in_one_of_five
def test_ragged_batches_are_told_and_a_smaller_last_batch_is_not():
    assert finding(quick(profiled.ragged), "ragged").where == "inputs"
    x = np.arange(70.0)[:, None]
    rows = [(x[first:first + 32], x[first:first + 32]) for first in range(0, 70, 32)]
    profile = quick(rows)
    assert "ragged" not in names(profile)
    assert profile.measured.form.leaves[0].shape == ((6, 32), (1, 1))


@pytest.fixture
def impatient(monkeypatch):
    """Closing does not wait for a thread that hangs."""
    monkeypatch.setattr(threads, "CLOSE_PATIENCE_S", 0.05)


@in_one_of_five
def test_an_item_that_never_comes_is_waited_for_no_longer_than_asked(impatient):
    release = threading.Event()
    began = time.monotonic()
    try:
        profile = stoker.profile(profiled.Stuck(7, release), seconds=0.5)
    finally:
        release.set()
    assert time.monotonic() - began < 30
    caught = finding(profile, "blocked")
    assert caught.where == "index 7" and "profiled.py" in caught.text
    assert 4 <= profile.measured.times.count <= 7
    assert profile.measured.unmeasured and not profile.measured.runs


@in_one_of_five
def test_a_slow_source_is_measured_as_far_as_there_is_time():
    profile = stoker.profile(profiled.Slow(), seconds=1.5)
    assert 1 <= profile.measured.times.count < 10
    assert profile.measured.times.median_s == pytest.approx(0.4, abs=0.3)
    assert "too few items" in str(profile)
    assert profile.measured.unmeasured
    assert profile.recommendation is not None and not profile.recommendation.processes


@in_one_of_five
def test_a_generator_object_is_consumed_and_that_is_told():
    stream = profiled.endless()
    profile = quick(stream)
    assert finding(profile, "consumed").text.startswith(f"{profile.measured.drawn} items")
    assert next(stream)[0][0, 0] <= profile.measured.drawn
    assert profile.measured.drawn >= 200
    assert "steps_per_epoch" in profile.recommendation.call


def test_a_generator_object_that_ends_says_after_how_many():
    profile = quick(profiled.five())
    assert profile.measured.ended_after == 5 and profile.measured.drawn == 5
    assert "after 5 items" in finding(profile, "ends").text
    assert not profile.measured.runs


@in_one_of_five
def test_a_generator_function_begins_anew_and_its_end_is_no_fault():
    profile = quick(profiled.five)
    assert profile.measured.ended_after == 5 and profile.measured.times.count > 100
    assert profile.findings == ()
    assert "steps_per_epoch" not in profile.recommendation.call


@in_one_of_five
def test_randomness_of_a_generator_function_is_told():
    assert quick(profiled.noisy).measured.chance.uses_rng
    assert quick(profiled.endless).findings == ()


def test_a_stream_without_items_is_a_fault():
    profile = quick(profiled.nothing)
    assert "empty" in names(profile) and profile.recommendation is None


@in_one_of_five
def test_a_parallel_map_is_profiled_with_its_function():
    profile = quick(stoker.parallel_map(iter(range(10**6)), profiled.twice), SHORT_S)
    assert profile.measured.kind == "parallel_map"
    assert profile.measured.chance.uses_rng
    assert not any(one.level == "fault" for one in profile.findings)
    assert {run.lane for run in profile.measured.runs} == {"threads", "processes"}


@in_one_of_five
def test_a_function_that_changes_its_item_holds_no_randomness():
    def halved(array):
        array *= 0.5
        return array, np.zeros(len(array))

    profile = quick(stoker.parallel_map((np.full((4, 3), number) for number in np.arange(1e6)), halved), SHORT_S)
    chance = profile.measured.chance
    assert (chance.is_repeatable, chance.uses_rng, chance.uses_globals, chance.untold) == (True, False, False, "")


@in_one_of_five
def test_items_that_cannot_be_copied_leave_randomness_untold():
    profile = quick(stoker.parallel_map(((number for number in (5,)) for _ in range(10**6)), profiled.of_first), 1.5)
    assert profile.measured.chance.untold == "the iterator's items cannot be copied"


@in_one_of_five
def test_an_iterator_that_raises_ends_no_profile(monkeypatch):
    raising = threading.Event()

    def items():
        for number in range(10**6):
            if raising.is_set():
                raise OSError("the disk is gone")
            yield number

    monkeypatch.setattr(Profiler, "_with_runs", lambda *given: (raising.set(), WITH_RUNS(*given))[1])
    assert quick(stoker.parallel_map(items(), profiled.twice), 1.5).measured.chance.untold == "the iterator raised OSError"


@in_one_of_five
def test_a_function_that_opens_something_when_it_is_first_called_still_travels():
    profile = quick(stoker.parallel_map(iter(range(10**6)), profiled.Lazy()), SHORT_S)
    crossed = [run.cross_s for run in profile.measured.runs if run.lane == "processes"]
    assert crossed and min(crossed) > 0


@in_one_of_five
def test_what_threads_gave_in_the_place_of_processes_is_not_told_as_theirs(monkeypatch):
    monkeypatch.setattr("stoker.feed.shipping.WEIGHED_BYTES", 0)
    monkeypatch.setattr("stoker.feed.shipping.free_bytes", lambda: 0)
    profile = quick(profiled.LateGenerator(), SHORT_S)
    measured = profile.measured
    assert {run.lane for run in measured.runs} == {"threads"} and not measured.can_travel
    assert "throughput of 1 processes: a feed with processes=True warns, and takes threads" in measured.unmeasured
    assert measured.chance.untold == "it could not go to worker processes" and not profile.recommendation.processes


@pytest.mark.parametrize("items", [0, 1, 3])
def test_a_parallel_map_that_ends_while_it_is_measured_has_no_fault(items):
    source = open_source(stoker.parallel_map(iter(range(items)), profiled.twice))
    ran = throughput.run(source, Rung("threads", 4), 0.1, 0.01, time.perf_counter)
    assert ran.run is None and ran.untold == "the stream has ended"


def test_what_is_no_source_is_refused():
    with pytest.raises(stoker.SourceTypeError):
        stoker.profile(42)
    with pytest.raises(stoker.OptionError):
        stoker.profile(profiled.Plain(), seconds=0)
    with pytest.raises(stoker.OptionError):
        stoker.profile(profiled.Plain(), items=0)


def test_collecting_garbage_goes_through_no_more_than_what_the_profile_made():
    class Telling(profiled.Plain):
        frozen = []

        def __getitem__(self, index):
            self.frozen.append(gc.get_freeze_count())
            return super().__getitem__(index)

    quick(Telling(), 0.3)
    assert min(Telling.frozen) > FEWEST_FROZEN > gc.get_freeze_count()


def test_what_somebody_else_froze_stays_frozen():
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with small_heap():
            assert gc.get_freeze_count() == frozen
        assert gc.get_freeze_count() == frozen > FEWEST_FROZEN
    finally:
        gc.unfreeze()


def test_one_item_and_one_batch_are_enough():
    class One(profiled.Plain):
        length = 1

    assert stoker.profile(One(), items=1, seconds=0.5).measured.times.count == 1


@pytest.mark.alone
@pytest.mark.parametrize("kind, processes", [(profiled.Sleeping, False), (profiled.Holding, True), (profiled.Releasing, False)])
@in_one_of_five
def test_threads_or_processes_are_recommended_by_what_the_source_does(kind, processes):
    for _ in range(3):  # on a machine that is busy with other things nothing can be told of the GIL
        profile = stoker.profile(kind(), seconds=8)
        if profile.measured.times.gil_share is not None or kind is profiled.Sleeping:
            break
    else:
        assert "GIL         not told" in str(profile)
        pytest.skip("in none of three runs could the machine tell who holds the GIL; test_findings.py holds what follows from it")
    assert profile.recommendation.processes is processes, str(profile)
    assert f"workers={profile.recommendation.workers}" in profile.recommendation.call
    assert ("processes=True" in profile.recommendation.call) is processes
    ways = {(run.lane, run.workers) for run in profile.measured.runs}
    assert ways >= {("threads", 1), ("processes", 1), ("threads", 2), ("processes", 2)}
    assert all(run.rate > 0 for run in profile.measured.runs)


@pytest.mark.parametrize("source", [profiled.Raising, profiled.NumpyGenerator, lambda: profiled.five, lambda: profiled.Malformed()])
def test_the_table_fits_80_columns_and_the_dict_is_json(source):
    profile = quick(source())
    text = str(profile)
    assert all(len(line) < 80 and (line.isprintable() or not line) for line in text.splitlines())
    assert json.loads(json.dumps(profile.to_dict(), allow_nan=False))["measured"]["label"] == profile.measured.label
