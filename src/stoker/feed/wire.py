"""The bytes on the socket between the parent and a worker.

Parent to worker: a frame is one byte of kind, its length, and a body. Worker to parent: records of a fixed head, then numbers and bytes.

Rules: pure packing and parsing; a record that is not whole yet stays in the buffer, and one cut off by death is never seen.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, NamedTuple

from stoker.feed.messages import Ask, Refused, new_asks
from stoker.outcome import failure

FRAME = struct.Struct("<cQ")
COUNTS = struct.Struct("<II")
"""Of asks and of slots, before them. Asks travel column by column: source, ticket, pass, index and seed."""
HEAD = struct.Struct("<BIQidIIQ")
"""Outcome, source, slot, template, CPU seconds, number of answers, number of offsets, bytes that follow."""

ASKS, ITEMS, SOURCE, DROP, STOP = b"a", b"i", b"s", b"d", b"x"
VALUE, FAILURE, ENDED = 0, 1, 2
KEPT = 0x80
"""Added to these where the source goes on holding memory of the slot: the batch comes in the record itself, after the template."""


class Record(NamedTuple):
    """A run of answers as it crosses: one answer, or batches of one template that lie one behind another in one slot.

    The slot is one of those that came with asks; nothing but this lies there.
    """

    outcome: int
    source: int
    slot: int
    template: int
    cpu_s: float
    tickets: Sequence[int]
    make_s: Sequence[float]
    began_s: Sequence[float]
    cross_s: Sequence[float]
    offsets: Sequence[int]
    extra: bytes


def frame(kind: bytes, body: bytes) -> bytes:
    """A frame for a worker."""
    return FRAME.pack(kind, len(body)) + body


def pack_asks(asks: Sequence[Ask], slots: Sequence[int]) -> bytes:
    """Asks, and more slots for answers, as one frame."""
    sources, tickets, passes, indices, seeds, _ = zip(*asks, strict=True)
    counts = len(asks), len(slots)
    return frame(ASKS, COUNTS.pack(*counts) + _columns(*counts).pack(*sources, *tickets, *passes, *indices, *seeds, *slots))


def unpack_asks(body: bytes) -> tuple[list[Ask], Sequence[int]]:
    """The asks and slots of ``pack_asks``, without items."""
    count, slots = COUNTS.unpack_from(body)
    fields = _columns(count, slots).unpack_from(body, COUNTS.size)
    columns = [fields[place:place + count] for place in range(0, 5 * count, count)]
    return new_asks(zip(*columns, repeat(None), strict=False)), fields[5 * count:]


def unpack_items(body: bytes) -> tuple[list[Ask], Sequence[int]]:
    """Asks with the items that came with them (``travel.pack_items``), and slots; a ``Failure`` stands for an item that cannot be had."""
    fields, slots = pickle.loads(body)
    return [ask._replace(item=_unpacked(ask)) for ask in new_asks(fields)], slots


def _unpacked(ask: Ask) -> Any:
    if type(ask.item) is Refused:
        return failure(pickle.loads(ask.item.error))
    try:
        return pickle.loads(ask.item)
    except BaseException as error:
        error.add_note(f"raised while item {ask.index} was unpickled in the worker process")
        return failure(error)


@lru_cache
def _columns(count: int, slots: int) -> struct.Struct:
    return struct.Struct(f"<{count}I{count}Q{count}Q{count}q{count}Q{slots}I")


def pack_record(record: Record) -> bytes:
    """A record for the parent."""
    outcome, source, slot, template, cpu_s, tickets, make_s, began_s, cross_s, offsets, extra = record
    count, places = len(tickets), len(offsets)
    head = HEAD.pack(outcome, source, slot, template, cpu_s, count, places, len(extra))
    return head + struct.pack(f"<{count}Q{3 * count}d{places}Q", *tickets, *make_s, *began_s, *cross_s, *offsets) + extra


class Parser:
    """Cuts the stream of one worker into records."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Record]:
        """Take up bytes and give every record that is whole."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= HEAD.size:
            outcome, source, slot, template, cpu_s, count, places, length = HEAD.unpack_from(buffer, start)
            middle = start + HEAD.size
            end = middle + 8 * (4 * count + places) + length
            if len(buffer) < end:
                break
            numbers = struct.unpack_from(f"<{count}Q{3 * count}d{places}Q", buffer, middle)
            tickets, make_s, began_s, cross_s = [numbers[place:place + count] for place in range(0, 4 * count, count)]
            offsets, extra = numbers[4 * count:], bytes(buffer[end - length:end])
            yield Record(outcome, source, slot, template, cpu_s, tickets, make_s, began_s, cross_s, offsets, extra)
            start = end
        del buffer[:start]
