"""What the lane without workers says of its batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stoker.feed import inline, worker
from stoker.feed.inline import UNSEEN, InlineLane
from stoker.feed.messages import Ask
from stoker.source.open import open_source


class Clocks:
    """A wall clock and a CPU clock that go on by as much as a batch takes."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0
        self.cpu_looks = 0

    def cpu_clock(self) -> float:
        self.cpu_looks += 1
        return self.cpu_s


def lane_of(monkeypatch: pytest.MonkeyPatch, clocks: Clocks, wall_s: float, cpu_s: float) -> InlineLane:
    class Data:
        def __len__(self) -> int:
            return 1000

        def __getitem__(self, index: int) -> Any:
            clocks.wall_s += wall_s
            clocks.cpu_s += cpu_s
            return (np.zeros(2),)

    monkeypatch.setattr(inline, "thread_time", clocks.cpu_clock)
    monkeypatch.setattr(worker, "perf_counter", lambda: clocks.wall_s)
    lane = InlineLane()
    lane.add_source(0, open_source(Data()))
    return lane


@pytest.mark.parametrize(("wall_s", "cpu_s", "looks"), [(50e-6, 20e-6, 4), (5e-3, 2e-3, 2 * (UNSEEN + 3))])
def test_the_cpu_clock_is_looked_at_for_each_long_batch_and_for_some_of_the_short_ones(
    monkeypatch: pytest.MonkeyPatch, wall_s: float, cpu_s: float, looks: int
) -> None:
    clocks = Clocks()
    lane = lane_of(monkeypatch, clocks, wall_s, cpu_s)

    told_s = [lane.make(Ask(0, ticket, 0, ticket, 0))[3] for ticket in range(UNSEEN + 3)]

    assert told_s == pytest.approx([cpu_s] * (UNSEEN + 3))
    assert clocks.cpu_looks == looks
