"""Steps that run before the hooks of the batches before them, on JAX: a scan over batches that are ready.

A hook that hears of every batch keeps the thread that computes from going on, and waking it up takes longer than a short step. So a few
steps run in one call, which keeps the logs and the state after each of them, and the hooks run over what is there already
(docs/decisions/010-steps-ahead.md).

Rules: the state before the group is not given away; what was run ahead and is not wanted is dropped and leaves no trace; whether it pays
is not guessed but measured, as for steps in one call (``fusing``).
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import jax
import numpy as np

from stoker.backend.fusing import Choice, Fusable
from stoker.backend.jax_bundle import State
from stoker.backend.jax_fused import Scan
from stoker.backend.keras_common import flattened
from stoker.batch.memory import LARGE_BATCH_BYTES

AHEAD = 16
"""Batches in a group; twice as many where their states fit a cache, which gains a fifth there and loses elsewhere."""
CACHED_BYTES = 2 << 20
"""What a cache of a core is taken to hold."""
DATA_LIMIT_BYTES = AHEAD * LARGE_BATCH_BYTES
"""Only small batches are pulled ahead: of these the feed sees for long enough that a source uses their memory again."""
STATES_LIMIT_BYTES = 16 << 20
"""The states after each step of a group lie side by side, in memory of no more than this. To write more takes longer than it saves."""
LOOK_S = 60e-6
"""How long a result is looked at again and again before it is waited for."""
MOST_MISSED = 2
"""So many groups in a row that were dropped are enough for one pass."""

Step = Callable[[State, Any], Any]
"""``(state, data) -> (logs, state)``."""


class Foresight:
    """The scan of a compiled step, and what was found out about it.

    Args:
        step: the step on a bundled state.
        program: the compiled step itself.
        state_bytes: the size of its state.
        may_try: whether it may be tried at all.
    """

    def __init__(self, step: Step, program: Fusable, state_bytes: int, *, may_try: bool) -> None:
        self.choice: Choice | None = None
        self.planned = 0
        self.stack_limit_bytes = DATA_LIMIT_BYTES
        self.can_fuse = may_try and state_bytes * AHEAD <= STATES_LIMIT_BYTES
        self._most = 2 * AHEAD if state_bytes * 2 * AHEAD <= CACHED_BYTES else AHEAD
        self._program = program
        self.scan = Scan(jax.jit(_keeping(step)))
        """``(state, stacked data) -> (last state, (stacked logs, stacked states))``."""

    @property
    def compile_s(self) -> float | None:
        """What the single step took to compile."""
        return self._program.compile_s

    @compile_s.setter
    def compile_s(self, value: float | None) -> None:
        self._program.compile_s = value

    def group_size(self, steps: int | None) -> int:
        """See ``Fusable``."""
        return next((size for size in (self._most, AHEAD) if steps is None or steps >= size), 1)


def _keeping(step: Step) -> Step:
    """Steps one after the other, with the logs and the state after each; the truth value in the buffers is always the same."""

    def many(state: State, stacked: Any) -> Any:
        def one(carried: State, data: Any) -> Any:
            logs, after = step(carried, data)
            return after, (logs, (after[0][:-1], after[1]))

        return jax.lax.scan(one, state, stacked)

    return many


_cut: Any = jax.jit(lambda states, place: jax.tree.map(lambda rows: rows[place], states))
"""One of the states that lie side by side."""


class Group:
    """Steps that have run ahead; ``place`` is how many of them count.

    Args:
        before: the state before them.
        results: what the scan gave.
        count: how many there are.
    """

    def __init__(self, before: State, results: Any, count: int) -> None:
        self._before = before
        self._last: State
        self._last, (logs, self._states) = results
        self._logs = GroupLogs(logs)
        self.count = count
        self.place = 0

    def next(self) -> AheadLogs:
        """Let the next step count; its logs."""
        place = self.place
        self.place = place + 1
        return AheadLogs(self._logs, place)

    def state(self) -> State:
        """The state after the steps that count; arrays of nobody else's, or that nobody will use again."""
        if self.place == self.count:
            return self._last
        if self.place == 0:
            return self._before
        state: State = _cut(self._states, np.int32(self.place - 1))
        return [*state[0], *self._before[0][-1:]], state[1]


class GroupLogs:
    """The logs of a group, read from the device at once.

    Args:
        logs: by name, with a row for each step; those of inner dicts too.
    """

    def __init__(self, logs: dict[str, Any]) -> None:
        self._logs = flattened(logs)
        self._columns: list[tuple[str, Any]] | None = None

    def row(self, place: int) -> dict[str, Any]:
        """Floats of one step; numpy arrays where they are no scalars, None where there is none."""
        columns = self._columns
        if columns is None:
            look(jax.tree.leaves(self._logs))
            columns = self._columns = [(name, _column(value)) for name, value in self._logs.items()]
        return {name: None if column is None else column[place] for name, column in columns}


class AheadLogs:
    """The logs of one step of a group.

    Args:
        group: those of all.
        place: which step.
    """

    __slots__ = ("_group", "_place")

    def __init__(self, group: GroupLogs, place: int) -> None:
        self._group = group
        self._place = place

    def read(self) -> dict[str, Any]:
        """As floats; waits for the device."""
        return self._group.row(self._place)


def _column(values: Any) -> Any:
    """What a log is after each step; None where a step gives no value."""
    if values is None:
        return None
    array = np.asarray(values)
    return list(map(float, array)) if array.ndim == 1 else array


def look(values: list[Any]) -> None:
    """Look at arrays for a while, so that they need not be waited for.

    Being woken up takes 40 us where another core computes, more than a short step.
    """
    until_s = perf_counter() + LOOK_S
    for value in values:
        while not value.is_ready() and perf_counter() < until_s:
            pass
