"""Deaths of workers that own a stream, deaths together, helpers that sources start, and whole jobs that are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time

import numpy as np
import pytest
from saboteurs import pids

import stoker
from stoker.feed.crew import describe_end
from stoker.feed.faults import Silence
from stoker.feed.messages import Died, Got
from stoker.feed.pump import Pump
from stoker.testing import Counting

LIMIT_S = 20.0


def sixty():
    yield from (np.array([number]) for number in range(60))


@pytest.mark.workers_die
def test_the_death_of_an_idle_owner_of_a_generator_is_an_error_and_never_a_second_beginning():
    with stoker.Feed(sixty, workers=2, processes=True, max_queue_size=5) as feed:
        batches = feed.epoch()
        taken = [int(next(batches)[0]) for _ in range(20)]
        feed._pump.wait(_Idle(feed))
        for pid in pids(feed):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(stoker.WorkerDied, match="cannot be made again from the middle"):
            taken += [int(x[0]) for x in batches]
    assert taken == list(range(len(taken)))


class _Idle:
    """Waits until the worker has made all that it was asked for."""

    def __init__(self, feed):
        self._feed = feed

    def __getattr__(self, name):
        return getattr(self._feed, name)

    def fill(self):
        """Ask for no more."""

    def is_served(self):
        return self._feed.window.is_idle


@pytest.mark.workers_die
def test_an_owner_that_dies_before_its_generator_has_begun_is_replaced():
    with stoker.Feed(sixty, workers=1, processes=True) as feed:
        feed.plan(epochs=2)
        assert len(list(feed.epoch())) == 60
        feed._pump.wait(_Idle(feed))
        feed.owner_died(Died(0, "killed by SIGKILL"))
        assert feed._supply.trouble is not None or feed.course.position(feed.window.next_new)[1] == 0


@pytest.mark.workers_die
def test_two_that_die_together_are_both_noticed_though_a_child_of_one_holds_its_socket(tmp_path):
    class Forking(Counting):
        def __getitem__(self, index):
            if index == 0 and not (tmp_path / "forked").exists():
                (tmp_path / "forked").touch()
                if os.fork() == 0:
                    threading.Event().wait(LIMIT_S)
                    os._exit(0)
            return super().__getitem__(index)

    with stoker.Feed(Forking(40), workers=2, processes=True, max_queue_size=4, timeout_s=LIMIT_S / 2) as feed:
        batches = feed.epoch()
        taken = [int(next(batches)[0][0, 0])]
        for pid in pids(feed):
            os.kill(pid, signal.SIGKILL)
        taken += [int(x[0, 0]) for x, _ in batches]
    assert taken == list(range(40))


def test_what_a_source_started_ends_with_the_feed(tmp_path):
    class Starting(Counting):
        def __getitem__(self, index):
            helper = subprocess.Popen(["sleep", "60"])
            (tmp_path / str(helper.pid)).touch()
            return super().__getitem__(index)

    with stoker.Feed(Starting(2), workers=1, processes=True) as feed:
        list(feed)
    helpers = [int(mark.name) for mark in tmp_path.iterdir()]
    until = time.monotonic() + LIMIT_S
    while any(map(_is_running, helpers)) and time.monotonic() < until:
        time.sleep(1e-3)  # killed, and not yet gone
    assert helpers and not any(map(_is_running, helpers))


def _is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_forked_child_of_the_caller_ends_nothing_of_its():
    with stoker.Feed(Counting(30), workers=2, processes=True) as feed:
        batches = feed.epoch()
        next(batches)
        child = os.fork()
        if child == 0:
            try:
                feed.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert len(list(batches)) == 29


def test_a_job_that_was_stopped_as_a_whole_blames_no_worker():
    silence = Silence(2)
    silence.asked(0, 0.0)
    silence.forgive(-1.0)
    assert silence.length_s(0, 5.0) == 5.0
    silence.forgive(600.0)
    assert silence.length_s(0, 605.0) == 5.0


def test_replies_that_come_with_a_hopeless_death_are_not_lost():
    class Hopeless:
        name, workers = "processes", 2
        replaced = ()

        def receive(self, timeout_s):
            return []

    pump = Pump(Hopeless(), lambda: 0.0)
    taken_up = []
    pump.take_up = taken_up.append
    pump._bury = lambda event: (_ for _ in ()).throw(stoker.WorkerDied("again and again"))
    answers = [Got(1, 0, (ticket,), (None,), (0.0,), 0.0, (0.0,), (0.0,)) for ticket in (3, 4)]
    with pytest.raises(stoker.WorkerDied):
        pump._handle_all([answers[0], Died(0, "killed"), answers[1]])
    assert taken_up == answers


@pytest.mark.parametrize("held, words", [(3_100_000_000, "the worker held 3.1 GB"), (42_000_000, "the worker held 42 MB"), (0, "")])
def test_the_words_for_a_kill_say_how_much_the_worker_held(held, words):
    text = describe_end(-signal.SIGKILL, held)
    assert text.startswith("killed by SIGKILL: often the out-of-memory killer") and text.endswith(words)


@pytest.mark.workers_die
def test_a_death_says_how_much_the_worker_held_and_is_counted():
    class Dying(Counting):
        def __getitem__(self, index):
            if index == 3 and not hasattr(self, "spared"):
                kept = np.ones(50_000_000, np.uint8)
                os.kill(os.getpid(), signal.SIGKILL if kept.any() else 0)
            return super().__getitem__(index)

    with stoker.Feed(Dying(6), workers=1, processes=True) as feed, pytest.raises(stoker.WorkerDied) as caught:
        list(feed)
    assert "the worker held" in str(caught.value)
    assert feed.meter.look().deaths == 3 and "SIGKILL" in feed.meter.look().last_death
