"""The compiled steps of a model on TensorFlow, kept on the model between calls.

A ``tf.function`` looks at its arguments and at every variable it captured before each call: on a small model that takes as long as the
step. The concrete function for data of a shape takes a third less; it is looked up here by shapes and dtypes.

Rules: made once for a phase, and anew after ``compile``; where a distribution strategy is at work, or nothing is to be compiled,
Keras's own function is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from stoker.backend.protocol import Phase

SHAPES_LIMIT = 32
"""Concrete functions kept; data of ever new shapes goes through the ``tf.function``, which relaxes them."""


class Program:
    """The compiled step of one phase.

    Args:
        mark: Keras's own function of the phase: once Keras has another one, this program is stale.
        function: the step as a ``tf.function``.
    """

    def __init__(self, mark: Any, function: Any) -> None:
        self.mark = mark
        self._function = function
        self._concrete: dict[Any, Callable[[Any], Any]] = {}

    def __call__(self, data: Any) -> Any:
        """Run the step on tensors."""
        key = tuple([None if tensor is None else (tuple(tensor.shape), tensor.dtype) for tensor in tf.nest.flatten(data)])
        found = self._concrete.get(key)
        if found is None:
            found = self._function
            if len(self._concrete) < SHAPES_LIMIT:
                found = self._concrete[key] = self._function.get_concrete_function(data)
        return found(data)


class _Programs:
    """Programs of one model by phase; an attribute of the model, and nothing that Keras looks at."""

    def __init__(self) -> None:
        self.by_phase: dict[str, Program] = {}


def program_of(model: Any, phase: Phase) -> Callable[[Any], Any]:
    """The program of a phase, made if there is none or if the model was compiled anew since. The model must be built."""
    getattr(model, f"make_{phase}_function")()
    mark = getattr(model, f"{phase}_function")
    if model.run_eagerly or not _is_alone(model):
        return lambda data: mark([data])
    kept = vars(model).get("_stoker_programs") or _Programs()
    object.__setattr__(model, "_stoker_programs", kept)
    program: Program | None = kept.by_phase.get(phase)
    if program is None or program.mark is not mark:
        program = Program(mark, _function(getattr(model, f"{phase}_step"), bool(model.jit_compile)))
        kept.by_phase[phase] = program
    return program


def _is_alone(model: Any) -> bool:
    """Whether no distribution strategy spreads the model over devices."""
    return bool(model.distribute_strategy is tf.distribute.get_strategy() and not tf.distribute.has_strategy())


def _function(method: Callable[[Any], Any], jit_compile: bool) -> Any:
    def step(data: Any) -> Any:
        return method(data)

    return tf.function(tf.autograph.experimental.do_not_convert(step), reduce_retracing=True, jit_compile=jit_compile)
