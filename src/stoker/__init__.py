"""stoker: train Keras models from Python generators and Sequences, and keep the accelerator fed while you do.

Rules: what worker processes need is imported at once, and so before they are forked; everything else when it is first used, because the
first batch waits for them. ``rng`` must be imported at once: it has the name of its module.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stoker.errors import (
    BackendError,
    BatchError,
    FeedClosed,
    NotPicklable,
    OptionError,
    OptionTypeError,
    ResultError,
    SourceError,
    SourceStopped,
    SourceTypeError,
    StokerError,
    StokerWarning,
    WorkerDied,
    WorkerError,
    WorkerHung,
)
from stoker.feed.empty import empty
from stoker.rng import rng
from stoker.source.indexed import Sequence

if TYPE_CHECKING:
    from stoker.api import evaluate, evaluate_generator, fit, fit_generator, predict, predict_generator
    from stoker.feed.feed import Feed
    from stoker.profiling.call import profile
    from stoker.reporting.page import report
    from stoker.source.parallel import parallel_map
    from stoker.stacks import dump

__all__ = [
    "BackendError",
    "BatchError",
    "Feed",
    "FeedClosed",
    "NotPicklable",
    "OptionError",
    "OptionTypeError",
    "ResultError",
    "Sequence",
    "SourceError",
    "SourceStopped",
    "SourceTypeError",
    "StokerError",
    "StokerWarning",
    "WorkerDied",
    "WorkerError",
    "WorkerHung",
    "dump",
    "empty",
    "evaluate",
    "evaluate_generator",
    "fit",
    "fit_generator",
    "parallel_map",
    "predict",
    "predict_generator",
    "profile",
    "report",
    "rng",
]

_HOMES = {
    **dict.fromkeys(("evaluate", "evaluate_generator", "fit", "fit_generator", "predict", "predict_generator"), "stoker.api"),
    "Feed": "stoker.feed.feed",
    "dump": "stoker.stacks",
    "parallel_map": "stoker.source.parallel",
    "profile": "stoker.profiling.call",
    "report": "stoker.reporting.page",
}
"""The modules of the names that are imported when they are used."""

if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'stoker' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
