"""``stoker demo``: a small convolutional net learns handwritten digits, from a Sequence and from a generator.

Rules: everything here is what a user would write; nothing is downloaded; written are ``history.png`` and, if asked for, ``report.html``.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from stoker import api
from stoker.backend.choose import load_backend
from stoker.cli.digits import AugmentedDigits, generate, load_images
from stoker.errors import BackendError
from stoker.reporting.page import plotly_javascript, report

EPOCHS = 20
BATCH_SIZE = 32
STEPS = 45
"""Of an epoch: a pass over 1,437 images."""
WORKERS = 2
SEED = 7
PICTURE = "history.png"
PAGE = "report.html"


def demo(*, with_report: bool = False) -> None:
    """Train both ways, print what came of it, write ``history.png``.

    Args:
        with_report: write ``report.html`` too.

    Raises:
        BackendError: scikit-learn, matplotlib, plotly for a report, or a framework is missing; the text names the command that installs it.
    """
    began = time.monotonic()
    train, held_out = load_images()
    plot = _plotter()
    if with_report:
        plotly_javascript()  # says what is missing before the training and not after it
    load_backend()
    import keras

    backend = keras.backend.backend()
    print(f"{len(train[0])} handwritten digits to learn from, {len(held_out[0])} to check with; Keras on {backend}.\n")
    print(f"1. From a Sequence; {WORKERS} threads turn and move each image and add noise, anew:\n")
    history = _train(AugmentedDigits(*train, BATCH_SIZE), held_out, None)
    print("\n2. A new model, from the same data as a plain generator:\n")
    second = _train(generate(*train, BATCH_SIZE), held_out, STEPS)
    print()
    _sum_up("Sequence", history)
    _sum_up("generator", second)
    plot(history).savefig(PICTURE, dpi=110)
    if with_report:
        print(f"A page on the first run, to look at in a browser: {report(history, PAGE)}")
    print(f"All of it took {time.monotonic() - began:.0f} s. Curves of the first run: {PICTURE}")


def _train(source: Any, held_out: tuple[np.ndarray, np.ndarray], steps: int | None) -> Any:
    import keras

    keras.utils.set_random_seed(SEED)
    return api.fit_generator(
        _make_model(keras), source, steps_per_epoch=steps, epochs=EPOCHS, verbose=1, validation_data=held_out, workers=WORKERS, seed=SEED)


def _make_model(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])
    rate = keras.optimizers.schedules.CosineDecay(3e-3, EPOCHS * STEPS)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _sum_up(name: str, history: Any) -> None:
    waited = sum(figures.wait_s for figures in history.feed)
    elapsed = sum(figures.elapsed_s for figures in history.feed)
    accuracy = history.history["val_accuracy"][-1]
    print(f"{name + ':':<10} final validation accuracy {accuracy:.4f}; waited {waited:.2f} s of {elapsed:.1f} s for data")


def _plotter() -> Any:
    """What draws the curves, found before the training and not after it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise BackendError(
            "the demo needs matplotlib, which draws its curves", got="no matplotlib", remedy='Run: pip install "stoker[demo]"') from error
    from stoker.reporting.plots import plot_history

    return plot_history
