"""How far an epoch has come, and why it ended.

Rules: every end has a reason; its text is what users read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


class StopReason(Enum):
    """Why a pass over batches ended; the value is what users read."""

    COMPLETED = "all batches were run"
    STOP_REQUESTED = "a callback asked to stop"
    SOURCE_ENDED = "the source ended early"


@dataclass(frozen=True, slots=True)
class Progress:
    """A pass that has ended.

    Args:
        steps: batches that were run.
        samples: rows that were run.
        largest: rows of the largest batch.
        raw: what the last step gave; None where none was run.
        reason: why it ended.
    """

    steps: int
    samples: int
    largest: int
    raw: Any
    reason: StopReason


def text_of(progress: Progress, expected: int | None) -> str:
    """The reason with its numbers, for people."""
    if progress.reason is StopReason.COMPLETED:
        return str(progress.reason.value)
    of = "" if expected is None else f" of {expected}"
    return f"{progress.reason.value} after {progress.steps}{of} batches"
