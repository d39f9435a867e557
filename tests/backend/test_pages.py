"""Slots registered with a device: on a device that is made up, and the slots of real worker processes."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import stoker
from stoker.backend.pages import GRAIN_BYTES, RegisteredPages
from stoker.batch.memory import SlotMemory, slot_memory_of
from stoker.feed.arena import Arena


class Ranges:
    """Registers ranges, and refuses what a driver refuses: ranges that overlap, and giving back what was not registered."""

    def __init__(self, room_bytes=1 << 40):
        self.known = {}
        self.calls = 0
        self.room_bytes = room_bytes

    def register(self, address, size_bytes):
        self.calls += 1
        assert all(address + size_bytes <= start or end <= address for start, end in self.known.items())
        if sum(end - start for start, end in self.known.items()) + size_bytes > self.room_bytes:
            raise RuntimeError("no room")
        self.known[address] = address + size_bytes
        return True

    def unregister(self, address):
        del self.known[address]

    def cover(self, array):
        address = array.__array_interface__["data"][0]
        return any(start <= address and address + array.nbytes <= end for start, end in self.known.items())


@pytest.fixture
def ranges():
    return Ranges()


@pytest.fixture
def pages(ranges):
    return RegisteredPages(ranges.register, ranges.unregister)


def slots(size=64 * GRAIN_BYTES):
    return np.zeros(size, np.uint8).view(SlotMemory)


def test_a_slot_is_registered_once_however_often_it_is_used(ranges, pages):
    memory = slots()
    for _ in range(3):
        batch = [memory[:1000], memory[5000:GRAIN_BYTES + 7]]
        assert pages.hold(batch) == [True, True]
        assert all(map(ranges.cover, batch))
    assert ranges.calls == 1 and sum(end - start for start, end in ranges.known.items()) == 2 * GRAIN_BYTES


def test_a_larger_batch_in_the_same_slot_is_registered_as_a_whole(ranges, pages):
    memory = slots()
    pages.hold([memory[:1000]])
    pages.hold([memory[8 * GRAIN_BYTES:8 * GRAIN_BYTES + 5]])
    larger = memory[200:3 * GRAIN_BYTES]
    assert pages.hold([larger]) == [True]
    assert ranges.cover(larger) and len(ranges.known) == 2
    assert pages.hold([memory[:1000]]) == [True] and ranges.calls == 3


def test_what_lies_in_no_slot_is_left_alone(ranges, pages):
    memory = slots()
    assert pages.hold([np.zeros(5), memory[:7], None, "text"]) == [False, True, False, False]
    assert ranges.calls == 1


def test_ranges_are_given_back_when_their_memory_ends(ranges, pages):
    first, second = slots(), slots()
    view = first[:9]
    pages.hold([view])
    pages.hold([second[:9]])
    del first
    gc.collect()
    assert len(ranges.known) == 2, "a view keeps the memory"
    del view
    gc.collect()
    assert len(ranges.known) == 1
    del second
    gc.collect()
    assert not ranges.known


def test_a_device_that_refuses_is_not_asked_again():
    ranges = Ranges(room_bytes=GRAIN_BYTES)
    pages = RegisteredPages(ranges.register, ranges.unregister)
    memory = slots()
    assert pages.hold([memory[:9]]) == [True]
    assert pages.hold([memory[5 * GRAIN_BYTES:6 * GRAIN_BYTES]]) == [False]
    assert pages.hold([memory[:9]]) == [False] and ranges.calls == 2 and pages.is_refused


class Images(stoker.Sequence):
    """Two arrays of which one is large."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return np.full((8, 200, 200), index, np.float32), np.full((8, 20), index, np.float32)


@pytest.mark.slow
@pytest.mark.once
def test_the_slots_of_worker_processes_are_found_and_given_back_before_they_end(ranges, pages, monkeypatch):
    at_close = []
    close = Arena.close
    monkeypatch.setattr(Arena, "close", lambda arena, kept=(): (close(arena, kept), at_close.append(dict(ranges.known))))
    with stoker.Feed(Images(), workers=2, processes=True) as feed:
        held = [all(pages.hold(batch)) and all(map(ranges.cover, batch)) for batch in feed.epoch()]
        assert slot_memory_of(next(iter(feed.epoch()))[0]) is not None
    assert all(held) and ranges.calls < 20, "slots are used again"
    assert at_close == [{}] and not ranges.known


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX only")
@pytest.mark.parametrize("platform, has_it, may", [("gpu", True, True), ("gpu", True, False), ("gpu", False, False), ("cpu", True, False)])
def test_slots_are_mapped_for_jax_where_its_client_offers_that(platform, has_it, may):
    from stoker.backend.keras_jax import _device_pages

    ranges = Ranges(1 << 40 if may else 0)
    client = SimpleNamespace(dma_map=ranges.register, dma_unmap=ranges.unregister) if has_it else SimpleNamespace()
    pages = _device_pages(SimpleNamespace(platform=platform, client=client))
    if platform == "cpu" or not has_it:
        assert pages is None
        return
    memory = slots()
    assert pages.hold([memory[:10]]) == [may] and bool(ranges.known) is may
    del memory
    gc.collect()
    assert not ranges.known
