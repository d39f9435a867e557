"""Memory that a source hands out again and again."""

from __future__ import annotations

import numpy as np

from stoker.feed.reuse import ReuseWatch


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
    for number in range(3):
        watch.settle(np.full(1000, number))
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
