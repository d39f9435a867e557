"""Copies to a CUDA device, on a device that is made up: what is held, for how long, and what goes by which way."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import stoker
from stoker.backend.keras_torch import TorchSession, _alias
from stoker.backend.torch_copies import MOST_UNDER_WAY, Copies
from stoker.batch.memory import SlotMemory

pytestmark = pytest.mark.once


class Arrival:
    """The end of a copy, reached when the test says so or when it is waited for; the copy is made only then, as late as a device may."""

    def __init__(self, hosts, tensors):
        self.pairs = list(zip(hosts, tensors, strict=True))
        self.is_reached = False

    def query(self):
        return self.is_reached

    def synchronize(self):
        if not self.is_reached:
            self.is_reached = True
            for host, tensor in self.pairs:
                tensor.copy_(host)
            self.pairs = []


class LateDevice:
    """A device whose copies arrive as late as they may."""

    def __init__(self):
        self.arrivals, self.registered, self.pinned_count = [], OrderedDict(), 0

    def copy(self, hosts):
        tensors = [torch.empty_like(host) for host in hosts]
        self.arrivals.append(Arrival(hosts, tensors))
        return tensors, self.arrivals[-1]

    def register(self, address, size_bytes):
        self.registered[address] = size_bytes
        return True

    def unregister(self, address):
        del self.registered[address]

    def pinned(self, host):
        self.pinned_count += 1
        return host.clone()


def batch(number, memory=None):
    x = np.full((4, 3), number, np.float32)
    if memory is not None:
        memory[:x.nbytes] = np.frombuffer(x, np.uint8)
        x = memory[:x.nbytes].view(x.dtype).reshape(x.shape)
    return x, {"y": np.full((4,), number, np.int64)}, None


def test_structure_and_values_arrive():
    device = LateDevice()
    copies = Copies(device, _alias)
    inputs, targets, weights = copies(batch(7))
    copies.let_go(0)
    assert torch.equal(inputs, torch.full((4, 3), 7.0)) and torch.equal(targets["y"], torch.full((4,), 7)) and weights is None


def test_slots_are_read_where_they_lie_and_other_arrays_are_pinned():
    device = LateDevice()
    copies = Copies(device, _alias)
    memory = np.zeros(4096, np.uint8).view(SlotMemory)
    inputs, _, _ = copies(batch(3, memory))
    assert device.pinned_count == 1 and len(device.registered) == 1
    copies.let_go(0)
    assert float(inputs[0, 0]) == 3.0


def test_no_more_than_a_few_copies_are_under_way_and_waiting_ends_with_the_oldest():
    device = LateDevice()
    copies = Copies(device, _alias)
    made = [copies(batch(number))[0] for number in range(10)]
    under_way = [arrival.is_reached for arrival in device.arrivals]
    assert under_way == [True] * (10 - MOST_UNDER_WAY) + [False] * MOST_UNDER_WAY
    copies.let_go(0)
    assert [float(tensor[0, 0]) for tensor in made] == list(range(10))


def test_an_array_is_let_go_once_its_copy_has_arrived():
    device = LateDevice()
    copies = Copies(device, _alias)
    copies(batch(0))
    device.arrivals[0].synchronize()
    copies.let_go(MOST_UNDER_WAY)
    assert not copies._under_way


class Images(stoker.Sequence):
    """Batches that cross in slots."""

    def __len__(self):
        return 60

    def __getitem__(self, index):
        return np.full((8, 100, 100), index, np.float32), np.full((8,), index, np.float32)


@pytest.mark.slow
def test_no_slot_is_used_again_before_its_copy_has_arrived():
    device = LateDevice()
    copies = Copies(device, _alias)
    with stoker.Feed(Images(), workers=2, processes=True) as feed:
        made = [copies(item) for item in feed.epoch()]
        assert len(device.registered) > 0
        copies.let_go(0)
    del device.arrivals[:]
    assert not device.registered, "given back with the slots"
    for number, (x, y) in enumerate(made):
        assert torch.equal(x, torch.full((8, 100, 100), float(number))) and float(y[0]) == number


def test_a_session_waits_for_the_copies_under_way():
    device = LateDevice()
    session = TorchSession.__new__(TorchSession)
    session._copies = Copies(device, _alias)
    session._copies(batch(1))
    session.wait()
    assert device.arrivals[0].is_reached
