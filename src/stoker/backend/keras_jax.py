"""Keras on JAX: the model's own ``train_step(state, data)``, compiled, with its state kept in a local variable.

The state of a step is donated: XLA writes the new weights where the old ones were (docs/decisions/004-donation.md).

Rules: the model's variables hold other arrays than the state (``keras_jax_variables``), so that whoever uses the model meanwhile finds
valid ones; they get the latest values when somebody looks, and when the call ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import jax
import numpy as np

from stoker.backend import keras_common as common
from stoker.backend.fusing import Fuser, Ways
from stoker.backend.interrupt import InterruptGuard
from stoker.backend.jax_ahead import MOST_MISSED, AheadLogs, Foresight, Group, look
from stoker.backend.jax_program import Program, known_program, program_of
from stoker.backend.keras_calls import nesting
from stoker.backend.keras_jax_variables import Watch
from stoker.backend.lag import Lag
from stoker.backend.pages import RegisteredPages
from stoker.backend.protocol import Backend, Phase, Raw, Step
from stoker.batch.form import Batch
from stoker.batch.stack import Stack


class JaxSession:
    """The state of a model on the device during one call.

    Args:
        model: the model.
        guard: holds Ctrl-C back where the state is in no variable.
    """

    def __init__(self, model: Any, guard: InterruptGuard) -> None:
        self._model = model
        self._guard = guard
        self._phase: Phase = "train"
        self._variables: tuple[list[Any], ...] | None = None
        self._state: Any = None
        self._watch = Watch(self._hand_out)
        self._program: Program | None = None
        self._fuser = Fuser(Ways(perf_counter, jax.block_until_ready))
        self._lag = Lag(jax.block_until_ready)
        self._is_heard = False
        self._group: Group | None = None
        self._missed = 0
        self._last: Any = None
        self._order: list[str] = []
        self._building = common.Building()
        self._pages = _device_pages(jax.devices()[0])
        self._watch.settle(model)

    @property
    def is_single(self) -> bool:
        """See ``Session``."""
        return self._fuser.is_idle

    @property
    def fuse(self) -> int:
        """See ``Session``."""
        return 1 if self._is_heard else self._fuser.fuse

    @property
    def ahead(self) -> int:
        """See ``Session``."""
        return self._fuser.fuse if self._is_heard else 1

    def begin(self, phase: Phase) -> Step:
        """See ``Session``."""
        self._hand_out()
        self._phase = phase
        self._watch.trains = self._watch.trains or phase == "train"
        self._watch.look_after(_variables(self._model, phase), _optimizer_place(phase))
        self._variables = self._program = None
        self._is_heard, self._missed = False, 0
        self._fuser.begin(self._model.steps_per_execution if phase != "predict" else 1)
        if phase != "predict":
            self._model.reset_metrics()
        return self.step

    def allow_fusing(self, steps: int | None, left: int | None) -> None:
        """See ``Session``."""
        if self._phase != "predict":
            self._fuser.allow(steps, left, known_program(self._model, self._phase))

    def allow_ahead(self, steps: int | None, left: int | None) -> None:
        """See ``Session``; where not every look at a variable is seen, nothing runs ahead."""
        if self._phase != "predict" and self._fuser.choice is None and self._watch.sees_all:
            self._is_heard = True
            known = known_program(self._model, self._phase)
            self._fuser.allow(steps, left, known and known.foresight)

    def step(self, batch: Batch) -> Raw:
        """Run one batch; returns as soon as it is on its way."""
        if self._group is not None:
            return self._next_of(self._group)
        data = common.as_data(batch) if self._phase != "predict" else (batch.inputs,)
        program = self._program
        if self._state is None or program is None:
            program = self._load(data)
        one, must_wait = program.one, program.must_wait
        if not self._fuser.is_open or self.ahead > 1:  # the next group is measured once it is there, and not waited for
            raw = self._run(one, must_wait, data)
            self._lag.handed_over(batch, raw)
            return raw
        return self._fuser.time_one(lambda: self._run(one, must_wait, data), self._fusable(program), lambda: _size_bytes(data))

    def _fusable(self, program: Program) -> Program | Foresight:
        """That of a program which is found out in this phase."""
        return program.foresight if self._is_heard else program

    def foresee(self, batches: Stack) -> None:
        """See ``Session``."""
        with common.telling_of(batches):
            was_seen = self._state is None
            if self._state is None or self._program is None:
                self._load(common.as_data(next(iter(batches))))
            assert self._program is not None
            scan = self._program.foresight.scan
            data = common.as_data(batches.together())
            # a hook that looks after every step is known by its first looks, before anything is compiled for it
            run = None if was_seen and not scan.is_compiled else scan.of(self._state, data)
            if run is None:
                self._miss()
                return
            state = self._state
            self._watch.is_stale = True  # whoever looks, or writes, is to be seen
            results = self._fuser.run_many(len(batches), lambda: lambda: run(state, data), lambda: None)
            if results is not None:
                self._last = results[1][0]
                self._group = Group(state, results, len(batches))

    def _next_of(self, group: Group) -> Raw:
        """Let the next step that has run ahead count; Ctrl-C at any point of this finds a whole state."""
        self._watch.is_stale = True
        raw = group.next()
        if group.place == group.count:
            self._state = group.state()
            self._group = None
            self._missed = 0
        if self._watch.is_wanted:
            self._watch.is_wanted = False
            self._hand_out()
        return raw

    def _miss(self) -> None:
        """What was, or would have been, run ahead is not wanted."""
        self._missed += 1
        if self._missed == MOST_MISSED:
            self._fuser.begin(1)

    def step_many(self, batches: Stack) -> Raw:
        """See ``Session``."""
        with common.telling_of(batches):
            return self._fuser.run_many(len(batches), lambda: self._together(batches), lambda: self._one_by_one(batches))

    def _together(self, batches: Stack) -> Callable[[], Raw] | None:
        """A call that runs all of them; None where there is none."""
        if self._state is None or self._program is None:
            self._load(common.as_data(next(iter(batches))))
        program = self._program
        assert program is not None
        data = common.as_data(batches.together())
        many = program.many(self._state, data)
        return None if many is None else lambda: self._run(many, False, data)

    def _one_by_one(self, batches: Stack) -> Raw:
        raw: Raw = None
        for batch in batches:
            raw = self.step(batch)
        return raw

    def _run(self, function: Callable[..., Any], must_wait: bool, data: Any) -> Raw:
        """Call a compiled function on the state; between its start and its end the state is in no variable."""
        if self._pages is not None:
            self._pages.hold(jax.tree.leaves(data))
        guard = self._guard
        guard.busy = True
        try:
            raw, state = function(self._state, data)
            if must_wait:
                jax.block_until_ready(state)
            self._state = state
            self._watch.is_stale = True
        finally:
            guard.busy = False
        if guard.pending:
            guard.strike()
        self._last = raw
        if self._watch.is_wanted:
            self._watch.is_wanted = False
            self._hand_out()
        return raw

    def read(self, raw: Raw) -> dict[str, float]:
        """See ``Session``."""
        if type(raw) is AheadLogs:
            return common.in_order(common.to_floats(raw.read()), self._order)
        floats = {
            name: _number(value) if isinstance(value, jax.Array) and value.ndim == 0 else value for name, value in (raw or {}).items()}
        return common.in_order(common.to_floats(floats), self._order)

    def result(self, raw: Raw) -> dict[str, float]:
        """See ``Session``."""
        self.publish()
        self._order = common.metric_order(self._model)
        return common.in_order(common.pass_result(self._model, self.read(raw)), self._order)

    def outputs(self, raw: Raw) -> Any:
        """See ``Session``."""
        return jax.tree.map(np.asarray, raw)

    def publish(self) -> None:
        """See ``Session``; where every look at a variable is seen, the values are put there then."""
        if not self._watch.sees_all:
            self._hand_out()

    def _hand_out(self, *, last: bool = False) -> None:
        """Put the latest state into the variables, if they have not got it."""
        state, guard = self._state, self._guard
        if state is None:
            return
        was_busy, guard.busy = guard.busy, True
        try:
            if self._group is not None:
                state = self._state = self._group.state()
                self._group = None
                self._miss()
            self._watch.hand_out(state, last=last)
            self._state = None
        finally:
            guard.busy = was_busy
        if guard.pending and not was_busy:
            guard.strike()

    def close(self) -> None:
        """Give the state to the variables for good; Ctrl-C waits until that is done."""
        guard = self._guard
        was_busy, guard.busy = guard.busy, True
        try:
            self._hand_out(last=True)
        finally:
            try:
                self._watch.settle(self._model)
                self._watch.close()
            finally:
                guard.busy = was_busy
        if guard.pending and not was_busy:
            guard.strike()

    def wait(self) -> None:
        """See ``Session``."""
        if self._last is not None:
            jax.block_until_ready(self._last)

    def finish_training(self) -> None:
        """See ``Session``."""
        self.publish()
        common.finish_training(self._model)

    def _load(self, data: Any) -> Program:
        """Take the state up from the model's variables, building first what is not built."""
        self._watch.settle(self._model)
        if self._variables is None:
            self._build(data)
            self._variables = _variables(self._model, self._phase)
        if self._program is None:
            values = self._watch.values(self._variables, _optimizer_place(self._phase))
            self._program = program_of(self._model, self._phase, self._variables, values, data)
            if not self._is_heard or self._watch.sees_all:
                self._fuser.take_up(self._fusable(self._program))
        self._state = self._watch.take(self._program.bundle)
        return self._program

    def build(self, batch: Batch) -> None:
        """See ``Session``."""
        self._build(common.as_data(batch))

    def _build(self, data: Any) -> None:
        model, phase = self._model, self._phase
        self._building.once(
            model, phase, lambda: common.build_layers(model, data[0]) if phase == "predict" else common.build(model, data))


