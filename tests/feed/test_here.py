"""The short way of a batch that the consumer makes itself does what the long way does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import stoker
import stoker.feed.reuse
from stoker.feed.feed import Feed

STEPS = 7


class Indexed:
    """Batches by index; some raise; the order changes at the end of a pass."""

    def __init__(self) -> None:
        self.first = 0
        self.made: list[int] = []

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        self.made.append(index)
        if index == 1:
            raise ValueError(f"no batch {index}")
        return np.full((2,), self.first + index), np.full((2,), stoker.rng().integers(1000))

    def on_epoch_end(self) -> None:
        self.first += 10


def ends_early() -> Any:
    for number in range(5):
        yield np.full((2,), number)


def fails() -> Any:
    yield np.full((2,), 0)
    yield np.full((2,), 1)
    raise KeyError("broken")


class Restartable:
    def __iter__(self) -> Any:
        return iter([np.full((2,), number) for number in range(3)])


class SameMemory:
    """Gives the same array each time, changed in place."""

    def __init__(self) -> None:
        self.array = np.zeros(2)

    def __iter__(self) -> Any:
        while True:
            self.array += 1
            yield self.array


def events(source: Any, *, short: bool, most: int = 1, steps: int | None = STEPS) -> list[Any]:
    """All that a consumer sees of two epochs: values, errors, positions and figures."""
    seen: list[Any] = []
    with Feed(source, workers=0, seed=3, shuffle=isinstance(source, Indexed)) as feed:
        if not short:
            feed._here = None
        for _ in range(2):
            epoch = feed.epoch(steps)
            for _ in range(40):
                try:
                    batches = epoch.take_many(most) if most > 1 else [next(epoch)]
                except StopIteration:
                    seen.append("end")
                    break
                except Exception as error:
                    seen.append((type(error), str(error), error.__notes__))
                    continue
                if not batches:
                    seen.append("end")
                    break
                seen += [feed.state_dict(), [(np.copy(part).tolist()) for part in batches]]
            feed.window.check()
        figures, timeline = feed.meter.look(), feed.meter.timeline()
        assert figures.wait_s >= figures.make_s >= 0 and figures.elapsed_s >= figures.wait_s
        seen += [figures.batches, figures.made, [make.ticket for make in timeline.makes], [take[:2] for take in timeline.takes]]
        seen += [sorted(take.ready for take in timeline.takes)]
    return seen


@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize("make", [Indexed, lambda: ends_early(), lambda: fails(), Restartable, SameMemory])
def test_both_ways_give_the_same(make, most):
    short = events(make(), short=True, most=most)
    assert short == events(make(), short=False, most=most)
    assert len(short) > 5


@pytest.mark.parametrize("most", [1, 4])
def test_an_epoch_that_is_a_pass_ends_with_it(most):
    short = events(Indexed(), short=True, most=most, steps=None)
    assert short == events(Indexed(), short=False, most=most, steps=None)
    assert short.count("end") == 2


def test_nothing_is_made_before_it_is_wanted():
    source = Indexed()
    with Feed(source, workers=0) as feed:
        epoch = feed.epoch(2)
        assert source.made == []
        next(epoch)
        assert source.made == [0]


class Lists:
    """Batches that are lists of arrays, which are made anew for the consumer."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        return [np.full((2,), index)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("make", [Lists, lambda: iter([[np.full((2,), number)] for number in range(5)])])
def test_what_is_raised_while_a_batch_is_copied_costs_that_batch_alone(make, error, monkeypatch):
    with Feed(make(), workers=0) as feed:
        settle = stoker.feed.reuse.ReuseWatch.settle

        def interrupted(watch, item):
            if item[0][0] == 2:
                raise error
            return settle(watch, item)

        monkeypatch.setattr(stoker.feed.reuse.ReuseWatch, "settle", interrupted)
        epoch, got = feed.epoch(5), []
        for _ in range(2):
            got.append(int(next(epoch)[0][0]))
        with pytest.raises(error):
            next(epoch)
        assert feed.state_dict()["place"] == 3
        got += [int(batch[0][0]) for batch in epoch]
        assert got == [0, 1, 3, 4]


def test_a_dump_names_what_the_caller_is_making():
    told: list[str] = []

    class Telling(Lists):
        def __getitem__(self, index: int) -> Any:
            told.append("\n".join(feed._pump.describe()))
            return super().__getitem__(index)

    with Feed(Telling(), workers=0) as feed:
        assert len(list(feed.epoch())) == 5
        assert "making index" not in "\n".join(feed._pump.describe())
    assert "index 0" in told[0]
    for index in range(1, 5):
        assert f"the caller's thread is making index {index} of Telling" in told[index]


def test_a_source_that_asks_its_own_feed_ends_the_epoch_and_no_more():
    found: list[Any] = []

    class Asking(Lists):
        def __getitem__(self, index: int) -> Any:
            found.append(next(epoch, None))
            return super().__getitem__(index)

    with Feed(Asking(), workers=0) as feed:
        epoch = feed.epoch()
        assert int(next(epoch)[0][0]) == 0
        assert found == [None] and list(epoch) == [] and feed.state_dict()["place"] == 1
        feed.window.check()


def test_the_wait_for_the_end_of_a_stream_is_no_step_of_the_consumer(monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr("stoker.feed.feed.perf_counter", lambda: seconds[0])
    monkeypatch.setattr("stoker.feed.worker.perf_counter", lambda: seconds[0])

    def slow_to_end() -> Any:
        for number in range(3):
            yield np.full((2,), number)
        seconds[0] += 5

    with Feed(slow_to_end, workers=0) as feed:
        assert [len(list(feed.epoch())), len(list(feed.epoch()))] == [3, 3]
        assert feed.meter.look().longest_step_s == 0.0 and feed.meter.look().wait_s == 10.0
