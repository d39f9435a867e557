"""Histories for the tests of reports: made by hand, and of a real training."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np

import stoker
from stoker.feed.meter import FeedFigures, Make, Take, Timeline
from stoker.history import EpochRecord, RunRecord

NASTY = '<script>alert("x")</script> & </script><b>'


def figures(batches=100, workers=2, lane="threads", wait_s=4.0):
    return FeedFigures(lane, workers, batches, 10.0, wait_s, 9.0, 8.0, batches)


def timeline(count=100, workers=2, first=0, step_s=0.01, slow_at=None, cross_s=0.0, begins_s=0.0):
    """Workers in turn, each batch asked for as soon as the one before has been run."""
    makes, takes = [], []
    for number in range(count):
        make_s = 0.3 if number == slow_at else 0.005
        at_s = number * step_s
        makes.append(Make(number % workers, first + number, begins_s + at_s, make_s, cross_s))
        takes.append(Take(first + number, 7 * number % count, at_s + 0.002, 0.002, number % 4))
    return Timeline(tuple(makes), tuple(takes))


def record(epoch, logs, reason="all batches were run", fed=None):
    return EpochRecord(epoch, 100, 3200, logs, fed, 10.5, reason)


def run(epochs=3, model="net", **arguments):
    return RunRecord(
        "2026-01-31 23:59:59", model, "Pictures", {"epochs": epochs, "seed": 7, "workers": 2, **arguments},
        {"Python": "3.12", "keras": "3.15"}, "Linux x86_64, 2 usable cores")


def history(epochs=3, asked=None, names=("loss", "acc", "val_loss", "val_acc"), reason="all batches were run", **fields):
    """As ``stoker.fit`` gives it."""
    logs = {name: [1.0 / (place + epoch + 1) for epoch in range(epochs)] for place, name in enumerate(names)}
    fed = [figures() for _ in range(epochs)]
    records = [
        record(epoch, {name: logs[name][epoch] for name in names}, reason if epoch == epochs - 1 else "all batches were run", fed[epoch])
        for epoch in range(epochs)]
    made = {
        "history": logs, "epoch": list(range(epochs)), "feed": fed, "records": records, "timeline": timeline() if epochs else None,
        "run": run(epochs if asked is None else asked)}
    return SimpleNamespace(**{**made, **fields})


class Uneven(stoker.Sequence):
    """Batches of which one takes far longer than the others."""

    def __init__(self, length=40, slow=20):
        self.length = length
        self.slow = slow

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        time.sleep(0.2 if index == self.slow else 0.002)
        return np.full((4, 2), index / self.length, "float32"), np.ones((4, 1), "float32")


def small_model(name="small"):
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name=name)
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def trained(name="small", epochs=3):
    """The history of a real training on two threads, with one slow batch in each epoch."""
    rows = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
    return stoker.fit(small_model(name), Uneven(), epochs=epochs, workers=2, verbose=0, seed=3, validation_data=rows)
