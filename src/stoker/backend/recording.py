"""A backend without a framework: it writes down what it was given, for tests of the loop.

Rules: behaves as the others do, in order and in what it returns; its "model" is any object that has ``stop_training``; the loss of a batch
is the mean of its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stoker.backend.protocol import Phase, Raw, Step
from stoker.batch.form import Batch
from stoker.batch.spec import ModelSpec
from stoker.batch.stack import Stack
from stoker.batch.tree import first_leaf


class NoHooks:
    """The class whose hooks do nothing: it has none."""


class RecordedHistory(NoHooks):
    """Keeps the logs of each epoch, as ``keras.callbacks.History`` does."""

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Keep the logs of an epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)


@dataclass
class RecordingSession:
    """Writes down each call as a tuple; ``fuse`` and ``ahead`` are as they were set."""

    calls: list[Any] = field(default_factory=list)
    fuse: int = 1
    ahead: int = 1
    phase: Phase = "train"
    rows: int = 0
    total: float = 0.0

    @property
    def is_single(self) -> bool:
        """See ``Session``."""
        return self.fuse == self.ahead == 1

    def begin(self, phase: Phase) -> Step:
        """See ``Session``."""
        self.phase, self.rows, self.total = phase, 0, 0.0
        self.calls.append(("begin", phase))
        return self.step

    def step(self, batch: Batch) -> Raw:
        """Run a batch: its inputs' mean is the loss."""
        self.calls.append((self.phase, batch))
        if self.phase == "predict":
            return first_leaf(batch.inputs)
        self.rows += batch.size
        self.total += float(np.mean(first_leaf(batch.inputs))) * batch.size
        return {"loss": self.total / self.rows}

    def build(self, batch: Batch) -> None:
        """See ``Session``."""
        self.calls.append(("build", batch))

    def step_many(self, batches: Stack) -> Raw:
        """See ``Session``."""
        self.calls.append(("group", len(batches)))
        return [self.step(batch) for batch in batches][-1]

    def allow_fusing(self, steps: int | None, left: int | None) -> None:
        """See ``Session``."""
        self.calls.append(("may fuse", steps, left))

    def allow_ahead(self, steps: int | None, left: int | None) -> None:
        """See ``Session``."""
        self.calls.append(("may run ahead", steps, left))

    def foresee(self, batches: Stack) -> None:
        """See ``Session``."""
        self.calls.append(("ahead", len(batches)))

    def read(self, raw: Raw) -> dict[str, float]:
        """See ``Session``."""
        self.calls.append(("read",))
        return dict(raw)

    def result(self, raw: Raw) -> dict[str, float]:
        """See ``Session``."""
        return dict(raw)

    def outputs(self, raw: Raw) -> Any:
        """See ``Session``."""
        return raw

    def publish(self) -> None:
        """See ``Session``."""
        self.calls.append(("publish",))

    def wait(self) -> None:
        """See ``Session``."""
        self.calls.append(("wait",))

    def finish_training(self) -> None:
        """See ``Session``."""
        self.calls.append(("finish",))


class RecordingBackend:
    """A backend for tests; ``sessions`` holds every session that was opened.

    Args:
        fuse: how many batches its sessions take at once.
        ahead: how many they want to foresee.
        spec: what the model takes.
    """

    name = "recording"
    callback_base: type = NoHooks
    callback_list: type = list

    def __init__(self, fuse: int = 1, spec: ModelSpec | None = None, ahead: int = 1) -> None:
        self.sessions: list[RecordingSession] = []
        self._fuse = fuse
        self._ahead = ahead
        self._spec = spec or ModelSpec()

    def require_model(self, model: Any, call: str) -> None:
        """Anything goes."""

    def require_compiled(self, model: Any, call: str) -> None:
        """See ``Backend``; every model is."""

    def describe(self, model: Any) -> ModelSpec:
        """See ``Backend``."""
        return self._spec

    @contextmanager
    def session(self, model: Any) -> Iterator[RecordingSession]:
        """See ``Backend``."""
        made = RecordingSession(fuse=self._fuse, ahead=self._ahead)
        self.sessions.append(made)
        try:
            yield made
        finally:
            made.calls.append(("closed",))

    def new_history(self) -> Any:
        """See ``Backend``."""
        return RecordedHistory()

    def is_history(self, callback: Any) -> bool:
        """See ``Backend``."""
        return isinstance(callback, RecordedHistory)

    def first_epoch(self, model: Any, asked: int) -> int:
        """See ``Backend``."""
        return asked

    def metric_names(self, model: Any) -> list[str]:
        """See ``Backend``."""
        return ["loss"]

    def ends_only_if_finished(self, callback: Any) -> bool:
        """See ``Backend``."""
        return False

    def ignores_batches(self, callback: Any) -> bool:
        """See ``Backend``."""
        return False
