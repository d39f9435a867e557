"""Whether several steps go into one call, found out while training runs.

On a small model handing a step to the device takes longer than the step; several in one call are handed over once. Where the step is long,
where the loop on the device is slower than single steps (convolutions on a CPU are), or where compiling it would take longer than it saves,
steps stay single: that is measured at the start, on the training itself, and never guessed (docs/decisions/005-fused-steps.md).

Rules: knows no framework; what was measured is kept with the compiled step; only the clock that is passed in is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

WARM_STEPS = 4
"""Steps that are not timed: the first one compiles."""

TIMED_STEPS = 12
TIMED_CALLS = 3
LONG_STEP_S = 1e-3
"""On JAX a step that takes longer gains next to nothing: handing it over takes 30 to 100 microseconds."""

SAVED_SHARE = 0.6
"""Of the time of a short step, what a scan saves at best; measured on models of two and three dense layers."""

WORTHWHILE = 0.9
"""A scan must take less than this share of the single steps' time; a smaller gain is within the noise of the measurement."""

SMALLEST, LARGEST = 4, 64
STACK_LIMIT_BYTES = 64 << 20
"""Batches that go into one call lie side by side, in memory of no more than this."""


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


@dataclass(frozen=True, slots=True)
class Ways:
    """What finding out takes of a framework.

    Args:
        clock: seconds, monotonic.
        wait: waits for the result of a call.
        long_step_s: a step that takes longer is not fused: handing it over is little of that; None for ``LONG_STEP_S``.
    """

    clock: Callable[[], float]
    wait: Callable[[Any], object]
    long_step_s: float | None = None


class Choice:
    """Finds out whether fusing pays, while training runs.

    ``fuse`` is how many steps go into one call now; ``has_measured`` says that a later call with as many need not measure again.

    Args:
        size: how many steps would go into one call.
        left: how many steps are still to come, in all; None where that is not known.
        compile_s: how long the single step took to compile, where that is known already.
        ways: what the framework takes.
    """

    def __init__(self, size: int, left: int | None, compile_s: float | None, ways: Ways) -> None:
        self.size = size
        self.fuse = 1
        self.is_settled = size < SMALLEST
        self.has_measured = False
        self.compile_s = compile_s
        self.left = left
        self._ways = ways
        self._singles: list[float] = []
        self._calls: list[float] = []

    @classmethod
    def fixed(cls, size: int) -> Choice:
        """The model's own ``steps_per_execution``: nothing to find out."""
        made = cls(size, None, None, Ways(float, lambda result: None))
        made.settle(size)
        return made

    def serves(self, size: int, steps: int | None = None) -> bool:
        """Whether what is known, or is being found out, holds for passes of ``steps`` that would take groups of ``size`` too.

        One size is compiled: another pass takes it as soon as it is long enough, and runs what is left over singly.
        """
        if self.has_measured:
            return self.fuse == 1 or size >= self.size or (size > 1 and (steps or 0) >= self.size)
        return self.size == size and not self.is_settled

    def settle(self, fuse: int) -> None:
        """From now on ``fuse`` steps go into one call."""
        self.fuse = fuse
        self.is_settled = True

    def time(self, run: Callable[[], Any], batches: int) -> Any:
        """Run a step, or a call of several, and learn from how long it took."""
        began = self._ways.clock()
        result = run()
        self._ways.wait(result)
        elapsed = self._ways.clock() - began
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
        self.has_measured = self._single() >= (self._ways.long_step_s or LONG_STEP_S)
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


class Fusable(Protocol):
    """A compiled step of which several may go into one call."""

    choice: Choice | None
    """What was found out of it."""
    compile_s: float | None
    """How long it took to compile, once that is known."""
    planned: int
    """Steps that all calls so far were going to take."""
    stack_limit_bytes: int
    """How large a group of batches may be."""

    @property
    def can_fuse(self) -> bool:
        """Whether several steps may be tried in one call."""

    def group_size(self, steps: int | None) -> int:
        """How many go into one call, in a pass of so many steps."""


class Fuser:
    """The choice of one call of fit, evaluate or predict, phase by phase.

    Args:
        ways: what finding out takes.
    """

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._to_come: tuple[int | None, int | None] | None = None
        self.choice: Choice | None = None

    @property
    def fuse(self) -> int:
        """How many batches go into one call now."""
        return self.choice.fuse if self.choice is not None else 1

    @property
    def is_idle(self) -> bool:
        """Whether nothing is, or can be, fused in this phase."""
        return self.choice is None and self._to_come is None

    @property
    def is_open(self) -> bool:
        """Whether it is still being found out: each call is timed."""
        return self.choice is not None and not self.choice.is_settled

    def begin(self, asked: int) -> None:
        """A phase begins; ``asked`` is the model's own ``steps_per_execution``."""
        self._to_come = None
        self.choice = Choice.fixed(asked) if asked > 1 else None

    def allow(self, steps: int | None, left: int | None, known: Fusable | None) -> None:
        """Batches may be pulled together in this phase.

        Args:
            steps: batches in a pass, where known.
            left: batches in all passes to come, where known.
            known: the compiled step, if there is one.
        """
        if self.choice is None:
            self._to_come = (steps, left)
            if known is not None:
                self.take_up(known)

    def take_up(self, program: Fusable) -> None:
        """Take up what is known of a compiled step, or begin to find out."""
        if self.choice is not None or self._to_come is None or not program.can_fuse:
            return
        steps, left = self._to_come
        size = program.group_size(steps)
        known = program.choice
        if known is None or not known.serves(size, steps):
            known = program.choice = Choice(size, left, program.compile_s, self._ways)
        known.left = None if left is None else left + program.planned
        program.planned += steps or 0
        self.choice = known

    def time_one(self, run: Callable[[], Any], program: Fusable, size_bytes: Callable[[], int]) -> Any:
        """Run a single step while it is still being found out; ``size_bytes`` says how large its batch is."""
        choice = self.choice
        assert choice is not None
        raw = choice.time(run, 1)
        program.compile_s = choice.compile_s
        if choice.fuse > 1 and size_bytes() * choice.size > program.stack_limit_bytes:
            choice.settle(1)
        return raw

    def run_many(self, batches: int, find: Callable[[], Callable[[], Any] | None], singly: Callable[[], Any]) -> Any:
        """Run a group: in one call, if it is of the size that was chosen and there is such a call; timed while that is being found out.

        Args:
            batches: how many there are.
            find: gives the call, or None.
            singly: runs them one by one.
        """
        choice = self.choice
        if choice is None or batches != choice.size:
            return singly()
        run = find()
        if run is None:
            if not choice.is_settled:
                choice.settle(1)
            return singly()
        return run() if choice.is_settled else choice.time(run, batches)
