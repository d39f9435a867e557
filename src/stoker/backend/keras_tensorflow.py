"""Keras on TensorFlow: the model's own steps as concrete functions, called without Keras's data adapters.

Rules: the weights live in the model all the time; batches are copied into tensors, because TensorFlow reads a buffer after the call has
returned. Ctrl-C waits for the end of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
import tensorflow as tf

from stoker.backend import keras_common as common
from stoker.backend.fusing import Fuser, Ways
from stoker.backend.interrupt import InterruptGuard
from stoker.backend.keras_calls import nesting
from stoker.backend.keras_direct import DirectSession
from stoker.backend.protocol import Backend, Phase, Raw, Step
from stoker.backend.tensorflow_program import Program, known_program, program_of
from stoker.batch.stack import Stack
from stoker.batch.tree import map_leaves

LONG_STEP_S = 5e-3
"""A step that takes longer gains little by being handed over with others: handing it over takes 200 to 600 microseconds."""


class TensorFlowSession(DirectSession):
    """A model on TensorFlow during one call."""

    def __init__(self, model: Any, guard: InterruptGuard) -> None:
        super().__init__(model, guard, lambda data: tuple([map_leaves(tf.constant, part) for part in data]))
        self._fuser = Fuser(Ways(perf_counter, lambda logs: tf.nest.map_structure(np.asarray, logs), LONG_STEP_S))

    @property
    def is_single(self) -> bool:  # type: ignore[override]
        """See ``Session``."""
        return self._fuser.is_idle

    @property
    def fuse(self) -> int:  # type: ignore[override]
        """See ``Session``."""
        return self._fuser.fuse

    def begin(self, phase: Phase) -> Step:
        """See ``Session``."""
        is_fixed = phase != "predict" and not self._model.run_eagerly
        self._fuser.begin(self._model.steps_per_execution if is_fixed else 1)
        return super().begin(phase)

    def allow_fusing(self, steps: int | None, left: int | None) -> None:
        """See ``Session``."""
        if self._phase != "predict":
            self._fuser.allow(steps, left, known_program(self._model, self._phase))

    def run(self, function: Callable[[Any], Any], tensors: Any) -> Raw:
        """See ``DirectSession``."""
        if not self._fuser.is_open or not isinstance(function, Program):
            return super().run(function, tensors)
        run = super().run
        return self._fuser.time_one(lambda: run(function, tensors), function, lambda: _size_bytes(tensors))

    def step_many(self, batches: Stack) -> Raw:
        """See ``Session``."""
        singly = super().step_many
        with common.telling_of(batches):
            return self._fuser.run_many(len(batches), lambda: self._together(batches), lambda: singly(batches))

    def _together(self, batches: Stack) -> Callable[[], Raw] | None:
        """A call that runs all of them; None where there is none."""
        if self._function is None:
            self._function = self.load(self._phase, self.to_tensors(common.as_data(next(iter(batches)))))
        program = self._function
        if not isinstance(program, Program):
            return None
        tensors = self.to_tensors(common.as_data(batches.together()))
        many, run = program.many(tensors), super().run
        return None if many is None else lambda: run(many, tensors)

    def load(self, phase: Phase, data: Any) -> Callable[[Any], Any]:
        """See ``DirectSession``."""
        self.building.once(self._model, phase, lambda: self._build(phase, data))
        step = program_of(self._model, phase)
        if isinstance(step, Program):
            self._fuser.take_up(step)
        return step

    def _build(self, phase: Phase, data: Any) -> None:
        """Build what can be built before the first step; a step of the user's own, or one that runs eagerly, may build the rest itself."""
        if phase == "predict":
            common.build_layers(self._model, data[0])
            return
        try:
            common.build(self._model, data)
        except Exception:
            if not self._model.run_eagerly and not common.overrides(self._model, f"{self._phase}_step"):
                raise


def _size_bytes(tensors: Any) -> int:
    return sum(int(tensor.shape.num_elements()) * tensor.dtype.size for tensor in tf.nest.flatten(tensors) if tensor is not None)


class TensorFlowBackend(common.KerasCallbacks):
    """Keras on TensorFlow."""

    name = "tensorflow"

    @contextmanager
    def session(self, model: Any) -> Iterator[TensorFlowSession]:
        """See ``Backend``."""
        with nesting(model), InterruptGuard() as guard:
            yield TensorFlowSession(model, guard)


def make_backend() -> Backend:
    """The backend, for ``choose``."""
    return TensorFlowBackend()
