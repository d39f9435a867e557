"""``workers="auto"`` on real lanes: the stream is what it would be without workers, whatever the governor does and whenever."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

import stoker
from stoker.feed.governor import Crewing, Governor
from stoker.reporting.text import closing_line
from stoker.testing import Counting, NoisyCounting
from tries import in_one_of_five


@pytest.fixture
def scripted(monkeypatch):
    """Let the governor look at every batch, and say what it is told to."""
    monkeypatch.setattr("stoker.feed.auto.LEAST_S", 0.0)

    def play(*crews, every=3):
        def judge(self, now, batch_bytes):
            wanted = next(script, self.crewing)
            self.crewing = wanted if self.limits.may_fork else Crewing(wanted.workers, False)
            return self.crewing

        script = itertools.chain.from_iterable(itertools.repeat(crew, every) for crew in crews)
        monkeypatch.setattr(Governor, "judge", judge)

    return play


def stream(source, epochs=3, steps=None, **options):
    with stoker.Feed(source, seed=5, **options) as feed:
        return [[np.copy(batch[1]) for batch in feed.epoch(steps)] for _ in range(epochs)], feed.meter.look()


def same(one, other):
    return all(np.array_equal(a, b) for first, second in zip(one, other, strict=True) for a, b in zip(first, second, strict=True))


T, P = (lambda workers: Crewing(workers, False)), (lambda workers: Crewing(workers, True))


@pytest.mark.parametrize("crews", [
    [T(1), T(3), T(2), T(1), T(4)],
    [T(1), P(2)],
    [T(3), P(1), P(3), P(2)],
    [P(2)],
])
@pytest.mark.parametrize("every", [1, 4, 7])
def test_the_stream_does_not_change(scripted, crews, every):
    expected, _ = stream(NoisyCounting(11), workers=0, shuffle=True)
    scripted(*crews, every=every)
    made, figures = stream(NoisyCounting(11), workers="auto", shuffle=True)
    assert same(expected, made)
    assert (figures.lane, figures.workers) == ("processes" if crews[-1].processes else "threads", crews[-1].workers)


def test_steps_that_cut_passes_and_validation_on_the_same_workers(scripted):
    def both(workers):
        with stoker.Feed(NoisyCounting(7), seed=5, shuffle=True, workers=workers) as feed:
            held_out = feed.sibling(Counting(3))
            found = []
            for _ in range(4):
                found.append([np.copy(batch[1]) for batch in feed.epoch(5)])
                found.append([np.copy(batch[1]) for batch in held_out.epoch()])
            return found

    expected = both(0)
    scripted(T(2), P(2), P(3))
    assert same(expected, both("auto"))


def test_what_on_epoch_end_changes_reaches_the_processes_it_moved_to(scripted):
    class Turning(stoker.Sequence):
        def __init__(self):
            self.order = np.arange(5)

        def __len__(self):
            return 5

        def __getitem__(self, index):
            return np.zeros(1), np.full((2, 1), self.order[index])

        def on_epoch_end(self):
            self.order[:] = np.roll(self.order, 1)

    expected, _ = stream(Turning(), workers=0, epochs=4)
    scripted(T(1), P(2))
    made, figures = stream(Turning(), workers="auto", epochs=4)
    assert same(expected, made) and figures.lane == "processes"


def test_parallel_map_moves_too(scripted):
    def work(number):
        return np.zeros(1), np.full((2, 1), number * 2)

    expected, _ = stream(stoker.parallel_map(range(20), work), workers=0, epochs=1, steps=20)
    scripted(T(2), P(2))
    made, figures = stream(stoker.parallel_map(range(20), work), workers="auto", epochs=1, steps=20)
    assert same(expected, made) and figures.lane == "processes"


def test_a_source_that_cannot_go_to_processes_stays_with_threads_and_says_so_once(scripted):
    class Camera(Counting):
        def __reduce__(self):
            raise TypeError("a camera cannot be pickled")

    scripted(T(1), P(2), P(2), P(3))
    with pytest.warns(stoker.StokerWarning, match="camera") as told:
        made, figures = stream(Camera(8), workers="auto")
    assert len(told) == 1
    assert figures.lane == "threads" and same(made, stream(Counting(8), workers=0)[0])


def test_an_iterator_has_one_thread():
    made, figures = stream(((np.zeros(1), np.full((2, 1), number)) for number in range(9)), workers="auto", epochs=1, steps=9)
    assert len(made[0]) == 9 and figures.workers == 1 and figures.lane == "threads"


def test_an_error_of_the_source_arrives_in_its_place_while_the_feed_moves(scripted):
    class Failing(Counting):
        def __getitem__(self, index):
            if index == 4:
                raise ValueError("no such picture")
            return super().__getitem__(index)

    scripted(T(1), P(2), every=2)
    with stoker.Feed(Failing(9), workers="auto") as feed:
        batches = feed.epoch()
        assert [int(next(batches)[0][0, 0]) for _ in range(4)] == [0, 1, 2, 3]
        with pytest.raises(ValueError, match="no such picture"):
            next(batches)
        assert [int(batch[0][0, 0]) for batch in batches] == [5, 6, 7, 8]


@in_one_of_five
def test_a_source_that_sleeps_is_given_threads_until_the_model_does_not_wait():
    class Slow(Counting):
        def __getitem__(self, index):
            time.sleep(0.02)
            return super().__getitem__(index)

    with stoker.Feed(Slow(150), workers="auto") as feed:
        for _ in range(2):
            for _ in feed.epoch():
                time.sleep(0.008)
            figures = feed.meter.take()
    assert figures.is_auto and figures.lane == "threads" and figures.workers >= 2
    assert f"workers='auto' settled on workers={figures.workers}" in closing_line(figures)


@pytest.mark.parametrize("workers", ["fast", "", "AUTO"])
def test_other_words_are_refused(workers):
    with pytest.raises(stoker.OptionTypeError, match="auto"):
        stoker.Feed(Counting(3), workers=workers)
