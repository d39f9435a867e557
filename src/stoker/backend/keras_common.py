"""What the backends share: everything about a Keras model that does not depend on the framework.

Rules: Keras's public names where it has any; what is kept of a model between calls lies on the model (``kept_by_phase``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from stoker.backend.protocol import Phase
from stoker.batch.form import Batch, in_words
from stoker.batch.spec import ModelSpec, Port, Ports
from stoker.batch.stack import Stack
from stoker.errors import OptionTypeError

ELEMENTWISE = frozenset({
    "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error",
    "binary_crossentropy", "categorical_crossentropy", "kl_divergence", "poisson", "huber", "log_cosh", "hinge", "squared_hinge",
    "categorical_hinge", "cosine_similarity", "binary_focal_crossentropy", "categorical_focal_crossentropy",
})
"""Keras's own losses whose targets have the shape of the output."""


def require_compiled(model: Any, call: str) -> None:
    """Raise Keras's own error if the model has not been compiled (it has no public name)."""
    model._assert_compile_called(call)


def describe(model: Any) -> ModelSpec:
    """What a model takes: names, shapes and dtypes of a functional or built Sequential model; of others what their loss says.

    A model with a training step of its own may do with its batches as it likes: it takes what comes.
    """
    known = {"floatx": keras.config.floatx(), "takes_text": keras.backend.backend() == "tensorflow"}
    has_own_step = any(overrides(model, name) for name in ("train_step", "compute_loss", "test_step"))
    loss = getattr(model, "loss", None)
    graph = getattr(model, "_functional", None) or model
    inputs, outputs = (getattr(graph, name, None) for name in ("_inputs_struct", "_outputs_struct"))
    if has_own_step or inputs is None or outputs is None:
        any_output = None if has_own_step else _any_output(loss)
        return ModelSpec(
            has_loss=bool(loss) and not has_own_step, any_output=any_output,
            is_final=has_own_step or not isinstance(model, keras.Sequential) or model.built, **known)
    names = list(getattr(graph, "output_names", ()))
    return ModelSpec(
        inputs=_ports(inputs, [tensor.name for tensor in keras.tree.flatten(inputs)], last_axis=False),
        outputs=_with_losses(_ports(outputs, names, last_axis=True), loss),
        has_loss=bool(loss), **known)


def overrides(model: Any, name: str) -> bool:
    """Whether a model has a method of its own in the place of Keras's."""
    return getattr(type(model), name, None) is not getattr(keras.Model, name, None)


def _ports(structure: Any, names: list[str], *, last_axis: bool) -> Ports | None:
    """Ports of a flat structure; None for structures within structures, which are taken as they come. For ``last_axis`` see ``_shape``."""
    if isinstance(structure, dict):
        keys, tensors, form = list(structure), list(structure.values()), "dict"
        flat = keras.tree.flatten(structure)
        names = [names[next(n for n, other in enumerate(flat) if other is tensor)] for tensor in tensors]
    elif isinstance(structure, list | tuple):
        keys, tensors, form = list(names), list(structure), "list" if len(structure) > 1 else "single"
    else:
        keys, tensors, form = list(names), [structure], "single"
    if any(isinstance(tensor, dict | list | tuple) for tensor in tensors) or len(names) != len(tensors):
        return None
    made = tuple(
        Port(name=name, key=str(key), shape=_shape(tensor, last_axis), dtype=str(tensor.dtype), needed=not _is_optional(tensor))
        for name, key, tensor in zip(names, keys, tensors, strict=True))
    return Ports(form=form, ports=made)  # type: ignore[arg-type]


def _shape(tensor: Any, last_axis: bool) -> tuple[int | None, ...]:
    """The shape that is asked for.

    A Sequential without an Input has the shapes of its latest batch, its length too, and builds itself anew for others: only the number of
    axes is certain, and that the last one of an output stays.
    """
    shape = tuple(tensor.shape)
    if not shape or shape[0] is None:
        return shape
    return (None,) * (len(shape) - 1) + ((shape[-1],) if last_axis and len(shape) > 1 else (None,))


def _is_optional(tensor: Any) -> bool:
    """Whether a tensor is an ``Input(optional=True)``."""
    history = getattr(tensor, "_keras_history", None)
    return bool(getattr(getattr(history, "operation", None), "optional", False))


