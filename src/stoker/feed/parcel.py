"""How a batch lies in a slot: its arrays one after the other, its structure as a template that is sent once.

Most batches of a source have the same structure: tuples, lists and dicts of arrays of the same dtypes and shapes. The structure with
shapes and dtypes is a template; a worker sends each template once, and then only its number. What is no such structure (objects,
text) is pickled with protocol 5; its large buffers lie in the slot too.

Rules: ``Packer`` works in the worker, ``Unpacker`` in the parent; neither waits; what comes out of ``Unpacker.arrays`` are views of the
memory that is passed in.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stoker.feed.arena import ALIGNMENT, Arena

IN_BAND_BYTES = 512
"""Buffers of pickled objects that are smaller travel within the pickle."""
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
        self._known: dict[Any, int] = {}
        self._slot = 0
        self._end = 0

    def begin(self, slot: int) -> None:
        """Everything offered and packed from now on goes into this slot."""
        self._slot = slot
        self._end = 0

    def offer(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """Memory for ``stoker.empty``; None where it cannot lie in a slot."""
        if dtype.hasobject:
            return None
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        return np.ndarray(shape, dtype, self._arena.memory, self._reserve(size))

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
            The number of its template, the offset of each array in the slot, and the template itself if it is new (else empty).
            Number -1 with a pickle where the batch is no structure of arrays; the offsets are those of its large buffers, each
            followed by its length.
        """
        arrays: list[NDArray[Any]] = []
        key = _structure(item, arrays)
        if key is None:
            return self._pickled(item)
        number = self._known.get(key)
        told = b""
        if number is None:
            if len(self._known) >= TEMPLATES:
                return self._pickled(item)
            number = len(self._known)
            self._known[key] = number
            told = pickle.dumps(key, 5)
        return number, [self._put(array) for array in arrays], told

    def _put(self, array: NDArray[Any]) -> int:
        """Copy an array into the slot unless it lies there already; its offset in the slot."""
        base = self._slot * self._arena.stride
        if self._end and array.flags.c_contiguous:
            inside = array.__array_interface__["data"][0] - self._start - base
            if 0 <= inside < self._end and inside + array.nbytes <= self._end:
                return int(inside)
        place = self._reserve(array.nbytes)
        np.copyto(np.ndarray(array.shape, array.dtype, self._arena.memory, place), array)
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


Build = Callable[[Any, int, list[int]], Any]


class Unpacker:
    """Builds batches from what one worker put into slots."""

    def __init__(self) -> None:
        self._builders: list[tuple[Build, int]] = []

    def learn(self, template: bytes) -> None:
        """Take up the next template of this worker."""
        sizes: list[int] = []
        build = _builder(pickle.loads(template), sizes)
        self._builders.append((build, sum(sizes)))

    def size_bytes(self, number: int) -> int:
        """How many bytes the arrays of a template have."""
        return self._builders[number][1]

    def arrays(self, number: int, memory: Any, offsets: list[int]) -> Any:
        """The batch as views of ``memory``, which begins where the slot begins."""
        return self._builders[number][0](memory, 0, offsets)

    @staticmethod
    def unpickle(data: bytes, memory: Any, places: list[int]) -> Any:
        """A batch that was pickled; its large buffers are views of ``memory``."""
        pairs = zip(places[::2], places[1::2], strict=True)
        buffers = [np.ndarray((size,), np.uint8, memory, offset) for offset, size in pairs]
        return pickle.loads(data, buffers=buffers)


def _builder(plan: Plan, sizes: list[int]) -> Build:
    """A function that builds what the plan says; ``sizes`` grows by the bytes of each array."""
    if plan == "none":
        return lambda memory, base, offsets: None
    if isinstance(plan[0], np.dtype):
        dtype, shape = plan
        place = len(sizes)
        sizes.append(dtype.itemsize * int(np.prod(shape, dtype=np.int64)))
        return lambda memory, base, offsets: np.ndarray(shape, dtype, memory, base + offsets[place])
    if plan[0] == "d":
        names = plan[1]
        parts = [_builder(part, sizes) for part in plan[2:]]
        return lambda memory, base, offsets: {
            name: part(memory, base, offsets) for name, part in zip(names, parts, strict=True)}
    made = [_builder(part, sizes) for part in plan[1:]]
    if plan[0] == "t":
        return lambda memory, base, offsets: tuple([part(memory, base, offsets) for part in made])
    return lambda memory, base, offsets: [part(memory, base, offsets) for part in made]
