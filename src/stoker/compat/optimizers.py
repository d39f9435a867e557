"""Optimizers as Keras 1 and 2 knew them: ``lr=``, ``decay=``, the old defaults and the old order of arguments.

``decay`` follows Keras 2: in step ``i``, counted from 0, the rate is ``lr / (1 + decay * i)``; ``lr`` itself stays what it was set to.

Rules: an optimizer made without old spellings, and without leaving out what had another default, is Keras 3's own; a script that takes
Keras from TensorFlow means the optimizers of that one, whose order was another, whose defaults are Keras 3's, and whose ``clipnorm`` is
the norm of each variable's gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from stoker.compat.lost import Lost, fail
from stoker.compat.patching import before_init, wrap
from stoker.compat.positions import through_tensorflow
from stoker.compat.spelling import translate
from stoker.compat.tell import Teller

ORDER = {
    "SGD": ("learning_rate", "momentum", "decay", "nesterov"),
    "RMSprop": ("learning_rate", "rho", "epsilon", "decay"),
    "Adagrad": ("learning_rate", "epsilon", "decay"),
    "Adadelta": ("learning_rate", "rho", "epsilon", "decay"),
    "Adam": ("learning_rate", "beta_1", "beta_2", "epsilon", "decay", "amsgrad"),
    "Adamax": ("learning_rate", "beta_1", "beta_2", "epsilon", "decay"),
    "Nadam": ("learning_rate", "beta_1", "beta_2", "epsilon", "schedule_decay"),
}
"""Positional arguments of Keras 2.2's optimizers."""

TENSORFLOWS_ORDER = {
    "SGD": ("learning_rate", "momentum", "nesterov", "name"),
    "RMSprop": ("learning_rate", "rho", "momentum", "epsilon", "centered", "name"),
    "Adagrad": ("learning_rate", "initial_accumulator_value", "epsilon", "name"),
    "Adadelta": ("learning_rate", "rho", "epsilon", "name"),
    "Adam": ("learning_rate", "beta_1", "beta_2", "epsilon", "amsgrad", "name"),
    "Adamax": ("learning_rate", "beta_1", "beta_2", "epsilon", "name"),
    "Nadam": ("learning_rate", "beta_1", "beta_2", "epsilon", "name"),
}
"""Positional arguments of the optimizers of TensorFlow's Keras 2."""

FITTING: dict[str, Any] = {"name": str | None, "nesterov": int, "amsgrad": int, "centered": int}
"""What values these arguments have; where one by position has another, the script means Keras's order, as TensorFlow 1 did."""

DEFAULTS: dict[str, dict[str, float]] = {
    "Adagrad": {"learning_rate": 0.01, "initial_accumulator_value": 0.0},
    "Adadelta": {"learning_rate": 1.0},
    "Adamax": {"learning_rate": 0.002},
    "Nadam": {"learning_rate": 0.002},
}
"""Defaults of Keras 2.2 that Keras 3 has changed."""

STEPPING = "_stoker_is_stepping"


def complete(teller: Teller) -> None:
    """Give the optimizers their old arguments and attributes."""
    for name in ORDER:
        before_init(getattr(keras.optimizers, name), _old_arguments(name, teller))
        setattr(keras.optimizers, name.lower(), getattr(keras.optimizers, name))
    base = next(kind for kind in keras.optimizers.Optimizer.__mro__ if "apply" in vars(kind))
    base.lr = property(_get_rate, _set_rate)
    base.decay = property(_get_decay, _set_decay)
    wrap(base, "__init__", _keep_decay)
    wrap(base, "apply", _mark_step)
    wrap(base, "_get_current_learning_rate", _decayed)
    wrap(base, "get_config", _with_decay)
    keras.optimizers.TFOptimizer = Lost("keras.optimizers.TFOptimizer", "Use an optimizer of keras.optimizers.")


def _old_arguments(kind: str, teller: Teller) -> Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, ...]]:
    def change(arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
        translate(options, {"lr": "learning_rate"})
        is_tensorflows = through_tensorflow()
        order = _order(kind, arguments, is_tensorflows)
        if len(arguments) > len(order):
            raise TypeError(f"{kind} takes {len(order)} positional arguments in Keras 2, got {len(arguments)}: name them")
        options.update(zip(order, arguments, strict=False))
        if options.pop("schedule_decay", None) is not None:
            teller.tell("Nadam(schedule_decay=)", "Keras 3 has the fixed schedule 0.004; remove the argument.")
        if options.get("epsilon", 0) is None:
            del options["epsilon"]
        if is_tensorflows:
            return ()
        if options.get("clipnorm") and not options.get("global_clipnorm"):
            options["global_clipnorm"] = options.pop("clipnorm")
            teller.tell(f"{kind}(clipnorm=)", "the norm is that of all gradients together, as in Keras 2; write global_clipnorm=.")
        for name, value in DEFAULTS.get(kind, {}).items():
            if name not in options:
                teller.tell(f"keras.optimizers.{kind}", f"{name} is {value} by default, as in Keras 2; write {kind}({name}={value}).")
                options[name] = value
        return ()

    return change


def _order(kind: str, arguments: tuple[Any, ...], is_tensorflows: bool) -> tuple[str, ...]:
    """The names of the arguments by position."""
    theirs = TENSORFLOWS_ORDER[kind]
    fits = all(isinstance(value, FITTING.get(word, object)) for word, value in zip(theirs, arguments, strict=False))
    return theirs if is_tensorflows and fits else ORDER[kind]


def _keep_decay(original: Callable[..., Any]) -> Callable[..., Any]:
    def __init__(self: Any, *arguments: Any, decay: float | None = None, **options: Any) -> None:
        if hasattr(self, "get_updates"):
            fail(f"{type(self).__name__}.get_updates", "Write build(variables) and update_step(gradient, variable, learning_rate), "
                 "or use an optimizer of keras.optimizers, such as AdamW.")
        original(self, *arguments, **options)
        object.__setattr__(self, "_stoker_decay", float(decay or 0.0))

    return __init__


def _mark_step(original: Callable[..., Any]) -> Callable[..., Any]:
    """While a step is applied, and only then, the rate that is read is the decayed one."""

    def apply(self: Any, *arguments: Any, **options: Any) -> Any:
        object.__setattr__(self, STEPPING, True)
        try:
            return original(self, *arguments, **options)
        finally:
            object.__setattr__(self, STEPPING, False)

    return apply


def _decayed(original: Callable[..., Any]) -> Callable[..., Any]:
    def _get_current_learning_rate(self: Any) -> Any:
        rate, decay = original(self), _get_decay(self)
        if not decay or not getattr(self, STEPPING, False):
            return rate
        return rate / (1.0 + decay * keras.ops.cast(self.iterations, "float32"))

    return _get_current_learning_rate


def _with_decay(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_config(self: Any) -> Any:
        decay = _get_decay(self)
        return {**original(self), "decay": decay} if decay else original(self)

    return get_config


def _get_rate(optimizer: Any) -> Any:
    return optimizer._learning_rate  # the variable itself, which K.set_value can set; learning_rate may be a schedule's value


def _set_rate(optimizer: Any, value: Any) -> None:
    optimizer.learning_rate = value


def _get_decay(optimizer: Any) -> float:
    return float(getattr(optimizer, "_stoker_decay", 0.0))


def _set_decay(optimizer: Any, value: Any) -> None:
    object.__setattr__(optimizer, "_stoker_decay", float(value))
