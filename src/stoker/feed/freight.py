"""Takes out of the slots, in the caller's process, what workers put there.

Small batches are copied as soon as they come, a whole run at once. Of others the caller gets views of the slot, which is free again when
the last array in it has died: a run is taken out, and leased, when the first of its batches is wanted. Beyond so many leases they are
copied too.

Rules: a slot is given back once, whatever becomes of the batches in it: taken out, or let go of one by one.
"""

from __future__ import annotations

import pickle
import weakref
from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stoker.feed import wire
from stoker.feed.arena import Arena
from stoker.feed.errands import unpack_error
from stoker.feed.parcel import Unpacker
from stoker.feed.plan import COPIED_BYTES
from stoker.feed.reuse import private
from stoker.feed.slots import SlotTable
from stoker.outcome import ENDED, Failure, Outcome, Value


class _Parcel:
    """Batches that lie in a slot: a run, or one."""

    __slots__ = ("count", "data", "extra", "left", "made", "offsets", "slot", "template", "unpacker")

    def __init__(self, record: wire.Record, unpacker: Unpacker, extra: bytes, data: bytes | None) -> None:
        self.slot = record.slot
        self.template = record.template
        self.offsets = record.offsets
        self.count = self.left = len(record.tickets)
        """How many there are, and how many have not been let go of."""
        self.extra = extra
        self.unpacker = unpacker
        self.data = data
        """What lay in the slot, where the source goes on holding memory there: such a slot is used for nothing else while its worker
        lives."""
        self.made: list[Any] | None = None
        """What has been taken out and not handed on."""


Share = tuple[_Parcel, int]
"""The payload of a batch that has not been taken out: where it lies, and its place there."""


class _Lease(np.ndarray):  # type: ignore[type-arg]
    """The memory of a leased slot; a class of its own, so that numpy keeps it as the base of the arrays in it."""


class Freight:
    """What lies in the slots of a lane.

    Args:
        arena: the slots.
        slots: whose they are.
    """

    def __init__(self, arena: Arena, slots: SlotTable) -> None:
        self._arena = arena
        self._slots = slots
        self._leases: dict[int, weakref.ref[Any]] = {}

    def payloads(self, record: wire.Record, unpacker: Unpacker, worker: int, kept: list[int]) -> Sequence[Any]:
        """What a record brings, a payload for each of its answers.

        Args:
            record: what a worker wrote.
            unpacker: knows the templates of that worker.
            worker: its number.
            kept: takes up the slot, if the source goes on holding memory there.
        """
        kind, extra, data = record.outcome & ~wire.KEPT, record.extra, None
        if record.outcome & wire.KEPT:
            extra, data = pickle.loads(extra)
            kept.append(record.slot)
        if kind != wire.VALUE:
            if data is None:
                self._slots.free([record.slot])
            return [_failure(extra, worker) if kind == wire.FAILURE else ENDED]
        if record.template >= 0 and extra:
            unpacker.learn(extra)
        count = len(record.tickets)
        if record.template < 0 or record.offsets or data is not None or not unpacker.layout(record.template).is_copied:
            return list(zip(repeat(_Parcel(record, unpacker, extra, data)), range(count), strict=False))
        batches = self._copied(unpacker, record.template, record.slot, count)
        self._slots.free([record.slot])
        return list(map(Value, batches))

    def _copied(self, unpacker: Unpacker, template: int, slot: int, count: int) -> list[Any]:
        """The batches of a run in memory of their own."""
        start = slot * self._arena.stride
        copy = bytearray(self._arena.bytes[start:start + count * unpacker.layout(template).stride])
        return unpacker.run(template, copy, count)

    def unpack(self, share: Share) -> Outcome:
        """What a worker made, once."""
        parcel, place = share
        if parcel.template < 0:
            return self._unpickled(parcel)
        if parcel.made is None:
            parcel.made = self._taken_out(parcel)
        made, parcel.made[place] = parcel.made[place], None
        return Value(made)

    def _taken_out(self, parcel: _Parcel) -> list[Any]:
        """All batches of a parcel; its slot is free, or leased, from then on."""
        template, unpacker = parcel.template, parcel.unpacker
        if parcel.data is not None:
            return [unpacker.arrays(template, bytearray(parcel.data), parcel.offsets)]
        is_small = unpacker.layout(template).size_bytes <= COPIED_BYTES
        memory = None if is_small else self._lease(parcel)
        if memory is not None:
            if parcel.offsets:
                return [unpacker.arrays(template, memory, parcel.offsets)]
            return unpacker.run(template, memory, parcel.count)
        if parcel.offsets:
            made = [private(unpacker.arrays(template, self._memory(parcel.slot), parcel.offsets))]
        else:
            made = self._copied(unpacker, template, parcel.slot, parcel.count)
        self._slots.free([parcel.slot])
        return made

    def _unpickled(self, parcel: _Parcel) -> Outcome:
        memory = self._lease(parcel) if parcel.offsets and parcel.data is None else None
        is_leased = memory is not None
        if memory is None:
            memory = self._used(parcel).copy()
        try:
            return Value(parcel.unpacker.unpickle(parcel.extra, memory, parcel.offsets))
        except Exception as error:
            error.add_note("raised while the batch was unpickled in the caller's process")
            return Failure(error)
        finally:
            if not is_leased:
                self._free(parcel)

    def discard(self, share: Share) -> None:
        """Let go of a batch that nobody will unpack."""
        parcel = share[0]
        parcel.left -= 1
        if not parcel.left and parcel.made is None:
            self._free(parcel)

    def _free(self, parcel: _Parcel) -> None:
        if parcel.data is None:
            self._slots.free([parcel.slot])

    def _used(self, parcel: _Parcel) -> NDArray[np.uint8]:
        """The memory of a slot up to the end of a pickled batch."""
        if parcel.data is not None:
            return np.frombuffer(parcel.data, np.uint8)
        ends = [offset + size for offset, size in zip(parcel.offsets[::2], parcel.offsets[1::2], strict=True)]
        return self._memory(parcel.slot)[:max(ends, default=0)]

    def _memory(self, slot: int) -> NDArray[np.uint8]:
        start = slot * self._arena.stride
        return self._arena.memory[start:start + self._arena.stride]

    def _lease(self, parcel: _Parcel) -> Any:
        """The memory of a slot, leased until the last array in it dies; None where it must be copied."""
        slot = parcel.slot
        if not self._slots.lease(slot):
            return None
        memory = self._memory(slot).view(_Lease)
        slots = self._slots
        self._leases[slot] = weakref.ref(memory, lambda _: slots.give_back(slot))
        return memory


def _failure(extra: bytes, worker: int) -> Failure:
    """What the source raised, of its own type, with the worker's traceback as a note."""
    try:
        crossed: Failure = pickle.loads(extra)
        error = unpack_error(crossed.error)  # type: ignore[arg-type]
    except Exception as trouble:
        trouble.add_note("raised while an error of the source was unpickled in the caller's process")
        return Failure(trouble)
    note = f"Traceback in worker {worker}:\n{crossed.trace.rstrip()}"
    return Failure(error, crossed.trace, (*crossed.notes, note))
