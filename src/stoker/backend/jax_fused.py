"""Several steps in one compiled call on JAX: a scan over batches that lie side by side (``fusing`` says when).

Rules: the results are those of as many single steps, in order; only the logs of the last one are kept, because to stack them all takes a
fifth longer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp


class Scan:
    """A compiled scan over stacked data of one shape, the first that comes: batches of many lengths would be compiled over and over.

    Args:
        function: what ``jax.jit`` made, of the state and of batches side by side.
    """

    def __init__(self, function: Any) -> None:
        self._function = function
        self._shapes: Any = None
        self._traced: Callable[[Any, Any], Any] | None = None

    @property
    def is_compiled(self) -> bool:
        """Whether there is one already."""
        return self._traced is not None

    def of(self, state: Any, data: Any) -> Callable[[Any, Any], Any] | None:
        """The function, if there is one for this shape: a step whose state changes its dtypes on the way cannot be scanned over."""
        shapes = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(data)]
        if self._shapes is None:
            self._shapes = shapes
            with suppress(TypeError):
                self._function.trace(state, data)
                self._traced = self._function
        return self._traced if shapes == self._shapes else None


def fused(step: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A function of the state and of batches side by side that does what single steps do, one after the other.

    Args:
        step: ``(state, data) -> (logs, state)``.

    Returns:
        ``(state, stacked data) -> (logs of the last step, state)``.
    """

    def many(state: Any, stacked: Any) -> Any:
        logs_like, _ = jax.eval_shape(step, state, jax.tree.map(itemgetter(0), stacked))
        logs = jax.tree.map(lambda value: jnp.zeros(value.shape, value.dtype), logs_like)
        carried, _ = jax.lax.scan(lambda carried, data: (step(carried[1], data), None), (logs, state), stacked)
        return carried

    return many
