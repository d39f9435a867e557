"""stoker: train Keras models from Python generators and Sequences, and keep the accelerator fed while you do.

Rules: a name is imported when it is first used, because worker processes need few of them and are waited for; ``rng``, which has the name
of its module, at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stoker.rng import rng

if TYPE_CHECKING:
    from stoker.api import evaluate, evaluate_generator, fit, fit_generator, predict, predict_generator
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
    from stoker.feed.feed import Feed
    from stoker.profiling.call import profile
    from stoker.reporting.page import report
    from stoker.source.indexed import Sequence
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
    "stoker.api": ("evaluate", "evaluate_generator", "fit", "fit_generator", "predict", "predict_generator"),
    "stoker.feed.empty": ("empty",),
    "stoker.feed.feed": ("Feed",),
    "stoker.profiling.call": ("profile",),
    "stoker.reporting.page": ("report",),
    "stoker.source.indexed": ("Sequence",),
    "stoker.source.parallel": ("parallel_map",),
    "stoker.stacks": ("dump",),
}
"""Where the names are; all others are errors."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'stoker' has no attribute {name!r}")
    home = next((module for module, names in _HOMES.items() if name in names), "stoker.errors")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
