"""What crosses between processes: odd errors, items that cannot, long command lines, large seeds, sources that change their mind."""

from __future__ import annotations

import pathlib
import sys
import threading

import numpy as np
import pytest

import stoker
from stoker.source.open import open_source
from stoker.testing import Counting


def take(source, **options):
    with stoker.Feed(source, processes=True, **{"workers": 2, **options}) as feed:
        return list(feed)


class Raising(Counting):
    """Raises what it is told."""

    def __init__(self, make):
        super().__init__(3)
        self.make = make

    def __getitem__(self, index):
        raise self.make()


class Speechless(Exception):
    """Cannot even say what it is."""

    def __str__(self):
        raise RuntimeError("no words")


def test_an_error_that_holds_an_array_arrives():
    with pytest.raises(ValueError) as caught:
        take(Raising(lambda: ValueError("bad values", np.arange(3))))
    assert caught.value.args[0] == "bad values" and caught.value.args[1].tolist() == [0, 1, 2]


def test_an_error_without_a_text_arrives():
    with pytest.raises(Speechless):
        take(Raising(Speechless))


def test_a_batch_of_very_many_arrays_crosses():
    class Many(Counting):
        def __getitem__(self, index):
            return {"x": [np.full(100, index) for _ in range(70_000)], "text": "s"}

    (batch,) = take(Many(1), workers=1)
    assert len(batch["x"]) == 70_000 and (batch["x"][-1] == 0).all()


def test_an_item_that_cannot_travel_is_an_error_in_its_place_and_the_others_go_on():
    items = [0, 1, 2, threading.local(), 4, 5]
    with stoker.Feed(stoker.parallel_map(iter(items), lambda item: np.array([item])), workers=2, processes=True) as feed:
        batches = feed.epoch(6)
        assert [int(next(batches)[0]) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(stoker.NotPicklable, match="item 3"):
            next(batches)
        assert [int(batch[0]) for batch in batches] == [4, 5]


def test_a_source_that_cannot_travel_any_more_after_a_pass_goes_on_on_threads():
    class Logging(Counting):
        def on_epoch_end(self):
            super().on_epoch_end()
            if self.passes_ended == 1:
                self.log = threading.local()

    source = Logging(5)
    with stoker.Feed(source, workers=2, processes=True) as feed:
        with pytest.warns(stoker.StokerWarning, match=r"Logging\.log.*threads instead"):
            assert len(list(feed)) == 5
            seen = [int(x[0, 0]) for x, _ in feed]
        assert seen == [0, 1, 2, 3, 4] and feed.meter.look().lane == "threads"


@pytest.mark.parametrize("free", [100_000, 10_000_000])
def test_arrays_that_there_is_no_memory_to_share_stay_on_threads(free, monkeypatch, recwarn):
    class Data(stoker.Sequence):
        def __init__(self):
            self.x = np.arange(100_000.0)

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return self.x[index:index + 2]

    monkeypatch.setattr("stoker.feed.shipping.WEIGHED_BYTES", 500_000)
    monkeypatch.setattr("stoker.feed.shipping.free_bytes", lambda: free)
    with stoker.Feed(Data(), workers=2, processes=True) as feed:
        assert [batch.tolist() for batch in feed] == [[n, n + 1] for n in range(4)]
        assert feed.meter.lane == ("threads" if free < 800_000 else "processes")
    texts = [str(warning.message) for warning in recwarn if warning.category is stoker.StokerWarning]
    assert len(texts) == (free < 800_000) and all("0.0008 GB of arrays" in text and "mmap_mode" in text for text in texts)


def test_search_paths_that_are_no_text_and_long_command_lines_go_along(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, pathlib.Path("/nowhere")])
    monkeypatch.setattr(sys, "argv", ["train.py", *(f"/data/images/{number:09}.jpeg" for number in range(40_000))])

    class Arguments(Counting):
        def __getitem__(self, index):
            import sys as there

            return np.array([len(there.argv)])

    assert [int(x[0]) for x in take(Arguments(2))] == [40_001] * 2


