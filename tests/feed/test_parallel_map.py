"""A function run by all workers over the items of one iterator."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

import stoker
from stoker.testing import digest

WAYS = [{"workers": 0}, {"workers": 1}, {"workers": 3}, {"workers": 3, "processes": True}]


def noisy(item):
    return np.full(3, item), stoker.rng().random(2)


@pytest.fixture(params=WAYS, ids=str)
def way(request):
    return request.param


def test_results_come_in_order_each_once_and_the_same_on_every_lane(way):
    def run(way):
        with stoker.Feed(stoker.parallel_map(iter(range(100)), noisy), seed=4, **way) as feed:
            return list(feed.epoch(40))

    assert digest(run(way)) == digest(run({"workers": 0}))
    assert [int(x[0]) for x, _ in run(way)] == list(range(40))


def test_items_are_pulled_no_further_than_planned(way):
    items = itertools.count()
    with stoker.Feed(stoker.parallel_map(items, noisy), **way) as feed:
        feed.plan(epochs=2, steps=5)
        list(feed.epoch(5))
        list(feed.epoch(5))
    assert next(items) == 10


def test_items_can_be_gathered_into_batches(way):
    with stoker.Feed(stoker.parallel_map(range(7), np.array, batch_size=3), **way) as feed:
        assert [batch.tolist() for batch in feed.epoch(9)] == [[0, 1, 2], [3, 4, 5], [6]]


def test_an_error_of_the_iterator_comes_in_its_place(way):
    def items():
        yield from range(4)
        raise OSError("disk")

    with stoker.Feed(stoker.parallel_map(items(), noisy), **way) as feed:
        batches = feed.epoch(9)
        assert [int(next(batches)[0][0]) for _ in range(4)] == [0, 1, 2, 3]
        with pytest.raises(OSError, match="disk"):
            next(batches)


def test_an_error_of_the_function_names_the_item(way):
    def fail(item):
        return noisy(item) if item != 2 else 1 / 0

    with stoker.Feed(stoker.parallel_map(range(9), fail), **way) as feed, pytest.raises(ZeroDivisionError) as caught:
        list(feed.epoch(9))
    assert any("index 2" in note for note in caught.value.__notes__)


@pytest.mark.workers_die
def test_a_killed_worker_loses_no_item(tmp_path):
    def dies_once(item):
        mark = tmp_path / "done"
        if item == 5 and not mark.exists():
            mark.touch()
            os._exit(1)
        return noisy(item)

    with stoker.Feed(stoker.parallel_map(iter(range(20)), dies_once), workers=2, processes=True) as feed:
        assert [int(x[0]) for x, _ in feed.epoch(20)] == list(range(20))


def test_an_iterator_may_refill_the_same_memory():
    def refilled():
        buffer = np.zeros(2)
        for number in itertools.count():
            buffer[:] = number
            yield buffer

    with stoker.Feed(stoker.parallel_map(refilled(), lambda item: item + 0), workers=2) as feed:
        assert [int(batch[0]) for batch in feed.epoch(50)] == list(range(50))


def test_a_feed_goes_on_at_an_item(way):
    with stoker.Feed(stoker.parallel_map(range(50), noisy), seed=4, **way) as feed:
        whole = list(feed.epoch(20))
    with stoker.Feed(stoker.parallel_map(range(50), noisy), seed=4, **way) as feed:
        list(feed.epoch(8))
        state = feed.state_dict()
    with stoker.Feed(stoker.parallel_map(range(50), noisy), **way) as feed:
        with pytest.warns(stoker.StokerWarning, match="pulled and dropped"):
            feed.load_state_dict(state)
        assert digest(feed.epoch(12)) == digest(whole[8:])


@pytest.mark.parametrize("arguments", [(5, noisy), ([1], "no function")])
def test_what_cannot_be_mapped_is_refused(arguments):
    with pytest.raises(TypeError, match="parallel_map"):
        stoker.parallel_map(*arguments)


def test_large_items_and_large_pickled_answers_do_not_wait_for_each_other():
    def lengthen(item):
        return [f"{item[0]} {number}" for number in range(60_000)]

    items = (bytes([number]) * 1_000_000 for number in range(10))
    with stoker.Feed(stoker.parallel_map(items, lengthen), workers=2, processes=True) as feed:
        assert [made[7] for made in feed.epoch(10)] == [f"{number} 7" for number in range(10)]


class Unloadable:
    """Can be pickled, and not unpickled."""

    def __reduce__(self):
        return int, ("no number",)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_that_cannot_be_unpickled_is_an_error_of_its_own(workers):
    items = [0, 1, 2, Unloadable(), 4, 5]
    with stoker.Feed(stoker.parallel_map(items, lambda item: np.zeros(1)), workers=workers, processes=True) as feed:
        batches = feed.epoch(6)
        assert len(list(itertools.islice(batches, 3))) == 3
        with pytest.raises(ValueError, match="no number") as caught:
            next(batches)
        assert any("item 3 was unpickled" in note for note in caught.value.__notes__)
        assert len(list(batches)) == 2
        assert feed.meter.look().deaths == 0


class Interrupt(BaseException):
    """As ``KeyboardInterrupt``, which would end the tests."""


def test_an_interrupted_pull_loses_no_item():
    class Items:
        number, is_due = 0, True

        def __iter__(self):
            return self

        def __next__(self):
            if self.number == 3 and self.is_due:
                self.is_due = False
                raise Interrupt
            self.number += 1
            return self.number - 1

    with stoker.Feed(stoker.parallel_map(Items(), noisy), workers=0, seed=1) as feed:
        batches = feed.epoch(6)
        got = list(itertools.islice(batches, 3))
        with pytest.raises(Interrupt):
            next(batches)
        got += batches
    with stoker.Feed(stoker.parallel_map(range(6), noisy), workers=0, seed=1) as feed:
        assert digest(got) == digest(feed.epoch(6))
