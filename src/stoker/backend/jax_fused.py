"""Several steps in one compiled call on JAX: a scan over batches that lie side by side (``fusing`` says when).

Rules: the results are those of as many single steps, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def fused(step: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A function of the state and of batches side by side that does what single steps do, one after the other.

    Args:
        step: ``(state, data) -> (logs, state)``.

    Returns:
        ``(state, stacked data) -> (logs of the last step, state)``.
    """

    def body(state: Any, data: Any) -> Any:
        logs, state = step(state, data)
        return state, logs

    def many(state: Any, stacked: Any) -> Any:
        state, logs = jax.lax.scan(body, state, stacked)
        return jax.tree.map(lambda values: values[-1], logs), state

    return many
