"""A session for the backends on which a model holds its state all the time: a step is a call, and nothing has to be put back.

Rules: Ctrl-C waits for the end of a step, so that an optimizer is never stopped between two weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from stoker.backend import keras_common as common
from stoker.backend.interrupt import InterruptGuard
from stoker.backend.keras_calls import begin_phase
from stoker.backend.protocol import Phase, Raw, Step
from stoker.batch.form import Batch
from stoker.batch.stack import Stack


class DirectSession:
    """A model during one call; subclasses say how arrays become tensors and what a step is.

    Args:
        model: the model.
        guard: holds Ctrl-C back within a step.
        to_tensors: makes tensors of the arrays of a batch.
    """

    is_single = True
    fuse = 1
    ahead = 1

    def __init__(self, model: Any, guard: InterruptGuard, to_tensors: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> None:
        self._model = model
        self._guard = guard
        self.to_tensors = to_tensors
        self._phase: Phase = "train"
        self._function: Callable[[Any], Any] | None = None
        self._order: list[str] = []
        self.building = common.Building()

    def build(self, batch: Batch) -> None:
        """See ``Session``."""
        self.load(self._phase, self.to_tensors(common.as_data(batch)))

    def load(self, phase: Phase, data: Any) -> Callable[[Any], Any]:
        """Build what is not built, and give the step of a phase; ``data`` is the first batch."""
        raise NotImplementedError

    def begin(self, phase: Phase) -> Step:
        """See ``Session``."""
        self._phase = phase
        self._function = None
        begin_phase(self._model, phase)
        if phase != "predict":
            self._model.reset_metrics()
        return self.step

    def step(self, batch: Batch) -> Raw:
        """Run one batch."""
        data = common.as_data(batch) if self._phase != "predict" else (batch.inputs,)
        tensors = self.to_tensors(data)
        function = self._function
        if function is None:
            function = self._function = self.load(self._phase, tensors)
        return self.run(function, tensors)

    def run(self, function: Callable[[Any], Any], tensors: Any) -> Raw:
        """Call a step; Ctrl-C waits for its end."""
        guard = self._guard
        guard.busy = True
        try:
            raw = function(tensors)
        finally:
            guard.busy = False
        if guard.pending:
            guard.strike()
        return raw

    def step_many(self, batches: Stack) -> Raw:
        """See ``Session``."""
        raw = None
        for batch in batches:
            raw = self.step(batch)
        return raw

    def allow_fusing(self, steps: int | None, left: int | None) -> None:
        """See ``Session``; steps are not fused here."""

    def allow_ahead(self, steps: int | None, left: int | None) -> None:
        """See ``Session``; nothing runs ahead here."""

    def foresee(self, batches: Stack) -> None:
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
        """See ``Session``; when a step has returned, nothing reads its arrays any more."""

    def finish_training(self) -> None:
        """See ``Session``."""
        common.finish_training(self._model)
