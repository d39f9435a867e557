"""How much is drawn of a source, on a machine that stands still now and then: no wall clock decides."""

from __future__ import annotations

import copy
import itertools

import profiled
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.errors import WorkerHung
from stoker.feed.inline import InlineLane
from stoker.feed.messages import Died, Got
from stoker.outcome import ENDED, Failure, Value
from stoker.profiling import chance, throughput
from stoker.profiling.budget import START_PATIENCE_S, Budget, Deadline, Spent
from stoker.profiling.drawer import Drawer, NotInTime, _innermost
from stoker.profiling.look import last_line
from stoker.profiling.memory import small_heap
from stoker.profiling.profile import Profiler
from stoker.profiling.throughput import Ran, Rung
from stoker.source.open import open_source


class Stalling:
    """A clock that goes on by a microsecond at each look, and stands still for ``stall_s`` before one of them."""

    def __init__(self, stall_s=0.0, at=1):
        self.now_s, self.stall_s, self.at = 0.0, stall_s, at
        self.looks = 0

    def __call__(self):
        self.looks += 1
        self.now_s += 1e-6 + self.stall_s * (self.looks == self.at)
        return self.now_s


def test_making_items_spends_the_share_and_time_that_goes_by_does_not():
    budget = Budget(0.32, 100.0)
    assert budget.may_draw(now_s=99.0, made_s=0.31, drawn=2)
    assert not budget.may_draw(now_s=1.0, made_s=0.33, drawn=2)
    assert not budget.may_draw(now_s=101.0, made_s=0.0, drawn=2)
    assert budget.may_draw(now_s=101.0, made_s=0.0, drawn=0), "one item is always drawn"
    assert budget.half() == Budget(0.16, 100.0)


@given(st.lists(st.floats(1e-6, 10.0), min_size=1))
def test_what_counts_is_no_more_than_what_was_made(makes):
    spent = Spent()
    for make_s in makes:
        spent.add(make_s)
    assert spent.drawn == len(makes) and 0 < spent.made_s <= sum(makes) * 1.000001


def test_one_item_that_stood_still_counts_as_a_few_usual_ones():
    spent = Spent()
    for make_s in (0.3, 1e-5, 1e-5, 1e-5):
        spent.add(make_s)
    assert spent.made_s < 1e-3
    for _ in range(3):
        spent.add(0.3)
    assert spent.made_s > 0.9, "several that take long are what the source takes"


@pytest.mark.thinned(5)
@pytest.mark.parametrize("at", range(1, 40, 4))
def test_a_machine_that_stands_still_costs_the_first_look_no_items(at, monkeypatch):
    monkeypatch.setattr("stoker.profiling.profile.run", lambda *_: Ran(0, untold="left out"))
    with small_heap():
        profile = Profiler(profiled.Plain(), 200, 0.8, Stalling(0.5, at)).profile()
    assert profile.measured.times.count == 200 and profile.measured.distinct == 40
    assert not profile.measured.chance.untold


def test_a_worker_is_waited_for_from_when_it_has_started():
    deadline = Deadline(until_s=1.0, least_s=3.0, asked_s=0.0)
    assert not deadline.is_over(20.0, has_begun=False)
    assert not deadline.is_over(25.0, has_begun=True), "it has just begun"
    assert not deadline.is_over(27.9, has_begun=True)
    assert deadline.is_over(28.1, has_begun=True)
    assert Deadline(1.0, 3.0, 0.0).is_over(START_PATIENCE_S + 1, has_begun=False)
    assert not Deadline(99.0, 0.0, 0.0).is_over(START_PATIENCE_S + 1, has_begun=False)


def opened(kind):
    return open_source(kind())


class SlowToStart:
    """Workers with a copy of the source each, that start after so many looks, and die when asked for more than ``answers`` items."""

    def __init__(self, workers, bound, *, looks=0, answers=99):
        self.lanes = [InlineLane() for _ in range(workers)]
        self.looks, self.answers, self.asked = [looks] * workers, answers, 0

    def add_source(self, key, source):
        for lane in self.lanes:
            lane.add_source(key, copy.deepcopy(source))

    def at(self, worker):
        return None

    def send(self, worker, asks):
        self.asked = worker
        self.lanes[worker].send(worker, asks)

    def receive(self, timeout_s):
        self.looks[self.asked] -= 1
        if self.looks[self.asked] >= 0:
            return []
        self.answers -= 1
        return self.lanes[self.asked].receive(0) if self.answers >= 0 else [Died(0, "killed", None)]

    def unpack(self, payload):
        return payload

    def stack(self, worker):
        return ""

    def close(self):
        for lane in self.lanes:
            lane.close()


