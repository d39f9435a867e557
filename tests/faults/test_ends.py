"""However the parent ends, nothing of it remains."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import stoker
from stoker.feed import crew
from stoker.testing import DyingAt

GONE_WITHIN_S = 1.0
LIMIT_S = 30.0

SCRIPT = """
import os, sys, time
import numpy as np
import stoker

class Slow(stoker.Sequence):
    def __len__(self): return 1000
    def __getitem__(self, index):
        time.sleep(0.01 if index < 20 else 0.5)
        return np.zeros((100, 100)), index

def descendants(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            for child in file.read().split():
                found += [child, *descendants(child)]
    return found

with stoker.Feed(Slow(), workers=3, processes=True) as feed:
    batches = feed.epoch()
    for _ in range(12): next(batches)
    print(*descendants(os.getpid()), flush=True)
    for _ in batches: pass
"""


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def start(script):
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGABRT])
def test_no_process_outlives_its_parent(number):
    before = set(os.listdir("/dev/shm"))
    with start(SCRIPT) as parent:
        pids = parent.stdout.readline().split()
        assert len(pids) == 4
        os.killpg(parent.pid, number)
        parent.wait(LIMIT_S)
        until = time.monotonic() + GONE_WITHIN_S
        while any(alive(pid) for pid in pids) and time.monotonic() < until:
            time.sleep(0.01)
        assert not [pid for pid in pids if alive(pid)]
        errors = parent.stderr.read()
    while not set(os.listdir("/dev/shm")) <= before:  # other tests may have something there for a moment
        assert time.monotonic() < until + LIMIT_S
        time.sleep(0.01)
    if number == signal.SIGINT:
        assert errors.count("Traceback") == 1 and "KeyboardInterrupt" in errors, "one traceback, none of a worker"


def test_a_script_that_forgets_to_close_ends_all_the_same():
    script = SCRIPT.split("with stoker.Feed")[0] + """
feed = stoker.Feed(Slow(), workers=2, processes=True).__enter__()
next(feed.epoch())
print(*descendants(os.getpid()), flush=True)
"""
    with start(script) as parent:
        pids = parent.stdout.readline().split()
        parent.wait(LIMIT_S)
        until = time.monotonic() + GONE_WITHIN_S
        while any(alive(pid) for pid in pids) and time.monotonic() < until:
            time.sleep(0.01)
        assert len(pids) == 3 and not [pid for pid in pids if alive(pid)]
        parent.stderr.read()


def test_a_child_of_the_parents_own_that_holds_every_socket_keeps_no_worker_alive():
    script = SCRIPT.replace("    for _ in batches: pass", """
    child = os.fork()
    if child == 0:
        time.sleep(20)
        os._exit(0)
    print(child, flush=True)
    for _ in batches: pass
""")
    with start(script) as parent:
        pids = parent.stdout.readline().split()
        child = parent.stdout.readline().strip()
        parent.kill()
        parent.wait(LIMIT_S)
        until = time.monotonic() + GONE_WITHIN_S
        while any(alive(pid) for pid in pids) and time.monotonic() < until:
            time.sleep(0.01)
        left = [pid for pid in pids if alive(pid)]
        os.kill(int(child), signal.SIGKILL)
        assert len(pids) == 4 and not left
        parent.stderr.read()


class Busy(stoker.Sequence):
    """Each batch takes longer than closing waits."""

    def __len__(self):
        return 9

    def __getitem__(self, index):
        time.sleep(5.0)
        return np.zeros(3)


def test_ctrl_c_while_a_feed_closes_leaves_nothing_behind(monkeypatch):
    def interrupted(fd, timeout_s):
        raise KeyboardInterrupt

    feed = stoker.Feed(Busy(), workers=2, processes=True)
    with pytest.raises(KeyboardInterrupt), feed:
        feed._open_pump().dispatch(feed)
        feed.epoch()
        monkeypatch.setattr(crew, "_is_readable", interrupted)


@pytest.mark.workers_die
def test_file_descriptors_beyond_1024_are_no_limit(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1300:
        pytest.skip("no so many files can be opened here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1300, hard))
    taken = []
    try:
        while not taken or taken[-1] < 1100:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        with stoker.Feed(DyingAt(5, 2, str(tmp_path)), workers=2, processes=True, timeout_s=LIMIT_S) as feed:
            assert len(list(feed.epoch())) == 5
            assert "stoker" in feed._open_pump().lane.stack(0)
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
