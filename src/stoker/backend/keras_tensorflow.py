"""Keras on TensorFlow: the model's own steps as concrete functions, called without Keras's data adapters.

Rules: the weights live in the model all the time; batches are copied into tensors, because TensorFlow reads a buffer after the call has
returned. Ctrl-C waits for the end of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from stoker.backend import keras_common as common
from stoker.backend.interrupt import InterruptGuard
from stoker.backend.keras_direct import DirectSession
from stoker.backend.protocol import Backend, Phase
from stoker.backend.tensorflow_program import program_of
from stoker.batch.tree import map_leaves


class TensorFlowSession(DirectSession):
    """A model on TensorFlow during one call."""

    def __init__(self, model: Any, guard: InterruptGuard) -> None:
        super().__init__(model, guard, lambda data: tuple([map_leaves(tf.constant, part) for part in data]))

    def load(self, phase: Phase, data: Any) -> Callable[[Any], Any]:
        """See ``DirectSession``."""
        if not common.is_built(self._model):
            if phase == "predict":
                self._model(data[0])
            else:
                common.build(self._model, data)
        return program_of(self._model, phase)


class TensorFlowBackend(common.KerasCallbacks):
    """Keras on TensorFlow."""

    name = "tensorflow"

    @contextmanager
    def session(self, model: Any) -> Iterator[TensorFlowSession]:
        """See ``Backend``."""
        with common.nesting(model), InterruptGuard() as guard:
            yield TensorFlowSession(model, guard)


def make_backend() -> Backend:
    """The backend, for ``choose``."""
    return TensorFlowBackend()
