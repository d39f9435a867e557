"""Keras on TensorFlow: the model's own steps as concrete functions, called without Keras's data adapters.

Rules: the weights live in the model all the time; batches are copied into tensors, because TensorFlow reads a buffer after the call has
returned. Ctrl-C waits for the end of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from stoker.backend import keras_common as common
from stoker.backend.interrupt import InterruptGuard
from stoker.backend.protocol import Backend, Phase, Raw, Step
from stoker.backend.tensorflow_program import program_of
from stoker.batch.form import Batch
from stoker.batch.tree import map_leaves


class TensorFlowSession:
    """A model during one call.

    Args:
        model: the model.
        guard: holds Ctrl-C back within a step.
    """

    fuse = 1

    def __init__(self, model: Any, guard: InterruptGuard) -> None:
        self._model = model
        self._guard = guard
        self._phase: Phase = "train"
        self._function: Callable[[Any], Any] | None = None
        self._order: list[str] = []

    def begin(self, phase: Phase) -> Step:
        """See ``Session``."""
        self._phase = phase
        self._function = None
        if phase != "predict":
            self._model.reset_metrics()
        return self.step

    def step(self, batch: Batch) -> Raw:
        """Run one batch."""
        data = common.as_data(batch) if self._phase != "predict" else (batch.inputs,)
        tensors = tuple(map_leaves(tf.constant, part) for part in data)
        function = self._function or self._load(tensors)
        guard = self._guard
        guard.busy = True
        try:
            raw = function(tensors)
        finally:
            guard.busy = False
        if guard.pending:
            guard.strike()
        return raw

    def _load(self, data: Any) -> Callable[[Any], Any]:
        """Build what is not built, and find the step of this phase."""
        if not common.is_built(self._model):
            if self._phase == "predict":
                self._model(data[0])
            else:
                common.build(self._model, data)
        self._function = program_of(self._model, self._phase)
        return self._function

    def step_many(self, batches: Sequence[Batch]) -> Raw:
        """See ``Session``."""
        raw = None
        for batch in batches:
            raw = self.step(batch)
        return raw

    def allow_fusing(self, steps: int | None, left: int | None) -> None:
        """See ``Session``."""

    def read(self, raw: Raw) -> dict[str, float]:
        """See ``Session``."""
        return common.in_order(common.to_floats(raw or {}), self._order)

    def result(self, raw: Raw) -> dict[str, float]:
        """See ``Session``."""
        self._order = common.metric_order(self._model)
        return common.in_order(common.pass_result(self._model, self.read(raw)), self._order)

    def outputs(self, raw: Raw) -> Any:
        """See ``Session``."""
        return keras.tree.map_structure(keras.ops.convert_to_numpy, raw)

    def publish(self) -> None:
        """See ``Session``; the model holds its state."""

    def wait(self) -> None:
        """See ``Session``; every batch has been copied."""

    def finish_training(self) -> None:
        """See ``Session``."""
        common.finish_training(self._model)


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
