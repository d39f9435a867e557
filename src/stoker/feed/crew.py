"""The processes of a lane: the server that forks, and its workers, each at one end of a socket.

Rules: the only place that starts processes; sockets are not inherited by anything else; ``close`` leaves no process behind.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from stoker.errors import WorkerError
from stoker.feed.arena import Arena
from stoker.feed.parcel import Unpacker
from stoker.feed.wire import Parser
from stoker.feed.worker import WORKER

PROGRAM = (
    "import sys, json, socket; fd, parent = map(int, sys.argv[1:]); s = socket.socket(fileno=fd); "
    "size = int.from_bytes(s.recv(8, socket.MSG_WAITALL)); "
    "sys.path[:], sys.argv[:] = json.loads(s.recv(size, socket.MSG_WAITALL)); s.detach(); "
    "import numpy, stoker.feed.child, stoker.feed.server as s; s.serve(fd, parent)"
)
"""What the server runs: with the search path and the arguments of this process, which the user's code may read. They come by its socket,
because a command line is shorter than some lists of files."""
ONE_THREAD = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")
"""Environment variables by which libraries are told how many threads to take: each worker has one core."""
CHAOS = "STOKER_CHAOS"
"""Environment variable: the probability with which a worker kills itself before an item, to try a training under fire."""
STATUS_PATIENCE_S = 2.0
END_PATIENCE_S = 0.5
STACK_PATIENCE_S = 1.0
STACK_PAUSE_S = 0.05
"""A stack is written line by line; it is whole when nothing has come for so long."""
STACK_BYTES = 1 << 16


@dataclass(slots=True)
class Hand:
    """One worker process, as the parent sees it."""

    number: int
    channel: socket.socket
    stack: int
    pid: int | None = None
    status: int | None = None
    held_bytes: int = 0
    """The most memory that it ever had, once it has ended."""
    parser: Parser = field(default_factory=Parser)
    unpacker: Unpacker = field(default_factory=Unpacker)
    asked: deque[tuple[int, int]] = field(default_factory=deque)
    """Source and ticket of the asks that it has not answered, in order."""
    slots: set[int] = field(default_factory=set)
    """Slots for its answers: one for each that it owes, and those that were left where several answers shared one."""
    nudged_at: tuple[int, int] | None = None
    """What it was at when it was last told to send what it holds."""
    kept: list[int] = field(default_factory=list)
    """Slots in which its sources hold memory."""
    outbox: deque[tuple[memoryview, list[int]]] = field(default_factory=deque)
    """Frames that it has not taken yet, with the file descriptors that go with them (its own copies)."""

    def close(self) -> None:
        """Let go of the sockets; the worker ends when it sees that."""
        for _, fds in self.outbox:
            for fd in fds:
                os.close(fd)
        self.outbox.clear()
        hang_up(self.channel)
        os.close(self.stack)


def hang_up(channel: socket.socket) -> None:
    """Close a socket so that the other end sees it, even if a forked child of this process holds a copy."""
    with contextlib.suppress(OSError):
        channel.shutdown(socket.SHUT_RDWR)
    channel.close()


def _is_readable(fd: int, timeout_s: float) -> bool:
    """Whether something comes within so many seconds; not by ``select``, which knows no numbers from 1024 on."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1e3))


@contextlib.contextmanager
def _closing_on_error(*sockets: socket.socket) -> Iterator[None]:
    """Close sockets that nobody will own, and say what helps where there are too few file descriptors."""
    try:
        yield
    except OSError as error:
        for one in sockets:
            one.close()
        if error.errno in (errno.EMFILE, errno.ENFILE):
            error.add_note("Each worker process needs 3 file descriptors: raise the limit (ulimit -n), or use fewer workers.")
        raise


