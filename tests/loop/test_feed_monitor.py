"""The figures of the feed in the logs of an epoch."""

from __future__ import annotations

import csv

import keras
import numpy as np
import pytest

import stoker
from stoker.callbacks import FeedMonitor
from stoker.testing import Counting

NAMES = {"feed_wait_share", "feed_batches_per_s", "feed_make_ms", "feed_cpu_ms", "feed_cross_ms", "feed_workers"}


def model():
    made = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


def test_callbacks_that_come_after_it_and_history_get_the_figures(tmp_path):
    path = tmp_path / "log.csv"
    history = stoker.fit(
        model(), Counting(12), epochs=3, workers=2, verbose=0, validation_data=(np.zeros((4, 1)), np.zeros((4, 1))),
        callbacks=[FeedMonitor(), keras.callbacks.CSVLogger(str(path))])
    with path.open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 3 and set(rows[0]) >= NAMES
    assert set(history.history) == NAMES | {"loss", "val_loss"}
    for row, figures, share in zip(rows, history.feed, history.history["feed_wait_share"], strict=True):
        assert float(row["feed_wait_share"]) == pytest.approx(figures.wait_share) == share
        assert float(row["feed_workers"]) == 2 and float(row["feed_batches_per_s"]) > 0


def test_it_can_be_watched():
    stop = keras.callbacks.EarlyStopping("feed_workers", patience=0, mode="max")
    history = stoker.fit(model(), Counting(3), epochs=9, verbose=0, callbacks=[FeedMonitor(), stop])
    assert len(history.epoch) == 2, "it does not get better"


def test_a_second_history_among_the_callbacks_hides_no_figures():
    first, second = keras.callbacks.History(), keras.callbacks.History()
    stoker.fit(model(), Counting(3), epochs=3, verbose=0, callbacks=[first, second, FeedMonitor()])
    assert len(first.feed) == 3


def test_a_training_that_stoker_does_not_run_has_no_figures():
    with pytest.raises(stoker.OptionError, match=r"stoker\.fit"):
        model().fit(np.zeros((4, 1)), np.zeros((4, 1)), verbose=0, callbacks=[FeedMonitor()])


def test_a_run_interrupted_in_validation_keeps_the_timeline_of_the_epoch_that_it_records():
    class Interrupt(keras.callbacks.Callback):
        kept = None

        def on_test_begin(self, logs=None):
            if self.kept is not None:
                raise KeyboardInterrupt

        def on_epoch_end(self, epoch, logs=None):
            self.kept = len(self.model.history.feed)

    made, rows = model(), (np.zeros((4, 1)), np.zeros((4, 1)))
    with pytest.raises(KeyboardInterrupt):
        stoker.fit(made, Counting(12), epochs=3, verbose=0, shuffle=False, validation_data=rows, callbacks=[Interrupt()])
    history = made.history
    assert len(history.records) == 1 and len(history.feed) == 2
    assert [take.ticket for take in history.timeline.takes] == list(range(12)), "those of the first epoch"


def test_the_history_keeps_what_was_asked_for_and_the_timeline_of_the_last_epoch():
    history = stoker.fit(model(), Counting(12), epochs=2, workers=2, verbose=0, seed=3, shuffle=False)
    assert history.run.arguments["seed"] == 3 and history.run.arguments["workers"] == 2 and history.run.versions["keras"]
    takes, makes = history.timeline.takes, history.timeline.makes
    assert [take.index for take in takes] == list(range(12))
    assert {make.ticket for make in makes} <= {take.ticket for take in takes}
    assert [take.at_s for take in takes] == sorted(take.at_s for take in takes)
    assert sum(take.wait_s for take in takes) == pytest.approx(history.feed[-1].wait_s, abs=1e-6)
