"""Losses of tensors of a model's own graph: ``model.add_loss(tensor)``, and loss functions that use such tensors.

Variational autoencoders were written so: the mean and the variance of the code are tensors of the graph, and the loss a function of them.
Keras 3 computes of a graph only what its outputs need. So such tensors become ends of the graph too: a layer takes each of them and adds
it to the losses, or keeps its value for the loss function of the same step.

Rules: the forward pass is computed once; what does not hang on the model's inputs is an error that says what to write; a loss function
sees the values of the step in the place of the tensors, and is the script's own otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import isfunction, ismethod
from types import CellType, FunctionType
from typing import Any

import keras
from keras.src.ops.function import Function, map_graph  # graphs are mapped under no public name

from stoker.compat.attributes import hide
from stoker.compat.lost import fail
from stoker.compat.patching import wrap

OWN = "loss_"
BEFORE = "_stoker_graph"

REMEDY = "Write a layer that takes the tensors, calls self.add_loss(...) in its call, and stands between the inputs and the outputs."


class End(keras.layers.Layer):
    """Passes its input on."""

    def compute_output_spec(self, x: Any) -> Any:
        """A tensor of the same shape; nothing need be traced to know it."""
        return keras.KerasTensor(x.shape, dtype=x.dtype)


class AddedLoss(End):
    """Adds what it is given to the losses."""

    def call(self, x: Any) -> Any:
        """``x`` itself."""
        self.add_loss(keras.ops.mean(x))
        return x


class Kept(End):
    """Keeps the value of the latest step for the loss function; on compiled steps, of the step that is being traced."""

    def call(self, x: Any) -> Any:
        """``x`` itself."""
        object.__setattr__(self, "_stoker_latest", x)
        return x


def complete() -> None:
    """Let functional models take losses of their own tensors."""
    functional = type(keras.Model(*[keras.Input((1,))] * 2))
    functional.add_loss = _add_loss
    wrap(functional, "get_config", _without_ends)


def _without_ends(original: Callable[..., Any]) -> Callable[..., Any]:
    """A model is saved as it was before, as in Keras 2."""

    def get_config(self: Any) -> Any:
        before = vars(self).get(BEFORE)
        if before is None:
            return original(self)
        now = self._nodes, self._nodes_by_depth, self._operations, self._operations_by_depth
        self._nodes, self._nodes_by_depth, self._operations, self._operations_by_depth = before
        try:
            return original(self)
        finally:
            self._nodes, self._nodes_by_depth, self._operations, self._operations_by_depth = now

    return get_config


def _add_loss(model: Any, loss: Any, inputs: Any = None) -> None:
    for tensor in keras.tree.flatten(loss):
        if not isinstance(tensor, keras.KerasTensor):
            fail("Model.add_loss of what is no tensor of the model", REMEDY)
        _end_with(model, AddedLoss(), tensor)


def _end_with(model: Any, layer: Any, tensor: Any) -> None:
    """Let a functional model's graph end, beside its outputs, in a layer of one of its tensors."""
    ends = [*vars(model).get("_stoker_ends", ()), layer(tensor)]
    hide(model, layer)
    _name_apart(ends[-1])
    try:
        Function(model._inputs, ends)  # looks whether everything hangs together, which mapping does not
        graph = map_graph(model._inputs, [*model._outputs, *ends])
    except ValueError:
        fail(f"a loss of a tensor that does not hang on the inputs of {model.name}", REMEDY)
    object.__setattr__(model, "_stoker_ends", ends)
    if BEFORE not in vars(model):
        object.__setattr__(model, BEFORE, (model._nodes, model._nodes_by_depth, model._operations, model._operations_by_depth))
    model._nodes, model._nodes_by_depth, model._operations, model._operations_by_depth = graph
    model._layers = [operation for operation in model._operations if isinstance(operation, keras.layers.Layer)]


def _name_apart(tensor: Any) -> None:
    """Give the operations behind a tensor names that no layer has: a graph cannot hold a layer ``mean`` and a mean of the same name."""
    operation, node, _ = tensor._keras_history
    if not isinstance(operation, keras.layers.Layer) and not operation.name.startswith(OWN):
        operation.name = f"{OWN}{operation.name}"
    for before in operation._inbound_nodes[node].input_tensors:
        _name_apart(before)


def with_values(loss: Any, model: Any) -> Any:
    """A loss of ``compile``, or a structure of such, in which functions see values for the tensors of the model's graph."""
    if isinstance(loss, dict):
        return {name: with_values(one, model) for name, one in loss.items()}
    if isinstance(loss, list | tuple):
        return [with_values(one, model) for one in loss]
    function, owner = (loss.__func__, loss.__self__) if ismethod(loss) else (loss, None)
    if not isfunction(function) or function.__module__.startswith("keras.") or not hasattr(model, "_operations_by_depth"):
        return loss
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    found = {name: cell.cell_contents for name, cell in cells.items() if _is_symbolic(cell)}
    places = (function.__globals__, getattr(owner, "__dict__", {}))
    found |= {name: place[name] for place in places for name in function.__code__.co_names
              if isinstance(place.get(name), keras.KerasTensor)}
    return _reading(function, owner, {name: _kept(model, tensor) for name, tensor in found.items()}) if found else loss


def _is_symbolic(cell: CellType) -> bool:
    try:
        return isinstance(cell.cell_contents, keras.KerasTensor)
    except ValueError:  # a name that the function around it binds later
        return False


def _kept(model: Any, tensor: Any) -> Kept:
    layer = Kept()
    _end_with(model, layer, tensor)
    return layer


def _reading(loss: Any, owner: Any, layers: dict[str, Kept]) -> Callable[[Any, Any], Any]:
    def read(y_true: Any, y_pred: Any) -> Any:
        values = {name: vars(layer)["_stoker_latest"] for name, layer in layers.items()}
        cells = tuple(CellType(values[name]) if name in values else cell
                      for name, cell in zip(loss.__code__.co_freevars, loss.__closure__ or (), strict=True))
        function = FunctionType(loss.__code__, {**loss.__globals__, **values}, loss.__name__, loss.__defaults__, cells)
        function.__kwdefaults__ = loss.__kwdefaults__
        if owner is None:
            return function(y_true, y_pred)
        with _attributes(owner, values):
            return function(owner, y_true, y_pred)

    read.__name__ = loss.__name__
    read.__module__ = loss.__module__
    return read


@contextmanager
def _attributes(owner: Any, values: dict[str, Any]) -> Iterator[None]:
    """For the time of a call, let an object's attributes that are tensors of a graph be the values of them."""
    mine = vars(owner)
    before = {name: mine[name] for name in values if isinstance(mine.get(name), keras.KerasTensor)}
    mine.update({name: values[name] for name in before})
    try:
        yield
    finally:
        mine.update(before)
