"""A light stand-in for ``keras.utils.PyDataset`` (alias ``Sequence``) in worker processes.

A class that stands in the user's script travels by value; only its base is looked up by name in the worker, and importing Keras there would
cost seconds and hundreds of megabytes. The stand-in has the same attributes and none of the machinery.
"""

from __future__ import annotations

from typing import Any


class PyDataset:
    """What a subclass may use of ``keras.utils.PyDataset`` inside ``__getitem__``."""

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self._workers = workers
        self._use_multiprocessing = use_multiprocessing
        self._max_queue_size = max_queue_size

    @property
    def workers(self) -> int:
        """As it was set."""
        return getattr(self, "_workers", 1)

    @property
    def use_multiprocessing(self) -> bool:
        """As it was set."""
        return getattr(self, "_use_multiprocessing", False)

    @property
    def max_queue_size(self) -> int:
        """As it was set."""
        return getattr(self, "_max_queue_size", 10)

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def num_batches(self) -> int:
        """Batches in a pass."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Nothing."""

    def on_epoch_end(self) -> None:
        """Nothing."""


def stand_in() -> type:
    """The class, for the unpickler."""
    return PyDataset
