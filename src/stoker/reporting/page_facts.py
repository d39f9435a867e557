"""What a report shows, read off a history once and brought into one form.

Rules: reads what is there and asks for no more: the History of ``stoker.fit`` has records, figures and a timeline, Keras's own has logs
alone; logs are values by name for each epoch, whatever the history held.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stoker.errors import OptionTypeError
from stoker.feed.advice import Verdict, verdict
from stoker.feed.meter import FeedFigures, Timeline
from stoker.history import EpochRecord, RunRecord
from stoker.machine import usable_cores
from stoker.reporting.text import FEED_LOGS, deaths_text

ALL_RUN = "all batches were run"
"""The reason of an epoch that was not cut short."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A run, as its page tells it.

    Args:
        model: the model's name.
        epochs: the numbers of the epochs that ended, from 1.
        logs: loss and metrics of each of them.
        records: of each of them; empty where stoker did not train.
        timeline: of the last epoch, or None.
        run: what the call was, or None.
        asked: the number of the last epoch that was asked for, or None.
        cores: that could be used, for the verdicts; where the run does not say, those that can be used here.
        was_stopped: a callback asked to stop.
        is_ours: stoker trained, so that what is not recorded did not end.
        end_reason: why no further epoch has a record; empty where that is not known.
    """

    model: str
    epochs: tuple[int, ...]
    logs: tuple[Mapping[str, Any], ...]
    records: tuple[EpochRecord, ...]
    timeline: Timeline | None
    run: RunRecord | None
    asked: int | None
    cores: int
    was_stopped: bool
    is_ours: bool
    end_reason: str

    @property
    def names(self) -> list[str]:
        """Names of loss and metrics, in the order in which they came up; what is said of the feed elsewhere is left out."""
        return list(dict.fromkeys(name for logs in self.logs for name in logs if name not in FEED_LOGS))

    @property
    def figures(self) -> FeedFigures | None:
        """What the feed did in the last epoch."""
        return self.records[-1].figures if self.records else None

    def verdict(self, record: EpochRecord) -> Verdict | None:
        """What held an epoch back."""
        return None if record.figures is None else verdict(record.figures, self.cores)

    def said(self, record: EpochRecord) -> str:
        """What held an epoch back, and the workers that died in it, in words; empty where nothing is known."""
        found = self.verdict(record)
        if found is None:
            return ""
        return "; ".join(part for part in (found.text, deaths_text(record.figures.deaths, record.figures.last_death)) if part)

    @property
    def status(self) -> tuple[bool, str]:
        """Whether all was done that was asked for, and how the run ended, in words."""
        done = self.epochs[-1] if self.epochs else self.run.arguments.get("initial_epoch", 0) if self.run is not None else 0
        of = "" if self.asked is None else f" of {self.asked}"
        reason = self.records[-1].reason if self.records else ALL_RUN
        if reason != ALL_RUN:
            return False, f"ended in epoch {done}{of}: {reason}"
        if self.asked is None or done >= self.asked:
            return True, f"completed: {len(self.epochs)} epochs" if len(self.epochs) != 1 else "completed: 1 epoch"
        if self.end_reason:
            return False, f"ended after epoch {done}{of}: {self.end_reason}"
        if self.was_stopped:
            return False, f"ended after epoch {done}{of}: a callback asked to stop"
        return False, f"interrupted: epoch {done + 1}{of} did not end" if self.is_ours else f"ended after epoch {done}{of}"


def read_facts(history: Any) -> Facts:
    """Read a history.

    Args:
        history: what ``fit`` returned, or ``model.history`` after a call that did not return.

    Raises:
        OptionTypeError: it is no history.
    """
    logs = getattr(history, "history", None)
    if not isinstance(logs, Mapping) or not all(isinstance(values, list | tuple) for values in logs.values()):
        raise OptionTypeError(
            "the first argument of report is no history", got=type(history).__name__,
            expected="what fit returned, with lists by name in its attribute history",
            remedy='Write: stoker.report(model.history, "run.html").')
    run = getattr(history, "run", None)
    model = getattr(history, "model", None)
    records = tuple(getattr(history, "records", None) or ())
    cores = getattr(run, "cores", None) or usable_cores()  # histories that were pickled before lack the field itself
    if records:
        epochs, by_epoch = [record.epoch + 1 for record in records], [record.logs for record in records]
    else:
        epochs, by_epoch = _by_epoch(logs, list(getattr(history, "epoch", None) or ()))
    return Facts(
        run.model if run is not None else str(getattr(model, "name", None) or "model"), tuple(epochs), tuple(by_epoch), records,
        getattr(history, "timeline", None), run, _asked(history, run), cores, bool(getattr(model, "stop_training", False)),
        hasattr(history, "records"), getattr(history, "end_reason", ""))


def _by_epoch(logs: Mapping[str, Any], epochs: list[int]) -> tuple[list[int], list[dict[str, Any]]]:
    """Lists by name turned into logs by epoch."""
    numbers = numbers_of(logs, epochs)
    by_epoch: dict[int, dict[str, Any]] = {number: {} for number in numbers}
    for name, values in logs.items():
        for number, value in zip(epochs_of(name, len(values), numbers), values, strict=True):
            by_epoch[number][name] = value
    return numbers, list(by_epoch.values())


def numbers_of(logs: Mapping[str, Any], epochs: list[int]) -> list[int]:
    """The numbers of the epochs, from 1. A history of two calls has the values of both, and the epochs of the second: these are counted."""
    count = max(map(len, logs.values()), default=0)
    return [epoch + 1 for epoch in epochs] if len(set(epochs)) == count else list(range(1, count + 1))


def epochs_of(name: str, count: int, numbers: list[int]) -> list[int]:
    """The epochs of the values of a log: where these are fewer, those of a ``validation_freq`` that fits, or else the last ones.

    Args:
        name: of the log.
        count: how many values it has.
        numbers: of all epochs, from 1.
    """
    every = len(numbers) // max(1, count)
    validated = [number for number in numbers if number % every == 0] if every > 1 and name.startswith("val_") else []
    return validated if len(validated) == count else numbers[len(numbers) - count:]


def _asked(history: Any, run: RunRecord | None) -> int | None:
    """How many epochs the call was to make."""
    asked = run.arguments.get("epochs") if run is not None else (getattr(history, "params", None) or {}).get("epochs")
    return asked if isinstance(asked, int) else None


def finite(value: Any) -> float | None:
    """A number that can be drawn, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of a tensor that is trained
            drawn = float(value)
    except (TypeError, ValueError):
        return None
    return drawn if math.isfinite(drawn) else None
