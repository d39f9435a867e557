"""Keras on JAX: the model's own ``train_step(state, data)``, compiled, with its state kept in a local variable.

The state of a step is donated: XLA writes the new weights where the old ones were, which takes a third of the time of fresh memory.
Where a step calls back into Python (or JAX is told to look for NaN), it can fail after the call returned; then nothing is donated and
each step is waited for, so that the state before it is still there. See docs/decisions/004-donation.md.

Rules: after ``publish`` the variables of the model own the state, and the next step takes it up from them; ``_value`` of a variable is
set directly, as Keras's own trainer does, because ``assign`` costs ten times a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import keras
import numpy as np

from stoker.backend import keras_common as common
from stoker.backend.interrupt import InterruptGuard
from stoker.backend.protocol import Backend, Phase, Raw, Step
from stoker.batch.form import Batch

HOST_CALLS = frozenset({"pure_callback", "io_callback", "debug_callback", "debug_print", "python_callback"})
"""JAX primitives that run Python while the step runs on the device."""


class JaxSession:
    """The state of a model on the device during one call.

    Args:
        model: the model.
        guard: holds Ctrl-C back where the state is in no variable.
    """

    def __init__(self, model: Any, guard: InterruptGuard) -> None:
        self.fuse = 1
        self._model = model
        self._guard = guard
        self._phase: Phase = "train"
        self._variables: tuple[list[Any], ...] | None = None
        self._state: Any = None
        self._function: Callable[..., Any] | None = None
        self._function_phase: Phase | None = None
        self._must_wait = False
        self._last: Any = None
        self._order: list[str] = []

    def begin(self, phase: Phase) -> Step:
        """See ``Session``."""
        self.publish()
        self._phase = phase
        self._variables = None
        if phase != "predict":
            self._model.reset_metrics()
        return self.step

    def step(self, batch: Batch) -> Raw:
        """Run one batch; returns as soon as it is on its way."""
        data = common.as_data(batch) if self._phase != "predict" else (batch.inputs,)
        state = self._state
        if state is None:
            state = self._load(data)
        guard = self._guard
        guard.busy = True
        try:
            raw, state = self._function(state, data)  # type: ignore[misc]
            if self._must_wait:
                _block(state)
            self._state = state
        finally:
            guard.busy = False
        if guard.pending:
            guard.strike()
        self._last = raw
        return raw

    def step_many(self, batches: Sequence[Batch]) -> Raw:
        """See ``Session``."""
        raw = None
        for batch in batches:
            raw = self.step(batch)
        return raw

    def allow_fusing(self, batches: int | None) -> None:
        """See ``Session``."""

    def read(self, raw: Raw) -> dict[str, float]:
        """See ``Session``."""
        return common.in_order(common.to_floats(jax.device_get(raw or {})), self._order)

    def result(self, raw: Raw) -> dict[str, float]:
        """See ``Session``."""
        self.publish()
        self._order = common.metric_order(self._model)
        return common.in_order(common.pass_result(self._model, self.read(raw)), self._order)

    def outputs(self, raw: Raw) -> Any:
        """See ``Session``."""
        return jax.tree.map(np.asarray, raw)

    def publish(self) -> None:
        """See ``Session``."""
        state = self._state
        if state is None or self._variables is None:
            return
        self._guard.busy = True
        try:
            for variables, values in zip(self._variables, state, strict=True):
                for variable, value in zip(variables, values, strict=True):
                    variable._value = value
            self._state = None
        finally:
            self._guard.busy = False
        if self._guard.pending:
            self._guard.strike()

    def wait(self) -> None:
        """See ``Session``."""
        if self._last is not None:
            _block(self._last)

    def finish_training(self) -> None:
        """See ``Session``."""
        self.publish()
        common.finish_training(self._model)

    def _load(self, data: Any) -> Any:
        """Take the state up from the model's variables, building first what is not built."""
        if self._variables is None:
            if not common.is_built(self._model):
                self._build(data)
            self._variables = _variables(self._model, self._phase)
        state = tuple([_value(variable) for variable in variables] for variables in self._variables)
        state = _without_doubles(state)
        if self._function is None or self._function_phase != self._phase:
            self._function, self._must_wait = _compiled(self._model, self._phase, state, data)
            self._function_phase = self._phase
        self._state = state
        return state

    def _build(self, data: Any) -> None:
        if self._phase != "predict":
            common.build(self._model, data)
            return
        with keras.StatelessScope():
            self._model(data[0])


