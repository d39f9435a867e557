"""How a batch lies in a slot: its arrays one after the other, its structure as a template that is sent once.

Most batches of a source have the same structure: tuples, lists and dicts of arrays of the same dtypes and shapes. The structure with
shapes and dtypes is a template (``plan.py``); a worker sends each template once, and then only its number. What is no such structure
(objects, text) is pickled with protocol 5; its large buffers lie in the slot too.

Where the source built nothing in the slot itself, the arrays lie where the template says, and no offsets are sent.

Rules: ``Packer`` works in the worker, ``Unpacker`` in the parent; neither waits; what comes out of ``Unpacker.arrays`` are views of the
memory that is passed in.
"""

from __future__ import annotations

import gc
import math
import pickle
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stoker.feed.arena import ALIGNMENT, Arena
from stoker.feed.plan import LEASED_BYTES, SMALL_ARRAY_BYTES, Arrays, Assemble, Layout, Plan, assembler, gatherer, structure

IN_BAND_BYTES = 512
"""Buffers of pickled objects that are smaller travel within the pickle."""
MOST_ALARMS = 3
"""So often memory that was offered may be let go only by collecting garbage, which takes longer than a copy."""
TEMPLATES = 4096
"""Templates a worker tells; batches of ever new shapes are pickled after that."""


class Form:
    """A template as the worker that tells it knows it.

    Args:
        number: the place of the template among those that were told.
        plan: the template.
    """

    def __init__(self, number: int, plan: Plan) -> None:
        self.number = number
        self.plan = plan
        self.gather = gatherer(plan)
        self.layout = Layout(plan)


