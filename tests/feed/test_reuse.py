"""Memory that a source hands out again and again."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.batch.memory import LARGE_BATCH_BYTES, STEPS_UNDER_WAY
from stoker.feed.reuse import MOST_WATCHED, WATCHED_BYTES, ReuseWatch


def test_memory_that_comes_twice_is_copied_from_then_on():
    watch = ReuseWatch(4)
    buffer = np.zeros(3)
    kept = []
    for number in range(9):
        buffer[:] = number
        kept.append(watch.settle((buffer, {"target": buffer})))
    assert watch.reused
    assert [int(x[0]) for x, _ in kept] == list(range(9))
    assert [int(y["target"][0]) for _, y in kept] == list(range(9))


def test_a_ring_of_buffers_is_seen_too():
    watch = ReuseWatch(4)
    ring = [np.zeros(2) for _ in range(3)]
    kept = []
    for number in range(12):
        ring[number % 3][:] = number
        kept.append(watch.settle([ring[number % 3]]))
    assert [int(x[0][0]) for x in kept] == list(range(12))


def test_fresh_arrays_are_not_copied_once_the_watch_is_over():
    watch = ReuseWatch(3)
    watched = 0
    while watch.is_watching:
        watch.settle(np.full(1000, watched))
        watched += 1
    assert 3 + STEPS_UNDER_WAY < watched < 200
    fresh = np.zeros(1000)
    assert watch.settle(fresh) is fresh
    assert not watch.reused


def test_a_container_that_is_refilled_is_made_anew():
    watch = ReuseWatch(1)
    batch = {"x": np.zeros(2)}
    watch.settle(batch)
    kept = watch.settle(batch)
    batch["x"] = np.ones(2)
    assert kept["x"][0] == 0


def test_large_batches_are_watched_for_no_longer_than_needed():
    watch = ReuseWatch(3)
    large = [np.zeros(LARGE_BATCH_BYTES * MOST_WATCHED // 4, np.uint8) for _ in range(9)]
    for array in large[:8]:
        assert watch.is_watching
        watch.settle(array)
    assert not watch.is_watching and sum(array.nbytes for array in large[:8]) > WATCHED_BYTES


def test_one_array_in_two_places_of_a_batch_is_no_memory_that_comes_again():
    watch = ReuseWatch(2)
    x = np.zeros(4)
    watch.settle((x, x[1:], [x]))
    assert not watch.reused


@pytest.mark.parametrize("length", [2, 12, 60])
def test_a_long_ring_of_small_buffers_is_seen(length):
    watch = ReuseWatch(10)
    ring = [np.zeros(2) for _ in range(length)]
    for number in range(length + 1):
        watch.settle((ring[number % length],))
    assert watch.reused


def test_windows_over_one_buffer_are_the_same_memory():
    watch = ReuseWatch(10)
    large = np.zeros(100)
    first = watch.settle((large[0:8],))
    assert not watch.reused
    watch.settle((large[4:12],))
    large[:] = 5
    assert watch.reused and (first[0] == 0).all()


Pair = namedtuple("Pair", "x y")


@pytest.mark.parametrize("form", [lambda x: OrderedDict(x=x), lambda x: Pair(x, 1), lambda x: [{"x": (x,)}]])
def test_containers_of_every_class_keep_it_and_are_copied(form):
    watch = ReuseWatch(2)
    buffer = np.zeros(2)
    kept = []
    for number in range(30):
        buffer[:] = number
        kept.append(watch.settle(form(buffer)))
    assert [float(np.ravel(_first(one))[0]) for one in kept] == list(range(30))
    assert all(type(one) is type(form(buffer)) for one in kept)


def _first(item):
    while not isinstance(item, np.ndarray):
        item = next(iter(item.values())) if isinstance(item, dict) else item[0]
    return item


def test_tensors_and_frames_that_are_refilled_are_copied():
    torch, pandas = pytest.importorskip("torch"), pytest.importorskip("pandas")
    tensor, frame = torch.zeros(3), pandas.DataFrame({"a": np.zeros(3), "b": ["x", "y", "z"]})
    watch, kept = ReuseWatch(2), []
    for number in range(30):
        tensor[:] = number
        frame.iloc[:, 0] = float(number)
        kept.append(watch.settle((tensor, frame)))
    assert [int(x[0]) for x, _ in kept] == [int(y.iloc[0, 0]) for _, y in kept] == list(range(30))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), min_size=1, max_size=40))
def test_overlaps_are_those_of_the_bytes_themselves(pieces):
    watch, seen = ReuseWatch(1), set()
    for start, length in pieces:
        mine = set(range(start, start + length))
        assert watch._overlaps(start, start + length) == bool(mine & seen)
        watch._add(start, start + length)
        seen |= mine
        assert all(end < start for end, start in zip(watch._ends[:-1], watch._starts[1:], strict=True))


def test_views_that_run_backwards_or_skip_are_where_they_are():
    watch = ReuseWatch(10)
    large = np.zeros(100)
    watch.settle((large[40:20:-2],))
    assert not watch.reused
    watch.settle((large[41:60],))
    assert not watch.reused
    watch.settle((large[22:23],))
    assert watch.reused


def test_parts_of_an_array_that_a_stream_may_rewrite_later_are_copied():
    data = np.arange(20.0)
    watch = ReuseWatch(1, has_parts=True)
    kept = [watch.settle((data[start:start + 1], data[start:start + 1])) for start in range(20)]
    assert watch.reused
    data[:] = 0
    assert [int(x[0]) for x, _ in kept] == list(range(20))


def test_parts_of_a_frame_that_a_stream_may_rewrite_later_are_copied():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.arange(20.0).reshape(10, 2))
    watch = ReuseWatch(1, has_parts=True)
    for start in range(2):
        watch.settle((frame.iloc[start:start + 1],))
    assert watch.reused


def test_parts_of_one_batch_and_of_what_nobody_can_write_to_are_no_memory_that_comes_again(tmp_path):
    np.save(tmp_path / "data.npy", np.arange(20.0))
    mapped, fixed = np.load(tmp_path / "data.npy", mmap_mode="r"), np.arange(20.0)
    fixed.flags.writeable = False
    watch = ReuseWatch(1, has_parts=True)
    for start in range(10):
        pair = np.zeros((2, 3))
        watch.settle((mapped[start:start + 1], fixed[start:start + 1], pair[0], pair[1]))
    assert not watch.reused


def test_parts_that_a_sequence_gives_stay_parts():
    data = np.arange(20.0)
    watch = ReuseWatch(1)
    for start in range(20):
        watch.settle((data[start:start + 1],))
    assert not watch.reused
