"""Batches that come in runs: several in one slot, told of in one message, each what it would be alone."""

from __future__ import annotations

import os
import signal
import socket

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stoker
import stoker.feed.wire as wire
from stoker.feed.arena import Arena
from stoker.feed.freight import Freight
from stoker.feed.held import Held
from stoker.feed.messages import Ask, Got
from stoker.feed.meter import Meter
from stoker.feed.parcel import Packer, Unpacker
from stoker.feed.plan import COPIED_BYTES, LEASED_BYTES, Layout, gatherer, structure
from stoker.feed.slots import SlotTable
from stoker.feed.window import Window
from stoker.outcome import Failure, Value

LENGTH = 300
RECORD = np.dtype([("a", "i4"), ("b", "f8", (2,))])


class Varied(stoker.Sequence):
    """Quick batches whose form changes after every few."""

    def __init__(self, forms, each=3):
        self.forms, self.each = forms, each

    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        return self.forms[index // self.each % len(self.forms)](index)


def full(shape, index, dtype=np.float32):
    return np.full(shape, index, dtype)


FORMS = {
    "shapes and dtypes": [
        lambda n: full((4, 3), n), lambda n: full((4, 3), n, "f8"), lambda n: full((3, 4), n), lambda n: full(12, n, ">i4")],
    "containers": [
        lambda n: (full(3, n), full(3, n)), lambda n: [full(3, n), full(3, n)], lambda n: {"x": full(3, n), "y": full(3, n)},
        lambda n: ({"x": full(3, n)}, [full(2, n), (full(2, n),)], None)],
    "names": [
        lambda n: {"x": full(3, n), "y": full(3, n)}, lambda n: {"y": full(3, n), "x": full(3, n)}, lambda n: {1: full(3, n)},
        lambda n: {True: full(3, n)}, lambda n: {"1": full(3, n)}],
    "without axes or elements": [
        lambda n: (np.array(n), full((0, 3), n), full(2, n)), lambda n: full((0,), n), lambda n: (), lambda n: {}, lambda n: None,
        lambda n: [None, [], np.array(float(n))], lambda n: (np.array(n), np.array(n + 1), np.array(n + 2))],
    "of all kinds": [
        lambda n: np.array([(n, (n, n))] * 3, RECORD), lambda n: np.array(["a", "bc" * (n % 5)]), lambda n: np.array([b"x", b"yz"]),
        lambda n: np.array([n, 2], "M8[s]"), lambda n: np.array([n % 2 == 0, True]), lambda n: full(5, n, complex)],
    "lying otherwise": [
        lambda n: full((6, 8), n)[::2, 1::3], lambda n: np.asfortranarray(np.arange(12.0).reshape(3, 4) + n),
        lambda n: np.arange(5)[::-1] + n, lambda n: np.broadcast_to(np.float32(n), (3, 2))],
    "not as arrays": [lambda n: (full(3, n), "a text"), lambda n: full(3, n), lambda n: n, lambda n: np.array([n, None], object)],
    "larger": [
        lambda n: full(COPIED_BYTES // 4, n), lambda n: full(COPIED_BYTES // 4 + 1, n), lambda n: full(LEASED_BYTES // 4 + 1, n),
        lambda n: (full(20_000, n), full(7, n, "i8"))],
}


def same(one, other):
    """Whether two batches are equal in everything, types too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        is_equal = one.tolist() == other.tolist() if one.dtype.hasobject else one.tobytes() == other.tobytes()
        return one.dtype == other.dtype and one.shape == other.shape and is_equal
    if isinstance(one, dict):
        return [(type(name), name) for name in one] == [(type(name), name) for name in other] and same([*one.values()], [*other.values()])
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def leaves(batch):
    if isinstance(batch, np.ndarray):
        return [batch]
    parts = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, tuple | list) else ()
    return [leaf for part in parts for leaf in leaves(part)]


@pytest.mark.thinned(5)
@pytest.mark.parametrize("each", [1, 7])
@pytest.mark.parametrize("kind", FORMS)
def test_batches_of_changing_form_are_each_what_they_are_without_workers(kind, each):
    source = Varied(FORMS[kind], each)
    with stoker.Feed(source, workers=2, processes=True, max_queue_size=40) as feed:
        kept = list(feed)
        assert len(kept) == LENGTH
        assert [number for number, batch in enumerate(kept) if not same(batch, source[number])] == []
        assert all(array.flags.writeable for batch in kept for array in leaves(batch))
        del kept
        feed._pump.lane._slots.check()


@pytest.mark.parametrize("size", [3, 10_000])
def test_writing_to_one_batch_changes_no_other(size):
    with stoker.Feed(Varied([lambda n: (full(size, n), full((2, 2), n))]), workers=1, processes=True, max_queue_size=40) as feed:
        kept = list(feed)
        for x, y in kept[::2]:
            x[:], y[:] = -1, -1
        assert all((x == n).all() and (y == n).all() for n, (x, y) in enumerate(kept) if n % 2)


@pytest.mark.thinned(4)
@pytest.mark.parametrize("size", [16, 9_000, 100_000])
@pytest.mark.parametrize("place", [0, 1, 5])
def test_one_batch_that_is_kept_stays_as_it_was(size, place):
    with stoker.Feed(Varied([lambda n: full(size, n)]), workers=2, processes=True, max_queue_size=20) as feed:
        batches = feed.epoch()
        kept = [next(batches) for _ in range(place + 1)][-1]
        for _ in range(3):
            for batch in feed:
                assert (batch == batch[0]).all()
        assert (kept == place).all()
        slots = feed._pump.lane._slots
        leased = len(slots.leased)
        del kept
        assert len(slots.leased) == leased - (4 * size > COPIED_BYTES)
        slots.check()


def test_an_error_in_the_middle_of_a_run_comes_in_its_place():
    class Failing(Varied):
        def __getitem__(self, index):
            if index % 10 == 4:
                raise KeyError(index)
            return super().__getitem__(index)

    with stoker.Feed(Failing([lambda n: full(3, n)]), workers=2, processes=True, max_queue_size=64) as feed:
        batches, seen = feed.epoch(), []
        while len(seen) < LENGTH:
            try:
                seen.append(int(next(batches)[0]))
            except KeyError as error:
                assert error.args == (len(seen),) and any("made by worker" in note for note in error.__notes__)
                seen.append(error.args[0])
    assert seen == list(range(LENGTH))


@pytest.mark.slow
@pytest.mark.workers_die
@pytest.mark.parametrize("size", [3, 9_000])
def test_a_kill_in_the_middle_of_a_run_changes_nothing(size, tmp_path):
    class Killed(Varied):
        def __getitem__(self, index):
            mark = tmp_path / str(index)
            if index % 40 == 17 and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__getitem__(index)

    with stoker.Feed(Killed([lambda n: full(size, n)]), workers=2, processes=True, max_queue_size=64) as feed:
        assert [int(batch[0]) for batch in feed for _ in [batch] if (batch == batch[0]).all()] == list(range(LENGTH))
        assert feed.meter.look().deaths >= LENGTH // 40
        feed._pump.lane._slots.check()


def test_batches_built_in_slots_and_others_take_turns():
    def built(number):
        x = stoker.empty(100_000, np.float32)
        x[:] = number
        return x

    for kept in (None, []):
        def keeping(number, kept=kept):
            x = built(number)
            if kept is not None and number == 40:
                kept.append(x)
            return x

        with stoker.Feed(Varied([lambda n: full(50, n), keeping], 2), workers=1, processes=True, max_queue_size=32) as feed:
            assert [int(x[0]) for x in feed if (x == x[0]).all()] == list(range(LENGTH))


def test_quick_batches_do_come_in_runs():
    with stoker.Feed(Varied([lambda n: full(3, n)]), workers=1, processes=True, max_queue_size=64) as feed:
        lane, sizes = feed._pump.lane, []
        receive = lane.receive
        lane.receive = lambda timeout_s: [sizes.append(len(reply.tickets)) or reply for reply in receive(timeout_s)]
        for _ in range(3):
            list(feed)
        assert sum(sizes) >= 3 * LENGTH and max(sizes) >= 16
        assert len(feed.meter.timeline().makes) == sum(sizes)


@pytest.fixture
def arena():
    made = Arena.create(8)
    yield made
    made.close()


class Desk:
    """A worker's end and the parent's, without processes: what is added on one side is received on the other."""

    def __init__(self, arena):
        self.ours, self.theirs = socket.socketpair()
        self.packer = Packer(arena)
        self.held = Held(self.theirs, self.packer)
        self.slots = SlotTable(7, 1)
        self.freight = Freight(arena, self.slots)
        self.unpacker, self.parser = Unpacker(), wire.Parser()
        self.used = []

    def send(self, items):
        """One message of batches; their payloads."""
        slots = self.slots.take(len(items) - len(self.held.slots))
        self.held.slots += slots
        latest = self.held.slots[-1]
        for number, item in enumerate(items):
            self.packer.begin(self.held.slots[-1])
            assert self.held.add_batch(Ask(0, number, 0, number, 0), item, 0.0, 0.0, None)
        self.held.send()
        (record,) = self.parser.feed(self.ours.recv(1 << 16))
        assert record.slot == latest and len(record.tickets) == len(items)
        self.used.append(record.slot)
        return self.freight.payloads(record, self.unpacker, 0, [])

    def close(self):
        self.ours.close()
        self.theirs.close()
        vars(self).clear()  # with the views of the slots


@pytest.fixture
def desk(arena):
    made = Desk(arena)
    yield made
    made.close()


def busy(desk):
    """Slots that are neither free nor leased, but for those that the worker has."""
    desk.slots.check()
    return len(desk.slots._busy) - len(desk.held.slots)


def test_a_small_run_is_taken_out_when_it_comes_and_frees_its_slot(desk):
    payloads = desk.send([full(5, n) for n in range(4)])
    assert all(isinstance(payload, Value) for payload in payloads) and not busy(desk)


def test_runs_that_follow_each_other_lie_in_the_slot_that_was_let_go_of_last(desk):
    for size in (5, 10_000):
        desk.used.clear()
        for _ in range(5):
            for payload in desk.send([full(size, n) for n in range(4)]):
                batch = payload if isinstance(payload, Value) else desk.freight.unpack(payload)
                assert batch.value.shape == (size,)
            del payload, batch
        assert len(set(desk.used)) == 1 and desk.slots.in_use == 4, "a slot for each ask would have used all in turn"


def test_a_run_is_leased_once_and_given_back_with_its_last_array(desk):
    first, second, third = desk.send([full(10_000, n) for n in range(3)])
    assert busy(desk) == 1
    x, z = desk.freight.unpack(first).value, desk.freight.unpack(third).value
    assert not busy(desk) and len(desk.slots.leased) == 1
    other = desk.freight.unpack(desk.send([full(10_000, 7)])[0]).value
    assert not busy(desk) and (other == 7).all(), "beyond the leases it is copied"
    del x, first, third
    assert len(desk.slots.leased) == 1 and (z == 2).all()
    desk.freight.discard(second)
    del z, second
    assert not desk.slots.leased
    desk.slots.check()


def test_a_run_that_nobody_wants_frees_its_slot_once(desk):
    payloads = desk.send([full(10_000, n) for n in range(3)])
    for payload in payloads:
        assert busy(desk) == 1
        desk.freight.discard(payload)
    assert not busy(desk)


def test_an_error_that_cannot_be_read_is_an_error(desk):
    (slot,) = desk.slots.take(1)
    record = wire.Record(wire.FAILURE, 0, slot, -1, 0.0, (0,), (0.0,), (0.0,), (0.0,), (), b"no pickle")
    (payload,) = desk.freight.payloads(record, desk.unpacker, 3, [])
    assert isinstance(payload, Failure) and not busy(desk)


dtypes = st.sampled_from(["f4", "f8", "i1", ">i2", "?", "c8", "M8[s]"])
shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
parts = st.recursive(
    st.one_of(st.none(), st.builds(np.zeros, shapes, dtypes)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple), st.dictionaries(st.sampled_from(["a", "b", 1]), inner)),
    max_leaves=9)


def filled(item, luck):
    """The same structure with other numbers."""
    if isinstance(item, np.ndarray):
        return luck.integers(0, 2, item.shape).astype(item.dtype)
    if isinstance(item, dict):
        return {name: filled(part, luck) for name, part in item.items()}
    return type(item)(filled(part, luck) for part in item) if isinstance(item, tuple | list) else item


@settings(deadline=None, max_examples=60)
@given(item=parts, other=parts, count=st.integers(1, 6), seed=st.integers(0, 99))
def test_any_structure_crosses_in_a_run(item, other, count, seed):
    luck = np.random.default_rng(seed)
    items = [filled(item, luck) for _ in range(count)]
    arena = Arena.create(8)
    desk = Desk(arena)
    try:
        plan = structure(item, [])
        assert gatherer(plan)(items[0], []) and (gatherer(plan)(other, []) == (structure(other, []) == plan))
        layout = Layout(plan)
        ends = [offset + array.nbytes for offset, array in zip(layout.offsets, leaves(item), strict=True)]
        assert all(end <= after for end, after in zip(ends, layout.offsets[1:], strict=False)) and max(ends, default=0) <= layout.stride
        made = [payload.value for payload in desk.send(items)]
        assert [a.tobytes() for batch in made for a in leaves(batch)] == [a.tobytes() for batch in items for a in leaves(batch)]
        assert [structure(batch, []) for batch in made] == [plan] * count
    finally:
        desk.close()
        arena.close()


def test_the_timeline_has_the_latest_batches_and_no_more():
    meter = Meter("processes", 1, lambda: 0.0)
    for first in range(0, 3500, 7):
        tickets = range(first, first + 7)
        meter.made(Got(0, 0, tickets, [None] * 7, [1e-5] * 7, 1e-4, [float(ticket) for ticket in tickets], [0.0] * 7))
    makes = meter.timeline().makes
    assert [make.ticket for make in makes] == [make.began_s for make in makes] == list(range(1500, 3500))
    assert meter.look().made == 3500 and len(meter._makes) <= 2000 // 7 + 1


def meter_after(make_s):
    meter = Meter("processes", 2, lambda: 0.0)
    meter.made(Got(0, 0, range(4), [None] * 4, [make_s] * 4, 0.0, [0.0] * 4, [0.0] * 4))
    return meter


def test_batches_are_asked_for_together_as_long_as_a_message_is_worth_it():
    assert Meter("processes", 2, lambda: 0.0).at_a_time(Window(10, 2)) == 1
    for make_s, bound, workers, expected in (
            (0.0, 10, 2, 5), (1e-5, 64, 2, 32), (1e-4, 64, 2, 15), (1e-4, 64, 8, 8), (1e-4, 10, 2, 5), (3e-4, 10, 2, 3), (3e-4, 10, 8, 1),
            (5e-4, 10, 2, 2), (5e-4, 64, 2, 6), (5e-4, 64, 8, 3), (8e-4, 10, 2, 2), (8e-4, 64, 2, 4), (8e-4, 10, 8, 1), (1.6e-3, 64, 2, 1),
            (1e-5, 1, 2, 1)):
        assert meter_after(make_s).at_a_time(Window(bound, workers)) == expected, (make_s, bound, workers)


@pytest.mark.parametrize(("lane", "make_s", "cpu_s", "waited", "expected"), [
    ("threads", 2e-6, 2e-6, 0.5, 64),
    ("threads", 2e-6, 2e-6, 0.1, 32),  # the consumer is slow enough for the next half to be made meanwhile
    ("threads", 4e-5, 1.5e-5, 0.5, 64),  # two that take the GIL from one another
    ("threads", 3e-5, 3e-5, 0.5, 25),  # threads may work beside each other
    ("threads", 6e-5, 2e-6, 0.5, 16),  # they sleep
    ("processes", 2e-6, 2e-6, 0.5, 32),
])
def test_a_consumer_in_want_of_trivial_batches_has_one_thread_make_all(lane, make_s, cpu_s, waited, expected):
    now = [0.0]
    meter = Meter(lane, 2, lambda: now[0])
    meter.made(Got(0, 0, range(4), [None] * 4, [make_s] * 4, 4 * cpu_s, [0.0] * 4, [0.0] * 4))
    began, now[0] = 1.0 - waited, 1.0
    meter.waited(began, Window(64, 2))
    assert meter.at_a_time(Window(64, 2)) == expected


@pytest.mark.parametrize(("lane", "make_us", "own_us", "cores", "expected"), [
    ("processes", 48, 36, 2, 1),  # two workers and the consumer would take turns on two cores
    ("processes", 48, 36, 3, 2),
    ("processes", 48, 36, 1, 1),
    ("processes", 5, 50, 2, 1),
    ("processes", 250, 57, 2, 3),  # the consumer hardly needs a core
    ("threads", 48, 36, 2, 3),
])
def test_quick_batches_are_made_by_no_more_workers_than_have_a_core(lane, make_us, own_us, cores, expected):
    now = [0.0]
    meter, window = Meter(lane, 3, lambda: now[0], cores), Window(10, 3)

    def makers():
        return meter.makers(window, meter.at_a_time(window))

    assert makers() == 0, "before the first batch"
    meter.made(Got(0, 0, range(4), [None] * 4, [make_us * 1e-6] * 4, 0.0, [0.0] * 4, [0.0] * 4))
    meter.taken_together([Ask(0, ticket, 0, ticket, 0) for ticket in range(4)], window)
    began, now[0] = 4 * own_us * 1e-6, 4 * own_us * 1e-6 + 1.0
    meter.waited(began, window)
    assert makers() == expected
    assert meter.look().makers == expected
    meter.made(Got(0, 0, range(4), [None] * 4, [1.0] * 4, 0.0, [0.0] * 4, [0.0] * 4))
    assert (makers(), meter.look().makers) == (0, 3), "once batches are worth a message each"


@pytest.mark.parametrize(("bound", "expected"), [(10, 1), (64, 2)])
def test_longer_messages_are_worth_a_worker_more(bound, expected):
    now = [0.0]
    meter, window = Meter("processes", 2, lambda: now[0], 2), Window(bound, 2)
    meter.made(Got(0, 0, range(10), [None] * 10, [106e-6] * 10, 0.0, [0.0] * 10, [0.0] * 10))
    meter.taken_together([Ask(0, ticket, 0, ticket, 0) for ticket in range(10)], window)
    now[0] = 10 * 48e-6
    assert meter.makers(window, meter.at_a_time(window)) == expected


def test_batches_that_are_taken_together_are_counted_one_by_one():
    meter, window = Meter("threads", 1, lambda: 0.0), Window(4, 1)
    meter.taken_together([Ask(0, ticket, 0, ticket + 5, 0) for ticket in range(3)], window)
    assert meter.look().batches == 3
    assert [(take[0], take[1], take[4]) for take in meter._takes] == [(0, 5, 2), (1, 6, 1), (2, 7, 0)]
