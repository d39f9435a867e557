"""Reads the batches of one call: form, match with the model, casts and class weights, at a few microseconds a batch.

What was decided for a batch holds for every batch of the same structure, shapes and dtypes; it is kept under that key and found
again without any check.

Rules: one reader for one model and one phase; used from one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stoker.batch.form import Batch, common_length, split, split_for_predict, to_arrays
from stoker.batch.spec import (
    WEIGHTS,
    ModelSpec,
    Port,
    Ports,
    arrange,
    check_input,
    check_target,
    check_unknown_input,
    input_cast,
    target_cast,
    weight_shape,
)
from stoker.batch.tree import map_leaves
from stoker.batch.weights import ClassWeights
from stoker.errors import BatchError

KNOWN_LIMIT = 256
"""Structures remembered at once. Text batches padded to their own length may bring a new one each time."""

Build = Callable[[Sequence[NDArray[Any]]], Any]
AsLeaf = Callable[[Any, str, Any], Build]
_new_batch: Callable[[tuple[Any, ...]], Batch] = partial(tuple.__new__, Batch)
Settle = Callable[[Batch], tuple[ModelSpec, ClassWeights | None]]


class BatchReader:
    """Makes batches of what a source yields, in the form that the model takes.

    Args:
        spec: what the model takes.
        class_weights: weights to multiply with, or None.
        what: how messages name a batch.
        predict: read for predict.
        settle: called once with the first batch, as far as it can be read without knowing the model; says what is known then. The batch is
            read again.
        origin: where the batch of a number comes from, in words; empty where the number says it.
    """

    def __init__(
        self, spec: ModelSpec, class_weights: ClassWeights | None = None, *, what: str = "batch", predict: bool = False,
        settle: Settle | None = None, origin: Callable[[int], str] = lambda index: "",
    ) -> None:
        self._spec = spec
        self._class_weights = class_weights
        self._what = what
        self._predict = predict
        self._settle = settle
        self._origin = origin
        self._known: dict[Any, tuple[Build, int]] = {}
        self._latest: tuple[list[tuple[np.dtype[Any], tuple[int, ...]]], tuple[Build, int]] | None = None
        """Dtypes and shapes of the latest item, if it was a tuple of arrays, and what is known of it."""

    def place(self, index: int) -> str:
        """A batch by its number, for messages."""
        origin = self._origin(index)
        return f"{self._what} {index} ({origin})" if origin else f"{self._what} {index}"

    def read(self, item: Any, index: int) -> Batch:
        """Read one item.

        Args:
            item: what the source yielded.
            index: the number of the batch in its epoch, for messages.

        Returns:
            The batch as the model takes it.

        Raises:
            BatchError: the item's form, lengths, names, shapes or dtypes are wrong.
        """
        latest = self._latest
        form: tuple[Build, int] | None
        if latest is not None and _is_like(item, latest[0]):
            found = item
            build, size = form = latest[1]
        else:
            found, (build, size), form = self._find(item, index)
        inputs, targets, weights = build(found)
        if self._class_weights is not None:
            weights = self._class_weights.apply(targets, weights, self._spec, self.place(index))
        return _new_batch((inputs, targets, weights, size, form))

    def _find(self, item: Any, index: int) -> tuple[list[NDArray[Any]], tuple[Build, int], tuple[Build, int] | None]:
        """The arrays of an item, what is known of its like, and the form of its batch."""
        found: list[NDArray[Any]] = []
        key = _scan(item, found)
        known = self._known.get(key) if key is not None else None
        if known is None:
            found, known = self._learn(item, key, self.place(index))
        form = known if key is not None else None
        is_flat = form is not None and type(item) is tuple and all(type(part) is np.ndarray for part in item)
        self._latest = ([(array.dtype, array.shape) for array in found], known) if is_flat else None
        return found, known, form

    def _learn(self, item: Any, key: Any, where: str) -> tuple[list[NDArray[Any]], tuple[Build, int]]:
        """Check an item in full, and remember what is to be done with its like."""
        parts = split_for_predict(item, where) if self._predict else split(item, where)
        names = ("inputs", "targets", WEIGHTS)
        inputs, targets, weights = (to_arrays(part, name, where) for part, name in zip(parts, names, strict=True))
        size = common_length(inputs, targets, weights, where)
        found: list[NDArray[Any]] = []
        numbered = [_numbered(part, found) for part in (inputs, targets, weights)]
        build = self._compile(numbered[0], numbered[1], numbered[2], where)
        if self._settle is not None:
            settle, self._settle = self._settle, None
            inputs, targets, weights = build(found)
            self._spec, self._class_weights = settle(Batch(inputs, targets, weights, size))
            build = self._compile(numbered[0], numbered[1], numbered[2], where)
        known = (build, size)
        if key is not None and self._is_as_scanned(item, found):
            if len(self._known) >= KNOWN_LIMIT:
                self._known.clear()
            self._known[key] = known
        return found, known

    @staticmethod
    def _is_as_scanned(item: Any, found: list[NDArray[Any]]) -> bool:
        """Whether the arrays of the item itself are those of the batch, in the same order (predict ignores later ones)."""
        scanned: list[NDArray[Any]] = []
        _scan(item, scanned)
        return len(scanned) >= len(found) and all(mine is theirs for mine, theirs in zip(scanned, found, strict=False))

    def _compile(self, inputs: Any, targets: Any, weights: Any, where: str) -> Build:
        spec = self._spec
        if targets is None and spec.has_loss and not self._predict:
            raise BatchError("a batch has no targets", got="None", expected="targets for the model's loss", where=where,
                             remedy="Yield (inputs, targets).")

        def as_input(port: Port | None, path: str, leaf: _Numbered) -> Build:
            if port is not None:
                check_input(port, path, leaf.array, where)
            else:
                check_unknown_input(spec, path, leaf.array, where)
            return leaf.build(input_cast(leaf.array.dtype, spec.floatx))

        def as_target(port: Port | None, path: str, leaf: _Numbered) -> Build:
            port = port or spec.any_output
            if port is not None:
                check_target(port, path, leaf.array, where)
            return leaf.build(target_cast(port, leaf.array.dtype, spec.has_loss, spec.floatx))

        def as_weight(port: Port | None, path: str, leaf: _Numbered) -> Build:
            shape = None if port is None else weight_shape(port, path, leaf.array, where)
            return leaf.build(None if leaf.array.dtype == spec.floatx else spec.floatx, shape)

        outputs = spec.outputs
        single_weight = isinstance(weights, _Numbered) and outputs is not None and outputs.form != "single"
        return _triple(
            _part(inputs, spec.inputs, "inputs", where, as_input),
            _part(targets, outputs, "targets", where, as_target),
            _part(weights, None if single_weight else outputs, WEIGHTS, where, as_weight))


def _is_like(item: Any, leaves: list[tuple[np.dtype[Any], tuple[int, ...]]]) -> bool:
    """Whether an item is a tuple of arrays of these dtypes and shapes: in a fifth of the time that ``_scan`` takes."""
    if type(item) is not tuple or len(item) != len(leaves):
        return False
    for place, (dtype, shape) in enumerate(leaves):  # ``zip(strict=True)`` takes as long as all the rest of this
        part = item[place]
        if type(part) is not np.ndarray or part.shape != shape or (part.dtype is not dtype and part.dtype != dtype):
            return False
    return True


def _scan(part: Any, found: list[NDArray[Any]]) -> Any:
    """Structure, shapes and dtypes as a key, and the arrays in order; None where something is no array."""
    kind = type(part)
    if kind is np.ndarray:
        found.append(part)
        return (part.dtype, part.shape) if part.dtype.kind != "O" else None
    if part is None:
        return False
    if kind is tuple or kind is list:
        keys = [_scan(value, found) for value in part]
        return None if None in keys else (kind, *keys)
    if kind is dict:
        keys = [_scan(value, found) for value in part.values()]
        return None if None in keys else (*part, *keys)
    return None


@dataclass(frozen=True, slots=True, eq=False)
class _Numbered:
    """An array and its place in the order in which the arrays of a batch are found."""

    number: int
    array: NDArray[Any]

    def build(self, cast: str | None, shape: tuple[int, ...] | None = None) -> Build:
        """How the array is had from all that were found, in another dtype and shape if need be."""
        number = self.number
        if shape is not None:
            return lambda found: found[number].astype(cast or found[number].dtype).reshape(shape)
        if cast is None:
            return itemgetter(number)
        return lambda found: found[number].astype(cast)


def _numbered(part: Any, found: list[NDArray[Any]]) -> Any:
    """The same structure with numbered arrays; the arrays are appended to ``found``."""

    def number(array: NDArray[Any]) -> _Numbered:
        found.append(array)
        return _Numbered(len(found) - 1, array)

    return map_leaves(number, part)


def _part(part: Any, ports: Ports | None, path: str, where: str, leaf: AsLeaf) -> Build | None:
    """How one part of a batch is built from the arrays that were found."""
    matched = arrange(part, ports, path, where)
    if matched is None:
        return _as_it_is(part, path, leaf)
    assert ports is not None
    nested = [place for _, place, array in matched if array is not None and not isinstance(array, _Numbered)]
    if nested:
        raise BatchError("an array was expected", got="a list or dict of arrays", expected="one array",
                         where=f"{nested[0]}, {where}", remedy="Yield one array for each input and output.")
    builds = [None if array is None else leaf(port, place, array) for port, place, array in matched]
    if ports.form == "single":
        return builds[0]
    if ports.form == "dict":
        return _mapping({port.key: build for port, build in zip(ports.ports, builds, strict=True)})
    return _listing(builds, list)


def _as_it_is(part: Any, path: str, leaf: AsLeaf) -> Build | None:
    if part is None:
        return None
    if isinstance(part, dict):
        return _mapping({key: _as_it_is(value, f"{path}[{key!r}]", leaf) for key, value in part.items()})
    if isinstance(part, tuple | list):
        return _listing([_as_it_is(value, f"{path}[{n}]", leaf) for n, value in enumerate(part)], type(part))
    return leaf(None, path, part)


def _mapping(builds: dict[Any, Build | None]) -> Build:
    return lambda found: {key: build and build(found) for key, build in builds.items()}


def _listing(builds: list[Build | None], kind: Callable[[Any], Any]) -> Build:
    return lambda found: kind([build and build(found) for build in builds])


def _triple(inputs: Build | None, targets: Build | None, weights: Build | None) -> Build:
    assert inputs is not None
    if targets is not None and weights is None:
        return lambda found: (inputs(found), targets(found), None)
    return lambda found: (inputs(found), targets and targets(found), weights and weights(found))
