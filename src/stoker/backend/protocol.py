"""What the loop asks of a framework.

A ``Session`` owns the state of one call (fit, evaluate or predict) while it runs. Between ``begin`` and ``publish`` the state may live
on the device and in local variables; ``publish`` puts it into the model, and closing the session does so in any case.

Rules: one session for one call, on one thread; what a step returns is raw: nothing is read from the device until ``read`` or
``outputs`` is called.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, runtime_checkable

from stoker.batch.form import Batch
from stoker.batch.spec import ModelSpec
from stoker.batch.stack import Stack

Phase = Literal["train", "test", "predict"]
Raw = Any
"""What a step gives: logs of train and test, outputs of predict, still on the device."""

Step = Callable[[Batch], Raw]


class Session(Protocol):
    """The state of a model during one call."""

    @property
    def is_single(self) -> bool:
        """Whether batches go one by one in all of this phase: ``fuse`` and ``ahead`` stay 1."""

    @property
    def fuse(self) -> int:
        """How many batches ``step_many`` takes at once now; 1 where batches go one by one."""

    @property
    def ahead(self) -> int:
        """How many batches ``foresee`` wants now; 1 where none."""

    def begin(self, phase: Phase) -> Step:
        """Begin a pass of a phase with fresh metrics; the step builds what the model has not built on its first batch."""

    def build(self, batch: Batch) -> None:
        """Build what the model has not built yet from the shapes of a batch; nothing is trained."""

    def step_many(self, batches: Stack) -> Raw:
        """Run several batches of one shape in one call, with the results of that many single steps; the last one's logs."""

    def allow_fusing(self, steps: int | None, left: int | None) -> None:
        """Say that in this phase nobody needs to hear of single batches, before its first step.

        Args:
            steps: batches in a pass, where known.
            left: batches in all passes to come, where known.
        """

    def allow_ahead(self, steps: int | None, left: int | None) -> None:
        """Say that in this phase somebody hears of single batches, but that they may be pulled ahead; see ``allow_fusing``."""

    def foresee(self, batches: Stack) -> None:
        """Run batches ahead of those who hear of them: the next steps are on these very batches, one by one.

        Nothing of it shows: between two steps the model is as single steps leave it, and a later step takes up what was changed.
        """

    def read(self, raw: Raw) -> dict[str, float]:
        """Logs as floats, in the order in which the model declares them; waits for the device."""

    def result(self, raw: Raw) -> dict[str, float]:
        """The logs of a whole pass that ended with ``raw``: the model's metrics where they have the same names."""

    def outputs(self, raw: Raw) -> Any:
        """Outputs of predict as numpy arrays, in the model's structure."""

    def publish(self) -> None:
        """Put the latest state into the model; the next step takes up what the model then holds."""

    def wait(self) -> None:
        """Wait until the device has read every batch that was handed to it."""

    def finish_training(self) -> None:
        """What an optimizer does once after training (averaged weights)."""


@runtime_checkable
class Backend(Protocol):
    """A framework."""

    name: str

    callback_base: type
    """The class whose hooks do nothing."""

    callback_list: type
    """The class that holds callbacks and is none itself."""

    def require_model(self, model: Any, call: str) -> None:
        """Raise where something else than a model was passed."""

    def require_compiled(self, model: Any, call: str) -> None:
        """Raise Keras's own error if the model has not been compiled."""

    def describe(self, model: Any) -> ModelSpec:
        """What the model takes."""

    def session(self, model: Any) -> AbstractContextManager[Session]:
        """Own the model's state for one call; use it in a ``with`` block."""

    def new_history(self) -> Any:
        """A ``keras.callbacks.History``."""

    def is_history(self, callback: Any) -> bool:
        """Whether a callback is one."""

    def first_epoch(self, model: Any, asked: int) -> int:
        """The number of the first epoch: what was asked for, unless a callback has restored a later one."""

    def metric_names(self, model: Any) -> list[str]:
        """Names of the loss and the metrics as far as they are known."""

    def ends_only_if_finished(self, callback: Any) -> bool:
        """Whether a callback of Keras's own must not hear of the end of a training that failed (it would delete its backup)."""

    def ignores_batches(self, callback: Any) -> bool:
        """Whether a callback of Keras's own overrides batch hooks but has nothing to do in them as it is set up."""
