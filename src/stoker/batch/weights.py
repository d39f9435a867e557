"""Class weights, multiplied with sample weights.

The class of a row is the place of the largest value in the last axis of one-hot targets, or the value of targets of shape
``(batch,)`` or ``(batch, 1)``; labels of sparse losses are read as values in any shape.

Rules: pure and vectorised; made once for a call; a class that the dict lacks is an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stoker.batch.spec import ModelSpec, Port, Ports
from stoker.errors import BatchError, OptionError, warn


class ClassTable:
    """Weights by class for one output.

    Args:
        weights: class number -> weight.
        name: the output's name for messages; empty for the only one.

    Raises:
        OptionError: a key is no whole number, or a weight is no number.
    """

    def __init__(self, weights: Mapping[Any, Any], name: str = "") -> None:
        try:
            pairs = sorted((float(key), float(value)) for key, value in weights.items())
        except (TypeError, ValueError) as error:
            raise OptionError(
                "class_weight has an entry that is no number", got=repr(dict(weights)), expected="{class number: weight}",
                where=f"class_weight[{name!r}]" if name else "", remedy="Key it by class numbers.") from error
        self.given = weights
        self._classes = np.array([key for key, _ in pairs])
        self._weights = np.array([value for _, value in pairs], dtype=np.float32)
        self._is_plain = np.array_equal(self._classes, np.arange(len(pairs)))

    def of(self, targets: NDArray[Any], labels: bool, where: str) -> NDArray[np.float32]:
        """The weight of each row.

        Args:
            targets: array of shape ``(batch, ...)``.
            labels: targets are class numbers in any shape.
            where: the place for messages.

        Returns:
            Array of shape ``(batch, ...)``, without the last axis of the targets where that holds classes.

        Raises:
            BatchError: a class in the targets has no weight.
        """
        classes = class_numbers(targets, labels)
        places = classes if self._is_plain and classes.dtype.kind in "iu" else np.searchsorted(self._classes, classes)
        inside = np.clip(places, 0, len(self._classes) - 1).astype(np.intp, copy=False)
        missing = self._classes[inside] != classes
        if missing.any():
            strange = np.unique(classes[missing])
            raise BatchError(
                "targets hold a class that class_weight lacks", got=", ".join(f"class {value:g}" for value in strange[:5]),
                expected=f"one of {', '.join(f'{value:g}' for value in self._classes)}", where=where,
                remedy=f"Add {strange[0]:g} to class_weight.")
        return np.asarray(self._weights[inside])


def class_numbers(targets: NDArray[Any], labels: bool) -> NDArray[Any]:
    """The class of each row: argmax of one-hot targets, or the value."""
    if targets.ndim >= 2 and targets.shape[-1] == 1:
        return np.asarray(targets[..., 0])
    if targets.ndim >= 2 and not labels:
        return np.asarray(np.argmax(targets, axis=-1))
    return targets


class ClassWeights:
    """Class weights of a call, by output.

    Args:
        tables: a table for the only output under '', or by output name.
    """

    def __init__(self, tables: dict[str, ClassTable]) -> None:
        self._tables = tables

    def apply(self, targets: Any, weights: Any, spec: ModelSpec, where: str) -> Any:
        """Multiply the weights of a batch with those of its classes.

        Args:
            targets: as the model gets them: an array, or a list, tuple or dict of arrays.
            weights: sample weights: None, array of shape ``(batch, ...)``, or the same form as ``targets``.
            spec: what is known of the model.
            where: the place for messages.

        Returns:
            Weights in the form of ``targets``.
        """
        if targets is None:
            raise BatchError("class_weight needs targets", got="None", expected="targets", where=where,
                             remedy="Yield (inputs, targets), or leave class_weight out.")
        ports = spec.outputs
        if not isinstance(targets, tuple | list | dict):
            port = ports.ports[0] if ports else spec.any_output
            table = self._tables.get("") or self._tables.get(port.name if port else "")
            return weights if table is None else _of_one(table, targets, weights, _are_labels(port, targets), f"targets, {where}")
        keys = list(targets) if isinstance(targets, dict) else list(range(len(targets)))
        names = ports.names if ports else [str(key) for key in keys]
        if "" in self._tables and len(keys) > 1:
            raise _which_output(self._tables[""].given, names)
        made = [self._of_output(name, targets[key], _part(weights, key), ports.ports[place] if ports else spec.any_output, where)
                for place, (name, key) in enumerate(zip(names, keys, strict=False))]
        return dict(zip(keys, made, strict=True)) if isinstance(targets, dict) else made

    def _of_output(self, name: str, targets: Any, weights: Any, port: Port | None, where: str) -> Any:
        table = self._tables.get("") or self._tables.get(name)
        if table is not None and targets is not None:
            return _of_one(table, targets, weights, _are_labels(port, targets), f"targets[{name!r}], {where}")
        return np.ones(len(targets), np.float32) if weights is None and targets is not None else weights


def _are_labels(port: Port | None, targets: NDArray[Any]) -> bool:
    """Whether targets are class numbers in any shape: of a sparse loss, or without the axis in which the output has the classes."""
    if port is None:
        return False
    return port.labels or (port.shape is not None and targets.ndim < len(port.shape))


def _part(weights: Any, key: Any) -> Any:
    return weights[key] if isinstance(weights, tuple | list | dict) else weights


def _of_one(table: ClassTable, targets: Any, weights: Any, labels: bool, where: str) -> NDArray[np.float32]:
    made = table.of(targets, labels, where)
    if weights is None:
        return made
    given = np.asarray(weights, dtype=np.float32)
    if given.ndim == made.ndim + 1 and given.shape[-1] == 1:
        given = given[..., 0]
    fewer, more = sorted((made, given), key=lambda array: array.ndim)
    return np.asarray(more * fewer.reshape(fewer.shape + (1,) * (more.ndim - fewer.ndim)), dtype=np.float32)


def read_class_weight(class_weight: Any, outputs: Ports | None) -> ClassWeights | None:
    """Make class weights of what a caller passed.

    Args:
        class_weight: None, a dict class -> weight, or for several outputs a dict name -> such a dict, or a list of such.
        outputs: the model's outputs, where known.

    Returns:
        None where there are none; other things than dicts are ignored with a warning, as Keras 2 ignored them without.

    Raises:
        OptionError: a name that is no output, or an entry that is no number.
    """
    if class_weight is None or (isinstance(class_weight, Mapping) and not class_weight):
        return None
    if isinstance(class_weight, Mapping):
        if any(isinstance(value, Mapping) for value in class_weight.values()):
            return _by_output(class_weight, outputs)
        if outputs is not None and len(outputs.ports) > 1:
            raise _which_output(class_weight, outputs.names)
        return ClassWeights({"": ClassTable(class_weight)})
    if isinstance(class_weight, Sequence) and outputs is not None and all(v is None or isinstance(v, Mapping) for v in class_weight):
        return _by_output(dict(zip(outputs.names, class_weight, strict=False)), outputs)
    warn(
        f"class_weight={class_weight!r} is ignored: it is no dict. Pass a dict {{class number: weight}}.")
    return None


def _which_output(class_weight: Mapping[Any, Any], names: Iterable[str]) -> OptionError:
    return OptionError(
        "class_weight does not say which output it is for", got=repr(dict(class_weight)),
        expected=f"a dict keyed by {', '.join(map(repr, names))}", remedy="Pass {output name: {class: weight}}.")


def _by_output(class_weight: Mapping[Any, Any], outputs: Ports | None) -> ClassWeights:
    known = {key: port.name for port in outputs.ports for key in (port.key, port.name)} if outputs is not None else None
    strange = [name for name in class_weight if known is not None and name not in known]
    if strange:
        raise OptionError(
            "class_weight names no output of the model", got=", ".join(map(repr, strange)),
            expected=", ".join(map(repr, outputs.names if outputs else ())), remedy="Key it by output name.")
    tables = {name: ClassTable(table, str(name)) for name, table in class_weight.items() if table}
    return ClassWeights({known[name] if known is not None else name: table for name, table in tables.items()})
