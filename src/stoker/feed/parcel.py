"""How a batch lies in a slot: its arrays one after the other, its structure as a template that is sent once.

Most batches of a source have the same structure: tuples, lists and dicts of arrays of the same dtypes and shapes. The structure with
shapes and dtypes is a template; a worker sends each template once, and then only its number. What is no such structure (objects,
text) is pickled with protocol 5; its large buffers lie in the slot too.

Where the source built nothing in the slot itself, the arrays lie where the template says (``places``), and no offsets are sent.

Rules: ``Packer`` works in the worker, ``Unpacker`` in the parent; neither waits; what comes out of ``Unpacker.arrays`` are views of the
memory that is passed in.
"""

from __future__ import annotations

import gc
import itertools
import math
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stoker.feed.arena import ALIGNMENT, Arena

IN_BAND_BYTES = 512
"""Buffers of pickled objects that are smaller travel within the pickle."""
SMALL_ARRAY_BYTES = 8192
"""Up to this size going through a bytes object is quicker than making a view to copy into."""
MOST_ALARMS = 3
"""So often memory that was offered may be let go only by collecting garbage, which takes longer than a copy."""
TEMPLATES = 4096
"""Templates a worker tells; batches of ever new shapes are pickled after that."""

Plan = Any
"""A template: nested tuples ('t' | 'l' | 'd', ...) with leaves (dtype, shape, offset) or None."""