@pytest.mark.parametrize("way", [{"workers": 0}, {"workers": 1, "processes": True}])
def test_the_largest_seed_is_taken_and_a_larger_one_refused(way):
    with stoker.Feed(Counting(2), seed=2**63 - 1, **way) as feed:
        assert len(list(feed)) == 2
    with pytest.raises(stoker.OptionError, match="seed"):
        stoker.Feed(Counting(2), seed=2**63, **way)


def test_a_sibling_takes_no_more_room_than_its_feed():
    with stoker.Feed(Counting(400), workers=1, processes=True, max_queue_size=3) as feed:
        assert feed.sibling(Counting(5), max_queue_size=400).options.max_queue_size == 3


class Stateful:
    """An iterator that knows where it is, and says so in a dict that it goes on changing."""

    def __init__(self):
        self.state = {"at": 0}

    def __iter__(self):
        return self

    def __next__(self):
        self.state["at"] += 1
        return np.array([self.state["at"] - 1])

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = dict(state)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("cut", [0, 1, 8, 13])
def test_an_iterator_with_a_state_of_its_own_goes_on_from_it(cut, workers):
    with stoker.Feed(Stateful(), workers=workers) as feed:
        batches = feed.epoch(50)
        for _ in range(cut):
            next(batches)
        state = feed.state_dict()
    with stoker.Feed(Stateful(), workers=workers) as feed:
        feed.load_state_dict(state)
        again = feed.state_dict()
        assert again == state
        assert [int(x[0]) for x in feed.epoch(3)] == [cut, cut + 1, cut + 2]


class Loader:
    """An iterable of ten batches that knows where its iterator is."""

    def __init__(self):
        self.at, self.pulled = 0, 0

    def __iter__(self):
        first, self.at = self.at, 0
        for number in range(first, 10):
            self.at, self.pulled = number + 1, self.pulled + 1
            yield np.array([number])
        self.at = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


class Ten(Stateful):
    """Such an iterator that ends."""

    def __next__(self):
        if self.state["at"] == 10:
            raise StopIteration
        return super().__next__()


class Gives:
    """An iterable whose iterators know where they are."""

    def __iter__(self):
        return Ten()


@pytest.mark.thinned(7)
@pytest.mark.parametrize("way", [{"workers": 0}, {"workers": 1}, {"workers": 2, "processes": True}])
@pytest.mark.parametrize("cut", [0, 1, 7, 10, 13])
@pytest.mark.parametrize("kind", [Loader, Gives])
def test_an_iterable_with_a_state_goes_on_from_it_in_any_pass(kind, cut, way, recwarn):
    with stoker.Feed(kind(), **way) as feed:
        batches = feed.epoch(30)
        for _ in range(cut):
            next(batches)
        state = feed.state_dict()
    assert (state["pass"], state["place"]) == divmod(cut, 10) or (cut, state["place"]) == (10, 10)
    source = kind()
    with stoker.Feed(source, **way) as feed:
        feed.load_state_dict(state)
        if "processes" not in way:
            assert feed.state_dict() == state
        assert [int(x[0]) for x in feed.epoch(12)] == [number % 10 for number in range(cut, cut + 12)]
    if way["workers"] == 0 and cut == 7 and kind is Loader:
        assert source.pulled == 12, "nothing was pulled to be dropped"
    dropped = [str(warning.message) for warning in recwarn if "pulled and dropped" in str(warning.message)]
    assert len(dropped) == len(recwarn) == ("processes" in way and state["place"] > 0), "where the state is in another process"
    assert all("runs in a worker process" in text for text in dropped)


class Epochs:
    """An iterable of three batches that counts its passes, and says so."""

    def __init__(self):
        self.epoch = 0

    def __iter__(self):
        yield from (np.array([10 * self.epoch + number]) for number in range(3))
        self.epoch += 1

    def state_dict(self):
        return {"epoch": self.epoch}

    def load_state_dict(self, state):
        self.epoch = state["epoch"]


