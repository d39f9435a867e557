"""The compiled steps of a model on JAX, kept on the model between calls.

Rules: made once for a phase, and anew after ``compile``; donated unless the step can fail after it has returned
(docs/decisions/004-donation.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from stoker.backend.fusing import STACK_LIMIT_BYTES, Choice, group_size
from stoker.backend.jax_ahead import Foresight
from stoker.backend.jax_bundle import Bundle, Parts, State, Step, Unfit
from stoker.backend.jax_fused import Scan, fused
from stoker.backend.keras_common import kept_by_phase
from stoker.backend.protocol import Phase

HOST_CALLS = frozenset({"pure_callback", "io_callback", "debug_callback", "debug_print", "python_callback"})
"""JAX primitives that run Python while the step runs on the device."""

Function = Callable[[State, Any], Any]
"""``(state, data) -> (logs or outputs, state)``."""


class Program:
    """The compiled step of one phase.

    ``one`` runs a batch, ``many`` several that lie side by side; both take and give the state as ``bundle`` says; ``must_wait`` says that
    each call must be waited for before the state before it is let go. ``foresight`` is for steps that run ahead.

    Args:
        mark: Keras's own function of the phase: once Keras has another one, this program is stale.
        step: the model's step.
        is_compiled: the model wants its steps compiled.
        may_pack: small arrays of its state may travel together.
    """

    def __init__(self, mark: Any, step: Step, is_compiled: bool, may_pack: bool) -> None:
        self.mark = mark
        self.bundle = Bundle((), may_pack=False)
        self.one: Function = self.bundle.inside(step)
        self.must_wait = False
        self.order: list[list[int]] = []
        """Which variables its state stands for; the trace has them as the layers' own."""
        self.choice: Choice | None = None
        self.compile_s: float | None = None
        self.planned = 0
        self.stack_limit_bytes = STACK_LIMIT_BYTES
        self._step = step
        self._is_compiled = is_compiled
        self._may_pack = may_pack and is_compiled
        self._many = self._scan()
        self.foresight = self._foresight(())

    def trace(self, parts: Parts, data: Any) -> None:
        """Compile the step, with or without donation. JAX keeps the trace, so that the first call does not trace again."""
        try:
            self._trace(Bundle(parts, may_pack=self._may_pack), data, parts)
        except Unfit:
            self._trace(Bundle(parts, may_pack=False), data, parts)

    def _trace(self, bundle: Bundle, data: Any, parts: Parts) -> None:
        self.bundle = bundle
        self.one = step = bundle.inside(self._step)
        if not self._is_compiled:
            return
        donating = jax.jit(step, donate_argnums=0)
        self.must_wait = _looks_for_nan() or _calls_host(donating.trace(bundle.shapes(parts), data).jaxpr.jaxpr)
        self.one = jax.jit(step) if self.must_wait else donating
        self._many = self._scan()
        self.foresight = self._foresight(parts)

    def _scan(self) -> Scan:
        return Scan(jax.jit(self.bundle.inside(fused(self._step)), donate_argnums=0))

    def _foresight(self, parts: Parts) -> Foresight:
        """Steps ahead are for short steps on a CPU, as small arrays in buffers are."""
        size_bytes = sum(array.nbytes for array in jax.tree.leaves(parts))
        return Foresight(self.bundle.inside(self._step), self, size_bytes, may_try=self._may_pack and self.can_fuse)

    @property
    def can_fuse(self) -> bool:
        """Whether several steps may be tried in one call."""
        return self._is_compiled and not self.must_wait

    def group_size(self, steps: int | None) -> int:
        """See ``Fusable``."""
        return group_size(steps)

    def many(self, state: State, data: Any) -> Function | None:
        """The compiled scan for stacked data of this shape; None where there is none."""
        return self._many.of(state, data) if self.can_fuse else None


def program_of(model: Any, phase: Phase, variables: Parts, parts: Parts, data: Any) -> Program:
    """The program of a phase, made if there is none, if the model was compiled anew since, or if its variables have changed places.

    Two layers of the same shape change places where one becomes trainable and the other is no longer.
    """
    program, order = known_program(model, phase), [[id(variable) for variable in part] for part in variables]
    if program is None or program.order != order or not program.bundle.fits(parts):
        is_compiled = bool(model.jit_compile) and not model.run_eagerly
        program = Program(_mark(model, phase), _step_of(model, phase), is_compiled, _may_pack(model))
        program.order = order
        program.trace(parts, data)
        kept_by_phase(model)[phase] = program
    return program


def known_program(model: Any, phase: Phase) -> Program | None:
    """The program of a phase if there is one that is not stale."""
    program: Program | None = kept_by_phase(model).get(phase)
    return program if program is not None and program.mark is _mark(model, phase) else None


def _mark(model: Any, phase: Phase) -> Any:
    """Keras's own function of a phase: ``compile`` throws it away, and the next one is another object."""
    getattr(model, f"make_{phase}_function")()
    return getattr(model, f"{phase}_function")


def _step_of(model: Any, phase: Phase) -> Step:
    """The model's method as a function of its own.

    JAX takes bound methods that are equal for one function, and would use the program that it compiled before the loss was changed.
    """
    method = getattr(model, f"{phase}_step")

    def step(state: Any, data: Any) -> Any:
        return method(state, data)

    def predict_step(state: Any, data: Any) -> Any:
        outputs, non_trainable = method(state, data)
        return outputs, (state[0], non_trainable)

    return predict_step if phase == "predict" else step


def _may_pack(model: Any) -> bool:
    """Whether handing arrays over is what takes the time, and all of them are in one place; and nothing is rounded otherwise.

    The moving averages of weights are: in the last bit, where XLA cuts their arrays from a buffer.
    """
    is_one_cpu = len(jax.devices()) == 1 and jax.devices()[0].platform == "cpu"
    return is_one_cpu and not getattr(getattr(model, "optimizer", None), "use_ema", False)


def _looks_for_nan() -> bool:
    config: Any = jax.config
    return bool(config.jax_debug_nans or config.jax_debug_infs)


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
