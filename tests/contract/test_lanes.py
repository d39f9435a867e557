"""What every lane must do, and what every feed must do on every lane."""

from __future__ import annotations

import gc
import itertools
import random
import sys
import threading
import time
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest

import stoker
from stoker.feed.inline import InlineLane
from stoker.feed.messages import Ask, Got
from stoker.feed.processes import ProcessLane
from stoker.feed.threads import ThreadLane
from stoker.outcome import Failure, Value
from stoker.source.open import open_source
from stoker.testing import Counting, FailingAt, NoisyCounting, StopsInside, digest

LANES = {
    "inline": InlineLane,
    "one thread": lambda: ThreadLane(1, 10),
    "three threads": lambda: ThreadLane(3, 10),
    "one process": lambda: ProcessLane(1, 10),
    "three processes": lambda: ProcessLane(3, 10),
}
WAYS = {
    "inline": {"workers": 0},
    "one thread": {"workers": 1},
    "four threads": {"workers": 4},
    "one process": {"workers": 1, "processes": True},
    "three processes": {"workers": 3, "processes": True},
}
GENEROUS_S = 20.0


class Frozen(dict):
    """Cannot be filled, and so not copied."""

    def __setitem__(self, key, value):
        raise LookupError("frozen")


class Large(stoker.Sequence):
    """Rows that travel to workers beside the pickle, and a number that changes with every pass."""

    def __init__(self, value):
        self.rows = np.full((4, 50_000), value, np.float32)
        self.turn = 0

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.rows[index], np.array([self.turn])

    def on_epoch_end(self):
        self.turn += 1


@pytest.fixture(params=LANES)
def lane(request):
    made = LANES[request.param]()
    yield made
    made.close()


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


class Answer(NamedTuple):
    """One answer of a run."""

    worker: int
    source: int
    ticket: int
    payload: Any


def split(replies):
    """The answers of runs, one by one."""
    found = []
    for reply in replies:
        assert isinstance(reply, Got)
        columns = reply.tickets, reply.payloads, reply.make_s, reply.began_s, reply.cross_s
        assert len(reply.tickets) > 0 and len({len(column) for column in columns}) == 1, "a run has at least one answer"
        found += [Answer(reply.worker, reply.source, *each) for each in zip(reply.tickets, reply.payloads, strict=True)]
    return found


def answers(lane, count):
    got = []
    while len(got) < count:
        replies = lane.receive(GENEROUS_S)
        assert replies, "no answer came"
        got.extend(split(replies))
    assert lane.receive(0.0) == []
    return got


def ask(ticket, source=0):
    return Ask(source, ticket, 0, ticket, 7)


def numbers(batches):
    return [int(batch[0][0, 0]) for batch in batches]


class TestLane:
    def test_every_ask_is_answered_once_and_in_order(self, lane):
        lane.add_source(0, open_source(Counting(50)))
        for start in range(0, 12, 3):
            lane.send(start % lane.workers, [ask(start), ask(start + 1), ask(start + 2)])
        got = answers(lane, 12)
        assert sorted(reply.ticket for reply in got) == list(range(12))
        for worker in range(lane.workers):
            mine = [reply.ticket for reply in got if reply.worker == worker]
            assert mine == sorted(mine)
        for reply in got:
            outcome = lane.unpack(reply.payload)
            assert isinstance(outcome, Value) and outcome.value[0][0, 0] == reply.ticket

    def test_an_error_is_an_answer(self, lane):
        lane.add_source(0, open_source(FailingAt(5, 1, KeyError("lost"))))
        lane.send(0, [ask(0), ask(1), ask(2)])
        outcomes = [lane.unpack(reply.payload) for reply in answers(lane, 3)]
        assert [type(outcome) for outcome in outcomes] == [Value, Failure, Value]
        assert isinstance(outcomes[1].error, KeyError) and outcomes[1].error.args == ("lost",)

    def test_two_sources_are_kept_apart(self, lane):
        lane.add_source(0, open_source(Counting(5)))
        lane.add_source(1, open_source(NoisyCounting(5)))
        lane.send(0, [ask(0), ask(1, source=1), ask(2)])
        assert sorted((reply.source, reply.ticket) for reply in answers(lane, 3)) == [(0, 0), (0, 2), (1, 1)]

    def test_a_source_that_comes_late_is_known_to_the_workers_that_are_there(self, lane):
        lane.add_source(0, open_source(Counting(5)))
        for worker in range(lane.workers):
            lane.send(worker, [ask(worker)])
        answers(lane, lane.workers)
        lane.add_source(1, open_source(NoisyCounting(9)))
        for worker in range(lane.workers):
            lane.send(worker, [ask(worker, source=1)])
        assert all(reply.source == 1 for reply in answers(lane, lane.workers))

    def test_what_was_made_before_a_slow_item_does_not_wait_for_it(self, lane, tmp_path):
        gate = tmp_path / "open"

        class Gated(Counting):
            def __getitem__(self, index):
                until = time.monotonic() + GENEROUS_S
                while index == 3 and not gate.exists() and time.monotonic() < until:
                    time.sleep(1e-3)
                return super().__getitem__(index)

        lane.add_source(0, open_source(Gated(9)))
        lane.send(0, [ask(ticket) for ticket in range(5)])
        got = []
        while len(got) < 3:
            got += split(lane.receive(1.0))
        assert [reply.ticket for reply in got] == [0, 1, 2]
        gate.touch()
        assert [reply.ticket for reply in answers(lane, 2)] == [3, 4]

    def test_times_come_with_the_answer(self, lane):
        lane.add_source(0, open_source(Counting(5)))
        lane.send(0, [ask(0)])
        (reply,) = lane.receive(GENEROUS_S)
        assert isinstance(reply, Got) and reply.make_s[0] > 0 and reply.cpu_s >= 0

    def test_closing_with_open_asks_ends_the_workers(self, lane):
        lane.add_source(0, open_source(Counting(1000)))
        lane.send(0, [ask(ticket) for ticket in range(200)])
        lane.close()
        lane.close()


