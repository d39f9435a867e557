"""The bytes on the socket between the parent and a worker.

Parent to worker: a frame is one byte of kind, its length, and a body. Worker to parent: records of a fixed head, then offsets and bytes.

Rules: pure packing and parsing; a record that is not whole yet stays in the buffer, and one cut off by death is never seen.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stoker.feed.messages import Ask

FRAME = struct.Struct("<cQ")
ASK = struct.Struct("<IQQqQI")
HEAD = struct.Struct("<BIQIiddddIQ")
"""Outcome, source, ticket, slot, template, wall and CPU seconds of making, its beginning, seconds of packing, number of offsets, bytes that
follow."""

ASKS, ITEMS, SOURCE, DROP, STOP = b"a", b"i", b"s", b"d", b"x"
VALUE, FAILURE, ENDED = 0, 1, 2
KEPT = 0x80
"""Added to these where the source goes on holding memory of the slot: the batch comes in the record itself, after the template."""


class Record(NamedTuple):
    """A worker's answer as it crosses."""

    outcome: int
    source: int
    ticket: int
    slot: int
    template: int
    make_s: float
    cpu_s: float
    began_s: float
    cross_s: float
    offsets: list[int]
    extra: bytes


def frame(kind: bytes, body: bytes) -> bytes:
    """A frame for a worker."""
    return FRAME.pack(kind, len(body)) + body


def pack_asks(asks: Iterable[tuple[Ask, int]]) -> bytes:
    """Asks with their slots, as one frame."""
    return frame(ASKS, b"".join([ASK.pack(*ask[:5], slot) for ask, slot in asks]))


def unpack_asks(body: bytes) -> list[tuple[Ask, int]]:
    """What ``pack_asks`` put in, without items."""
    return [(Ask(*fields[:5]), fields[5]) for fields in ASK.iter_unpack(body)]


def pack_record(record: Record) -> bytes:
    """A record for the parent."""
    *head, offsets, extra = record
    return HEAD.pack(*head, len(offsets), len(extra)) + struct.pack(f"<{len(offsets)}Q", *offsets) + extra


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
            *head, count, length = HEAD.unpack_from(buffer, start)
            middle = start + HEAD.size
            end = middle + 8 * count + length
            if len(buffer) < end:
                break
            offsets = list(struct.unpack_from(f"<{count}Q", buffer, middle))
            extra = bytes(buffer[middle + 8 * count:end])
            yield Record._make((*head, offsets, extra))
            start = end
        del buffer[:start]
