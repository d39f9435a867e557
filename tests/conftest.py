"""What every test gets: a backend, properties that are searched the same way each time, and a look for what was left behind."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# Threads of OpenMP wait by spinning: where each of the processes that tests run side by side has some, PyTorch takes four times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Most of the time of a small model on JAX is compiling, and the tests compile the same programs again and again. One folder for each of the
# processes that run tests: JAX does not write whole files at once.
JAX_CACHE = Path(__file__).parent.parent / ".pytest_cache" / "jax" / os.environ.get("PYTEST_XDIST_WORKER", "one")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(JAX_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Keras imports these wherever they are installed, and half of its start is theirs: the processes that tests start do without.
LEAN = str(Path(__file__).parent / "lean")
OTHERS = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", LEAN)]
os.environ["PYTHONPATH"] = os.pathsep.join([LEAN, *OTHERS])
sys.path = [path for path in sys.path if path != LEAN]
sys.path[:0] = [str(Path(__file__).parent / folder) for folder in ("backend", "faults", "reporting")]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job: what the tests start would ignore Ctrl-C too
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "stoker", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
settings.load_profile("stoker")

GRACE_S = 5.0
"""How long what a test ended may take to be gone."""


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("stoker")}


def _children() -> set[str]:
    """Process ids of children that are there or have not been waited for; none where the system does not tell."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(path.read_text().split()) if path.exists() else set()


def _own_files() -> dict[str, int]:
    """Open pipes, sockets and shared memory, counted by kind; other files belong to frameworks and pytest."""
    counts: dict[str, int] = {}
    folder = Path("/proc/self/fd")
    for link in folder.iterdir() if folder.exists() else ():
        try:
            target = os.readlink(link)
        except OSError:
            continue
        kind = next((k for k in ("memfd:stoker", "pipe:", "socket:", "anon_inode:[pidfd]", "anon_inode:[eventpoll]") if k in target), None)
        if kind:
            counts[kind] = counts.get(kind, 0) + 1
    return counts


def _shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


def _left(before: tuple) -> list[str]:
    threads, children, files, shared = before
    left = [f"thread {name}" for name in _threads() - threads]
    left += [f"process {pid}" for pid in _children() - children]
    left += [f"{kind} x{count - files.get(kind, 0)}" for kind, count in _own_files().items() if count > files.get(kind, 0)]
    left += [f"/dev/shm/{name}" for name in _shared_memory() - shared]
    return left


@pytest.fixture()
def everything_installed(monkeypatch):
    """The processes that a test starts have what ``LEAN`` keeps from others."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(OTHERS))


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request):
    """Fails a test that leaves a thread, a process, a pipe, a socket or shared memory."""
    before = (_threads(), _children(), _own_files(), _shared_memory())
    yield
    if request.node.get_closest_marker("leaves_framework_files"):
        return
    deadline = time.monotonic() + GRACE_S
    while (left := _left(before)) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert not left, f"left behind: {', '.join(left)}"


@pytest.fixture(autouse=True)
def no_worker_dies_unseen(request, monkeypatch):
    """Fails a test in which a worker process died, unless it says that workers die: a death that heals shows nowhere else."""
    from stoker.feed.pump import Pump

    deaths = []
    bury = Pump._bury
    monkeypatch.setattr(Pump, "_bury", lambda pump, event: (deaths.append(event), bury(pump, event))[1])
    yield
    if not request.node.get_closest_marker("workers_die"):
        assert not deaths, f"workers died: {deaths}"


@pytest.hookimpl(tryfirst=True)  # before those are left out that were not asked for
def pytest_collection_modifyitems(items):
    """Of the cases of a test that is ``thinned`` one in so many stays in the quick suite; the others are slow.

    What is the same on every backend is left out where the other backends are tested (``test_every_backend``).
    """
    if "STOKER_INNER_TESTS" in os.environ:
        items[:] = [item for item in items if not item.get_closest_marker("once")]
    cases = Counter()
    for item in items:
        if thinned := item.get_closest_marker("thinned"):
            test = item.nodeid.partition("[")[0]
            if cases[test] % thinned.args[0]:
                item.add_marker(pytest.mark.slow)
            cases[test] += 1


def pytest_sessionfinish(session, exitstatus):
    """A run that collected nothing has failed."""
    if session.testscollected == 0 and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