def _any_output(loss: Any) -> Port | None:
    """What losses say of targets where outputs are not known; None where they do not agree."""
    losses = list(loss.values()) if isinstance(loss, dict) else loss if isinstance(loss, list | tuple) else [loss]
    found = {_are_labels(_loss_name(one)) for one in losses if one is not None}
    return Port(name="", key="", labels=found.pop()) if len(found) == 1 else None


def _are_labels(loss_name: str) -> bool:
    return loss_name.startswith("sparse")


def _with_losses(ports: Ports | None, loss: Any) -> Ports | None:
    """Ports of outputs, with what their losses say of their targets."""
    if ports is None:
        return None
    made = []
    for place, port in enumerate(ports.ports):
        own = _loss_of(loss, port, place, len(ports.ports))
        name = _loss_name(own)
        made.append(Port(
            name=port.name, key=port.key, shape=port.shape, dtype=port.dtype, labels=_are_labels(name), strict=name in ELEMENTWISE,
            needed=own is not None or loss is None))
    return Ports(form=ports.form, ports=tuple(made))


def _loss_of(loss: Any, port: Port, place: int, count: int) -> Any:
    if isinstance(loss, dict):
        return loss.get(port.name, loss.get(port.key))
    if isinstance(loss, list | tuple):
        return loss[place] if len(loss) == count else None
    return loss


def _loss_name(loss: Any) -> str:
    """The function's name of one of Keras's own losses; for others their own name, which no table holds."""
    if loss is None:
        return ""
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    module = getattr(loss, "__module__", None) or type(loss).__module__
    function = getattr(loss, "fn", loss) if isinstance(loss, keras.losses.Loss) else loss
    name = str(getattr(function, "__name__", type(function).__name__)).lower()
    is_own = str(getattr(function, "__module__", module)).startswith("keras.")
    return name if is_own else f"custom {name}"


def _compiled_parts(model: Any, phase: Phase) -> tuple[Any, ...]:
    """What was compiled and has variables that a phase needs."""
    return () if phase == "predict" or not model.compiled else (model._compile_metrics, model._compile_loss, model.optimizer)


class Building:
    """Building a model in a call: once, and once more where it was compiled meanwhile.

    A layer that nobody uses, or a loss that a model's own step leaves alone, is never built: to ask only for that would build in each pass.
    """

    def __init__(self) -> None:
        self._done: tuple[Any, ...] = ()
        """The model, and what was compiled, for which that was done."""

    def once(self, model: Any, phase: Phase, build: Callable[[], None]) -> bool:
        """Build where layers, or the loss, metrics and optimizer that the phase needs, lack variables; whether that was needed."""
        parts = (model, *_compiled_parts(model, phase))
        if all(any(part is done for done in self._done) for part in parts):
            return False
        is_due = not (model.built and all(part is None or part.built for part in parts[1:]) and all(
            layer.built for layer in model._flatten_layers()))
        if is_due:
            build()
        self._done = parts
        return is_due


def build(model: Any, data: Any) -> None:
    """Build what is not built yet from a batch's shapes; what Keras's own trainers call (it has no public name)."""
    model._symbolic_build(data_batch=data)


def build_layers(model: Any, inputs: Any) -> None:
    """Build layers from inputs; the states of those that have any stay as they are."""
    with keras.StatelessScope():
        model(inputs)


def as_data(batch: Batch) -> tuple[Any, ...]:
    """A batch as Keras's steps take it."""
    if batch.weights is None:
        return (batch.inputs, batch.targets)
    return (batch.inputs, batch.targets, batch.weights)


def flattened(logs: Any) -> dict[str, Any]:
    """Logs with those of inner dicts among them, as Keras has them."""
    made: dict[str, Any] = {}
    for name, value in logs.items():
        made.update(flattened(value) if isinstance(value, dict) else {name: value})
    return made


def to_floats(logs: Any) -> dict[str, Any]:
    """Logs as Python floats; what is no scalar becomes a numpy array, and what is no number stays as it is."""
    made: dict[str, Any] = {}
    for name, value in flattened(logs).items():
        if type(value) is float:
            made[name] = value
        elif tuple(getattr(value, "shape", ())) == ():
            made[name] = _float_of(value, value)
        else:
            array = np.asarray(keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value)
            made[name] = _float_of(array.item(), array) if array.size == 1 else array
    return made