def test_threads_shorten_the_switch_interval_while_they_run():
    before = sys.getswitchinterval()
    with stoker.Feed(Counting(5), workers=2) as feed:
        next(feed.epoch())
        assert sys.getswitchinterval() < before
    assert sys.getswitchinterval() == before


@pytest.mark.filterwarnings("ignore:.*It runs on threads instead:stoker.StokerWarning")
class TestFeed:
    def test_the_stream_is_the_same_on_every_lane(self, way):
        def run(way):
            with stoker.Feed(NoisyCounting(9), seed=5, shuffle=True, **way) as feed:
                return digest(itertools.chain.from_iterable(feed.epoch() for _ in range(3)))

        assert run(way) == run({"workers": 0})

    def test_each_index_comes_once_a_pass(self, way):
        with stoker.Feed(Counting(11), seed=1, shuffle=True, **way) as feed:
            for _ in range(3):
                assert sorted(numbers(feed.epoch())) == list(range(11))

    @pytest.mark.parametrize("steps", [1, 4, 7, 10, 25])
    def test_epochs_are_windows_over_a_row_of_passes(self, way, steps):
        source = Counting(7)
        with stoker.Feed(source, **way) as feed:
            feed.plan(epochs=4, steps=steps)
            seen = [number for _ in range(4) for number in numbers(feed.epoch(steps))]
        assert seen == [number % 7 for number in range(4 * steps)]
        assert source.passes_ended == 4 * steps // 7

    def test_what_is_planned_is_all_that_is_pulled(self, way):
        pulled = itertools.count()
        stream = ((number, number) for number in pulled)
        with stoker.Feed(stream, **way) as feed:
            feed.plan(epochs=2, steps=6)
            for _ in range(2):
                list(feed.epoch(6))
        assert next(stream) == (12, 12)

    def test_no_more_than_the_bound_is_pulled_ahead(self, way):
        pulled = []
        stream = (pulled.append(number) or number for number in itertools.count())
        with stoker.Feed(stream, max_queue_size=3, **way) as feed:
            feed.plan(epochs=1, steps=1000)
            batches = feed.epoch(1000)
            for taken in range(20):
                next(batches)
                assert len(pulled) <= taken + 1 + 3
        assert len(pulled) <= 20 + 3

    def test_an_error_comes_in_its_place_and_says_where(self, way):
        with stoker.Feed(FailingAt(6, 3, OSError("disk")), **way) as feed:
            batches = feed.epoch()
            assert [int(next(batches)[0][0, 0]) for _ in range(3)] == [0, 1, 2]
            with pytest.raises(OSError, match="disk") as caught:
                next(batches)
            assert any("index 3 of FailingAt" in note for note in caught.value.__notes__)
            assert int(next(batches)[0][0, 0]) == 4

    def test_stop_iteration_in_getitem_never_ends_an_epoch_in_silence(self, way):
        with stoker.Feed(StopsInside(5, 2), **way) as feed, pytest.raises(stoker.SourceStopped):
            list(feed.epoch())

    def test_the_end_of_a_pass_is_told_once_before_the_next_begins(self, way):
        log = []

        class Logging(Counting):
            def __getitem__(self, index):
                log.append(("item", self.passes_ended))
                return super().__getitem__(index)

            def on_epoch_end(self):
                super().on_epoch_end()
                log.append(("end", threading.current_thread() is threading.main_thread()))

        with stoker.Feed(Logging(5), **way) as feed:
            feed.plan(epochs=3)
            for _ in range(3):
                list(feed.epoch())
        if log:  # a process keeps its own log of items
            assert [entry for entry in log if entry[0] == "end"] == [("end", True)] * 3
            items = [entry[1] for entry in log if entry[0] == "item"]
            assert items == sorted(items)

    def test_a_pass_may_change_the_length(self, way):
        class Growing(Counting):
            def on_epoch_end(self):
                self.length += 2

        with stoker.Feed(Growing(3), **way) as feed:
            assert [len(list(feed.epoch())) for _ in range(3)] == [3, 5, 7]

    def test_an_array_shuffled_in_place_between_passes_changes_no_batch_that_waits(self, way):
        class InPlace(stoker.Sequence):
            def __init__(self):
                self.rows = np.arange(12.0)

            def __len__(self):
                return 4

            def __getitem__(self, index):
                return self.rows[index * 3:index * 3 + 3], index

            def on_epoch_end(self):
                self.rows[:] = self.rows[::-1]

        with stoker.Feed(InPlace(), **way) as feed:
            seen = [batch[0].tolist() for _ in range(2) for batch in feed.epoch()]
        rows = list(np.arange(12.0))
        assert sum(seen[:4], []) == rows and sum(seen[4:], []) == rows[::-1]

    def test_an_error_in_on_epoch_end_reaches_the_caller_after_the_last_batch(self, way):
        class Breaking(Counting):
            def on_epoch_end(self):
                raise LookupError("end")

        with stoker.Feed(Breaking(4), **way) as feed:
            batches = feed.epoch()
            assert numbers(itertools.islice(batches, 4)) == [0, 1, 2, 3]
            with pytest.raises(LookupError, match="end"):
                next(batches)

    def test_a_feed_closed_early_leaves_nothing(self, way):
        with stoker.Feed(Counting(1000), **way) as feed:
            next(feed.epoch())
        with pytest.raises(stoker.FeedClosed):
            feed.epoch()

    def test_an_epoch_of_a_closed_feed_gives_nothing(self, way):
        source = Counting(1000)
        with stoker.Feed(source, **way) as feed:
            batches = feed.epoch()
            first = next(batches)
            other = feed.sibling(Counting(5))
            others = other.epoch()
            next(others)
            other.close()
            with pytest.raises(stoker.FeedClosed):
                list(others)
        with pytest.raises(stoker.FeedClosed):
            list(batches)
        assert numbers([first]) == [0]

    def test_a_stream_goes_on_where_it_stopped(self, way):
        stream = iter(range(100))
        with stoker.Feed(stream, **way) as feed:
            assert [list(feed.epoch(4)), list(feed.epoch(4))] == [[0, 1, 2, 3], [4, 5, 6, 7]]
        with stoker.Feed(stream, **way) as feed:
            assert list(feed.epoch(2)) == [8, 9]

    def test_a_stream_that_ends_early_ends_the_epoch(self, way):
        with stoker.Feed(iter(range(5)), **way) as feed:
            assert list(feed.epoch(3)) == [0, 1, 2]
            assert list(feed.epoch(3)) == [3, 4]
            assert list(feed.epoch(3)) == []

    def test_a_restartable_source_begins_anew_for_each_pass(self, way):
        def three():
            yield from range(3)

        with stoker.Feed(three, **way) as feed:
            feed.plan(epochs=3)
            assert [list(feed.epoch()) for _ in range(3)] == [[0, 1, 2]] * 3
        with stoker.Feed(three, **way) as feed:
            assert [list(feed.epoch(4)) for _ in range(2)] == [[0, 1, 2, 0], [1, 2, 0, 1]]

    def test_an_epoch_that_begins_where_a_pass_has_ended_is_the_next_pass(self, way):
        def five():
            yield from range(5)

        with stoker.Feed(five, **way) as feed:
            assert [len(list(itertools.islice(feed.epoch(), 5))) for _ in range(4)] == [5] * 4
            assert [list(feed.epoch()) for _ in range(2)] == [[*range(5)]] * 2

    def test_a_restartable_source_that_gives_nothing_is_refused(self, way):
        with stoker.Feed(lambda: iter(()), **way) as feed, pytest.raises(stoker.SourceError, match="no batch"):
            list(feed.epoch(3))

    def test_a_generator_may_refill_the_same_arrays(self, way):
        def refilled():
            buffer = np.zeros(3)
            for number in itertools.count():
                buffer[:] = number
                yield buffer, [buffer]

        with stoker.Feed(refilled(), **way) as feed:
            kept = [(int(x[0]), int(y[0][0])) for x, y in list(feed.epoch(40))] if way["workers"] else None
            if kept is not None:
                assert kept == [(number, number) for number in range(40)]

    def test_a_generator_may_shuffle_in_place_what_it_gave_parts_of(self, way):
        data = np.arange(200.0)[:, None]

        def shuffled():
            while True:
                np.random.default_rng(1).shuffle(data)
                yield from ((data[row:row + 1], data[row:row + 1]) for row in range(len(data)))

        with stoker.Feed(shuffled(), **way) as feed:
            passes = [list(feed.epoch(len(data))) for _ in range(3)]
        for batches in passes:
            assert sorted(int(x[0, 0]) for x, _ in batches) == list(range(200))

    def test_a_sibling_shares_the_workers_and_keeps_its_own_order(self, way):
        with stoker.Feed(Counting(5), **way) as feed:
            other = feed.sibling(Counting(3))
            for _ in range(3):
                assert numbers(feed.epoch()) == [0, 1, 2, 3, 4]
                assert numbers(other.epoch()) == [0, 1, 2]

    def test_a_feed_is_the_iterable_of_its_next_epoch(self, way):
        with stoker.Feed(Counting(4), **way) as feed:
            assert [numbers(feed), numbers(feed)] == [[0, 1, 2, 3]] * 2

    def test_a_sibling_that_is_opened_late_kills_nobody(self, way):
        with stoker.Feed(Counting(4), **way) as feed:
            assert numbers(feed) == [0, 1, 2, 3]
            for other in (Counting(3), lambda: iter([(np.full((1, 1), 9), 0)])):
                late = feed.sibling(other)
                late.plan(epochs=1)
                assert numbers(late)[-1] in (2, 9)
                assert numbers(feed) == [0, 1, 2, 3]
            assert feed.meter.look().deaths == 0

    def test_what_a_sibling_holds_never_comes_from_the_other(self, way):
        with stoker.Feed(Large(1), **way) as feed:
            other = feed.sibling(Large(2))
            for turn in range(4):
                assert [(float(rows.mean()), int(turns[0])) for rows, turns in feed.epoch()] == [(1.0, turn)] * 4
                assert [(float(rows.mean()), int(turns[0])) for rows, turns in other.epoch()] == [(2.0, turn)] * 4

    def test_a_sibling_that_is_closed_is_let_go_of(self, way):
        with stoker.Feed(Counting(5), **way) as feed:
            assert numbers(feed) == [0, 1, 2, 3, 4]
            others = [Counting(1000) for _ in range(4)]
            gone = [weakref.ref(other) for other in others]
            for taken in range(4):  # with batches under way, ready and taken
                other = feed.sibling(others.pop(0))
                numbers(itertools.islice(other.epoch(), taken))
                other.close()
                other.close()
            del other
            for _ in range(3):
                assert numbers(feed) == [0, 1, 2, 3, 4]
            gc.collect()
            assert not any(one() for one in gone)

    def test_a_sibling_may_have_a_with_block_of_its_own(self, way):
        with stoker.Feed(Counting(3), **way) as feed:
            with feed.sibling(Counting(2)) as other:
                assert numbers(other) == [0, 1]
            assert numbers(feed) == [0, 1, 2]
            with pytest.raises(stoker.FeedClosed, match="open before"):
                other.__enter__()

    def test_a_feed_is_opened_once(self, way):
        feed = stoker.Feed(Counting(3), **way)
        with feed:
            assert numbers(feed) == [0, 1, 2]
            with pytest.raises(stoker.FeedClosed, match="open before"):
                feed.__enter__()
            assert numbers(feed) == [0, 1, 2]
        with pytest.raises(stoker.FeedClosed, match="open before"), feed:
            pass

    def test_a_batch_that_cannot_be_copied_is_an_error_in_its_place(self, way):
        class Freezing(Counting):
            def __getitem__(self, index):
                return Frozen(x=np.zeros(3)) if index == 1 else super().__getitem__(index)

        with stoker.Feed(Freezing(4), **way) as feed:
            batches = feed.epoch()
            assert numbers([next(batches)]) == [0]
            with pytest.raises(LookupError, match="frozen"):
                next(batches)
            assert numbers(batches) == [2, 3]

    def test_an_iterator_that_goes_on_after_an_error_loses_nothing(self, way):
        def load(number):
            if number in (3, 4):
                raise OSError("disk")
            return number

        got = []
        with stoker.Feed(map(load, range(8)), **way) as feed:
            batches = feed.epoch(8)
            for _ in range(8):
                try:
                    got.append(next(batches))
                except OSError:
                    got.append("error")
        assert got == [0, 1, 2, "error", "error", 5, 6, 7]

    def test_a_source_that_uses_stoker_itself_keeps_its_randomness(self, way):
        class Nesting(Counting):
            def __getitem__(self, index):
                with stoker.Feed([np.zeros(1)], workers=0, seed=0) as inner:
                    next(inner.epoch())
                return stoker.rng().random(2)

        def draws():
            with stoker.Feed(Nesting(3), seed=1, **way) as feed:
                return [batch.tolist() for batch in feed.epoch()]

        assert draws() == draws()

    @pytest.mark.thinned(4)
    @pytest.mark.filterwarnings("ignore:.*pulled and dropped:stoker.StokerWarning")
    @pytest.mark.parametrize("cut", range(4))
    def test_a_generator_goes_on_with_the_randomness_of_every_item(self, way, cut):
        def drawing():
            while True:
                noise = [stoker.rng().random(), random.random(), np.random.random()]
                yield np.array(noise if way.get("processes") else noise[:1])

        def run(feed, count):
            return [batch.tolist() for batch in feed.epoch(count)]

        with stoker.Feed(drawing, seed=1, **way) as feed:
            whole = run(feed, 7)
        with stoker.Feed(drawing, seed=1, **way) as feed:
            for _ in range(cut):
                run(feed, 1)
            state = feed.state_dict()
        with stoker.Feed(drawing, **way) as feed:
            feed.load_state_dict(state)
            assert run(feed, 7 - cut) == whole[cut:]

    @pytest.mark.thinned(7)
    @pytest.mark.filterwarnings("ignore:.*has an on_epoch_end and no state_dict:stoker.StokerWarning")
    @pytest.mark.parametrize("cut", range(12))
    def test_a_feed_goes_on_from_any_position_on_any_lane(self, way, cut):
        def rest(feed, taken):
            left = [5 - taken % 5, *[5] * 3]
            return digest(itertools.chain.from_iterable(feed.epoch(steps) for steps in left[:3]))

        with stoker.Feed(NoisyCounting(5), seed=3, shuffle=True, workers=0) as whole:
            batches = itertools.chain.from_iterable(whole.epoch(1) for _ in itertools.count())
            list(itertools.islice(batches, cut))
            expected = rest(whole, cut)
        with stoker.Feed(NoisyCounting(5), seed=3, shuffle=True, **way) as feed:
            for _ in range(cut):
                next(feed.epoch(1))
            state = feed.state_dict()
        with stoker.Feed(NoisyCounting(5), seed=99, **way) as feed:
            feed.load_state_dict(state)
            assert rest(feed, cut) == expected

    @pytest.mark.filterwarnings("ignore:.*pulled and dropped:stoker.StokerWarning")
    def test_an_error_on_the_way_back_to_a_place_is_heard_of(self, way, tmp_path):
        broken = tmp_path / "broken"

        def items():
            for number in range(30):
                if broken.exists() and number == 3:
                    raise LookupError("cannot read 3")
                yield np.array([number])

        with stoker.Feed(items, seed=1, **way) as feed:
            list(feed.epoch(8))
            state = feed.state_dict()
        broken.touch()
        with stoker.Feed(items, **way) as feed:
            feed.load_state_dict(state)
            with pytest.raises(LookupError, match="cannot read 3"):
                next(feed.epoch(5))

    def test_a_function_that_fails_is_not_called_over_and_over(self, way, tmp_path):
        calls = tmp_path / "calls"

        def failing():
            with calls.open("a") as file:
                file.write("x")
            raise OSError("no such data")

        with stoker.Feed(failing, max_queue_size=16, **way) as feed, pytest.raises(OSError, match="no such data"):
            next(feed.epoch(20))
        assert len(calls.read_text()) <= 16

    def test_a_sibling_of_a_feed_that_is_closed_is_closed_too(self, way):
        with stoker.Feed(Counting(3), **way) as feed:
            one, other = feed.sibling(Counting(2)), feed.sibling(Counting(2))
            next(one.epoch())
        for sibling in (one, other, feed.sibling(Counting(2))):
            with pytest.raises(stoker.FeedClosed), sibling:
                next(sibling.epoch())
