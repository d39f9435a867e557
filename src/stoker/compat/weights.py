"""Weights of a layer of the script's own: what its lists ``trainable_weights`` and ``non_trainable_weights`` name.

Keras 3, as TensorFlow's Keras 2, makes a weight of every variable that a layer is given as an attribute; Keras 1 and 2.2 went by the lists,
trained nothing else, and saved nothing else.

Rules: a variable that ``K.variable`` made for a script of the package ``keras`` is no weight of a layer until a list names it; what the
lists are given, whole or one by one, the layer holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras.src.utils.tracking import Tracker  # what collects the attributes of a layer has no public name

from stoker.compat.patching import wrap
from stoker.compat.tell import script_place
from stoker.errors import OptionTypeError

UNNAMED = "_stoker_unnamed"


def leave(variable: Any) -> Any:
    """Mark a variable as one that is no weight until a layer's list names it, and return it."""
    setattr(variable, UNNAMED, True)
    return variable


def complete() -> None:
    """Let layers name their weights by lists, and hold no others."""
    layer: Any = keras.layers.Layer
    for name, is_trainable in (("trainable_weights", True), ("non_trainable_weights", False)):
        there, hold = getattr(layer, name), _hold(is_trainable)
        setattr(layer, name, property(_growing(there.fget, hold), hold, doc=there.__doc__))
        setattr(layer, f"_{name}", property(_growing(_own(name), hold), hold))
    wrap(Tracker, "track", _named_only)


class Weights(list):
    """A layer's weights; what is added to them, the layer holds."""

    def __init__(self, variables: Any, hold: Callable[[Any], None]) -> None:
        super().__init__(variables)
        self._hold = hold

    def append(self, variable: Any) -> None:
        """Add a variable."""
        self.extend([variable])

    def extend(self, variables: Any) -> None:
        """Add variables."""
        before = len(self)
        super().extend(variables)
        self._hold(self[before:])


def _growing(original: Callable[[Any], Any], hold: Callable[[Any, Any], None]) -> Callable[[Any], Any]:
    def weights(self: Any) -> Any:
        found = original(self)
        is_own = not type(self).__module__.startswith("keras.")
        return Weights(found, lambda variables: hold(self, variables)) if is_own else found

    return weights


def _own(name: str) -> Callable[[Any], Any]:
    return lambda layer: list(getattr(layer, f"_{name.replace('weights', 'variables')}"))


def _hold(is_trainable: bool) -> Callable[[Any, Any], None]:
    def hold(self: Any, variables: Any) -> None:
        if any(not isinstance(variable, keras.Variable) for variable in variables):
            raise OptionTypeError(  # of no type that Sequential takes for a layer whose shape is not known yet
                f"a tensor was put among the weights of {self.name}", expected="variables", where=":".join(map(str, script_place())),
                remedy="Make a variable of it: self.W = K.variable(self.init(shape)).")
        known = {id(variable) for variable in self._trainable_variables + self._non_trainable_variables}
        for variable in variables:
            if variable.trainable != is_trainable and id(variable) in known:
                self._untrack_variable(variable)
                known.discard(id(variable))
            variable.trainable = is_trainable
            if id(variable) not in known:
                self._track_variable(variable)

    return hold


def _named_only(original: Callable[..., Any]) -> Callable[..., Any]:
    def track(self: Any, attr: Any) -> Any:
        return attr if isinstance(attr, keras.Variable) and hasattr(attr, UNNAMED) else original(self, attr)

    return track
