"""Whole arrays as an indexed source: rows are cut, and shuffled, into batches.

Rules: arrays are anything numpy can index by rows, alone or nested in tuples, lists and dicts; a batch is made of fresh arrays or of
views of rows that nobody changes; the order of the rows is a function of (seed, pass).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stoker.errors import SourceError
from stoker.source.order import order
from stoker.source.protocol import Kind


class ArraySource:
    """Arrays cut into batches of rows.

    Args:
        parts: ``(x,)``, ``(x, y)`` or ``(x, y, weights)``; each an array of shape ``(samples, ...)`` or a tuple, list or dict of such;
            parts may be None.
        batch_size: rows in a batch; the last batch of a pass may be smaller.
        shuffle: permute the rows anew for each pass.
        seed: makes the order of the rows reproducible.

    Raises:
        SourceError: no rows, or parts of different lengths.
    """

    kind: Kind = "indexed"
    single_owner = False
    has_pass_end = False
    stoker_source = True

    def __init__(self, parts: tuple[Any, ...], batch_size: int, *, shuffle: bool = False, seed: int = 0) -> None:
        self.original = self
        self.label = "arrays"
        self.parts = tuple(_as_arrays(part) for part in parts)
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed
        self.samples = _common_length(self.parts)
        self._rows: tuple[int, NDArray[np.int64]] | None = None

    def length(self) -> int:
        """Batches in a pass."""
        return math.ceil(self.samples / self._batch_size)

    def get(self, pass_number: int, index: int, item: Any = None) -> Any:
        """The rows of batch ``index``, in the form of ``parts``."""
        start = index * self._batch_size
        stop = min(start + self._batch_size, self.samples)
        rows: slice | NDArray[np.int64] = slice(start, stop)
        if self._shuffle:
            rows = self._order(pass_number)[start:stop]
        return tuple(_take(part, rows) for part in self.parts)

    def end_pass(self) -> None:
        """Nothing to tell."""

    def _order(self, pass_number: int) -> NDArray[np.int64]:
        """The rows in the order of a pass; two threads that make it at once make the same."""
        known = self._rows
        if known is None or known[0] != pass_number:
            known = (pass_number, order(self._seed, pass_number, self.samples, True))
            self._rows = known
        return known[1]


def _as_arrays(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _as_arrays(value) for key, value in part.items()}
    if isinstance(part, tuple) or (isinstance(part, list) and any(hasattr(one, "__array__") and np.ndim(one) for one in part)):
        return tuple(_as_arrays(value) for value in part)
    return None if part is None else np.asarray(part)


def _leaves(part: Any, path: str) -> list[tuple[str, NDArray[Any]]]:
    if isinstance(part, dict):
        return [leaf for key, value in part.items() for leaf in _leaves(value, f"{path}[{key!r}]")]
    if isinstance(part, tuple):
        return [leaf for number, value in enumerate(part) for leaf in _leaves(value, f"{path}[{number}]")]
    return [] if part is None else [(path, part)]


def _common_length(parts: tuple[Any, ...]) -> int:
    names = ("x", "y", "sample_weight")
    leaves = [leaf for name, part in zip(names, parts, strict=False) for leaf in _leaves(part, name)]
    lengths = {path: (len(array) if array.ndim else 0) for path, array in leaves}
    if len(set(lengths.values())) > 1:
        raise SourceError(
            "arrays of different lengths", got=", ".join(f"{path}: {n}" for path, n in lengths.items()),
            expected="the same number of rows in each", remedy="Cut them to the same rows.")
    samples = next(iter(lengths.values()), 0)
    if not samples:
        raise SourceError(
            "the arrays have no rows", got="length 0", expected="at least one row", remedy="Check that the data was loaded.")
    return samples


def _take(part: Any, rows: slice | NDArray[np.int64]) -> Any:
    if isinstance(part, dict):
        return {key: _take(value, rows) for key, value in part.items()}
    if isinstance(part, tuple):
        return tuple(_take(value, rows) for value in part)
    return None if part is None else part[rows]
