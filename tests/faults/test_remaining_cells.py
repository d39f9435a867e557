"""Harm to workers that make nothing just then, results that cannot cross at any place, and workers that are stopped and go on."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import saboteurs

import stoker
from stoker.testing import Counting

pytestmark = pytest.mark.slow
SOON_S = 20.0
TIMEOUT_S = 0.6
LENGTH = 8


class Struck(stoker.Sequence):
    """A helper thread in each worker waits for a mark, and then does harm once, whatever the worker is at.

    Args:
        harm: a key of ``saboteurs.HARMS``.
        marks: a folder in which ``strike`` is the mark and ``done`` says that it has happened.
    """

    def __init__(self, harm, marks):
        self.harm, self.marks, self.parent = harm, str(marks), os.getpid()

    def __setstate__(self, state):
        self.__dict__.update(state)
        threading.Thread(target=self.lurk, daemon=True).start()

    def lurk(self):
        marks = Path(self.marks)
        while not (marks / "strike").exists():
            time.sleep(1e-3)
        try:
            (marks / "done").touch(exist_ok=False)
        except FileExistsError:
            return
        saboteurs.HARMS[self.harm]()

    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        return np.full(3, index), stoker.rng().random(4)

    def on_epoch_end(self):
        for call in saboteurs.AT_PASS_END:
            call()


def strike(marks):
    (marks / "strike").touch()
    until = time.monotonic() + SOON_S
    while not (marks / "done").exists() and time.monotonic() < until:
        time.sleep(1e-3)
    time.sleep(0.02)  # the harm follows its mark; nothing depends on how soon


def stream(source, epochs=3, after=lambda: None, **options):
    with stoker.Feed(source, seed=3, shuffle=True, **options) as feed:
        taken = []
        for _ in range(epochs):
            taken += [(x.tolist(), y.tolist()) for x, y in feed.epoch()]
            after()
    return taken


@pytest.fixture(autouse=True)
def it_ends_soon():
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON_S


@pytest.mark.workers_die
@pytest.mark.parametrize("moment", ["idle", "on_epoch_end"])
@pytest.mark.parametrize("harm", ["SIGKILL", "SIGSEGV", "exit 0", "exit 1", "hang", "raise"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_harm_between_items_does_not_change_the_stream(harm, moment, tmp_path, monkeypatch):
    expected = stream(Struck(harm, tmp_path / "never"), workers=0)
    blow = lambda: None if (tmp_path / "done").exists() else strike(tmp_path)  # noqa: E731
    monkeypatch.setattr(saboteurs, "AT_PASS_END", [blow] if moment == "on_epoch_end" else [])
    assert stream(Struck(harm, tmp_path), after=blow if moment == "idle" else lambda: None, workers=2, processes=True) == expected
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("moment", ["idle", "on_epoch_end"])
def test_a_worker_stopped_between_items_is_noticed_when_it_is_needed(moment, tmp_path, monkeypatch):
    blow = lambda: None if (tmp_path / "done").exists() else strike(tmp_path)  # noqa: E731
    monkeypatch.setattr(saboteurs, "AT_PASS_END", [blow] if moment == "on_epoch_end" else [])
    monkeypatch.setattr(  # a worker that is slow to start would be given up before it is stopped, and nothing be shown
        "stoker.feed.pump.patience_s", lambda timeout_s, *_: timeout_s if (tmp_path / "done").exists() else SOON_S)
    with pytest.raises(stoker.WorkerHung):
        stream(Struck("SIGSTOP", tmp_path), after=blow if moment == "idle" else lambda: None, workers=1, processes=True,
               timeout_s=TIMEOUT_S)
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("harm", ["SIGKILL", "SIGSTOP", "exit 0", "exit 1", "hang", "raise"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_harm_while_the_feed_closes_leaves_nothing(harm, tmp_path):
    with stoker.Feed(Struck(harm, tmp_path), workers=2, processes=True) as feed:
        next(feed.epoch())
        strike(tmp_path)


@pytest.mark.parametrize("harm", ["SIGSTOP"])
def test_a_worker_that_is_stopped_and_goes_on_loses_nothing(harm, tmp_path):
    expected = stream(Struck(harm, tmp_path / "never"), workers=0)

    def stop_and_go_on():
        if not (tmp_path / "done").exists():
            strike(tmp_path)
            for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                for worker in Path(f"/proc/{child}/task/{child}/children").read_text().split():
                    os.kill(int(worker), signal.SIGCONT)

    assert stream(Struck(harm, tmp_path), after=stop_and_go_on, workers=2, processes=True) == expected


class Result(Counting):
    """Gives one result of a kind, at one index."""

    def __init__(self, kind, at):
        super().__init__(LENGTH)
        self.kind, self.at = kind, at

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        if index != self.at:
            return x, y
        if self.kind == "unpicklable":
            return x, threading.local()
        if self.kind == "huge":
            return np.full((64 << 20,), index, np.uint8), y
        return np.full((7, 3, 2), index, np.int16), {"other": y}


@pytest.mark.parametrize("at", [0, 4, LENGTH - 1], ids=["first", "middle", "last"])
@pytest.mark.parametrize("kind", ["unpicklable", "huge", "shape"])
def test_results_of_every_kind_cross_or_say_why_not_at_every_place(kind, at):
    with stoker.Feed(Result(kind, at), workers=2, processes=True) as feed:
        for _ in range(2):
            batches = feed.epoch()
            for index in range(LENGTH):
                if kind == "unpicklable" and index == at:
                    with pytest.raises(TypeError, match="pickle"):
                        next(batches)
                    continue
                x, y = next(batches)
                assert x.flat[0] == x.flat[-1] == index
                if index == at and kind == "huge":
                    assert x.nbytes == 64 << 20
                if index == at and kind == "shape":
                    assert x.shape == (7, 3, 2) and list(y) == ["other"]


@pytest.mark.parametrize("kind", ["unpicklable", "huge", "shape"])
def test_results_that_nobody_takes_any_more_leave_nothing(kind):
    with stoker.Feed(Result(kind, 1), workers=2, processes=True) as feed:
        next(feed.epoch())


@pytest.mark.parametrize("kind", ["huge", "shape"])
def test_a_source_that_changes_its_batches_between_passes_goes_on(kind):
    class Changing(Counting):
        def __getitem__(self, index):
            rows = 2 if self.passes_ended == 0 else (1 << 20 if kind == "huge" else 5)
            return np.full((rows, 4), index, np.float32), np.zeros(rows)

    with stoker.Feed(Changing(4), workers=2, processes=True) as feed:
        assert [x.shape[0] for x, _ in feed] == [2] * 4
        assert [(x.shape[0], float(x[-1, -1])) for x, _ in feed] == [(1 << 20 if kind == "huge" else 5, index) for index in range(4)]
