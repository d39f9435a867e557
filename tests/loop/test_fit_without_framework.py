"""The loop on a backend that writes down what it was given: what is read, published and grouped, and when."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from stoker.backend.protocol import Backend
from stoker.backend.recording import RecordingBackend
from stoker.feed.feed import Feed
from stoker.history import Silent
from stoker.loop import fit as loop
from stoker.loop.plan import FitPlan, RunPlan, Validation
from stoker.rng import rng
from stoker.source.arrays import ArraySource
from stoker.source.parallel import parallel_map
from stoker.testing import NoisyCounting, digest


class Watching(Silent):
    """A reporter that reads the logs of every n-th batch and keeps what it hears."""

    def __init__(self, every=0):
        self.heard = []
        self.every = every

    def train_begin(self, epochs, initial_epoch, steps):
        self.heard.append(("train", epochs, initial_epoch, steps))

    def epoch_begin(self, epoch, steps, phase, look=None):
        self.heard.append((phase, epoch, steps))

    def batch_end(self, step, read_logs):
        self.heard.append(step)
        if self.every and step % self.every == 0:
            self.heard.append(read_logs())

    def epoch_end(self, epoch, logs, figures, reason):
        self.heard.append(("end", epoch, logs, reason))

    def close(self):
        self.heard.append("closed")


def source(count=4, rows=2):
    return [(np.full((rows, 1), number, "float32"), np.zeros((rows, 1), "float32")) for number in range(count)]


def plan(backend, batches=None, **changes):
    feed = changes.pop("feed", None) or Feed(source() if batches is None else batches, workers=changes.pop("workers", 0), seed=0)
    return FitPlan(**{
        "backend": backend, "model": SimpleNamespace(stop_training=False), "feed": feed, "steps": None, "initial_epoch": 0, "epochs": 1,
        "callbacks": None, "class_weight": None, "validation": None, "reporter": Silent(), "verbose": 0, **changes})


def kinds(session):
    return [call[0] for call in session.calls]


def test_it_is_a_backend():
    assert isinstance(RecordingBackend(), Backend)


def test_nothing_is_read_and_nothing_published_for_batches_that_nobody_hears_of():
    backend = RecordingBackend()
    history = loop.fit(plan(backend, epochs=2))
    found = [kind for kind in kinds(backend.sessions[0]) if kind not in ("wait", "may fuse")]
    epoch = ["begin", *["train"] * 4, "publish"]  # before History hears of the end of the epoch
    assert found == [*epoch, *epoch, "finish", "publish", "closed"]
    assert history.history == {"loss": [1.5, 1.5]} and history.records[1].samples == 8


def test_the_reporter_hears_of_everything_and_reads_when_it_likes():
    backend, reporter = RecordingBackend(), Watching(every=2)
    validation = Validation(lambda size: source(2), None, lambda epoch: True)
    loop.fit(plan(backend, reporter=reporter, validation=validation))
    assert reporter.heard == [
        ("train", 1, 0, None), ("train", 0, 4), 0, {"loss": 0.0}, 1, 2, {"loss": 1.0}, 3, ("validate", 0, 2), 0, {"loss": 0.0}, 1,
        ("end", 0, {"loss": 0.5}, None), ("end", 0, {"loss": 1.5, "val_loss": 0.5}, None), "closed"]
    assert kinds(backend.sessions[0]).count("read") == 3


@pytest.mark.parametrize(("fuse", "groups"), [(1, []), (2, [2, 2]), (3, [3]), (8, [4])])
def test_batches_go_in_groups_where_the_session_takes_several(fuse, groups):
    backend = RecordingBackend(fuse)
    loop.fit(plan(backend, workers=1))
    calls = backend.sessions[0].calls
    assert [call[1] for call in calls if call[0] == "group"] == groups
    assert [float(call[1].inputs[0, 0]) for call in calls if call[0] == "train"] == [0, 1, 2, 3]


def test_batches_of_other_shapes_end_a_group():
    backend = RecordingBackend(8)
    batches = [*source(3), *source(2, rows=1)]
    loop.fit(plan(backend, [(x, y) for x, y in batches], workers=1))
    assert [call[1] for call in backend.sessions[0].calls if call[0] == "group"] == [3, 2]


@pytest.mark.parametrize("workers", [0, 1])
def test_fusing_is_allowed_only_where_batches_may_be_pulled_ahead(workers):
    backend = RecordingBackend()
    loop.fit(plan(backend, workers=workers, epochs=3))
    asked = [call[1:] for call in backend.sessions[0].calls if call[0] == "may fuse"]
    assert asked == ([(4, 12), (4, 8), (4, 4)] if workers else [])


def test_predictions_are_joined_in_order():
    backend = RecordingBackend()
    made = loop.predict(RunPlan(backend, SimpleNamespace(), Feed(source(9), workers=2, seed=0), None, None, Silent(), 0))
    assert made.ravel().tolist() == [float(number) for number in range(9) for _ in range(2)]


def test_the_session_is_closed_and_train_end_told_whatever_happens():
    told = []

    class Hears:
        def on_train_end(self, logs):
            told.append(logs)

    def fails():
        yield source()[0]
        raise KeyError("k")

    backend, reporter = RecordingBackend(), Watching()
    with pytest.raises(KeyError):
        loop.fit(plan(backend, feed=Feed(fails(), workers=1, seed=0), steps=3, callbacks=[Hears()], reporter=reporter))
    assert told == [{}] and kinds(backend.sessions[0])[-1] == "closed" and reporter.heard[-1] == "closed"


def losses(calls):
    """What each batch of each epoch held."""
    epochs = []
    for call in calls:
        if call == ("begin", "train"):
            epochs.append([])
        elif call[0] == "train":
            epochs[-1].append(float(call[1].inputs[0, 0]))
    return epochs


class Growing:
    """Indexed batches that hold their number; its length is changed from outside."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return source(index + 1)[index]


