"""Variables that a script made with ``K.variable`` and uses in a loss, a metric or a Lambda layer, on JAX.

A compiled step on JAX would keep the value that such a variable had when the step was compiled, and ``K.set_value`` in a callback would
change nothing, in silence. So a model carries the variables that no layer holds as it carries the states of its random numbers: they are
among its ``non_trainable_variables``, and not among the ``weights`` that are saved.

Rules: a variable is carried as long as the script holds it; what a step assigns to it stays assigned.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import keras


class Loose:
    """The variables that the script holds, in the order in which they were made."""

    def __init__(self) -> None:
        self._made: list[weakref.ref[Any]] = []

    def add(self, variable: Any) -> Any:
        """Note a variable, and return it."""
        self._made.append(weakref.ref(variable, self._made.remove))
        return variable

    def beside(self, held: list[Any]) -> list[Any]:
        """The variables that are not among those which a model holds."""
        known = {id(variable) for variable in held}
        return [variable for variable in (ref() for ref in self._made) if variable is not None and id(variable) not in known]


def complete(loose: Loose) -> None:
    """Let models carry them, where steps are compiled so that they must."""
    if keras.config.backend() != "jax":
        return
    for owner in {keras.Model, *(kind for kind in keras.Model.__mro__ if "non_trainable_variables" in vars(kind))}:
        there = vars(owner).get("non_trainable_variables")
        if isinstance(there, property) and there.fget is not None:
            setattr(owner, "non_trainable_variables", property(_carrying(there.fget, loose), doc=there.__doc__))  # noqa: B010


def _carrying(original: Callable[[Any], Any], loose: Loose) -> Callable[[Any], Any]:
    def non_trainable_variables(self: Any) -> Any:
        held = original(self)
        if not isinstance(self, keras.Model):
            return held
        return [*held, *loose.beside([*held, *self.trainable_variables, *self.metrics_variables])]

    return non_trainable_variables
