"""What happened, by epoch, and who is told.

Rules: imports nothing of the house; records are frozen; a reporter is told everything and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Phase = Literal["train", "validate", "evaluate", "predict"]
ReadLogs = Callable[[], dict[str, float]]


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch, or one call of evaluate or predict.

    Args:
        epoch: its number.
        steps: batches that were run.
        samples: rows that were run.
        logs: loss and metrics, validation's with ``val_``.
        figures: what the feed did (``FeedFigures``), or None.
        elapsed_s: how long it took, validation included.
        reason: why it ended, as users read it.
    """

    epoch: int
    steps: int
    samples: int
    logs: dict[str, float]
    figures: Any
    elapsed_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a call of fit was asked to do, and with what.

    Args:
        began: when, as ``2026-01-31 23:59:59``, local time.
        model: the model's name.
        source: what the batches came from.
        arguments: of the call, as they were understood; ``seed`` is the one that was drawn where none was given.
        versions: of Python and the libraries that matter, by name.
        machine: its system, processor and usable cores.
        cores: how many cores could be used; None where that was not kept.
    """

    began: str
    model: str
    source: str
    arguments: dict[str, Any]
    versions: dict[str, str]
    machine: str
    cores: int | None = None


class Reporter(Protocol):
    """Shows a run while it runs. All methods are called on the caller's thread."""

    def train_begin(self, epochs: int, initial_epoch: int, steps: int | None) -> None:
        """A call of fit begins."""

    def epoch_begin(self, epoch: int, steps: int | None, phase: Phase, look: Callable[[], Any] | None = None) -> None:
        """An epoch, a validation, an evaluation or a prediction begins; ``steps`` where they are known.

        ``look`` gives the feed's figures (``FeedFigures``) so far.
        """

    def batch_end(self, step: int, read_logs: ReadLogs) -> None:
        """Batch ``step`` (from 0) has been handed to the device. Reading logs waits for the device: do it seldom."""

    def stalled(self, text: str, waited_s: float) -> None:
        """No batch has come for so many seconds; told each second from the tenth on."""

    def epoch_end(self, epoch: int, logs: dict[str, float], figures: Any, reason: str | None) -> None:
        """What ``epoch_begin`` announced has ended; ``reason`` where it ended early."""

    def close(self) -> None:
        """The call is over, in whatever way."""


class Silent:
    """A reporter that shows nothing."""

    def train_begin(self, epochs: int, initial_epoch: int, steps: int | None) -> None:
        """See ``Reporter``."""

    def epoch_begin(self, epoch: int, steps: int | None, phase: Phase, look: Callable[[], Any] | None = None) -> None:
        """See ``Reporter``."""

    def batch_end(self, step: int, read_logs: ReadLogs) -> None:
        """See ``Reporter``."""

    def stalled(self, text: str, waited_s: float) -> None:
        """See ``Reporter``."""

    def epoch_end(self, epoch: int, logs: dict[str, float], figures: Any, reason: str | None) -> None:
        """See ``Reporter``."""

    def close(self) -> None:
        """See ``Reporter``."""