@pytest.mark.parametrize(("before", "after"), [(4, 8), (8, 4)])
@pytest.mark.parametrize(("workers", "ahead"), [(0, 0), (1, 1), (3, 1)])
def test_a_callback_may_change_the_length_of_a_sequence_between_epochs(workers, ahead, before, after):
    grown = Growing(before)

    class Grow:
        def on_epoch_end(self, epoch, logs):
            grown.length = after

    backend, reporter = RecordingBackend(), Watching()
    feed = Feed(grown, workers=workers, max_queue_size=3, seed=0)
    history = loop.fit(plan(backend, feed=feed, epochs=4, callbacks=[Grow()], reporter=reporter))
    lengths = [before] * (1 + ahead) + [after] * (3 - ahead)  # the pass that is begun ahead keeps its length
    assert losses(backend.sessions[0].calls) == [[float(number) for number in range(length)] for length in lengths]
    assert [told[2] for told in reporter.heard if isinstance(told, tuple) and len(told) == 3] == lengths
    assert [record.reason for record in history.records] == ["all batches were run"] * 4


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("told", [3, 10])
def test_a_pass_that_is_not_as_long_as_its_source_says_is_an_epoch_all_the_same(workers, told):
    class Wrong:
        def __len__(self):
            return told

        def __iter__(self):
            return iter(source(6))

    backend = RecordingBackend(4)
    validation = Validation(lambda size: Wrong(), None, lambda epoch: True)
    history = loop.fit(plan(backend, Wrong(), workers=workers, epochs=2, validation=validation))
    assert losses(backend.sessions[0].calls) == [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]] * 2
    assert history.history == {"loss": [2.5, 2.5], "val_loss": [2.5, 2.5]}


def noisy(number=0):
    return np.full((2, 1), number, "float32"), rng().random((2, 1))


def noisy_pass():
    for number in range(5):
        yield noisy(number)


ROWS = np.arange(20, dtype="float32").reshape(10, 2)
RESUMED = {
    "a sequence": (lambda: NoisyCounting(5), None), "steps within passes": (lambda: NoisyCounting(5), 3),
    "steps over passes": (lambda: NoisyCounting(5), 7), "arrays": (lambda: ArraySource((ROWS, ROWS), 2, shuffle=True, seed=7), None),
    "a generator function": (lambda: noisy_pass, None), "a mapped list": (lambda: parallel_map(range(5), noisy), None)}


@pytest.mark.parametrize("ways", [{"workers": 0}, {"workers": 2}, {"workers": 2, "processes": True}], ids=str)
@pytest.mark.parametrize("kind", RESUMED)
def test_a_training_that_is_taken_up_has_the_batches_of_the_epochs_that_are_left(kind, ways):
    make, steps = RESUMED[kind]

    def run(first, last):
        backend = RecordingBackend()
        feed = Feed(make(), shuffle=kind != "arrays", seed=7, **ways)
        validation = Validation(lambda size: NoisyCounting(2), None, lambda epoch: epoch != 1)
        loop.fit(plan(backend, feed=feed, steps=steps, initial_epoch=first, epochs=last, validation=validation))
        return [(call[1].inputs, call[1].targets) for call in backend.sessions[0].calls if call[0] in ("train", "test")]

    whole, begun, rest = run(0, 4), run(0, 2), run(2, 4)
    assert digest(whole) == digest(begun + rest) and digest(begun[:len(rest)]) != digest(rest[:len(begun)])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("made", [lambda: source(4), lambda: lambda: iter(source(4)), lambda: ArraySource((ROWS, ROWS), 3)])
def test_a_validation_after_one_that_was_stopped_begins_at_the_first_batch(workers, made):
    model = SimpleNamespace(stop_training=False)

    class Stop:
        batches = 0

        def on_test_batch_end(self, batch, logs):
            self.batches += 1
            model.stop_evaluating = self.batches == 2

    backend = RecordingBackend()
    validation = Validation(lambda size: made(), None, lambda epoch: True)
    loop.fit(plan(backend, model=model, workers=workers, epochs=3, validation=validation, callbacks=[Stop()]))
    found = [float(call[1].inputs[0, 0]) for call in backend.sessions[0].calls if call[0] == "test"]
    assert found[2:] == 2 * found[2:6] and found[:2] == found[2:4]
