"""The short way of a batch that the consumer makes itself does what the long way does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import stoker
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
