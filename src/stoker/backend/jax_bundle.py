"""Small arrays of a state travel together: one buffer for each dtype, cut into arrays inside the compiled step.

Each array that goes in and out of a call costs one to two microseconds on a CPU, whatever its size: a state of 24 small arrays costs more
than what the step computes. Copying them within the step costs next to nothing.

XLA must not merge the arithmetic of the step with the copying: it would round otherwise than without. It does not look beyond a condition
whose outcome it cannot know, and so the last buffer is one truth value.

Rules: pure functions of arrays; a buffer belongs to the session alone, and what is cut out of it outside a step are copies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SMALL_BYTES = 32 * 1024
"""Larger arrays travel alone: copying them would take longer than handing them over."""

Parts = tuple[list[Any], ...]
"""Arrays as the model's step takes them: trainable, others, of the optimizer, of metrics, as far as the phase has them."""
State = tuple[list[Any], list[Any]]
"""Buffers, and the arrays that travel alone."""
Step = Callable[[Any, Any], Any]
"""``(parts, data) -> (logs or outputs, parts)``."""
Plan = tuple[tuple[tuple[int, ...], ...], ...]
"""The shapes in each buffer."""


class Unfit(TypeError):
    """A step gives its state back in other shapes or dtypes than it took."""


class Bundle:
    """Which arrays of a state travel together.

    Args:
        parts: arrays of these shapes and dtypes.
        may_pack: whether any may; else all travel alone.
    """

    def __init__(self, parts: Parts, *, may_pack: bool) -> None:
        self._lengths = [len(part) for part in parts]
        self._specs = list(map(_spec, _flat(parts)))
        groups: dict[Any, list[int]] = {}
        self.alone: list[int] = []
        """Places of arrays that travel alone, counted over all parts."""
        for place, (shape, dtype) in enumerate(self._specs):
            is_plain = jnp.issubdtype(dtype, np.number) or jnp.issubdtype(dtype, np.bool_)
            if may_pack and is_plain and math.prod(shape) * dtype.itemsize <= SMALL_BYTES:
                groups.setdefault(dtype, []).append(place)
            else:
                self.alone.append(place)
        self._groups = list(groups.items())
        self.together: list[int] = [place for _, places in self._groups for place in places]
        """Places of the others, in the order of their buffers."""
        self._plan: Plan = tuple(tuple(self._specs[place][0] for place in places) for _, places in self._groups)

    def fits(self, parts: Parts) -> bool:
        """Whether arrays have the shapes and dtypes of this bundle."""
        return [len(part) for part in parts] == self._lengths and list(map(_spec, _flat(parts))) == self._specs

    def shapes(self, parts: Parts) -> State:
        """A state to trace a step with; nothing is copied."""
        flat = _flat(parts)
        sizes = [sum(map(math.prod, shapes)) for shapes in self._plan]
        buffers = [jax.ShapeDtypeStruct((size,), dtype) for size, (dtype, _) in zip(sizes, self._groups, strict=True)]
        return [*buffers, jax.ShapeDtypeStruct((), bool)] if buffers else [], [flat[place] for place in self.alone]

    def gather(self, arrays: Sequence[Any]) -> list[Any]:
        """Buffers with copies of the arrays that travel together, in their order."""
        return [*_gathered(self._split(arrays)), jnp.ones((), bool)] if arrays else []

    def spread(self, buffers: list[Any]) -> list[Any]:
        """Copies of the arrays in buffers; made now, even where something is being traced."""
        if not buffers:
            return []
        with jax.ensure_compile_time_eval():
            made: list[Any] = _spread(self._plan, buffers[:-1])
        return made

    def inside(self, step: Step) -> Callable[[State, Any], Any]:
        """The step as a function of a bundled state.

        Raises:
            Unfit: by the function made, while it is traced.
        """

        def bundled(state: State, data: Any) -> Any:
            raw, parts = step(self._opened(state), data)
            return raw, self._closed(parts, state[0])

        return bundled

    def _split(self, arrays: Sequence[Any]) -> list[list[Any]]:
        """Arrays that travel together, buffer by buffer."""
        rest = iter(arrays)
        return [[next(rest) for _ in shapes] for shapes in self._plan]

    def _opened(self, state: State) -> Parts:
        buffers, alone = state
        flat: list[Any] = [None] * len(self._specs)
        for place, array in zip((*self.together, *self.alone), (*_cut(self._plan, buffers[:-1]), *alone), strict=True):
            flat[place] = array
        rest = iter(flat)
        return tuple([next(rest) for _ in range(length)] for length in self._lengths)

    def _closed(self, parts: Any, buffers: list[Any]) -> State:
        if self.together and not self.fits(parts):
            raise Unfit("the state of the step changes its form")
        flat = _flat(parts)
        groups = self._split([flat[place] for place in self.together])
        return _joined_apart(groups, buffers), [flat[place] for place in self.alone]


def _flat(parts: Parts) -> list[Any]:
    return [array for part in parts for array in part]


def _spec(array: Any) -> tuple[tuple[int, ...], Any]:
    return tuple(jnp.shape(array)), jnp.result_type(array)


def _cut(plan: Plan, buffers: list[Any]) -> list[Any]:
    """The arrays in buffers, in order."""
    made = []
    for shapes, buffer in zip(plan, buffers, strict=True):
        start = 0
        for shape in shapes:
            end = start + math.prod(shape)
            made.append(buffer[start:end].reshape(shape))
            start = end
    return made


def _joined(groups: list[list[Any]]) -> list[Any]:
    return [jnp.concatenate([jnp.ravel(array) for array in group]) for group in groups]


def _joined_apart(groups: list[list[Any]], before: list[Any]) -> list[Any]:
    """The same within a step, whose buffers were ``before``, as a computation of its own."""
    if not groups:
        return []
    *old, truth = before
    return [*jax.lax.cond(truth, lambda: _joined(groups), lambda: list(old)), truth]


_gathered: Any = jax.jit(_joined)
_spread: Any = partial(jax.jit, static_argnums=0)(_cut)
