"""Keras on PyTorch: the model's own steps, called directly; the weights live in the model all the time.

Rules: batches become tensors on the model's device, without a copy on a CPU (an array that is handed out stays as it is while a tensor
holds it); on a GPU they go through pinned memory, so that the copy runs beside the step before. Ctrl-C waits for the end of a step:
an optimizer is never stopped between two weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import torch

from stoker.backend import keras_common as common
from stoker.backend.interrupt import InterruptGuard
from stoker.backend.protocol import Backend, Phase, Raw, Step
from stoker.batch.form import Batch
from stoker.batch.tree import map_leaves


class TorchSession:
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
        self._to_tensor = _converter(torch.empty(0, device=_device()).device)

    def begin(self, phase: Phase) -> Step:
        """See ``Session``."""
        self._phase = phase
        self._function = None
        if phase != "predict":
            self._model.reset_metrics()
        self._model.train(phase == "train")
        return self.step

    def step(self, batch: Batch) -> Raw:
        """Run one batch."""
        data = common.as_data(batch) if self._phase != "predict" else (batch.inputs,)
        tensors = tuple(map_leaves(self._to_tensor, part) for part in data)
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
        if not common.is_built(self._model) and self._phase != "predict":
            common.build(self._model, data)
            self._model.train(self._phase == "train")
        self._function = _step_function(self._model, self._phase)
        return self._function

    def step_many(self, batches: Sequence[Batch]) -> Raw:
        """See ``Session``."""
        raw = None
        for batch in batches:
            raw = self.step(batch)
        return raw

    def allow_fusing(self, steps: int | None, left: int | None) -> None:
        """See ``Session``; nothing is won by fusing where every operation is dispatched alone."""

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
        """See ``Session``; pinned copies keep a batch of their own, and a CPU step has ended when it returns."""

    def finish_training(self) -> None:
        """See ``Session``."""
        common.finish_training(self._model)


def _device() -> str:
    """The device that Keras puts tensors on."""
    return str(keras.ops.convert_to_tensor(np.zeros(1, np.float32)).device)


def _converter(device: torch.device) -> Callable[[Any], Any]:
    """How an array becomes a tensor on a device."""
    if device.type == "cpu":
        return _alias
    if device.type == "cuda":
        return lambda array: _alias(array).pin_memory().to(device, non_blocking=True)
    return lambda array: _alias(array).to(device)


def _alias(array: Any) -> Any:
    """A tensor on the memory of an array; a copy where the array is read-only or of a kind that torch lacks."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        return keras.ops.convert_to_tensor(array)
    if not array.flags.writeable or any(stride < 0 for stride in array.strides) or not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="), order="C", copy=True)
    return torch.from_numpy(array)


def _step_function(model: Any, phase: Phase) -> Callable[[Any], Any]:
    """The model's step of a phase; compiled by Keras where ``jit_compile`` asks for that."""
    if phase != "predict" and model.jit_compile and not model.run_eagerly:
        getattr(model, f"make_{phase}_function")()
        compiled = getattr(model, f"{phase}_function")
        return lambda data: compiled([data])
    step: Callable[[Any], Any] = getattr(model, f"{phase}_step")
    return step if phase == "train" else torch.no_grad()(step)


class TorchBackend(common.KerasCallbacks):
    """Keras on PyTorch."""

    name = "torch"

    @contextmanager
    def session(self, model: Any) -> Iterator[TorchSession]:
        """See ``Backend``."""
        was_training = model.training
        with common.nesting(model), InterruptGuard() as guard:
            try:
                yield TorchSession(model, guard)
            finally:
                model.train(was_training)


def make_backend() -> Backend:
    """The backend, for ``choose``."""
    return TorchBackend()