def _float_of(value: Any, otherwise: Any) -> Any:
    try:
        return float(value)
    except (TypeError, ValueError):
        return otherwise


def metric_order(model: Any) -> list[str]:
    """Names of loss and metrics in the order in which they were declared."""
    names: list[str] = []
    for metric in model.metrics:
        within = getattr(metric, "metrics", None)
        names += [inner.name for inner in within] if isinstance(within, list) else [metric.name]
    return names


def in_order(logs: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Logs in the order of names, others after: sorted, as in the lists that Keras's own calls return."""
    if list(logs) == names:
        return logs
    first = {name: logs[name] for name in names if name in logs}
    return {**first, **{name: logs[name] for name in sorted(logs.keys() - first.keys())}}


def pass_result(model: Any, logs: dict[str, Any]) -> dict[str, Any]:
    """The logs of a whole pass: the model's metrics where they have the names of the last logs, as Keras decides it."""
    replicas = getattr(getattr(model, "distribute_strategy", None), "num_replicas_in_sync", 1)  # on TensorFlow; logs are those of one
    if replicas == 1 and not any(overrides(model, name) for name in ("train_step", "test_step", "compute_metrics")):
        return logs
    result = to_floats(model.get_metrics_result())
    return result if set(result) == set(logs) else logs


class _Kept:
    """An attribute of the model, and nothing that Keras looks at."""

    def __init__(self) -> None:
        self.by_phase: dict[str, Any] = {}


def kept_by_phase(model: Any) -> dict[str, Any]:
    """What a backend keeps of a model between calls, by phase."""
    kept: _Kept = vars(model).get("_stoker_programs") or _Kept()
    object.__setattr__(model, "_stoker_programs", kept)
    return kept.by_phase


@contextmanager
def telling_of(batches: Stack) -> Iterator[None]:
    """Within a call on several batches: say of an error which they were."""
    try:
        yield
    except Exception as error:
        error.add_note(f"raised by the model's step on {len(batches)} batches at once, each like {in_words(next(iter(batches)))}")
        raise


def finish_training(model: Any) -> None:
    """Let the optimizer put averaged weights in place."""
    if isinstance(model.optimizer, keras.optimizers.Optimizer):
        model.optimizer.finalize_variable_values(model.trainable_weights)


class KerasCallbacks:
    """The part of ``Backend`` that is the same for every framework."""

    callback_base = keras.callbacks.Callback
    callback_list = keras.callbacks.CallbackList

    def require_model(self, model: Any, call: str) -> None:
        """See ``Backend``."""
        if not isinstance(model, keras.Model):
            raise OptionTypeError(
                f"the first argument of {call} is no model", got=f"{type(model).__name__}", expected="a keras.Model",
                remedy=f"Call {call}(model, source, ...).")

    def require_compiled(self, model: Any, call: str) -> None:
        """See ``Backend``."""
        self.require_model(model, call)
        require_compiled(model, call)

    def describe(self, model: Any) -> ModelSpec:
        """See ``Backend``."""
        return describe(model)

    def new_history(self) -> Any:
        """See ``Backend``."""
        return keras.callbacks.History()

    def is_history(self, callback: Any) -> bool:
        """See ``Backend``."""
        return isinstance(callback, keras.callbacks.History)

    def first_epoch(self, model: Any, asked: int) -> int:
        """See ``Backend``; ``BackupAndRestore`` leaves the number on the model (it has no public name)."""
        return getattr(model, "_initial_epoch", None) or asked

    def metric_names(self, model: Any) -> list[str]:
        """See ``Backend``."""
        return metric_order(model) if model.compiled else []

    def ends_only_if_finished(self, callback: Any) -> bool:
        """See ``Backend``."""
        if isinstance(callback, keras.callbacks.EarlyStopping):  # would put weights of an earlier epoch in the place of the latest
            return type(callback).on_train_end is keras.callbacks.EarlyStopping.on_train_end
        return isinstance(callback, keras.callbacks.BackupAndRestore)

    def ignores_batches(self, callback: Any) -> bool:
        """See ``Backend``."""
        own = type(callback)
        if own in (keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore):
            return bool(callback.save_freq == "epoch")
        return False
