"""Attributes that layers, models, tensors and optimizers had: ``layer.output_shape``, ``tensor._keras_shape``, ``optimizer.get_weights()``.

Rules: an attribute is computed when it is asked for and can be set over, as any attribute; what a script takes out of ``model.layers`` is
out of it from then on, as in Keras 2, and told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from stoker.compat.kstate import learning_phase
from stoker.compat.kvariables import in_step
from stoker.compat.lost import fail
from stoker.compat.patching import wrap
from stoker.compat.positions import whole
from stoker.compat.tell import Teller

POPPED = "_stoker_popped"


class Computed:
    """An attribute that is computed where the object has none of its own under this name."""

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self._compute = compute

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        return self if owner is None else self._compute(owner)


class Dimension(int):
    """A length that has TensorFlow 1's ``value``."""

    @property
    def value(self) -> int:
        """The length."""
        return int(self)


class Shape(tuple):
    """A shape that has TensorFlow 1's methods."""

    def as_list(self) -> list[int | None]:
        """The lengths as a list."""
        return [None if length is None else int(length) for length in self]

    @property
    def ndims(self) -> int:
        """How many axes."""
        return len(self)


def complete(teller: Teller) -> None:
    """Add the attributes."""
    _complete_layers(teller)
    _complete_tensors()
    _complete_optimizers()
    _complete_models(teller)


def _complete_layers(teller: Teller) -> None:
    layer: Any = keras.layers.Layer
    layer.output_shape = Computed(lambda self: _shape_of(self, "output"))
    layer.input_shape = Computed(lambda self: _shape_of(self, "input"))
    for name in ("input", "output"):
        setattr(layer, f"get_{name}_at", lambda self, node_index, part=name: _alone(_node(self, node_index, part)))
        setattr(layer, f"get_{name}_shape_at", lambda self, node_index, part=name: _shapes(_node(self, node_index, part)))
    wrap(layer, "add_loss", _without_inputs)
    layer.add_update = _add_update(teller)


def _add_update(teller: Teller) -> Callable[..., None]:
    def add_update(self: Any, updates: Any, inputs: Any = None) -> None:
        """Assign what is given as ``(variable, value)`` in a call that trains; all else was done when it was computed."""
        one_or_more = [updates] if isinstance(updates, tuple) and _is_pair(updates) else updates
        pairs = [update for update in one_or_more if _is_pair(update)] if isinstance(one_or_more, list | tuple) else []
        if pairs and not in_step():
            teller.tell("add_update outside of a layer's call", "it does nothing; call it in call(), or assign in a callback.")
        if learning_phase() and self.trainable:
            for variable, value in pairs:
                variable.assign(value)

    return add_update


def _is_pair(update: Any) -> bool:
    return isinstance(update, list | tuple) and len(update) == 2 and isinstance(update[0], keras.Variable)


def _shape_of(layer: Any, part: str) -> Any:
    if not getattr(layer, "_inbound_nodes", None):
        raise AttributeError(f"the layer {layer.name} has not been called, and has no {part}_shape yet")
    return _shapes(_node(layer, 0, part))


def _node(layer: Any, place: int, part: str) -> list[Any]:
    node = layer._inbound_nodes[place]
    return list(node.input_tensors if part == "input" and node.input_tensors else node.output_tensors)


def _alone(tensors: list[Any]) -> Any:
    return tensors if len(tensors) > 1 else tensors[0]


def _shapes(tensors: list[Any]) -> Any:
    return _alone([tuple(tensor.shape) for tensor in tensors])


def _without_inputs(original: Callable[..., Any]) -> Callable[..., Any]:
    def add_loss(self: Any, losses: Any, inputs: Any = None, **options: Any) -> Any:
        if any(isinstance(loss, keras.KerasTensor) for loss in keras.tree.flatten(losses)):
            fail(f"add_loss of a tensor of a graph that {self.name} is not called with",
                 "Call the layer with every tensor that its loss is computed from, and use those that its call gets.")
        return original(self, losses)

    return add_loss


def _complete_tensors() -> None:
    for kind in (keras.KerasTensor, keras.Variable, *_tensor_kinds()):
        for name, value in (("get_shape", lambda self: Shape(None if n is None else Dimension(n) for n in self.shape)),
                            ("_keras_shape", property(lambda self: tuple(self.shape)))):
            if not hasattr(kind, name):
                setattr(kind, name, value)


def _tensor_kinds() -> list[Any]:
    """The framework's own classes of tensors, which can be given attributes."""
    if keras.config.backend() == "torch":
        import torch

        return [torch.Tensor]
    if keras.config.backend() == "jax":
        import jax

        return [jax.core.Tracer, type(jax.numpy.zeros(()))]
    return []


def _complete_optimizers() -> None:
    optimizer: Any = next(kind for kind in keras.optimizers.Optimizer.__mro__ if "apply" in vars(kind))
    optimizer.get_weights = lambda self: [keras.ops.convert_to_numpy(variable) for variable in self.variables]
    optimizer.weights = Computed(lambda self: self.variables)


def _complete_models(teller: Teller) -> None:
    model: Any = keras.Model
    for phase in ("train", "test", "predict"):
        setattr(model, f"_make_{phase}_function", lambda self, phase=phase: getattr(self, f"make_{phase}_function")())
    layer: Any = keras.layers.Layer  # Keras saves what a model has and a plain layer has not
    layer.model = Computed(_itself)
    layer._collected_trainable_weights = Computed(lambda self: self.trainable_weights)
    layer.state_updates = layer.updates = Computed(lambda self: [])
    sequential: Any = keras.Sequential
    for name in ("input", "output"):
        there = getattr(sequential, name)
        setattr(sequential, name, property(_of_graph(name, there.fget), doc=there.__doc__))
    for kind in {keras.Model, keras.Sequential, type(keras.Model(*[keras.Input((1,))] * 2))}:
        if "layers" in vars(kind):
            there = vars(kind)["layers"]
            kind.layers = property(_told_layers(there.fget, teller), there.fset, doc=there.__doc__)


def _itself(layer: Any) -> Any:
    if not isinstance(layer, keras.Model):
        raise AttributeError("model")
    return layer


def _of_graph(name: str, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def find(self: Any) -> Any:
        graph = getattr(self, "_functional", None)
        return original(self) if graph is None else getattr(graph, name)

    return find


class _Layers(list):
    """A model's layers; taking one out is told, and remembered by the model."""

    def __init__(self, layers: Any, model: Any, teller: Teller) -> None:
        super().__init__(layers)
        self._model = model
        self._teller = teller

    def pop(self, place: Any = -1) -> Any:
        """Take a layer out."""
        layer = super().pop(whole(place))
        self._teller.tell(
            "model.layers.pop()", "the layer is left out of model.layers, and the model computes as before; write model.pop() for a "
            "Sequential model, or Model(model.input, model.layers[-2].output).")
        hide(self._model, layer)
        return layer


def hide(model: Any, layer: Any) -> None:
    """Leave a layer out of ``model.layers``."""
    object.__setattr__(model, POPPED, {*vars(model).get(POPPED, ()), id(layer)})


def _told_layers(original: Callable[[Any], Any], teller: Teller) -> Callable[[Any], Any]:
    def layers(self: Any) -> Any:
        popped = vars(self).get(POPPED, ())
        return _Layers((layer for layer in original(self) if id(layer) not in popped), self, teller)

    return layers
