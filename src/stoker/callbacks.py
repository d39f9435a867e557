"""Keras callbacks of stoker's own.

Rules: importing this module imports Keras, on a backend that is installed.
"""

from __future__ import annotations

from typing import Any

from stoker.backend.choose import load_backend
from stoker.errors import OptionError
from stoker.reporting.text import FEED_LOGS

load_backend()

import keras  # noqa: E402


class FeedMonitor(keras.callbacks.Callback):
    """Puts what the feed did into the logs of each epoch, where every callback listed after it finds it.

    Epochs' lines and the report say the same in words, and leave these out.

    So ``CSVLogger``, ``TensorBoard`` and MLflow's callback write it, ``EarlyStopping`` can watch it, and ``History`` keeps it::

        stoker.fit(model, source, callbacks=[FeedMonitor(), keras.callbacks.CSVLogger("log.csv")])

    The names are:

    - ``feed_wait_share``: share of the epoch in which the model waited for data, from 0 to 1;
    - ``feed_batches_per_s``: batches handed out in a second;
    - ``feed_make_ms``: wall time that the source took for a batch, in milliseconds;
    - ``feed_cpu_ms``: CPU time of that;
    - ``feed_cross_ms``: wall time of putting a batch into shared memory;
    - ``feed_workers``: how many workers made batches.

    Raises:
        OptionError: the training is not run by stoker.
    """

    _history: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Take the call's history: each further ``History`` among the callbacks puts itself in its place when an epoch ends."""
        self._history = getattr(self.model, "history", None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the figures of the epoch that has just ended."""
        figures = getattr(self._history, "feed", None)
        if not figures:
            raise OptionError(
                "FeedMonitor found no feed", got="a training that stoker does not run", expected="a call of stoker.fit",
                remedy="Train with stoker.fit or stoker.fit_generator.")
        if logs is not None:
            logs.update(_logs(figures[-1]))


def _logs(figures: Any) -> dict[str, float]:
    made = max(1, figures.made)
    pace = figures.batches / figures.elapsed_s if figures.elapsed_s > 0 else 0.0
    in_ms = (seconds / made * 1e3 for seconds in (figures.make_s, figures.cpu_s, figures.cross_s))
    return dict(zip(FEED_LOGS, (figures.wait_share, pace, *in_ms, float(figures.workers)), strict=True))
