"""Several steps in one compiled call on JAX: a scan over batches that lie side by side.

On tiny models handing a step to the device takes longer than the step. A scan over k batches is handed over once. Where the step is
long, where the scan is slower (convolutions on a CPU are), or where compiling it would take longer than it saves, steps stay single:
that is measured at the start, on the training itself, and never guessed.

Rules: the results are those of k single steps, in order; what was measured is kept with the compiled step; only the clock that is
passed in is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

WARM_STEPS = 4
"""Steps that are not timed: the first one compiles."""

TIMED_STEPS = 12
TIMED_CALLS = 3
LONG_STEP_S = 1e-3
"""A step that takes longer gains next to nothing: handing it over takes 30 to 100 microseconds."""

SAVED_SHARE = 0.6
"""Of the time of a short step, what a scan saves at best; measured on models of two and three dense layers."""

WORTHWHILE = 0.9
"""A scan must take less than this share of the single steps' time; a smaller gain is within the noise of the measurement."""

SMALLEST, LARGEST = 4, 64
STACK_LIMIT_BYTES = 64 << 20


def group_size(steps: int | None) -> int:
    """How many steps go into one call: a number that leaves few steps of an epoch over.

    Args:
        steps: batches in an epoch, where known.
    """
    if steps is None:
        return LARGEST // 2
    if steps <= LARGEST:
        return steps if steps >= SMALLEST else 1
    return min(range(LARGEST, LARGEST // 4, -1), key=lambda size: (steps % size) + steps // size)


class Choice:
    """Finds out whether fusing pays, while training runs.

    ``fuse`` is how many steps go into one call now; ``has_measured`` says that a later call with as many need not measure again.

    Args:
        size: how many steps would go into one call.
        left: how many steps are still to come, in all; None where that is not known.
        compile_s: how long the single step took to compile, where that is known already.
        clock: seconds, monotonic.
    """

    def __init__(self, size: int, left: int | None, compile_s: float | None, clock: Callable[[], float]) -> None:
        self.size = size
        self.fuse = 1
        self.is_settled = size < SMALLEST
        self.has_measured = False
        self.compile_s = compile_s
        self.left = left
        self._clock = clock
        self._singles: list[float] = []
        self._calls: list[float] = []

    @classmethod
    def fixed(cls, size: int) -> Choice:
        """The model's own ``steps_per_execution``: nothing to find out."""
        made = cls(size, None, None, float)
        made.settle(size)
        return made

    def serves(self, size: int) -> bool:
        """Whether what is known, or is being found out, holds for passes that would take groups of ``size`` too."""
        if self.has_measured:
            return self.fuse == 1 or size >= self.size
        return self.size == size and not self.is_settled

    def settle(self, fuse: int) -> None:
        """From now on ``fuse`` steps go into one call."""
        self.fuse = fuse
        self.is_settled = True

    def time(self, run: Callable[[], Any], batches: int) -> Any:
        """Run a step, or a call of several, and learn from how long it took."""
        began = self._clock()
        result = run()
        jax.block_until_ready(result)
        elapsed = self._clock() - began
        if self.left is not None:
            self.left -= batches
        if batches == 1:
            self._singles.append(elapsed)
            self._judge_singles()
        else:
            self._calls.append(elapsed)
            self._judge_calls()
        return result

    def _judge_singles(self) -> None:
        if self.compile_s is None:
            self.compile_s = self._singles[0]
        if self.fuse > 1 or len(self._singles) < WARM_STEPS + TIMED_STEPS:
            return
        saved = self._single() * SAVED_SHARE * (self.left or 0)
        self.has_measured = self._single() >= LONG_STEP_S
        if not self.has_measured and saved > self.compile_s:
            self.fuse = self.size
        else:
            self.settle(1)

    def _judge_calls(self) -> None:
        if len(self._calls) > TIMED_CALLS:
            self.has_measured = True
            self.settle(self.size if min(self._calls[1:]) / self.size < WORTHWHILE * self._single() else 1)

    def _single(self) -> float:
        timed = sorted(self._singles[WARM_STEPS:])
        return timed[len(timed) // 2]


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


def is_small(data: Any, size: int) -> bool:
    """Whether so many batches may lie side by side in memory."""
    return bool(sum(leaf.nbytes for leaf in jax.tree.leaves(data)) * size <= STACK_LIMIT_BYTES)
