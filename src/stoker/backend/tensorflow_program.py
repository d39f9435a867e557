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

from stoker.backend.fusing import STACK_LIMIT_BYTES, Choice, group_size
from stoker.backend.keras_common import kept_by_phase
from stoker.backend.protocol import Phase

SHAPES_LIMIT = 32
"""Concrete functions kept; data of ever new shapes goes through the ``tf.function``, which relaxes them."""


class Program:
    """The compiled step of one phase.

    Args:
        mark: Keras's own function of the phase: once Keras has another one, this program is stale.
        function: the step as a ``tf.function``.
        loop: several steps as a ``tf.function`` of batches side by side.
    """

    def __init__(self, mark: Any, function: Any, loop: Any) -> None:
        self.mark = mark
        self.choice: Choice | None = None
        self.compile_s: float | None = None
        self.planned = 0
        self.stack_limit_bytes = STACK_LIMIT_BYTES
        self.can_fuse = True
        self._function = function
        self._loop = loop
        self._concrete: dict[Any, Callable[[Any], Any]] = {}
        self._many: Callable[[Any], Any] | None = None
        self._many_shapes: Any = None

    def __call__(self, data: Any) -> Any:
        """Run the step on tensors."""
        key = _shapes(data)
        found = self._concrete.get(key)
        if found is None:
            found = self._function
            if len(self._concrete) < SHAPES_LIMIT:
                found = self._concrete[key] = _called_flat(self._function.get_concrete_function(data))
        return found(data)

    def group_size(self, steps: int | None) -> int:
        """See ``Fusable``."""
        return group_size(steps)

    def many(self, data: Any) -> Callable[[Any], Any] | None:
        """The compiled loop over batches of this shape side by side; None where there is none.

        One shape is compiled, the first: batches of many lengths would be compiled over and over.
        """
        shapes = _shapes(data)
        if self._many_shapes is None:
            self._many_shapes = shapes
            try:
                self._many = self._loop.get_concrete_function(data)
            except (TypeError, ValueError):  # logs that change their form from step to step, or none at all
                self._many = None
        return self._many if shapes == self._many_shapes else None


def _called_flat(concrete: Any) -> Callable[[Any], Any]:
    """A concrete function without its look at the structure, shapes and dtypes of the data, by which it was found.

    That takes 65 us of 250. The method has no public name; where it is missing the function is called as ever.
    """
    call = getattr(concrete, "_call_flat", None)
    if call is None:
        made: Callable[[Any], Any] = concrete
        return made
    return lambda data: call([tensor for tensor in tf.nest.flatten(data) if tensor is not None], concrete.captured_inputs)


def _shapes(data: Any) -> Any:
    return tuple([None if tensor is None else (tuple(tensor.shape), tensor.dtype) for tensor in tf.nest.flatten(data)])


def program_of(model: Any, phase: Phase) -> Callable[[Any], Any]:
    """The program of a phase, made if there is none or if the model was compiled anew since. The model must be built."""
    getattr(model, f"make_{phase}_function")()
    mark = getattr(model, f"{phase}_function")
    if model.run_eagerly or not _is_alone(model):
        share = _sharing(model.distribute_strategy)
        return lambda data: mark([share(data)])
    program = known_program(model, phase)
    if program is None:
        step, is_jit = getattr(model, f"{phase}_step"), bool(model.jit_compile)
        program = Program(mark, _function(step, is_jit), _function(_looped(step), is_jit))
        kept_by_phase(model)[phase] = program
    return program


def known_program(model: Any, phase: Phase) -> Program | None:
    """The program of a phase if there is one that is not stale."""
    program: Program | None = kept_by_phase(model).get(phase)
    return program if program is not None and program.mark is getattr(model, f"{phase}_function") else None


def _is_alone(model: Any) -> bool:
    """Whether no distribution strategy spreads the model over devices."""
    return bool(model.distribute_strategy is tf.distribute.get_strategy() and not tf.distribute.has_strategy())


def _sharing(strategy: Any) -> Callable[[Any], Any]:
    """How a batch is shared out: each replica of a strategy gets some of the rows, in order, as of a distributed data set."""
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return lambda data: data

    def shares(data: Any) -> Any:
        flat = tf.nest.flatten(data)

        def share(context: Any) -> Any:
            begin, end = context.replica_id_in_sync_group, context.replica_id_in_sync_group + 1
            return [rows[-(-begin * len(rows) // replicas):-(-end * len(rows) // replicas)] for rows in flat if rows is not None]

        shared = iter(strategy.experimental_distribute_values_from_function(share))
        return tf.nest.pack_sequence_as(data, [None if rows is None else next(shared) for rows in flat])

    return shares


def _function(method: Callable[[Any], Any], jit_compile: bool) -> Any:
    def step(data: Any) -> Any:
        return method(data)

    return tf.function(tf.autograph.experimental.do_not_convert(step), reduce_retracing=True, jit_compile=jit_compile)


def _looped(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Steps over batches side by side, one after the other; the logs of the last."""

    def many(data: Any) -> Any:
        count = next(rows for rows in tf.nest.flatten(data) if rows is not None).shape[0]

        def at(place: Any) -> Any:
            return tf.nest.map_structure(lambda rows: None if rows is None else rows[place], data)

        first = step(at(0))

        def body(place: Any, _: Any) -> Any:
            return place + 1, step(at(place))

        return tf.while_loop(lambda place, _: place < count, body, (1, first))[1]

    return many