class Packer:
    """Puts batches into slots, in a worker.

    Args:
        arena: the slots.
    """

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._start = arena.memory.__array_interface__["data"][0]
        self._known: dict[Any, tuple[int, list[int], int]] = {}
        """Number of a template, places of its arrays, and their end."""
        self._slot = 0
        self._end = 0
        self._thread = threading.get_ident()
        self._offered: list[weakref.ref[NDArray[Any]]] = []
        self._alarms = 0
        self._may_offer = True

    def begin(self, slot: int) -> None:
        """Everything offered and packed from now on goes into this slot."""
        self._slot = slot
        self._end = 0
        self._offered.clear()

    def offer(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """Memory for ``stoker.empty``; None where it cannot lie in a slot, and on other threads than the one that makes the batch."""
        if dtype.hasobject or not self._may_offer or threading.get_ident() != self._thread:
            return None
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        array: NDArray[Any] = np.ndarray(shape, dtype, self._arena.memory, self._reserve(size))
        self._offered.append(weakref.ref(array))
        return array

    def is_kept(self) -> bool:
        """Whether the source still holds what it was offered for a batch that has been packed and let go.

        It may write there again, and so the slot must not be used for anything else. Nothing is offered from then on.
        """
        if not self._has_survivor():
            return False
        gc.collect()
        self._alarms += 1
        is_kept = self._has_survivor()
        self._may_offer = not is_kept and self._alarms < MOST_ALARMS
        return is_kept

    def _has_survivor(self) -> bool:
        return any(offered() is not None for offered in self._offered)

    def contents(self) -> bytes:
        """A copy of all that lies in the slot."""
        start = self._slot * self._arena.stride
        return bytes(self._arena.bytes[start:start + self._end])

    def _reserve(self, size_bytes: int) -> int:
        """Take room in the slot; its place in the arena."""
        start = self._end
        end = start + size_bytes
        self._arena.take(self._slot, end)
        self._end = -(-end // ALIGNMENT) * ALIGNMENT
        return self._slot * self._arena.stride + start

    def pack(self, item: Any) -> tuple[int, list[int], bytes]:
        """Put a batch into the slot.

        Returns:
            The number of its template, the offset of each array in the slot (none where they lie at their places), and the template
            itself if it is new (else empty). Number -1 with a pickle where the batch is no structure of arrays; the offsets are those of
            its large buffers, each followed by its length.
        """
        arrays: list[NDArray[Any]] = []
        key = _structure(item, arrays)
        if key is None:
            return self._pickled(item)
        known = self._known.get(key)
        told = b""
        if known is None:
            if len(self._known) >= TEMPLATES:
                return self._pickled(item)
            known = (len(self._known), *places(key))
            told = pickle.dumps(key, 5)
        number, offsets, end = known
        found: list[int] = []
        if self._end:  # the source built in the slot: what it built lies there already
            found = [self._put(array) for array in arrays]
        else:
            self._arena.take(self._slot, end)
            start = self._slot * self._arena.stride
            for offset, array in zip(offsets, arrays, strict=True):
                self._copy(array, start + offset)
        self._known[key] = known  # only now: a template counts once the parent will hear of it, and there may have been no memory
        return number, found, told

    def _copy(self, array: NDArray[Any], place: int) -> None:
        """Copy an array into the arena."""
        if array.nbytes > SMALL_ARRAY_BYTES:
            np.copyto(np.ndarray(array.shape, array.dtype, self._arena.memory, place), array)
        else:
            self._arena.bytes[place:place + array.nbytes] = array.tobytes()

    def _put(self, array: NDArray[Any]) -> int:
        """Copy an array into the slot unless it lies there already; its offset in the slot."""
        base = self._slot * self._arena.stride
        if self._end and array.flags.c_contiguous:
            inside = array.__array_interface__["data"][0] - self._start - base
            if 0 <= inside < self._end and inside + array.nbytes <= self._end:
                return int(inside)
        place = self._reserve(array.nbytes)
        self._copy(array, place)
        return place - base

    def _pickled(self, item: Any) -> tuple[int, list[int], bytes]:
        offsets: list[int] = []

        def keep(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < IN_BAND_BYTES:
                return True
            offsets.extend((self._put(np.frombuffer(raw, np.uint8)), raw.nbytes))
            return False

        return -1, offsets, pickle.dumps(item, 5, buffer_callback=keep)


def _structure(item: Any, arrays: list[NDArray[Any]]) -> Any:
    """The structure of an item as a hashable key, and its arrays in order; None where it holds anything else."""
    kind = type(item)
    if kind is np.ndarray:
        if item.dtype.hasobject:
            return None
        arrays.append(item)
        return (item.dtype, item.shape)
    if item is None:
        return "none"
    if kind is tuple or kind is list:
        keys = [_structure(part, arrays) for part in item]
        return None if None in keys else ("t" if kind is tuple else "l", *keys)
    if kind is dict:
        keys = [_structure(part, arrays) for part in item.values()]
        plain = all(type(name) in (str, int) for name in item)
        return None if None in keys or not plain else ("d", tuple(item), *keys)
    return None


def places(plan: Plan) -> tuple[list[int], int]:
    """Where the arrays of a template lie in a slot, one after the other, and where the last one ends, in bytes."""
    offsets: list[int] = []
    end = 0
    for size in _sizes(plan):
        offsets.append(-(-end // ALIGNMENT) * ALIGNMENT)
        end = offsets[-1] + size
    return offsets, end


def _sizes(plan: Plan) -> list[int]:
    """The bytes of each array of a template, in order."""
    if plan == "none":
        return []
    if isinstance(plan[0], np.dtype):
        dtype, shape = plan
        return [dtype.itemsize * math.prod(shape)]
    return [size for part in plan[2 if plan[0] == "d" else 1:] for size in _sizes(part)]


Build = Callable[[Any, list[int]], Any]


class Unpacker:
    """Builds batches from what one worker put into slots."""

    def __init__(self) -> None:
        self._known: list[tuple[Build, int, list[int], int]] = []
        """How to build a template, the bytes of its arrays, their places and their end."""

    def learn(self, template: bytes) -> None:
        """Take up the next template of this worker."""
        plan = pickle.loads(template)
        self._known.append((_builder(plan, itertools.count()), sum(_sizes(plan)), *places(plan)))

    def size_bytes(self, number: int) -> int:
        """How many bytes the arrays of a template have."""
        return self._known[number][1]

    def end(self, number: int) -> int:
        """How far the arrays of a template reach into the slot, in bytes, if they lie at their places."""
        return self._known[number][3]

    def arrays(self, number: int, memory: Any, offsets: list[int]) -> Any:
        """The batch as views of ``memory``, which begins where the slot begins; without offsets its arrays lie at their places."""
        build, _, fixed, _ = self._known[number]
        return build(memory, offsets or fixed)

    @staticmethod
    def unpickle(data: bytes, memory: Any, places: list[int]) -> Any:
        """A batch that was pickled; its large buffers are views of ``memory``."""
        pairs = zip(places[::2], places[1::2], strict=True)
        buffers = [np.ndarray((size,), np.uint8, memory, offset) for offset, size in pairs]
        return pickle.loads(data, buffers=buffers)


def _builder(plan: Plan, numbers: Iterator[int]) -> Build:
    """A function that builds what the plan says; ``numbers`` counts its arrays."""
    if plan == "none":
        return lambda memory, offsets: None
    if isinstance(plan[0], np.dtype):
        dtype, shape = plan
        place = next(numbers)
        return lambda memory, offsets: np.ndarray(shape, dtype, memory, offsets[place])
    if plan[0] == "d":
        names = plan[1]
        parts = [_builder(part, numbers) for part in plan[2:]]
        return lambda memory, offsets: {name: part(memory, offsets) for name, part in zip(names, parts, strict=True)}
    made = [_builder(part, numbers) for part in plan[1:]]
    if plan[0] == "t":
        return lambda memory, offsets: tuple([part(memory, offsets) for part in made])
    return lambda memory, offsets: [part(memory, offsets) for part in made]
