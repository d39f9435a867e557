"""Callbacks with the arguments and the judgement of Keras 1 and 2.

Rules: the classes are Keras 3's with what was theirs added; ``mode='auto'`` goes by the name, as it did then; what is dropped is told.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import keras

from stoker.compat.patching import before_init
from stoker.compat.positions import through_tensorflow
from stoker.compat.spelling import translate
from stoker.compat.tell import Teller

ORDER = (
    "log_dir", "histogram_freq", "batch_size", "write_graph", "write_grads", "write_images", "embeddings_freq",
    "embeddings_layer_names", "embeddings_metadata", "embeddings_data", "update_freq",
)
"""Positional arguments of Keras 2's ``TensorBoard``."""

BOARD = ("batch_size", "write_grads", "embeddings_layer_names", "embeddings_data")


def old_mode(monitor: str, mode: str) -> str:
    """``auto`` by the name of what is monitored, as Keras 2 decided it."""
    if mode in ("min", "max"):
        return mode
    return "max" if "acc" in monitor or monitor.startswith("fmeasure") else "min"


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras 3's, with the direction that Keras 2 chose."""

    def __init__(self, monitor: str = "val_loss", min_delta: float = 0, patience: int = 0, verbose: int = 0, mode: str = "auto",
                 *others: Any, **options: Any) -> None:
        if mode == "auto" and monitor.endswith("auc") and through_tensorflow():
            mode = "max"  # TensorFlow's late versions alone, and this callback alone
        super().__init__(monitor, min_delta, patience, verbose, old_mode(monitor, mode), *others, **options)


class ReduceLROnPlateau(keras.callbacks.ReduceLROnPlateau):
    """Keras 3's, with ``epsilon=`` for ``min_delta=`` and the direction that Keras 2 chose."""

    def __init__(self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, verbose: int = 0, mode: str = "auto",
                 *others: Any, **options: Any) -> None:
        translate(options, {"epsilon": "min_delta"})
        super().__init__(monitor, factor, patience, verbose, old_mode(monitor, mode), *others, **options)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """See Keras; the rate is logged as ``lr`` too."""
        super().on_epoch_end(epoch, logs)
        if logs and "learning_rate" in logs:
            logs["lr"] = logs["learning_rate"]


class LearningRateScheduler(keras.callbacks.LearningRateScheduler):
    """Keras 3's; the rate is logged as ``lr`` too."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """See Keras."""
        super().on_epoch_end(epoch, logs)
        if logs and "learning_rate" in logs:
            logs["lr"] = logs["learning_rate"]


class ModelCheckpoint(keras.callbacks.ModelCheckpoint):
    """Keras 3's, writing under any name, and every ``period`` epochs."""

    def __init__(self, filepath: Any, monitor: str = "val_loss", verbose: int = 0, save_best_only: bool = False,
                 save_weights_only: bool = False, mode: str = "auto", period: int = 1, **options: Any) -> None:
        if isinstance(period, str):
            period, options["save_freq"] = 1, period
        fine = "x.weights.h5" if save_weights_only else "x.keras"
        super().__init__(fine, monitor, verbose, save_best_only, save_weights_only, old_mode(monitor, mode), **options)
        self.filepath = str(filepath)
        self.period = period
        self._since = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save, if it is time."""
        self._since += 1
        if self._since < self.period:
            return
        self._since = 0
        super().on_epoch_end(epoch, logs)


class BaseLogger(keras.callbacks.Callback):
    """There for its name: Keras 3 averages metrics itself.

    Args:
        stateful_metrics: not used.
    """

    def __init__(self, stateful_metrics: Any = None) -> None:
        super().__init__()


def complete(teller: Teller) -> None:
    """Put them in the places of Keras's."""

    class TensorBoard(keras.callbacks.TensorBoard):
        """Keras 3's, without the arguments it no longer has."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.update(zip(ORDER, arguments, strict=False))
            for name in [name for name in options if name in BOARD]:
                del options[name]
                teller.tell(f"TensorBoard({name}=)", "Keras 3 does not write that; remove the argument.")
            super().__init__(**options)

    class NoBoard(keras.callbacks.Callback):
        """Writes nothing, where TensorFlow, which writes for Keras 3's, is not installed."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__()
            teller.tell("TensorBoard", "it writes nothing where TensorFlow is not installed; install it, or use keras.callbacks.CSVLogger.")

    has_tensorflow = importlib.util.find_spec("tensorflow") is not None
    NoBoard.__name__ = NoBoard.__qualname__ = "TensorBoard"
    for kind in (EarlyStopping, ReduceLROnPlateau, LearningRateScheduler, ModelCheckpoint, BaseLogger,
                 TensorBoard if has_tensorflow else NoBoard):
        setattr(keras.callbacks, kind.__name__, kind)
    before_init(keras.callbacks.ProgbarLogger, _without_mode)


def _without_mode(arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
    """``count_mode`` and ``stateful_metrics`` of Keras 2's ``ProgbarLogger`` are found out by Keras 3 itself."""
    for name in ("count_mode", "stateful_metrics"):
        options.pop(name, None)
    return ()
