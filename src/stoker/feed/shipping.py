"""What workers are told of a source, and what of it has changed since they were told.

Rules: a buffer that has not changed is not sent again; blocks of cargo live as long as a source lies in them.
"""

from __future__ import annotations

import pickle
from typing import NamedTuple

import numpy as np

from stoker.errors import NotPicklable
from stoker.feed import wire
from stoker.feed.arena import Cargo
from stoker.feed.travel import pack_source
from stoker.machine import free_bytes
from stoker.source.protocol import Source

MOST_BLOCKS = 8
"""A source that lies in more blocks is sent anew as a whole."""
COMPARED_BYTES = 1 << 20
WEIGHED_BYTES = 64 << 20
"""What is to be copied is compared with the memory that is free from this size on."""


class Place(NamedTuple):
    """Bytes in a block of cargo."""

    block: int
    offset: int
    size: int


class Shipment:
    """One source as workers know it.

    Args:
        key: the key of the source.
        source: the source.

    Raises:
        NotPicklable: the source cannot travel, or there is no memory for the copy of its arrays that workers share.
    """

    def __init__(self, key: int, source: Source) -> None:
        self._key = key
        self._source = source
        self._cargo: dict[int, Cargo] = {}
        self._blocks = 0
        self._pickled = b""
        self._at: Place | None = None
        self._places: list[Place] = []
        self._load(*pack_source(source))

    def _load(self, pickled: bytes, large: list[memoryview]) -> list[int]:
        """Put everything into one new block."""
        block, offsets = self._add([memoryview(pickled), *large])
        self._at = Place(block, 0, len(pickled))
        self._places = [Place(block, offset, part.nbytes) for offset, part in zip(offsets[1:], large, strict=True)]
        self._pickled = pickled
        self._drop_unused()
        return [block]

    def _add(self, parts: list[memoryview]) -> tuple[int, list[int]]:
        """A new block of these parts, and where each lies in it."""
        size = sum(part.nbytes for part in parts)
        room = free_bytes() if size >= WEIGHED_BYTES else None
        if room is not None and size > room:
            raise NotPicklable(
                "there is no memory for the copy of a source that worker processes share", got=f"{size / 1e9:.2g} GB of arrays",
                expected=f"no more than the {room / 1e9:.2g} GB that are free", where=self._source.label,
                remedy="Open the data in each worker when it is first needed (np.load(path, mmap_mode='r')), or use threads.")
        cargo, offsets = Cargo.of(parts)
        self._blocks += 1
        self._cargo[self._blocks] = cargo
        return self._blocks, offsets

    def _drop_unused(self) -> None:
        used = {place.block for place in (self._at, *self._places) if place is not None}
        for block in set(self._cargo) - used:
            self._cargo.pop(block).close()

    def refresh(self) -> list[int] | None:
        """Look at the source again.

        Returns:
            The blocks that are new; None where nothing has changed.
        """
        pickled, large = pack_source(self._source)
        kept = [self._unchanged(number, part) for number, part in enumerate(large)]
        if len(large) == len(self._places) and all(kept) and pickled == self._pickled:
            return None
        if len({place.block for place in kept if place}) + 1 > MOST_BLOCKS:
            return self._load(pickled, large)
        moved = [part for part, place in zip(large, kept, strict=True) if place is None]
        block, offsets = self._add([memoryview(pickled), *moved])
        fresh = iter([Place(block, offset, part.nbytes) for offset, part in zip(offsets[1:], moved, strict=True)])
        self._places = [place or next(fresh) for place in kept]
        self._at = Place(block, 0, len(pickled))
        self._pickled = pickled
        self._drop_unused()
        return [block]

    def _unchanged(self, number: int, part: memoryview) -> Place | None:
        """Where a buffer lies already, if it has not changed."""
        if number >= len(self._places) or self._places[number].size != part.nbytes:
            return None
        place = self._places[number]
        with self._cargo[place.block].map() as mapping:
            before = np.frombuffer(mapping, np.uint8, place.size, place.offset)
            now = np.frombuffer(part, np.uint8)
            steps = range(0, place.size, COMPARED_BYTES)
            same = all(np.array_equal(before[at:at + COMPARED_BYTES], now[at:at + COMPARED_BYTES]) for at in steps)
            del before
        return place if same else None

    def parcel(self, blocks: list[int] | None = None) -> tuple[bytes, list[int]]:
        """A frame that tells a worker of the source, and the file descriptors that go with it.

        Args:
            blocks: those that the worker does not have; None for all.
        """
        new = [(block, self._cargo[block].size_bytes) for block in (blocks or self._cargo)]
        at = self._at
        body = pickle.dumps((self._key, tuple(at or ()), [tuple(place) for place in self._places], new), 5)
        return wire.frame(wire.SOURCE, body), [self._cargo[block].fd for block, _ in new]

    def close(self) -> None:
        """Let go of the cargo."""
        for cargo in self._cargo.values():
            cargo.close()
        self._cargo.clear()
