"""Whatever becomes of a worker, the stream is that of 0 workers or the right error comes, soon, and nothing is left."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import numpy as np
import pytest
import saboteurs
from saboteurs import BAD, DEATHS, HARMS, LENGTH, Broken, Saboteur, arrays, pids

import stoker
from stoker.testing import Counting, DyingAt, digest

pytestmark = pytest.mark.workers_die
SOON_S = 20.0
TIMEOUT_S = 0.6
EPOCHS = 3


def expected():
    with stoker.Feed(Saboteur(), workers=0, seed=11, shuffle=True) as feed:
        return digest(arrays(batch for _ in range(EPOCHS) for batch in feed.epoch()))


EXPECTED = expected()


@pytest.fixture(autouse=True)
def it_ends_soon():
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON_S


def feed_of(source, workers=2, **options):
    return stoker.Feed(source, workers=workers, processes=True, seed=11, shuffle=True, **options)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("moment", ["arriving", "computing", "writing"])
@pytest.mark.parametrize("harm", DEATHS)
def test_a_death_at_work_does_not_change_the_stream(harm, moment, workers, tmp_path):
    with feed_of(Saboteur(harm, moment, tmp_path), workers) as feed:
        assert digest(arrays(batch for _ in range(EPOCHS) for batch in feed.epoch())) == EXPECTED
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
@pytest.mark.parametrize("moment", ["idle", "on_epoch_end"])
def test_a_death_between_epochs_does_not_change_the_stream(moment, signal_number, monkeypatch):
    def strike():
        for pid in pids(feed):
            os.kill(pid, signal_number)

    taken = []
    monkeypatch.setattr(saboteurs, "AT_PASS_END", [strike] if moment == "on_epoch_end" else [])
    with feed_of(Saboteur()) as feed:
        for _ in range(EPOCHS):
            taken += feed.epoch()
            if moment == "idle":
                strike()
        assert digest(arrays(taken)) == EXPECTED


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_struck_at_close_does_not_hold_up_the_end(signal_number):
    with feed_of(Saboteur()) as feed:
        next(feed.epoch())
        for pid in pids(feed):
            os.kill(pid, signal_number)


@pytest.mark.thinned(2)
@pytest.mark.parametrize("moment", ["arriving", "computing", "writing"])
@pytest.mark.parametrize("harm", ["hang", "SIGSTOP"])
def test_a_silent_worker_ends_in_an_error_in_bounded_time(harm, moment, tmp_path, monkeypatch):
    monkeypatch.setattr(  # a busy machine may take longer than that to start a worker: what counts is the harm
        "stoker.feed.pump.patience_s", lambda timeout_s, *_: timeout_s if (tmp_path / "done").exists() else SOON_S)
    if harm == "hang":
        monkeypatch.setattr("stoker.feed.crew.STACK_PATIENCE_S", SOON_S)  # it does answer, when it gets its turn
    with feed_of(Saboteur(harm, moment, tmp_path), workers=1, timeout_s=TIMEOUT_S) as feed, \
            pytest.raises(stoker.WorkerHung) as caught:
        list(feed.epoch())
    assert caught.value.worker == 0 and caught.value.index is not None
    if harm == "hang":
        assert "saboteurs.py" in str(caught.value) and "in harm_once" in str(caught.value)


def test_a_stopped_idle_worker_is_noticed_when_it_is_needed():
    with feed_of(Counting(50), workers=1) as feed:
        batches = feed.epoch()
        next(batches)
        (pid,) = pids(feed)
        os.kill(pid, signal.SIGSTOP)
        feed.timeout_s = TIMEOUT_S  # from now on: the worker's start may take longer on a busy machine
        with pytest.raises(stoker.WorkerHung):
            list(batches)


@pytest.mark.parametrize("moment", ["arriving", "computing", "writing"])
def test_an_exception_arrives_as_its_own_type_with_the_workers_traceback(moment, tmp_path):
    with feed_of(Saboteur("raise", moment, tmp_path), workers=1) as feed, pytest.raises(Broken) as caught:
        list(feed.epoch())
    assert (caught.value.code, caught.value.reason, str(caught.value)) == (7, "as told", "broken: as told")
    notes = "\n".join(caught.value.__notes__)
    assert "saboteurs.py" in notes and "in fail" in notes and "index" in notes and "worker 0" in notes


def test_an_unpicklable_exception_arrives_as_the_nearest_type_that_can(tmp_path):
    class Source(Counting):
        def __getitem__(self, index):
            error = LookupError("with a lock", threading.Lock())
            error.lock = threading.Lock()
            raise error

    with feed_of(Source(3)) as feed, pytest.raises(LookupError, match="with a lock"):
        list(feed.epoch())


@pytest.mark.parametrize("error", [
    OSError(2, "No such file", "a.jpg"), KeyError("k"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), SystemExit(3),
    MemoryError("no room"), stoker.BatchError("wrong", got="a", expected="b", where="c", remedy="D.")], ids=lambda e: type(e).__name__)
def test_exceptions_of_every_kind_cross_with_their_text(error):
    class Source(Counting):
        def __getitem__(self, index):
            raise error

    with feed_of(Source(3)) as feed, pytest.raises(type(error)) as caught:
        list(feed.epoch())
    assert str(caught.value) == str(error) and caught.value.args == error.args


def test_a_result_that_cannot_be_pickled_is_an_error_that_says_so():
    class Source(Counting):
        def __getitem__(self, index):
            return np.zeros(3), threading.Lock()

    with feed_of(Source(3)) as feed, pytest.raises(TypeError, match="pickle") as caught:
        list(feed.epoch())
    assert any("shared memory" in note for note in caught.value.__notes__)


def test_a_batch_that_kills_each_worker_is_named_with_the_signal(tmp_path):
    with feed_of(DyingAt(9, 4, str(tmp_path), times=99)) as feed, pytest.raises(stoker.WorkerDied) as caught:
        list(feed.epoch())
    assert caught.value.index == 4 and "SIGKILL" in str(caught.value) and "out-of-memory" in str(caught.value)


def test_two_deaths_on_one_batch_heal(tmp_path):
    with stoker.Feed(DyingAt(9, 4, str(tmp_path), times=2), workers=2, processes=True) as feed:
        assert [int(x[0, 0]) for x, _ in feed.epoch()] == list(range(9))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_source_that_cannot_even_arrive_gives_its_own_error():
    class Source(Counting):
        def __setstate__(self, state):
            raise ImportError("not on this machine")

    with feed_of(Source(3)) as feed, pytest.raises(ImportError, match="not on this machine"):
        list(feed.epoch())


def test_stop_iteration_and_the_end_of_workers_are_never_an_end_of_the_epoch():
    class Source(Counting):
        def __getitem__(self, index):
            if index == 2:
                raise StopIteration
            return super().__getitem__(index)

    with stoker.Feed(Source(4), workers=2, processes=True) as feed, pytest.raises(stoker.SourceStopped):
        list(feed.epoch())


def test_chaos_does_not_change_the_stream(monkeypatch):
    monkeypatch.setenv("STOKER_CHAOS", "0.05")
    with feed_of(Saboteur(), workers=3) as feed:
        assert digest(arrays(batch for _ in range(EPOCHS) for batch in feed.epoch())) == EXPECTED


def test_no_shared_memory_to_be_had_is_an_error_and_not_a_crash(monkeypatch):
    class Source(Counting):
        def __getitem__(self, index):
            import stoker.feed.arena as arena

            def refuse(*_):
                raise OSError(28, "No space left on device")

            arena.os.posix_fallocate = refuse
            return super().__getitem__(index)

    with feed_of(Source(3)) as feed, pytest.raises(MemoryError, match="shared memory"):
        list(feed.epoch())


assert BAD < LENGTH and set(DEATHS) <= set(HARMS)


def test_the_death_of_the_server_heals_too():
    with feed_of(Saboteur(), workers=2) as feed:
        taken = []
        for number in range(EPOCHS):
            batches = feed.epoch()
            taken.append(next(batches))
            if number < 2:
                feed._pump.lane._crew._server.kill()
            taken += batches
        assert digest(arrays(taken)) == EXPECTED


@pytest.mark.parametrize("spare", [3, 5, 8])
def test_too_few_file_descriptors_are_an_error_with_a_remedy_and_leave_nothing(spare):
    resource = pytest.importorskip("resource")
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = max(int(fd) for fd in os.listdir("/proc/self/fd"))
    fillers = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 20, usual[1]))
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(spare):
            os.close(fillers.pop())
        with pytest.raises(OSError, match="Too many open files") as caught, feed_of(Counting(20), workers=4) as feed:
            list(feed.epoch())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
        for fd in fillers:
            os.close(fd)
    assert spare == 3 or any("ulimit -n" in note for note in caught.value.__notes__)
