"""The loop with a session that runs batches ahead of those who hear of them: which it is given, when, and what is heard."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from stoker.backend.recording import RecordingBackend, RecordingSession
from stoker.batch.form import to_batch
from stoker.feed.feed import Feed
from stoker.history import Silent
from stoker.loop import fit as loop
from stoker.loop.epoch import Listeners, run_epoch
from stoker.loop.plan import FitPlan, RunPlan, Validation
from stoker.loop.progress import StopReason


class Ready:
    """Items of which so many are ready each time that they are asked for; then the source ends, or fails."""

    def __init__(self, *ready, rows=lambda number: 2, error=None):
        self.ready = list(ready)
        self.rows = rows
        self.error = error
        self.taken = 0

    def make(self, number):
        rows = self.rows(number)
        return np.full((rows, 1), number, "float32"), np.zeros((rows, 1), "float32")

    def take_many(self, most):
        if not self.ready and self.error is not None:
            raise self.error
        count = min(most, self.ready.pop(0)) if self.ready else 0
        self.taken += count
        return [self.make(number) for number in range(self.taken - count, self.taken)]

    def __next__(self):
        made = self.take_many(1)
        if not made:
            raise StopIteration
        return made[0]


def run(items, expected=None, stop_at=None, read=lambda item, number: to_batch(item)):
    """What the session and the hooks were told, in order, and how it ended."""
    session = RecordingSession(ahead=4)
    told = session.calls
    session.begin("train")
    del told[:]
    listeners = Listeners(
        lambda number, size: told.append(("begin", number)), lambda number, size, raw: told.append(("end", number)), Silent(),
        lambda: told[-1] == ("end", stop_at))
    progress = error = None
    try:
        progress = run_epoch(items, read, session.step, session, listeners, expected, lambda *what: None)
    except Exception as raised:
        error = raised
    return [call[0] if call[0] == "train" else call for call in told], progress, error


def batches(first, last):
    """What is seen of batches one by one."""
    return [event for number in range(first, last) for event in (("begin", number), "train", ("end", number))]


def test_a_group_is_foreseen_before_its_first_batch_is_heard_of_and_then_goes_one_by_one():
    told, progress, _ = run(Ready(4, 4))
    assert told == [("ahead", 4), *batches(0, 4), ("ahead", 4), *batches(4, 8)] and progress.steps == 8 and progress.samples == 16


def test_what_is_ready_is_not_held_back_for_what_is_not():
    told, _, _ = run(Ready(1, 1, 3, 4, 2))
    assert told == [*batches(0, 5), ("ahead", 4), *batches(5, 9), *batches(9, 11)]


def test_batches_of_other_shapes_are_not_foreseen():
    told, progress, _ = run(Ready(4, 4, rows=lambda number: 3 if number == 2 else 2))
    assert told == [*batches(0, 4), ("ahead", 4), *batches(4, 8)] and progress.samples == 17


def test_the_last_batches_of_a_pass_that_make_no_group_go_one_by_one():
    told, progress, _ = run(Ready(4, 2), expected=6)
    assert told == [("ahead", 4), *batches(0, 4), *batches(4, 6)] and progress.reason is StopReason.COMPLETED


@pytest.mark.parametrize("ready", [(4, 2), (4, 4), (3,)])
def test_an_error_comes_after_the_batches_before_it(ready):
    told, progress, error = run(Ready(*ready, error=KeyError("k")))
    assert isinstance(error, KeyError) and progress is None
    assert [event for event in told if event[0] != "ahead"] == batches(0, sum(ready))


def test_an_item_that_cannot_be_read_comes_after_those_before_it():
    def read(item, number):
        if number == 6:
            raise KeyError(number)
        return to_batch(item)

    told, _, error = run(Ready(4, 4), read=read)
    assert isinstance(error, KeyError) and told == [("ahead", 4), *batches(0, 4), *batches(4, 6)]


def test_a_stop_within_a_group_drops_the_rest_of_it():
    items = Ready(4, 4)
    told, progress, _ = run(items, stop_at=5)
    assert told == [("ahead", 4), *batches(0, 4), ("ahead", 4), *batches(4, 6)]
    assert progress.steps == 6 and progress.reason is StopReason.STOP_REQUESTED and items.taken == 8


def test_what_was_foreseen_does_not_change_while_it_waits():
    memory, seen = [], []

    def read(item, number):
        memory.append(item[0])
        return to_batch(item)

    def step(batch):
        seen.append(float(batch.inputs[0, 0]))
        for array in memory:
            array[:] = -1.0

    listeners = Listeners(lambda number, size: None, None, Silent(), lambda: False)
    run_epoch(Ready(4), read, step, RecordingSession(ahead=4), listeners, 4, lambda *what: None)
    assert seen == [0.0, 1.0, 2.0, 3.0]


class Hears:
    def on_train_batch_end(self, batch, logs):
        pass

    def on_test_batch_end(self, batch, logs):
        pass


def plan(backend, data, workers, callbacks, **changes):
    return FitPlan(**{
        "backend": backend, "model": SimpleNamespace(stop_training=False), "feed": Feed(data, workers=workers, seed=0), "steps": None,
        "initial_epoch": 0, "epochs": 1, "callbacks": callbacks, "class_weight": None, "validation": None, "reporter": Silent(),
        "verbose": 0, **changes})


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("hears", [True, False])
def test_steps_may_run_ahead_where_somebody_hears_and_batches_may_be_pulled(workers, hears):
    backend, data, hooks = RecordingBackend(), Ready(4).take_many(4), [Hears()] * hears
    loop.fit(plan(backend, data, workers, hooks, epochs=2, validation=Validation(lambda size: data[:3], None, lambda epoch: True)))
    loop.evaluate(RunPlan(backend, SimpleNamespace(), Feed(data, workers=workers, seed=0), None, hooks, Silent(), 0))
    asked = [call for session in backend.sessions for call in session.calls if call[0].startswith("may ")]
    word = "may run ahead" if hears else "may fuse"
    assert asked == ([(word, 4, 8), (word, 3, 6), (word, 4, 4), (word, 3, 3), (word, 4, 4)] if workers else [])


@pytest.mark.parametrize("ahead", [1, 4])
def test_an_error_names_the_batch_on_which_it_arose_and_not_the_last_that_was_read(ahead, monkeypatch):
    class Fails(RecordingSession):
        def step(self, batch):
            if batch.inputs[0, 0] == 1:
                raise KeyError("k")
            return super().step(batch)

    monkeypatch.setattr("stoker.backend.recording.RecordingSession", Fails)
    with pytest.raises(KeyError) as caught:
        loop.fit(plan(RecordingBackend(ahead=ahead), Ready(8).take_many(8), 1, [Hears()]))
    assert any("step on batch 1:" in note for note in caught.value.__notes__)


def test_without_workers_a_feed_makes_what_is_wanted_at_once_and_an_error_comes_in_its_place():
    class Fails(list):
        def __getitem__(self, index):
            if index == 6:
                raise KeyError(index)
            return super().__getitem__(index)

    with Feed(Ready(9).take_many(9), workers=0) as feed:
        epoch = feed.epoch()
        assert [len(epoch.take_many(5)) for _ in range(3)] == [5, 4, 0]
    with Feed(Fails(Ready(9).take_many(9)), workers=0) as feed:
        epoch = feed.epoch()
        assert [len(epoch.take_many(4)) for _ in range(2)] == [4, 2]
        with pytest.raises(KeyError):
            epoch.take_many(4)
        assert len(epoch.take_many(4)) == 2