def _number(value: jax.Array) -> float:
    """A scalar, as soon as it is there."""
    look([value])
    number: float = value.item()
    return number


def _size_bytes(data: Any) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(data))


def _device_pages(device: Any) -> RegisteredPages | None:
    """Pages that a device reads by itself, where its client offers that; a CPU reads all memory.

    JAX hands a copy over and goes on, and holds the array until it has arrived; so what is missing for copies beside the step before is
    only that no staging is needed.
    """
    client = device.client
    register = getattr(client, "dma_map", None)
    if device.platform == "cpu" or register is None:
        return None

    def map_pages(address: int, size_bytes: int) -> bool:
        register(address, size_bytes)
        return True

    return RegisteredPages(map_pages, client.dma_unmap)


def _variables(model: Any, phase: Phase) -> tuple[list[Any], ...]:
    """The model's variables in the order of a step's state."""
    made = [list(model.trainable_variables), list(model.non_trainable_variables)]
    if phase == "train":
        made.append(list(model.optimizer.variables))
    if phase != "predict":
        made.append(list(model.metrics_variables))
    return tuple(made)


def _optimizer_place(phase: Phase) -> int | None:
    return 2 if phase == "train" else None


class JaxBackend(common.KerasCallbacks):
    """Keras on JAX."""

    name = "jax"

    @contextmanager
    def session(self, model: Any) -> Iterator[JaxSession]:
        """See ``Backend``."""
        with InterruptGuard() as guard:
            session = JaxSession(model, guard)
            with nesting(model):  # looks at variables, which are settled now
                try:
                    yield session
                finally:
                    session.close()


def make_backend() -> Backend:
    """The backend, for ``choose``."""
    return JaxBackend()