@pytest.mark.parametrize("way", [{"workers": 0}, {"workers": 1}])
@pytest.mark.parametrize("passes", [1, 2])
def test_an_iterable_with_a_state_goes_on_with_the_next_pass(passes, way):
    with stoker.Feed(Epochs(), **way) as feed:
        for _ in range(passes):
            list(feed.epoch())
        state = feed.state_dict()
    with stoker.Feed(Epochs(), **way) as feed:
        feed.load_state_dict(state)
        assert feed.state_dict() == state
        assert [int(x[0]) for x in feed.epoch()] == [10 * passes + number for number in range(3)]


def test_a_pass_that_has_been_begun_ahead_takes_no_state_of_the_one_before():
    source = open_source(Epochs())
    source.remember_states(4)
    for pass_number in range(3):
        for index in range(4):
            source.get(pass_number, index)
    assert [source.state_before(2, index) for index in range(3)] == [{"epoch": 2}] * 3
    assert source.state_before(1, 2) == {"epoch": 1} and source.state_before(3, 0) == {"epoch": 3}


class Doubling(stoker.Sequence):
    """Three batches that are twice as much in each pass."""

    def __init__(self):
        self.factor = 1

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return np.array([self.factor * (index + 1)])

    def on_epoch_end(self):
        self.factor *= 2


class Resumed(Doubling):
    """Such batches that come again where they were."""

    def state_dict(self):
        return vars(self)

    def load_state_dict(self, state):
        vars(self).update(state)


@pytest.mark.parametrize("way", [{"workers": 0}, {"workers": 2}, {"workers": 2, "processes": True}])
@pytest.mark.parametrize("cut", [0, 2, 3, 8, 9])
def test_a_sequence_with_a_state_goes_on_from_it(cut, way):
    whole = [factor * number for factor in (1, 2, 4, 8, 16) for number in (1, 2, 3)]
    with stoker.Feed(Resumed(), **way) as feed:
        batches = feed.epoch(13)
        for _ in range(cut):
            next(batches)
        state = feed.state_dict()
        assert [int(x[0]) for x in batches] == whole[cut:13], "asking changes nothing"
    with stoker.Feed(Resumed(), **way) as feed:
        feed.load_state_dict(state)
        assert feed.state_dict() == state
        assert [int(x[0]) for x in feed.epoch(5)] == whole[cut:cut + 5]


def test_a_sequence_that_changes_with_each_pass_and_tells_no_state_is_named():
    with stoker.Feed(Doubling(), workers=0) as feed:
        list(feed.epoch())
        state = feed.state_dict()
    with stoker.Feed(Doubling(), workers=0) as feed, pytest.warns(stoker.StokerWarning, match="Doubling has an on_epoch_end and no"):
        feed.load_state_dict(state)
    with stoker.Feed(Doubling(), workers=0) as feed:
        feed.load_state_dict({**state, "pass": 0, "place": 2})


@pytest.mark.parametrize("workers", [0, 1])
def test_a_place_behind_the_end_of_a_sequence_that_has_become_shorter_is_the_next_pass(workers):
    with stoker.Feed([np.zeros(1)] * 5, workers=workers) as feed:
        list(feed.epoch(4))
        state = feed.state_dict()
    with stoker.Feed([np.zeros(1)] * 3, workers=workers) as feed:
        feed.load_state_dict(state)
        assert [len(list(feed.epoch())) for _ in range(2)] == [3, 3]


def test_a_pass_that_nobody_waits_for_does_not_leave_workers_idle():
    class Plain(stoker.Sequence):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return np.array([index])

    with stoker.Feed(Plain(), workers=1, max_queue_size=8) as feed:
        batches = feed.epoch()
        next(batches)
        assert feed.window.next_new >= 8, "the next passes are under way before this one has been used"
        assert len(list(batches)) == 2 and len(list(feed)) == 3