def _block(arrays: Any) -> None:
    jax.block_until_ready(arrays)


def _value(variable: Any) -> Any:
    value = variable._value
    return variable.value if value is None else value


def _variables(model: Any, phase: Phase) -> tuple[list[Any], ...]:
    """The model's variables in the order of a step's state."""
    made = [list(model.trainable_variables), list(model.non_trainable_variables)]
    if phase == "train":
        made.append(list(model.optimizer.variables))
    if phase != "predict":
        made.append(list(model.metrics_variables))
    return tuple(made)


def _without_doubles(state: tuple[list[Any], ...]) -> tuple[list[Any], ...]:
    """The state with a copy of each array that it holds twice: one buffer cannot be given away twice."""
    seen: set[int] = set()
    for values in state:
        for place, value in enumerate(values):
            if id(value) in seen:
                values[place] = value.copy()
            seen.add(id(value))
    return state


class _Compiled:
    """Compiled steps of one model, kept on it until Keras forgets its own (``compile`` does that)."""

    def __init__(self) -> None:
        self.functions: dict[str, tuple[Any, Any, bool]] = {}


def _compiled(model: Any, phase: Phase, state: Any, data: Any) -> tuple[Callable[..., Any], bool]:
    """The compiled step of a phase, and whether each call must be waited for.

    Keras's own function of the phase is made too and serves as the mark: ``compile`` throws it away, and then this one is stale.
    """
    getattr(model, f"make_{phase}_function")()
    mark = getattr(model, f"{phase}_function")
    kept = vars(model).get("_stoker_compiled")
    if kept is None:
        kept = _Compiled()
        object.__setattr__(model, "_stoker_compiled", kept)
    found = kept.functions.get(phase)
    if found is None or found[0] is not mark:
        found = (mark, *_compile(model, phase, state, data))
        kept.functions[phase] = found
    return found[1], found[2]


def _compile(model: Any, phase: Phase, state: Any, data: Any) -> tuple[Callable[..., Any], bool]:
    step = _predict_step(model) if phase == "predict" else _own_step(getattr(model, f"{phase}_step"))
    if model.run_eagerly or not model.jit_compile:
        return step, False
    donating = jax.jit(step, donate_argnums=0)
    if _looks_for_nan() or _calls_host(donating.trace(state, data).jaxpr.jaxpr):
        return jax.jit(step), True
    return donating, False


def _looks_for_nan() -> bool:
    config: Any = jax.config
    return bool(config.jax_debug_nans or config.jax_debug_infs)


def _own_step(method: Callable[..., Any]) -> Callable[..., Any]:
    """The model's method as a function of its own: JAX takes bound methods that are equal for one function, and would use the program
    that it compiled before the model's loss was changed.
    """

    def step(state: Any, data: Any) -> Any:
        return method(state, data)

    return step


def _predict_step(model: Any) -> Callable[..., Any]:
    def predict_step(state: Any, data: Any) -> Any:
        outputs, non_trainable = model.predict_step(state, data)
        return outputs, (state[0], non_trainable)

    return predict_step


def _calls_host(jaxpr: Any) -> bool:
    """Whether a program, or one within it, calls Python while it runs."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in HOST_CALLS:
            return True
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda value: hasattr(value, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns") and _calls_host(inner):
                return True
    return False


class JaxBackend(common.KerasCallbacks):
    """Keras on JAX."""

    name = "jax"

    @contextmanager
    def session(self, model: Any) -> Iterator[JaxSession]:
        """See ``Backend``."""
        with common.nesting(model), InterruptGuard() as guard:
            session = JaxSession(model, guard)
            try:
                yield session
            finally:
                session.publish()


def make_backend() -> Backend:
    """The backend, for ``choose``."""
    return JaxBackend()
