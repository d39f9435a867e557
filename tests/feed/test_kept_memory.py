"""Sources that keep what ``stoker.empty`` gave them: no batch is ever written over."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import stoker
from stoker.feed.arena import Arena
from stoker.feed.empty import OFFER
from stoker.feed.parcel import Packer, Unpacker

SHAPE = (64, 1024)


class Filled(stoker.Sequence):
    """Every batch holds its index everywhere; ``fill`` gives the array."""

    def __len__(self):
        return 200

    def __getitem__(self, index):
        x = self.fill()
        x[:] = index
        return x, np.array([index])

    def fill(self):
        return stoker.empty(SHAPE)


class Scratch(Filled):
    """Keeps an array beside the batch, and writes to it while the next one is made."""

    scratch = None

    def fill(self):
        if self.scratch is None:
            self.scratch = stoker.empty(SHAPE)
        self.scratch[:] = -1
        return stoker.empty(SHAPE)


class Refilled(Filled):
    """Gives the same array again and again."""

    kept = None

    def fill(self):
        if self.kept is None:
            self.kept = stoker.empty(SHAPE)
        return self.kept


class InCycles(Filled):
    """Lets go of its arrays only when garbage is collected."""

    def fill(self):
        ring = [stoker.empty(SHAPE)]
        ring.append(ring)
        return ring[0]


def wrong(source, workers=2, **options):
    with stoker.Feed(source, workers=workers, processes=True, **options) as feed:
        return [int(y[0]) for x, y in feed.epoch(150) if not (x == y[0]).all()]


@pytest.mark.thinned(3)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", [Filled, Scratch, Refilled, InCycles])
def test_no_batch_is_written_over(kind, workers):
    assert wrong(kind(), workers) == []


def test_a_generator_that_refills_its_array_is_right_in_a_process_too():
    def refilled():
        x = stoker.empty(SHAPE)
        for number in range(200):
            x[:] = number
            yield x, np.array([number])

    assert wrong(refilled) == []


def test_batches_that_are_pickled_are_right_too():
    class Tagged(Scratch):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x, y, "a text"

    with stoker.Feed(Tagged(), workers=1, processes=True) as feed:
        assert all((x == y[0]).all() and tag == "a text" for x, y, tag in feed.epoch(60))


def test_an_error_beside_kept_memory_arrives():
    class Failing(Scratch):
        def __getitem__(self, index):
            made = super().__getitem__(index)
            if index == 3:
                raise KeyError("lost")
            return made

    with stoker.Feed(Failing(), workers=1, processes=True) as feed, pytest.raises(KeyError, match="lost"):
        list(feed.epoch(10))


def test_arrays_asked_for_in_other_threads_do_not_overlap():
    class Loading(stoker.Sequence):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            def load(number):
                x = stoker.empty((256, 256))
                x[:] = number
                return x

            async def all_of_them():
                return await asyncio.gather(*(asyncio.to_thread(load, number) for number in range(8)))

            return tuple(asyncio.run(all_of_them()))

    with stoker.Feed(Loading(), workers=1, processes=True) as feed:
        assert all((x == number).all() for batch in feed.epoch() for number, x in enumerate(batch))


@pytest.fixture
def arena():
    made = Arena.create(16)
    yield made
    made.close()


def test_a_template_counts_only_once_the_caller_hears_of_it(arena, monkeypatch):
    packer, unpacker = Packer(arena), Unpacker()
    take, refusals = arena.take, [MemoryError("no room")]

    def refuse_once(slot, end):
        if refusals:
            raise refusals.pop()
        take(slot, end)

    monkeypatch.setattr(arena, "take", refuse_once)
    first, second = np.full((30, 10), 1.0), np.full((6, 5), 2.0)
    packer.begin(0)
    with pytest.raises(MemoryError):
        packer.pack(first)
    for slot, array in enumerate([second, first, second], 1):
        packer.begin(slot)
        number, offsets, told = packer.pack(array)
        if told:
            unpacker.learn(told)
        start = slot * arena.stride
        assert np.array_equal(unpacker.arrays(number, arena.memory[start:start + (1 << 16)], offsets), array)


def test_what_is_offered_is_let_go_with_its_batch(arena):
    packer = Packer(arena)
    packer.begin(0)
    OFFER.set(packer.offer)
    try:
        x = stoker.empty((200, 200))
        packer.pack((x, x))
    finally:
        OFFER.set(None)
    assert packer.is_kept()
    assert packer.offer((100_000,), np.dtype(float)) is None, "nothing is offered to a source that keeps"


def test_slots_that_nobody_holds_are_given_back_when_the_feed_closes():
    import os

    with stoker.Feed(Filled(), workers=2, processes=True) as feed:
        batches = feed.epoch()
        kept = next(batches)[0]
        for _ in range(20):
            next(batches)
        fd = os.dup(feed._pump.lane._arena.fd)
    try:
        assert os.fstat(fd).st_blocks * 512 <= 2 << 20 and (kept == 0).all()
    finally:
        os.close(fd)


def test_nothing_is_offered_for_batches_that_travel_in_runs(arena):
    packer = Packer(arena)
    packer.begin(0)
    assert packer.offer((100,), np.dtype(float)) is None, "nothing is known of the batch yet"
    packer.pack((np.zeros(100),))
    assert packer.offer((100,), np.dtype(float)) is None, "such batches travel in runs"
    packer.pack((np.zeros(100_000), np.zeros(100)))
    assert packer.offer((100,), np.dtype(float)) is not None, "they are too large for that, and one copy less is one copy less"
    assert packer.offer((100_000,), np.dtype(float)) is not None
