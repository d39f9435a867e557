"""What is told of workers while they work: stalls, and stacks on request."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from test_pump import Mortal, open_feed

import stoker
from stoker.feed.messages import Ask
from stoker.feed.overview import stall_text
from stoker.stacks import dump_on_signal
from stoker.testing import Counting


def test_a_stall_names_the_worker_and_what_it_is_making():
    ask = Ask(0, 5, 0, 731, 7)
    assert stall_text(2, ask, 731, 14.2, 12.0) == "no batch for 12 s: worker 2 has been making index 731 for 14 s"
    assert stall_text(2, ask, 8, 14.2, 12.0).endswith("for 14 s; index 8 comes after it")
    assert stall_text(None, None, None, 0.0, 12.0) == "no batch for 12 s: nobody is making one"


def test_a_wait_is_shown_each_second_from_the_tenth_on(monkeypatch):
    seconds = itertools.count(0.0, 0.5)
    monkeypatch.setattr("stoker.feed.feed.perf_counter", lambda: next(seconds))
    told = []
    with open_feed(monkeypatch, Mortal(silent_after=1), Counting(9)) as feed:
        feed.on_stall = lambda text, waited_s: told.append((text, waited_s))
        batches = feed.epoch()
        next(batches)
        with pytest.raises(stoker.WorkerHung):
            next(batches)
    waits = [waited_s for _, waited_s in told]
    assert waits[0] == pytest.approx(10.0, abs=1.0) and waits == sorted(waits) and waits[-1] > 50
    assert all("has been making index 1 for" in text for text, _ in told)


class Waiting(stoker.Sequence):
    """Item 1 is not made before it is allowed."""

    def __init__(self):
        self.allowed = threading.Event()
        self.begun = threading.Event()

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 1:
            self.begun.set()
            assert self.allowed.wait(60)
        return np.full((2, 1), index)


def test_dump_shows_what_threads_make_and_where_they_are():
    source, text = Waiting(), io.StringIO()
    with stoker.Feed(source, workers=2) as feed:
        batches = feed.epoch()
        next(batches)
        assert source.begun.wait(60)
        stoker.dump(text)
        source.allowed.set()
        assert len(list(batches)) == 2
    shown = text.getvalue()
    assert "has been making index 1 of Waiting for" in shown
    assert "in __getitem__" in shown and __file__ in shown, "where it is in the user's code"
    assert "test_dump_shows_what_threads_make" in shown, "the caller's own stack is there"
    assert "stoker: Waiting, threads: 1 batches handed out" in shown


def test_dump_says_so_where_nothing_runs():
    text = io.StringIO()
    stoker.dump(text)
    assert "no worker is running" in text.getvalue()


def test_output_that_is_being_written_when_the_signal_comes_ends_no_call():
    class Busy(io.StringIO):
        def write(self, text):
            raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    stoker.dump(Busy())


HAS_SIGNAL = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no SIGUSR1")


@HAS_SIGNAL
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="this system does not tell which signals are caught")
def test_a_signal_on_which_faulthandler_shows_stacks_is_left_to_it(tmp_path):
    with (tmp_path / "stacks").open("w+") as file:
        faulthandler.register(signal.SIGUSR1, file=file)
        try:
            with dump_on_signal():
                assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL, "nobody has taken it over"
                os.kill(os.getpid(), signal.SIGUSR1)
        finally:
            faulthandler.unregister(signal.SIGUSR1)
        file.seek(0)
        assert "most recent call first" in file.read()


@HAS_SIGNAL
def test_who_begins_to_listen_to_the_signal_during_a_call_goes_on_listening():
    def mine(number, frame):
        pass

    try:
        with dump_on_signal():
            signal.signal(signal.SIGUSR1, mine)
        assert signal.getsignal(signal.SIGUSR1) is mine
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    with dump_on_signal():
        assert signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


LIMIT_S = 180
"""Frameworks take long to load on a machine that is busy."""
SCRIPT = textwrap.dedent("""
    import os, signal, sys, time
    import numpy as np
    import keras, stoker

    class Slow(stoker.Sequence):
        def __len__(self):
            return 4
        def __getitem__(self, index):
            if index == 2:
                os.kill(int(sys.argv[1]) or os.getppid(), 0)
                print("making", flush=True)
                time.sleep(3600)
            return np.zeros((2, 1)), np.zeros((2, 1))

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    stoker.fit(model, Slow(), workers=2, processes=True, shuffle=False, verbose=0)
""")


@contextlib.contextmanager
def running(*command):
    """A script that is killed when it says nothing for too long, so that reading from it ends, and that no failed check leaves behind."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as script:
        timer = threading.Timer(LIMIT_S, script.kill)
        timer.start()
        try:
            yield script
        finally:
            timer.cancel()
            timer.join()
            script.kill()


@pytest.mark.slow
@HAS_SIGNAL
def test_a_signal_shows_the_stacks_of_processes_and_ctrl_c_still_ends_the_training(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    with running(str(path), str(os.getpid())) as script:
        assert script.stdout.readline() == "making\n", script.stderr.read()
        script.send_signal(signal.SIGUSR1)
        lines = []
        while "in __getitem__" not in (line := script.stderr.readline()):
            assert line, f"the script ended: {''.join(lines)}"
            lines.append(line)
        script.send_signal(signal.SIGINT)
        _, rest = script.communicate(timeout=LIMIT_S)
    assert any("has been making index 2 of Slow" in line for line in lines)
    assert "KeyboardInterrupt" in rest


def test_the_arguments_of_the_script_are_those_of_its_workers(tmp_path):
    path = tmp_path / "read.py"
    path.write_text(textwrap.dedent("""
        import sys
        import stoker

        class Arguments(stoker.Sequence):
            def __len__(self):
                return 1
            def __getitem__(self, index):
                return sys.argv[1:]

        with stoker.Feed(Arguments(), workers=1, processes=True) as feed:
            print(*feed.epoch())
    """))
    done = subprocess.run([sys.executable, str(path), "--rate", "3"], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert done.stdout == "['--rate', '3']\n"