class Crew:
    """The fork server and the workers it forked.

    Args:
        arena: the slots that workers write to.
    """

    def __init__(self, arena: Arena) -> None:
        if WORKER in os.environ:
            raise WorkerError(
                "a worker process was about to start worker processes", got="a source whose module trains when it is imported",
                expected="a module that can be imported without training",
                remedy='Put the training under: if __name__ == "__main__":', worker=int(os.environ[WORKER]))
        self._arena = arena
        self._chaos = float(os.environ.get(CHAOS) or 0)
        self.control, theirs = socket.socketpair()
        quiet = {**os.environ, **dict.fromkeys(ONE_THREAD, "1"), "CUDA_VISIBLE_DEVICES": ""}
        with theirs, _closing_on_error(self.control):
            self._server = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(theirs.fileno()), str(os.getpid())], pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, env=quiet, process_group=0)
        known = json.dumps([list(map(str, sys.path)), list(map(str, sys.argv))]).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it did not start: seen when it is asked for a worker
            self.control.sendall(len(known).to_bytes(8) + known)
        self._lines = b""
        self._by_pid: dict[int, Hand] = {}
        self._unnamed: deque[Hand] = deque()
        """Workers whose process id has not come, in the order in which they were asked for, which is that of the answers.

        A number may be here twice: a worker's end can be seen before the server's word that it has started.
        """
        self._ended: list[Hand] = []

    @property
    def is_gone(self) -> bool:
        """Whether the server has ended, and its workers with it."""
        return self._server.poll() is not None

    def hire(self, number: int) -> Hand:
        """Fork a worker; returns at once, what is sent to it waits in its socket."""
        mine, theirs = socket.socketpair()
        with _closing_on_error(mine, theirs):
            read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        hand = Hand(number, mine, read_end)
        request = {"worker": number, "stride": self._arena.stride, "slots": self._arena.slots, "chaos": self._chaos}
        with contextlib.suppress(BrokenPipeError):
            socket.send_fds(self.control, [json.dumps(request).encode() + b"\n"], [theirs.fileno(), write_end, self._arena.fd])
        theirs.close()
        os.close(write_end)
        self._unnamed.append(hand)
        return hand

    def hear(self) -> None:
        """Take up what the server says."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self._lines += self.control.recv(65536, socket.MSG_DONTWAIT)
        *lines, self._lines = self._lines.split(b"\n")
        for line in lines:
            word, first, second, *more = line.split()
            if word == b"started":
                hand = self._unnamed.popleft()
                hand.pid = int(second)
                self._by_pid[hand.pid] = hand
            elif int(first) in self._by_pid:
                hand = self._by_pid.pop(int(first))
                hand.status, hand.held_bytes = int(second), int(more[0])
                self._ended.append(hand)

    def ended(self) -> list[Hand]:
        """The workers of whose end was heard since this was asked last, for whatever reason it was listened."""
        if not self._ended:
            return []
        ended, self._ended = self._ended, []
        return ended

    def wait_for(self, hand: Hand, what: str, patience_s: float) -> bool:
        """Listen to the server until it has told the ``pid`` or the ``status`` of a worker."""
        until = time.monotonic() + patience_s
        while getattr(hand, what) is None:
            self.hear()
            left = until - time.monotonic()
            if getattr(hand, what) is not None:
                return True
            if left <= 0 or self.is_gone:
                return False
            _is_readable(self.control.fileno(), min(left, 0.1))
        return True

    def signal(self, hand: Hand, number: int) -> bool:
        """Send a signal to a worker; False if it is not there."""
        if not self.wait_for(hand, "pid", STATUS_PATIENCE_S) or hand.pid is None or hand.status is not None:
            return False
        try:
            os.kill(hand.pid, number)
        except ProcessLookupError:
            return False
        return True

    def stack_of(self, hand: Hand) -> str:
        """The Python stack of a worker as text; empty if it does not answer (stopped, or gone)."""
        if not self.signal(hand, signal.SIGUSR2):
            return ""
        text = b""
        patience_s = STACK_PATIENCE_S
        while _is_readable(hand.stack, patience_s) and (part := os.read(hand.stack, STACK_BYTES)):
            text += part
            patience_s = STACK_PAUSE_S
        return text.decode(errors="replace")

    def cause_of(self, hand: Hand) -> str:
        """How a worker ended, and why that may be."""
        self.wait_for(hand, "status", STATUS_PATIENCE_S)
        last_words = self._last_words(hand)
        if hand.status is None and self.is_gone:
            return f"gone with the server that forks workers, which was {describe_end(self._server.returncode)}"
        return describe_end(hand.status, hand.held_bytes) + (f"\n{last_words}" if last_words else "")

    def _last_words(self, hand: Hand) -> str:
        try:
            return os.read(hand.stack, STACK_BYTES).decode(errors="replace").rstrip()
        except OSError:
            return ""

    def close(self, hands: list[Hand]) -> None:
        """End the workers: the idle ones by themselves, the others by force; then the server."""
        try:
            for hand in hands:
                hand.close()
            until = time.monotonic() + END_PATIENCE_S
            while (self._by_pid or self._unnamed) and time.monotonic() < until and not self.is_gone:
                _is_readable(self.control.fileno(), 0.02)
                self.hear()
        finally:  # a second Ctrl-C ends the waiting alone
            self._end_server()

    def _end_server(self) -> None:
        """Its workers end with it."""
        hang_up(self.control)
        try:
            self._server.wait(STATUS_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()


CAUSES: dict[int, str] = {
    -signal.SIGKILL: "often the out-of-memory killer",
    -signal.SIGSEGV: "a crash in compiled code that the source calls",
    -signal.SIGBUS: "memory that is not there, such as a file that was cut short",
    -signal.SIGABRT: "a library gave up",
    -signal.SIGTERM: "somebody ended it",
    -signal.SIGFPE: "a division by zero in compiled code",
}


def describe_end(status: int | None, held_bytes: int = 0) -> str:
    """An exit status in words; of a process that was killed also how much memory it had held."""
    if status is None:
        return "ended in a way that nobody saw"
    if status >= 0:
        return f"exited with status {status}: the source called exit, or a library did"
    try:
        name: Any = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    held = f"; the worker held {_size(held_bytes)}" if held_bytes else ""
    return f"killed by {name}: {CAUSES.get(status, 'the cause is not known')}{held}"


def _size(count_bytes: int) -> str:
    return f"{count_bytes / 1e9:.1f} GB" if count_bytes >= 1e9 else f"{count_bytes / 1e6:.0f} MB"
