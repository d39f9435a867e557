"""The small clean process that worker processes are forked from.

It is started by exec, before any framework wakes, and holds nothing but numpy and the worker's side of stoker: a fork of it is quick, takes
little memory and inherits no threads, locks or devices.

Rules: one thread; ends when its socket is closed, whatever became of the parent, and its workers end with it; tells the parent how each
worker ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import select
import signal
import socket
import sys
from typing import Any

REQUEST_BYTES = 65536
RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024
"""The unit of ``ru_maxrss``, see getrusage(2)."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""See mallopt(3)."""
KEPT_BYTES = 256 << 20
"""Free memory at the end of the heap beyond this goes back to the system."""


def serve(fd: int, parent: int) -> None:
    """Fork workers until the socket is closed or the parent has ended: a child of the parent's own may hold the socket open.

    A request is JSON with the file descriptors of the worker's socket, its stack pipe and the arena; the answers are lines
    ``started NUMBER PID`` and ``ended PID STATUS``.
    """
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    os.set_blocking(wake_read, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGUSR1", "SIGUSR2"):  # a worker that has just been forked may be asked for its stack before it can show it
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # workers end without flushing
    _keep_memory()
    control = socket.socket(fileno=fd)
    workers: set[int] = set()
    ends = _watch(parent)
    poll = select.poll()  # not select, which knows no numbers from 1024 on
    for watched in (control.fileno(), wake_read, *ends):
        poll.register(watched, select.POLLIN)
    while True:
        ready = {ready for ready, _ in poll.poll()}
        if wake_read in ready:
            os.read(wake_read, 4096)
        _bury(workers, control)
        if not ready.isdisjoint(ends):
            break
        if control.fileno() in ready and not _answer(control, workers, (wake_read, wake_write)):
            break
    _end(workers)


def _keep_memory() -> None:
    """Have the C library keep the memory of large arrays that were freed for the next ones (glibc only).

    By default arrays beyond 32 MB get fresh pages each time: the system clears them, and for a batch of 38 MB that took a third of the
    time it takes to make it and to carry it over.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def _watch(parent: int) -> list[int]:
    """A file descriptor that is readable once the parent has ended; none where the system has no such thing."""
    try:
        return [os.pidfd_open(parent)]
    except (AttributeError, OSError):
        return []


def _end(workers: set[int]) -> None:
    """Kill what is left, and take its exit status, so that no zombie remains. Never returns."""
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in workers:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    os.killpg(0, signal.SIGKILL)  # what sources started and left; this process leads the group, and ends with it


def _answer(control: socket.socket, workers: set[int], own: tuple[int, int]) -> bool:
    """Fork one worker; False once the parent has closed its end."""
    try:
        message, fds, _, _ = socket.recv_fds(control, REQUEST_BYTES, 3)
    except ConnectionError:  # it was closed with words of ours in it that nobody had read
        return False
    if not message:
        return False
    request = json.loads(message)
    pid = os.fork()
    if pid == 0:
        _become_worker(control, own, request, fds)
    for fd in fds:
        os.close(fd)
    workers.add(pid)
    _tell(control, f"started {request['worker']} {pid}\n")
    return True


def _become_worker(control: socket.socket, own: tuple[int, int], request: dict[str, Any], fds: list[int]) -> None:
    """Never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()
        for fd in own:
            os.close(fd)
        from stoker.feed.child import work

        with contextlib.suppress(ConnectionError):  # the parent has closed its end: nobody waits for an answer
            work(request, *fds)
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _bury(workers: set[int], control: socket.socket) -> None:
    """Take the exit status of every worker that has ended, and pass it on."""
    while workers:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        workers.discard(pid)
        _tell(control, f"ended {pid} {os.waitstatus_to_exitcode(status)} {usage.ru_maxrss * RSS_UNIT_BYTES}\n")


def _tell(control: socket.socket, line: str) -> None:
    with contextlib.suppress(OSError):
        control.sendall(line.encode())
