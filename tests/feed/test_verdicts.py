"""Sources whose bottleneck is known, on real threads and processes: each gets the right verdict, and the advice holds.

What is decided is held to the number in ``test_simulated.py``, without a clock; here it is shown that real workers tell the same, in kind.
"""

from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest

import stoker
from stoker.feed.advice import verdict
from tries import in_one_of_five

pytestmark = pytest.mark.slow
STEP_S = 0.006
BATCHES = 80


class Known(stoker.Sequence):
    """A source that spends its time in one known way.

    Args:
        seconds: how long a batch takes, about.
    """

    def __init__(self, seconds=0.018):
        self.seconds = seconds

    def __len__(self):
        return BATCHES

    def __getitem__(self, index):
        self.spend()
        return np.zeros((2, 1), np.float32)

    def spend(self):
        """Nothing."""


class Sleeping(Known):
    """Waits, as for a disk or the network."""

    def spend(self):
        time.sleep(self.seconds)


class Holding(Known):
    """Computes in Python, which holds the GIL; for a time by the CPU's clock, however busy the machine is."""

    def spend(self):
        until = time.thread_time() + self.seconds
        while time.thread_time() < until:
            pass


class Releasing(Known):
    """Computes in C code that releases the GIL."""

    DATA = bytes(1 << 20)

    def spend(self):
        until = time.thread_time() + self.seconds
        while time.thread_time() < until:
            hashlib.sha256(self.DATA).digest()


class Large(Known):
    """Views of an array that is there already: nothing to make, much to carry."""

    def __init__(self):
        super().__init__(0.0)
        self.data = np.zeros((16, 4_000_000), np.float32)

    def __getitem__(self, index):
        return self.data[index % 16]


def train(source, step_s=STEP_S, *, cores=64, **options):
    """Figures of the second epoch with a model that takes ``step_s``, and the verdict on them."""
    with stoker.Feed(source, seed=0, **options) as feed:
        for _ in range(2):
            for _ in feed.epoch():
                time.sleep(step_s)
            figures = feed.meter.take()
    return figures, verdict(figures, cores)


BOTH = pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])


@BOTH
@in_one_of_five
def test_a_source_that_sleeps_waits_on_io(processes):
    figures, found = train(Sleeping(), workers=1, processes=processes)
    assert found.bound == "input" and "waits on I/O" in found.text
    assert 2 <= found.advised_workers <= 8 and found.processes is processes
    assert ("threads would do" in found.text) is processes


@BOTH
@in_one_of_five
def test_the_advised_number_of_workers_removes_the_wait(processes):
    before, found = train(Sleeping(), workers=1, processes=processes)
    after, again = train(Sleeping(), workers=found.advised_workers, processes=processes)
    assert before.wait_share > 0.3
    assert after.wait_share < 0.4 * before.wait_share


@BOTH
@in_one_of_five
def test_a_slow_step_is_the_models_own_limit(processes):
    figures, found = train(Sleeping(0.001), 0.01, workers=1, processes=processes)
    assert found.bound == "model" and "the model is the limit" in found.text


@in_one_of_five
def test_threads_that_hold_the_gil_are_advised_processes():
    figures, found = train(Holding(), workers=2)
    assert figures.gil_share > 0.5
    assert found.bound == "input" and found.processes is True and "holds the GIL" in found.text


@in_one_of_five
def test_processes_that_compute_are_advised_more_of_them_as_far_as_there_are_cores():
    figures, found = train(Holding(), workers=1, processes=True)
    assert found.bound == "input" and found.processes is True and found.advised_workers > 1
    assert "more than 1 core can compute" in verdict(figures, cores=1).text


@BOTH
@in_one_of_five
def test_a_source_that_releases_the_gil_is_advised_more_of_the_same_workers(processes):
    figures, found = train(Releasing(), workers=1, processes=processes)
    assert found.bound == "input" and found.processes is processes and found.advised_workers > 1
    assert "holds the GIL" not in found.text


@in_one_of_five
def test_batches_that_cost_only_their_carriage_are_handed_over_by_threads():
    before, found = train(Large(), 0.0005, workers=1, processes=True)
    assert before.cross_s > before.make_s and before.wait_share > 0.1
    assert found.bound == "input" and "copying them into shared memory" in found.text
    assert found.processes is False and found.advised_workers == 1
    after, again = train(Large(), 0.0005, workers=1)
    assert after.cross_s < after.make_s + 0.1 * before.cross_s and "copying" not in again.text


@in_one_of_five
def test_a_source_that_fills_the_same_memory_again_is_told_what_its_copies_cost():
    class Refilling(Large):
        def __getitem__(self, index):
            return self.data[0]

    figures, found = train(Refilling(), 0.0005, workers=1)
    assert figures.cross_s > figures.make_s
    assert found.bound == "input" and "make a new array for each batch" in found.text


@in_one_of_five
def test_a_source_with_stragglers_is_short_of_slots():
    class Uneven(Known):
        def __getitem__(self, index):
            time.sleep(0.3 if index % 20 == 5 else 0.001)
            return np.zeros((2, 1), np.float32)

    figures, found = train(Uneven(), 0.003, workers=2, max_queue_size=4)
    assert found.bound == "input" and found.advised_workers is None
    assert "all slots were taken" in found.text and "max_queue_size" in found.text
