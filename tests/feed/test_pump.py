"""Deaths and silences, judged with a lane and a clock of the test's own."""

from __future__ import annotations

import pytest

import stoker
from stoker.feed.faults import DEATHS_ON_ONE_BATCH, DEATHS_WITHOUT_A_BATCH, Silence, patience_s
from stoker.feed.inline import InlineLane
from stoker.feed.messages import Died, Got
from stoker.feed.meter import Meter
from stoker.feed.pump import Pump
from stoker.testing import Counting

pytestmark = pytest.mark.workers_die


class Mortal(InlineLane):
    """Two workers in name; dies or falls silent on request, instead of answering."""

    name = "threads"
    workers = 2

    def __init__(self, deaths=(), silent_after=None):
        super().__init__()
        self.deaths = list(deaths)
        self.silent_after = silent_after
        self.replaced = []
        self.inboxes = {0: [], 1: []}
        self.answers = 0
        self.asks = {}

    def send(self, worker, asks):
        self.inboxes[worker].extend(asks)

    def receive(self, timeout_s):
        busy = [worker for worker, asks in self.inboxes.items() if asks]
        if not busy or (self.silent_after is not None and self.answers >= self.silent_after):
            return []
        worker = min(busy, key=lambda worker: self.inboxes[worker][0].ticket)
        ask = self.inboxes[worker][0]
        if ask.index in self.deaths:
            self.deaths.remove(ask.index)
            self.inboxes[worker].clear()
            return [Died(worker, "killed by SIGKILL: often the out-of-memory killer")]
        del self.inboxes[worker][0]
        super().send(worker, [ask])
        self.answers += 1
        return [super().receive(0)[0]._replace(worker=worker)]

    def replace(self, worker):
        self.replaced.append(worker)

    def stack(self, worker):
        return "File 'source.py', line 3, in __getitem__"


def open_feed(monkeypatch, lane, source, **options):
    monkeypatch.setattr("stoker.feed.hub.ThreadLane", lambda *_: lane)
    return stoker.Feed(source, workers=2, **options)


def numbers(batches):
    return [int(batch[0][0, 0]) for batch in batches]


def test_what_a_dead_worker_lost_is_made_again_and_the_stream_does_not_change(monkeypatch):
    lane = Mortal(deaths=[2, 5, 5])
    with open_feed(monkeypatch, lane, Counting(9)) as feed:
        assert numbers(feed.epoch()) == list(range(9))
    assert len(lane.replaced) == 3


@pytest.mark.parametrize("queue", [5, 8])
def test_the_death_of_a_worker_that_has_told_the_end_of_a_stream_is_no_error(monkeypatch, queue):
    lane = Mortal(deaths=[4])
    with open_feed(monkeypatch, lane, lambda: iter(range(3)), max_queue_size=queue) as feed:
        feed.plan(epochs=9, steps=7)
        assert [list(feed.epoch(7)) for _ in range(2)] == [[0, 1, 2, 0, 1, 2, 0], [1, 2, 0, 1, 2, 0, 1]]
    assert len(lane.replaced) == 1


def test_a_batch_that_kills_every_worker_ends_in_an_error_that_names_it(monkeypatch):
    with open_feed(monkeypatch, Mortal(deaths=[4] * 9), Counting(9)) as feed:
        batches = feed.epoch()
        assert [int(next(batches)[0][0, 0]) for _ in range(4)] == [0, 1, 2, 3]
        with pytest.raises(stoker.WorkerDied) as caught:
            next(batches)
    assert caught.value.index == 4
    assert f"{DEATHS_ON_ONE_BATCH} deaths" in str(caught.value) and "SIGKILL" in str(caught.value)


def test_a_generator_whose_worker_dies_ends_in_an_error_and_is_never_begun_again(monkeypatch):
    with open_feed(monkeypatch, Mortal(deaths=[2]), iter(range(9))) as feed:
        batches = feed.epoch(9)
        assert [next(batches), next(batches)] == [0, 1]
        with pytest.raises(stoker.WorkerDied, match="generator"):
            next(batches)


def test_a_silent_worker_ends_in_an_error_with_its_stack(monkeypatch):
    with open_feed(monkeypatch, Mortal(silent_after=3), Counting(9), timeout_s=0.01) as feed:
        batches = feed.epoch()
        for _ in range(3):
            next(batches)
        with pytest.raises(stoker.WorkerHung, match=r"source\.py") as caught:
            next(batches)
    assert caught.value.index == 3 and isinstance(caught.value, TimeoutError)


def test_patience_grows_with_slow_batches_and_obeys_the_caller():
    assert patience_s(None, 0.0, 0.0, 0, True) == 180.0, "before the first batch"
    assert patience_s(None, 0.0, 0.0, 9, True) == 1800.0, "which comes after nine that are dropped"
    assert patience_s(None, 0.1, 0.2, 9, False) == 60.0
    assert patience_s(None, 0.1, 0.2, 9, True) == 180.0, "another worker was quicker to start"
    assert patience_s(None, 10.0, 12.0, 0, False) == 200.0
    assert patience_s(None, 0.1, 70.0, 0, False) == 210.0, "for a source that takes so long now and then"
    assert patience_s(5.0, 10.0, 12.0, 9, True) == 5.0


def test_the_longest_make_is_remembered_over_many_short_ones_and_over_epochs():
    meter = Meter("threads", 1, lambda: 0.0)
    for make_s in (0.01, 70.0, *[0.01] * 300):
        meter.made(Got(0, 0, (0,), (None,), (make_s,), 0.0, (0.0,), (0.0,)))
        meter.take()
    assert meter.longest_make_s == 70.0 and meter.slowest_usual_s() == 0.01


@pytest.mark.filterwarnings("ignore:.*pulled and dropped:stoker.StokerWarning")
def test_a_stream_has_time_to_drop_what_comes_before(monkeypatch):
    now, lane = [0.0], Mortal(silent_after=0)
    monkeypatch.setattr("stoker.feed.hub.Pump", lambda lane, _: Pump(lane, lambda: now[0]))
    lane.receive = lambda timeout_s: now.__setitem__(0, now[0] + timeout_s) or []
    with open_feed(monkeypatch, lane, lambda: iter([])) as feed:
        feed.load_state_dict({**feed.state_dict(), "place": 9})
        with pytest.raises(stoker.WorkerHung):
            next(feed.epoch())
    assert now[0] > 1800


def test_a_worker_that_dies_again_and_again_is_hopeless_only_while_nobody_answers():
    silence = Silence(2)
    for _ in range(3 * DEATHS_WITHOUT_A_BATCH):  # each at another batch, which the other worker makes then
        assert not silence.died(0, 0.0)
        silence.heard(1, 0.0)
    assert [silence.died(0, 0.0) for _ in range(DEATHS_WITHOUT_A_BATCH)] == [False] * (DEATHS_WITHOUT_A_BATCH - 1) + [True]


def test_a_worker_is_new_until_it_answers_and_again_after_it_died():
    silence = Silence(2)
    silence.heard(1, 0.0)
    assert silence.is_new(0) and not silence.is_new(1)
    silence.died(1, 1.0)
    assert silence.is_new(1)
