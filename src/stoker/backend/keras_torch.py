"""Keras on PyTorch: the model's own steps, called directly; the weights live in the model all the time.

Rules: batches become tensors on the model's device, without a copy on a CPU (an array that is handed out stays as it is while a tensor
holds it); their copies to a GPU run beside the step before (``torch_copies``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import torch

from stoker.backend import keras_common as common
from stoker.backend.interrupt import InterruptGuard
from stoker.backend.keras_calls import nesting, trains_elsewhere
from stoker.backend.keras_direct import DirectSession
from stoker.backend.protocol import Backend, Phase, Raw, Step
from stoker.backend.torch_copies import Copies, CudaDevice
from stoker.backend.torch_graph import graph_steps
from stoker.batch.form import Batch
from stoker.batch.tree import map_leaves


class TorchSession(DirectSession):
    """A model on PyTorch during one call."""

    def __init__(self, model: Any, guard: InterruptGuard) -> None:
        device = torch.empty(0, device=_device()).device
        self._copies = Copies(CudaDevice(device), _alias) if device.type == "cuda" else None
        self._has_hooks = True
        self._changing: set[int] | None = None
        self.has_trained = False
        super().__init__(model, guard, self._copies or _converter(device))

    def begin(self, phase: Phase) -> Step:
        """See ``Session``; tells layers of torch's own whether they train."""
        self._set_training(phase == "train")
        self.has_trained = self.has_trained or phase == "train"
        self._has_hooks = True
        self._changing = None
        return super().begin(phase)

    def allow_fusing(self, steps: int | None, left: int | None) -> None:
        """See ``Session``; steps are not fused, but nobody's code runs between them."""
        self._has_hooks = False

    def step(self, batch: Batch) -> Raw:
        """See ``Session``; logs that a callback may read later are not changed by later steps."""
        raw = super().step(batch)
        if not self._has_hooks or self._phase == "predict":
            return raw
        changing = self._changing
        if changing is None:
            changing = self._changing = _memory_of([*self._model.variables, *self._model.metrics_variables])
        return map_leaves(lambda value: _lasting(value, changing), raw)

    def read(self, raw: Raw) -> dict[str, float]:
        """See ``Session``; of a log that a step of the user's own left in its graph only the value, of which PyTorch does not warn."""
        return super().read(map_leaves(_detached, raw or {}))

    def result(self, raw: Raw) -> dict[str, float]:
        """See ``Session``; what runs between passes finds layers of torch's own as for inference."""
        self._set_training(False)
        return super().result(raw)

    def _set_training(self, is_training: bool) -> None:
        """Tell layers of torch's own; a training on another thread that is under way keeps what it has told them."""
        if is_training or not trains_elsewhere(self._model):
            self._model.train(is_training)

    def wait(self) -> None:
        """See ``Session``."""
        if self._copies is not None:
            self._copies.let_go(0)

    def load(self, phase: Phase, data: Any) -> Callable[[Any], Any]:
        """See ``DirectSession``."""
        if phase != "predict" and self.building.once(self._model, phase, lambda: common.build(self._model, data)):
            self._set_training(phase == "train")
        return _step_function(self._model, phase, self._has_hooks)


def _memory_of(variables: list[Any]) -> set[int]:
    """Where the values of variables lie, which steps change in place."""
    return {variable.value.untyped_storage().data_ptr() for variable in variables}


def _lasting(value: Any, changing: set[int]) -> Any:
    """A log that stays what it is: a copy of what lies in a variable, such as the result of a metric that merely counts."""
    if isinstance(value, keras.Variable) or (isinstance(value, torch.Tensor) and value.untyped_storage().data_ptr() in changing):
        return _detached(value).clone()
    return value


def _detached(value: Any) -> Any:
    tensor = value.value if isinstance(value, keras.Variable) else value
    return tensor.detach() if isinstance(tensor, torch.Tensor) else tensor


def _device() -> str:
    """The device that Keras puts tensors on."""
    return str(keras.ops.convert_to_tensor(np.zeros(1, np.float32)).device)


def _converter(device: torch.device) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """How the arrays of a batch become tensors on a device."""
    convert = _alias if device.type == "cpu" else lambda array: _alias(array).to(device)
    return lambda data: tuple([map_leaves(convert, part) for part in data])


def _alias(array: Any) -> Any:
    """A tensor on the memory of an array; a copy where the array is read-only or of a kind that torch lacks."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        return keras.ops.convert_to_tensor(array)
    if not array.flags.writeable or any(stride < 0 for stride in array.strides) or not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="), order="C", copy=True)
    return torch.from_numpy(array)


def _step_function(model: Any, phase: Phase, has_hooks: bool) -> Callable[[Any], Any]:
    """The model's step of a phase; compiled by Keras where ``jit_compile`` asks for that, else recorded where it can be."""
    if phase != "predict" and model.jit_compile and not model.run_eagerly:
        getattr(model, f"make_{phase}_function")()
        compiled = getattr(model, f"{phase}_function")
        return lambda data: compiled([data])
    step: Callable[[Any], Any] = getattr(model, f"{phase}_step")
    return graph_steps(model, phase, step if phase == "train" else torch.no_grad()(step), may_change=has_hooks)


class TorchBackend(common.KerasCallbacks):
    """Keras on PyTorch."""

    name = "torch"

    @contextmanager
    def session(self, model: Any) -> Iterator[TorchSession]:
        """See ``Backend``."""
        was_training = model.training
        with nesting(model) as call, InterruptGuard() as guard:
            session = TorchSession(model, guard)
            try:
                yield session
            finally:
                session.wait()
                if not trains_elsewhere(model):
                    model.train(was_training and (call.is_nested or not session.has_trained))  # Keras leaves it so after fit


def make_backend() -> Backend:
    """The backend, for ``choose``."""
    return TorchBackend()
