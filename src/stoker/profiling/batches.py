"""What the batches of a source look like, over all that were drawn.

Rules: keeps shapes, sizes and fingerprints, never a batch.
"""

from __future__ import annotations

import hashlib
import statistics
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stoker.batch.form import Batch, to_batch
from stoker.batch.tree import leaves
from stoker.errors import BatchError
from stoker.profiling.record import Form, Leaf

SAMPLED_BYTES = 1 << 16
"""Larger arrays are known by so many bytes from all over them."""
TEXT = {"U": "text", "S": "bytes"}
"""Their dtypes hold the length of the longest, which is another in each batch and means nothing."""


class Shapes:
    """Gathers what batches hold."""

    def __init__(self) -> None:
        self._text = ""
        self._seen: dict[str, tuple[set[str], set[tuple[int, ...]]]] = {}
        self._bytes: list[tuple[int, int]] = []

    def add(self, item: Any, index: int) -> bytes:
        """Take up one item.

        Returns:
            A fingerprint: items that hold the same have the same.

        Raises:
            BatchError: it is no batch.
        """
        text, batch = read(item, f"index {index}")
        found = arrays(batch)
        self._text = self._text or text
        for path, array in found:
            dtypes, shapes = self._seen.setdefault(path, (set(), set()))
            dtypes.add(TEXT.get(array.dtype.kind) or str(array.dtype))
            shapes.add(array.shape)
        self._bytes.append((sum(array.nbytes for _, array in found), index))
        return fingerprint(found)

    def form(self) -> Form | None:
        """What all of them hold; None before the first."""
        if not self._bytes:
            return None
        worst, index = max(self._bytes, key=lambda pair: pair[0])
        median = int(statistics.median(size for size, _ in self._bytes))
        made = tuple(Leaf(path, tuple(sorted(dtypes)), _span(shapes)) for path, (dtypes, shapes) in self._seen.items())
        return Form(self._text, made, median, worst, index)


def _span(shapes: set[tuple[int, ...]]) -> tuple[tuple[int, int], ...] | None:
    if len({len(shape) for shape in shapes}) > 1:
        return None
    return tuple((min(axis), max(axis)) for axis in zip(*shapes, strict=True))


def read(item: Any, where: str) -> tuple[str, Batch]:
    """An item as a batch for training, or else for predict, and what its form is called.

    Raises:
        BatchError: it is neither.
    """
    try:
        batch = to_batch(item, where)
    except BatchError:
        if isinstance(item, tuple | list | str | bytes) and not (isinstance(item, tuple) and len(item) == 1):
            raise
        return "inputs (for predict; fit needs targets too)", to_batch(item, where, predict=True)
    return "(inputs, targets)" if batch.weights is None else "(inputs, targets, sample_weights)", batch


def arrays(batch: Batch) -> list[tuple[str, NDArray[Any]]]:
    """The arrays of a batch with their paths."""
    return [*leaves(batch.inputs, "inputs"), *leaves(batch.targets, "targets"), *leaves(batch.weights, "sample_weights")]


def fingerprint(found: list[tuple[str, NDArray[Any]]], most_bytes: int = SAMPLED_BYTES) -> bytes:
    """A digest of arrays, by their bytes: NaN is like NaN.

    Args:
        found: arrays with their paths.
        most_bytes: of larger arrays only so much is looked at.
    """
    made = hashlib.blake2b(digest_size=16)
    for path, array in found:
        made.update(f"{path}{array.dtype}{array.shape}".encode())
        if array.dtype.hasobject:
            made.update(repr(array.tolist()).encode())
            continue
        step = max(1, array.nbytes // most_bytes)
        made.update(np.ascontiguousarray(array.reshape(-1)[::step]).tobytes())
    return made.digest()


def digest(item: Any) -> bytes:
    """A digest of all that an item holds, whether it is a batch or not."""
    try:
        found = arrays(read(item, "")[1])
    except BatchError:
        found = [(path, np.asarray(leaf, dtype=None if hasattr(leaf, "dtype") else object)) for path, leaf in leaves(item)]
    return fingerprint(found, 1 << 62)
