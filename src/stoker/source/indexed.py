"""Sources that make any batch by its index: ``Sequence`` and everything with ``__len__`` and ``__getitem__``.

Rules: duck-typed; a subclass need not call ``super().__init__()``; the length is asked anew for each pass.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np

from stoker.errors import SourceError, SourceStopped
from stoker.source.protocol import Kind
from stoker.source.stream import tells_state


class Sequence:
    """Base for sources that make any batch by its index.

    Override ``__len__`` (batches in a pass) and ``__getitem__`` (one batch: ``(inputs, targets)`` or
    ``(inputs, targets, sample_weights)``); ``on_epoch_end`` runs after each pass, in the caller's process, before the first
    item of the next pass is made. ``__getitem__`` may run on several threads or processes at once.
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__: the number of batches in a pass")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__: the batch at an index")

    def on_epoch_end(self) -> None:
        """Called once after each pass."""

    def __iter__(self) -> Iterator[Any]:
        """One pass, in order."""
        return (self[index] for index in range(len(self)))


class IndexedSource:
    """A source whose batches are made by index, in any order, by any number of workers."""

    kind: Kind = "indexed"
    single_owner = False

    def __init__(self, original: Any, label: str) -> None:
        self.original = original
        self.label = label
        self._passes = 0
        """How many passes have ended: in the caller's process, which workers need not hear of."""
        self._states: deque[tuple[int, Any]] = deque(maxlen=0)
        """The own states that the source had in passes that have ended, while the last items of these may still wait."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_passes": 0, "_states": deque(maxlen=0)}

    @property
    def has_pass_end(self) -> bool:
        """Whether anything is to be done between passes: ``on_epoch_end``, or what Keras's data sets do when a pass begins."""
        return self.has_end or self.has_beginning

    @property
    def tells_state(self) -> bool:
        """Whether the user's object has a state of its own."""
        return tells_state(self.original)

    @property
    def takes_state(self) -> bool:
        """Whether ``go_to`` brings the source to a pass by what ``state_before`` gave."""
        return self.tells_state

    def take_up(self, pass_number: int) -> bool:
        """A training goes on with this pass: whether anything has changed of which workers have to know."""
        return False

    @property
    def has_end(self) -> bool:
        """Whether there is an ``on_epoch_end``, after which the user's object may be another."""
        method = getattr(self.original, "on_epoch_end", None)
        return method is not None and not _does_nothing(method)

    @property
    def has_beginning(self) -> bool:
        """Whether the user's object wants to hear that a pass begins (``on_epoch_begin``)."""
        return is_py_dataset(self.original) and not _does_nothing(self.original.on_epoch_begin)

    def length(self) -> int:
        """Batches in a pass, asked anew; what ``__len__`` itself raises is the user's own, and stays as it is."""
        has_length = getattr(type(self.original), "__len__", None) is not None
        given = type(self.original).__len__(self.original) if has_length else self.original.num_batches
        length = int(given) if isinstance(given, int | np.integer) else -1
        if not 0 <= length <= sys.maxsize:
            raise SourceError(
                "the source's __len__ gives no length", got=f"{type(given).__name__} {given!r}"[:80], expected="a whole number above 0",
                where=self.label, remedy="Return the number of batches in a pass, such as math.ceil(samples / batch_size).")
        if length == 0:
            raise SourceError(
                "the source is empty", got="length 0", expected="at least one batch", where=self.label,
                remedy="Check that its data was found, and that a pass has at least one batch.")
        return length

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """The batch at ``index``."""
        try:
            return self.original[index]
        except StopIteration as error:
            raise SourceStopped(
                "__getitem__ raised StopIteration", where=f"{self.label}, index {index}",
                expected="a batch for every index below len()",
                remedy="Let __len__ say how many batches there are; StopIteration has no meaning in __getitem__.") from error

    def prepare(self) -> None:
        """Called once, in the caller's process, before any worker starts."""
        self.begin_pass()

    def remember_states(self, items: int) -> None:
        """Keep the source's own ``state_dict`` of the last so many passes at their ends, if it has such a thing."""
        if self.tells_state:
            self._states = deque(maxlen=items)

    def state_before(self, pass_number: int, index: int) -> Any:
        """The own state of the source in a pass, which is the same for all items of that; None where it has none."""
        if not self.tells_state:
            return None
        ended = [state for number, state in self._states if number == pass_number]
        return ended[0] if ended else deepcopy(self.original.state_dict())

    def go_to(self, pass_number: int, index: int, state: Any) -> None:
        """Bring the source to a pass, by its own ``load_state_dict``."""
        self.original.load_state_dict(deepcopy(state))
        self.begin_at(pass_number, index)

    def begin_at(self, pass_number: int, index: int) -> None:
        """The source is in this pass."""
        self._passes = pass_number

    def end_pass(self) -> None:
        """Call ``on_epoch_end``."""
        if self._states.maxlen:
            self._states.append((self._passes, deepcopy(self.original.state_dict())))
        self._passes += 1
        if self.has_end:
            self.original.on_epoch_end()

    def begin_pass(self) -> None:
        """Call ``on_epoch_begin``, which Keras's data sets have; in the caller's process, before the first item of the pass is made."""
        if self.has_beginning:
            self.original.on_epoch_begin()


def is_py_dataset(original: Any) -> bool:
    """Whether something is a ``keras.utils.PyDataset``; by the name, because Keras may not be there."""
    return any(base.__name__ == "PyDataset" and base.__module__.startswith("keras.") for base in type(original).__mro__)


def _does_nothing(method: Any) -> bool:
    """Whether a method is a mere ``pass``: no name is used, and no more instructions than a return needs."""
    code = getattr(method, "__code__", None)
    return code is not None and not code.co_names and not code.co_freevars and len(code.co_code) <= 6
