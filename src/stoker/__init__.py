"""stoker: train Keras models from Python generators and Sequences, and keep the accelerator fed while you do."""

from __future__ import annotations

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
from stoker.rng import rng
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