class Packer:
    """Puts batches into slots, in a worker.

    Args:
        arena: the slots.
    """

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._start = arena.memory.__array_interface__["data"][0]
        self._known: dict[Plan, Form] = {}
        self._latest: Form | None = None
        self._views: dict[int, tuple[Form, list[NDArray[Any]]]] = {}
        """Of each slot that held a run, the views that the latest was written through."""
        self._slot = 0
        self._end = 0
        self._thread = threading.get_ident()
        self.offered: list[weakref.ref[NDArray[Any]]] = []
        """What the source was given of the slot for the batch that is being made."""
        self._dumps: Callable[..., bytes] = pickle.dumps
        self._alarms = 0
        self._may_offer = True

    def begin(self, slot: int) -> None:
        """Everything offered and packed from now on goes into this slot."""
        self._slot = slot
        self._end = 0
        if self.offered:
            self.offered.clear()

    def offer(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """Memory for ``stoker.empty``; None where it cannot lie in a slot, and on other threads than the one that makes the batch.

        None also where batches travel in runs: to copy a batch to others of its form takes less than a message for each.
        """
        if dtype.hasobject or not self._may_offer or threading.get_ident() != self._thread:
            return None
        size = dtype.itemsize * math.prod(shape)
        if size <= LEASED_BYTES and (self._latest is None or self._latest.layout.room > 1):
            return None
        array: NDArray[Any] = np.ndarray(shape, dtype, self._arena.memory, self._reserve(size))
        self.offered.append(weakref.ref(array))
        return array

    def is_kept(self) -> bool:
        """Whether the source still holds what it was offered for a batch that has been packed and let go.

        It may write there again, and so the slot must not be used for anything else. Nothing is offered from then on.
        """
        if not self.offered or not self._has_survivor():
            return False
        gc.collect()
        self._alarms += 1
        is_kept = self._has_survivor()
        self._may_offer = not is_kept and self._alarms < MOST_ALARMS
        return is_kept

    def _has_survivor(self) -> bool:
        return any(offered() is not None for offered in self.offered)

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

    def form_of(self, item: Any, arrays: Arrays) -> Form | None:
        """The form of a batch and its arrays; None where it is no structure of arrays, or one form too many."""
        if self._latest is not None and self._latest.gather(item, arrays):
            return self._latest
        arrays.clear()
        plan = structure(item, arrays)
        if plan is None:
            return None
        known = self._known.get(plan)
        return Form(len(self._known), plan) if known is None and len(self._known) < TEMPLATES else known

    def told(self, form: Form) -> bytes:
        """Its template if it is new, else nothing.

        A template counts only once the parent will hear of it: this comes after all that may go wrong.
        """
        self._latest = form
        if form.number < len(self._known):
            return b""
        template = pickle.dumps(form.plan, 5)
        self._known[form.plan] = form
        return template

    def begin_run(self, form: Form, slot: int) -> None:
        """Make sure that a slot has memory for a run of batches of one form.

        Raises:
            MemoryError: it cannot be had.
        """
        self._arena.take(slot, form.layout.room * form.layout.stride)

    def add_to_run(self, form: Form, slot: int, place: int, arrays: Arrays) -> None:
        """Copy a batch to its place in a run that lies at the beginning of a slot."""
        layout = form.layout
        if layout.is_joined:
            try:
                data = layout.joined(arrays)
            except TypeError:  # an array that does not lie in one piece
                pass
            else:
                start = slot * self._arena.stride + place * layout.stride
                self._arena.bytes[start:start + len(data)] = data
                return
        for view, array in zip(self._views_of(form, slot), arrays, strict=True):
            view[place] = array

    def _views_of(self, form: Form, slot: int) -> list[NDArray[Any]]:
        """The memory of a run: for each array a view of shape ``(room, ...)``."""
        known = self._views.get(slot)
        if known is None or known[0] is not form:
            start = slot * self._arena.stride
            known = self._views[slot] = form, list(form.layout.columns(self._arena.memory, start, form.layout.room))
        return known[1]

    def pack(self, item: Any) -> tuple[int, list[int], bytes]:
        """Put a batch into the slot.

        Returns:
            The number of its template, the offset of each array in the slot (none where they lie at their places), and the template
            itself if it is new (else empty). Number -1 with a pickle where the batch is no structure of arrays; the offsets are those of
            its large buffers, each followed by its length.
        """
        arrays: Arrays = []
        form = self.form_of(item, arrays)
        if form is None:
            return self._pickled(item)
        found: list[int] = []
        if self._end:  # the source built in the slot: what it built lies there already
            found = [self._put(array) for array in arrays]
        else:
            self.begin_run(form, self._slot)
            self.add_to_run(form, self._slot, 0, arrays)
        return form.number, found, self.told(form)

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
        """A batch as a pickle: by value where it is of a class that only the caller's script has, who gets its own class back."""
        end = self._end
        try:
            return self._dumped(item)
        except (pickle.PicklingError, AttributeError):  # pickle finds no such class; what the batch itself raises is the user's own
            if self._dumps is not pickle.dumps:
                raise
        import cloudpickle

        self._end, self._dumps = end, cloudpickle.dumps
        try:
            return self._dumped(item)
        except Exception:
            self._dumps = pickle.dumps
            raise

    def _dumped(self, item: Any) -> tuple[int, list[int], bytes]:
        offsets: list[int] = []

        def keep(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < IN_BAND_BYTES:
                return True
            offsets.extend((self._put(np.frombuffer(raw, np.uint8)), raw.nbytes))
            return False

        return -1, offsets, self._dumps(item, 5, buffer_callback=keep)


class Unpacker:
    """Builds batches from what one worker put into slots."""

    def __init__(self) -> None:
        self._known: list[tuple[Layout, Assemble]] = []

    def learn(self, template: bytes) -> None:
        """Take up the next template of this worker."""
        plan = pickle.loads(template)
        self._known.append((Layout(plan), assembler(plan)))

    def layout(self, number: int) -> Layout:
        """How the arrays of a template lie in a slot, if they lie at their places."""
        return self._known[number][0]

    def run(self, number: int, memory: Any, count: int) -> list[Any]:
        """Batches that lie one behind another, as views of ``memory``, which begins where the first begins."""
        if count == 1:  # strided views would cost more than they save
            return [self.arrays(number, memory, ())]
        layout, assemble = self._known[number]
        return list(assemble(layout.arrays(memory, count), count))

    def arrays(self, number: int, memory: Any, offsets: Sequence[int]) -> Any:
        """A batch as views of ``memory``, which begins where the slot begins; without offsets its arrays lie at their places."""
        layout, assemble = self._known[number]
        places = zip(layout.leaves, offsets or layout.offsets, strict=True)
        return assemble(iter([[np.ndarray(shape, dtype, memory, place)] for (dtype, shape), place in places]), 1)[0]

    @staticmethod
    def unpickle(data: bytes, memory: Any, places: Sequence[int]) -> Any:
        """A batch that was pickled; its large buffers are views of ``memory``."""
        pairs = zip(places[::2], places[1::2], strict=True)
        buffers = [np.ndarray((size,), np.uint8, memory, offset) for offset, size in pairs]
        return pickle.loads(data, buffers=buffers)