def test_a_copied_generator_is_caught_however_long_processes_take_to_start(monkeypatch):
    monkeypatch.setattr("stoker.feed.processes.ProcessLane", lambda *sizes: SlowToStart(*sizes, looks=40))
    seconds = itertools.count()
    question = chance.Question(
        lambda: opened(profiled.LateGenerator), lambda: opened(profiled.LateGenerator), ((0, 0), (0, 1)), None, 1.0, True,
        lambda: float(next(seconds)))
    assert chance._in_processes(question) == (True, False)


def test_a_worker_that_dies_is_not_waited_for():
    seconds = itertools.count()
    with Drawer(SlowToStart(1, 1, answers=0), lambda: float(next(seconds))) as drawer:
        key = drawer.add(opened(profiled.Plain))
        with pytest.raises(NotInTime, match="killed"):
            drawer.draw(key, [(0, 0)], 1.0)


class AtOnce(InlineLane):
    """Answers with three items and the end of the stream, in two runs; its CPU time comes with the last of them."""

    def send(self, worker, asks):
        def got(outcomes, cpu_s):
            return Got(0, 0, (0,) * len(outcomes), outcomes, (0.1,) * len(outcomes), cpu_s, (0.0,) * len(outcomes), ())

        self.replies = [got((Value(1), Value(2)), 0.0), got((Value(3), ENDED), 0.3)]

    def receive(self, timeout_s):
        return [self.replies.pop(0)] if self.replies else []


def test_the_cpu_time_of_a_chunk_belongs_to_its_items_and_not_to_the_end_of_the_stream():
    with Drawer(AtOnce(), Stalling()) as drawer:
        made = drawer.draw(0, [(0, number) for number in range(4)], 1.0)
    assert [one.cpu_s for one in made] == [0.0, 0.0, 0.3, 0.0]


def test_a_hang_is_placed_in_the_users_own_code_also_in_a_folder_of_our_name():
    mine = 'File "/home/me/stoker/train.py", line 7, in __getitem__'
    ours = f'File "{throughput.__file__}", line 3, in run'
    assert _innermost(f"  {ours}\n    made()\n  {mine}\n    wait()\n  {ours}\n") == mine


def test_an_error_in_one_line_is_its_type_and_text():
    def raised(error):
        error.add_note("a note")
        return last_line(Failure(error))

    assert raised(SyntaxError("invalid syntax", ("<string>", 1, 3, "x x", 1, 4))) == "SyntaxError: invalid syntax"
    assert raised(ValueError("one\ntwo")) == "ValueError: one"
    assert raised(ValueError()) == "ValueError"


def test_a_run_that_nothing_came_of_is_not_told_and_is_no_fault(monkeypatch):
    def hang(*_):
        raise WorkerHung("worker 0 is silent", worker=0)

    monkeypatch.setattr(throughput, "_empty", hang)
    ran = throughput.run(profiled.Plain(), Rung("threads", 1), 0.2, 0.01, Stalling())
    assert ran.run is None and "silent" in ran.untold
    with small_heap():
        profile = Profiler(profiled.Plain(), 200, 0.8, Stalling()).profile()
    assert profile.findings == () and not profile.measured.runs
    assert any("1 threads: worker 0 is silent" in reason for reason in profile.measured.unmeasured)


def test_a_run_is_patient_until_each_worker_has_made_a_batch_and_then_no_longer(monkeypatch):
    patience = []

    class Told(throughput.Feed):
        def take(self, epoch):
            patience.append(self.timeout_s)
            return super().take(epoch)

    monkeypatch.setattr(throughput, "Feed", Told)
    clock = Stalling(1.0, 100)
    ran = throughput.run(profiled.Plain(), Rung("threads", 2), 0.1, 0.01, clock)
    assert ran.run.rate > 0
    assert patience[:2] == [START_PATIENCE_S + 0.1] * 2 and set(patience[2:]) == {throughput.PATIENCE_S}
