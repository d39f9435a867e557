"""Several steps in one compiled call on JAX: a scan over batches that lie side by side (``fusing`` says when).

Rules: the results are those of as many single steps, in order; only the logs of the last one are kept, because to stack them all takes a
fifth longer.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp


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
