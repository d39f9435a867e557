"""Shared memory for batches: one sparse file without a name, cut into slots of equal room; memory is taken only where it is written.

A ``memfd`` has no name that could outlive the processes, and none of the limits of /dev/shm (64 MB in containers, a bus error beyond).
Where it is missing, an unlinked temporary file takes its place.

Rules: the only place that makes or maps shared memory; whoever writes calls ``take`` first, so that a lack of memory is an error and not
a bus error; one owner closes it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import sys
import tempfile
from collections.abc import Callable, Collection
from functools import partial

import numpy as np

from stoker.batch.memory import SlotMemory

STRIDES = (1 << 32, 1 << 30, 1 << 27, 1 << 24)
"""Room of a slot in bytes, tried in turn: address space is not memory, but may be limited too (``ulimit -v``)."""
ALIGNMENT = 64
_BOARD = struct.Struct("<qQ")
_MARK = struct.Struct("<Q")
MARKS, MARKS_OFFSET = 4096, 1 << 20
"""How many tickets can be marked at once, and where on the board."""
GRAIN = 1 << 20
"""Memory of a slot grows in steps of this size, in bytes."""


def new_file(size_bytes: int) -> int:
    """A file descriptor of shared memory without a name."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("stoker", os.MFD_CLOEXEC)
    else:
        fd, path = tempfile.mkstemp(prefix="stoker-")
        os.unlink(path)
    try:
        os.ftruncate(fd, size_bytes)
    except OSError:
        os.close(fd)
        raise
    return fd


class Arena:
    """Slots in shared memory; the last one is a board on which each worker says what it is making.

    Args:
        fd: the file, which the arena owns from now on.
        stride: room of a slot in bytes.
        slots: how many there may be.
    """

    def __init__(self, fd: int, stride: int, slots: int) -> None:
        self.fd = fd
        self.stride = stride
        self.slots = slots
        self._mapping = mmap.mmap(fd, stride * slots)
        self.bytes = memoryview(self._mapping)
        """The same as bytes: quicker than an array for a small piece."""
        self.memory = np.frombuffer(self._mapping, np.uint8).view(SlotMemory)
        """All slots, shape ``(slots * stride,)``. ``frombuffer`` holds the mapping open for every array made from it; an array made on
        the mmap object by ``np.ndarray(buffer=...)`` does not, and closing the mapping would then pull the memory from under it."""
        self._taken = [0] * slots
        self._board = stride * (slots - 1)

    @classmethod
    def create(cls, slots: int) -> Arena:
        """An arena of so many slots, as roomy as the system allows.

        Raises:
            OSError: not even the smallest can be had.
        """
        for stride in STRIDES[:-1]:
            try:
                return cls._of(stride, slots)
            except OSError:
                continue
        return cls._of(STRIDES[-1], slots)

    @classmethod
    def _of(cls, stride: int, slots: int) -> Arena:
        fd = new_file(stride * slots)
        try:
            return cls(fd, stride, slots)
        except OSError:
            os.close(fd)
            raise

    def take(self, slot: int, end: int) -> None:
        """Make sure that a slot has memory up to ``end``.

        Raises:
            MemoryError: the slot has no such room, or the system no such memory.
        """
        if end <= self._taken[slot]:
            return
        if end > self.stride:
            raise MemoryError(f"a batch of more than {self.stride} bytes does not fit a slot")
        wanted = min(self.stride, -(-end // GRAIN) * GRAIN)
        try:
            os.posix_fallocate(self.fd, slot * self.stride, wanted)
        except AttributeError:
            pass
        except OSError as error:
            raise MemoryError(f"no shared memory for {wanted} bytes: {error.strerror}") from error
        self._taken[slot] = wanted

    def teller(self, worker: int) -> Callable[[int, int], None]:
        """What a worker says with what it is making, source and ticket, in memory that outlives it; source -1 says that it is idle."""
        return partial(_BOARD.pack_into, self._mapping, self._board + worker * _BOARD.size)

    def at(self, worker: int) -> tuple[int, int] | None:
        """Source and ticket of what a worker is, or was, making."""
        source, ticket = _BOARD.unpack_from(self._mapping, self._board + worker * _BOARD.size)
        return None if source < 0 else (source, ticket)

    def mark(self, source: int, ticket: int) -> bool:
        """Whether a ticket is marked for the first time, in memory that outlives whoever marks it; marks of old tickets are lost."""
        place = self._board + MARKS_OFFSET + 8 * (ticket % MARKS)
        mark = 1 + ticket + (source << 48)
        if _MARK.unpack_from(self._mapping, place)[0] == mark:
            return False
        _MARK.pack_into(self._mapping, place, mark)
        return True

    def close(self, unused: Collection[int] = ()) -> None:
        """Let go of the file; the mapping goes when no array lies in it any more.

        Args:
            unused: slots that no array lies in any more; their memory, and the board's, is given back at once.
        """
        self._empty([*unused, self.slots - 1])
        os.close(self.fd)
        self.memory = np.empty(0, np.uint8).view(SlotMemory)  # whoever registered the old one with a device lets go of it now
        self.bytes.release()
        with contextlib.suppress(BufferError):
            self._mapping.close()


    def _empty(self, slots: list[int]) -> None:
        """Give the memory of slots back to the system at once."""
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                for slot in slots:
                    self._mapping.madvise(mmap.MADV_REMOVE, slot * self.stride, self.stride)


class Cargo:
    """One block of bytes that is written once and mapped by many, copy-on-write.

    Args:
        fd: the file, which the cargo owns from now on.
        size_bytes: its length.
    """

    def __init__(self, fd: int, size_bytes: int) -> None:
        self.fd = fd
        self.size_bytes = size_bytes

    @classmethod
    def of(cls, parts: list[memoryview]) -> tuple[Cargo, list[int]]:
        """Write parts one after the other, aligned; the cargo and the offset of each."""
        offsets, end = [], 0
        for part in parts:
            offsets.append(end)
            end += -(-part.nbytes // ALIGNMENT) * ALIGNMENT
        size = max(end, 1)
        fd = new_file(size)
        try:
            with mmap.mmap(fd, size) as mapping:
                for offset, part in zip(offsets, parts, strict=True):
                    mapping[offset:offset + part.nbytes] = part
        except OSError:
            os.close(fd)
            raise
        return cls(fd, size), offsets

    def map(self) -> mmap.mmap:
        """Map it so that writing changes the writer's own copy only."""
        return mmap.mmap(self.fd, self.size_bytes, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)

    def close(self) -> None:
        """Let go of the file; mappings stay."""
        os.close(self.fd)
