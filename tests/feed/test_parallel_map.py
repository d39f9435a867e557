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
    with stoker.Feed(stoker.parallel_map(iter(range(7)), np.array, batch_size=3), **way) as feed:
        assert [batch.tolist() for batch in feed.epoch(9)] == [[0, 1, 2], [3, 4, 5], [6]]


class Endless:
    """An iterable that says nothing of its length."""

    def __iter__(self):
        yield from range(5)


@pytest.mark.parametrize("items", [list(range(5)), Endless()], ids=["list", "iterable"])
def test_what_can_be_gone_through_again_is_begun_anew_for_each_pass(way, items):
    def passes(number, way):
        with stoker.Feed(stoker.parallel_map(items, noisy), seed=4, **way) as feed:
            return [list(feed.epoch()) for _ in range(number)]

    made = passes(3, way)
    assert [[int(x[0]) for x, _ in one] for one in made] == [[0, 1, 2, 3, 4]] * 3
    assert digest(made) == digest(passes(3, {"workers": 0}))
    assert digest(made[0]) != digest(made[1]), "each pass has its own randomness"


def test_steps_go_on_in_the_next_pass_and_a_plan_pulls_no_further(way):
    pulled = []

    class Items:
        def __iter__(self):
            for number in range(4):
                pulled.append(number)
                yield number

    with stoker.Feed(stoker.parallel_map(Items(), noisy), **way) as feed:
        feed.plan(epochs=2, steps=3)
        assert [int(x[0]) for x, _ in feed.epoch(3)] == [0, 1, 2]
        assert [int(x[0]) for x, _ in feed.epoch(3)] == [3, 0, 1]
    assert pulled == [0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize(("count", "batch_size", "batches"), [(7, 3, 3), (6, 3, 2), (7, None, 7), (0, 3, 0)])
def test_a_list_says_how_many_batches_a_pass_has(count, batch_size, batches):
    assert stoker.parallel_map([0] * count, noisy, batch_size).length() == batches
    assert stoker.parallel_map(iter([0] * count), noisy, batch_size).length() is None


def test_two_feeds_of_one_list_do_not_disturb_each_other():
    source = stoker.parallel_map(range(6), noisy)
    with stoker.Feed(source, workers=2) as feed, feed.sibling(source) as other:
        pairs = list(zip(feed.epoch(12), other.epoch(12), strict=True))
    assert [(int(one[0][0]), int(two[0][0])) for one, two in pairs] == [(number % 6, number % 6) for number in range(12)]


def test_an_empty_list_is_an_error(way):
    with stoker.Feed(stoker.parallel_map([], noisy), **way) as feed, pytest.raises(stoker.SourceError, match="gave no batch"):
        list(feed.epoch())


def test_an_iterable_that_gives_nothing_more_ends_the_epochs(way):
    kept = iter(range(3))

    class Once:
        def __iter__(self):
            return kept

    with stoker.Feed(stoker.parallel_map(Once(), noisy), **way) as feed:
        assert len(list(feed.epoch(9))) == 3
        assert list(feed.epoch()) == []


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


def test_a_feed_goes_on_in_a_later_pass(way):
    source = stoker.parallel_map(range(7), noisy)
    with stoker.Feed(source, seed=4, **way) as feed:
        whole = list(feed.epoch(21))
    with stoker.Feed(source, seed=4, **way) as feed:
        list(feed.epoch(10))
        state = feed.state_dict()
    assert (state["pass"], state["place"]) == (1, 3)
    with stoker.Feed(source, **way) as feed:
        with pytest.warns(stoker.StokerWarning, match="pulled and dropped"):
            feed.load_state_dict(state)
        assert digest(feed.epoch(11)) == digest(whole[10:])


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
